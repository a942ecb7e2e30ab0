//! What is on the wire: frames, compression, limits, and what is not gRPC at all.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opgate_longrunning::Longrunning;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use prost::Message as _;
use tokio::net::TcpStream;
use tokio_stream::StreamExt as _;
use tonic::Code;

use super::client::{Client, List, Listed, Operation, Policy, list, named, scripted};
use super::gateway::{CREATE_POLICY, CREATE_WORKFLOW, ECHO, Gateway, MAKE};
use super::raw::{Raw, framed, request, status, streamed};

const GET: &str = "google.longrunning.Operations/GetOperation";

#[tokio::test]
async fn a_message_may_come_in_any_pieces() {
    let gateway = Gateway::start().await;
    let name = Client::connect(gateway.address).await.make("", "nothing ").await.name;
    let mut raw = Raw::connect(&gateway).await;
    let sent = framed(0, &named(&name).encode_to_vec());
    for split in 0..=sent.len() {
        let chunks = [sent.slice(..split), sent.slice(split..)];
        let (status, body) = status(raw.send(request(GET, &[], &chunks)).await).await;
        assert_eq!(status, "0", "split at {split}");
        assert_eq!(Operation::decode(&body[5..]).unwrap().name, name);
        assert_eq!(body[..5], framed(0, &body[5..])[..5]);
    }
    for cut in 0..sent.len() {
        let (status, body) = status(raw.send(request(GET, &[], &[sent.slice(..cut)])).await).await;
        assert_eq!((&*status, body.len()), ("3", 0), "cut at {cut}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn no_bytes_make_it_fall_over() {
    let gateway = Gateway::start().await;
    let mut raw = Raw::connect(&gateway).await;
    let mut runner = TestRunner::deterministic();
    let bytes = proptest::collection::vec(any::<u8>(), 0..48);
    let operations = ["Get", "Wait", "Cancel", "Delete", "List"]
        .map(|verb| format!("google.longrunning.Operations/{verb}Operation"));
    let list = "google.longrunning.Operations/ListOperations".to_owned();
    let methods = operations.into_iter().chain([list]).chain(
        [
            MAKE,
            CREATE_POLICY,
            CREATE_WORKFLOW,
            ECHO,
            "grpc.health.v1.Health/Check",
            "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "acme.Nothing/Here",
        ]
        .map(str::to_owned),
    );
    for method in methods {
        for _ in 0..50 {
            let sent = bytes.new_tree(&mut runner).unwrap().current();
            for body in [Bytes::from(sent.clone()), framed(0, &sent), framed(1, &sent)] {
                // A script, so that what is started is over at once.
                let headers = [("script", "nothing "), ("grpc-encoding", "gzip")];
                let answer = raw.send(request(&method, &headers, &[body])).await;
                let (status, _) = status(answer).await;
                assert!(status.parse::<u8>().unwrap() <= 16, "{method} {status}");
            }
        }
    }
    let text = gateway.exporter.render().unwrap();
    assert!(text.contains("opgate_panics_contained_total{place=\"request\"} 0\n"));
    gateway.stop().await;
}

#[tokio::test]
async fn gzip_goes_both_ways_if_the_caller_began_it() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let zipping = client.clone().zipping();
    let started = zipping.make("", "zeros 100000").await;
    assert_eq!(zipping.get(&started.name).await.unwrap(), started);
    assert_eq!(client.get(&started.name).await.unwrap(), started);
    let listed: Listed = zipping.operations("ListOperations", list("")).await.unwrap();
    assert_eq!(listed.operations, std::slice::from_ref(&started));

    let mut raw = Raw::connect(&gateway).await;
    let plain = framed(0, &named(&started.name).encode_to_vec());
    for (headers, zipped) in [
        (&[][..], false),
        (&[("grpc-encoding", "identity")], false),
        (&[("grpc-accept-encoding", "gzip")], false),
        (&[("grpc-encoding", "gzip")], true),
        (&[("grpc-encoding", "gzip"), ("grpc-accept-encoding", "identity, gzip")], true),
        (&[("grpc-encoding", "gzip"), ("grpc-accept-encoding", "identity")], false),
    ] {
        let answer = raw.send(request(GET, headers, std::slice::from_ref(&plain))).await;
        assert_eq!(answer.headers().get("grpc-encoding").is_some(), zipped, "{headers:?}");
        let (status, body) = status(answer).await;
        assert_eq!((&*status, body[0]), ("0", u8::from(zipped)));
        assert_eq!(body.len() < 10_000, zipped);
    }
    let answer = raw.send(request(GET, &[("grpc-encoding", "snappy")], &[plain])).await;
    assert_eq!(answer.headers()["grpc-accept-encoding"], "identity,gzip");
    assert_eq!(status(answer).await.0, "12");
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_by_the_limit() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let large = Policy { title: "x".repeat(70_000), ..Policy::default() };
    for client in [client.clone(), client.clone().zipping()] {
        let request = scripted(large.clone(), "", "nothing ");
        let refused = client.call::<_, Operation>(MAKE, request).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("65536 bytes"), "{refused}");
    }
    let fits = Policy { title: "x".repeat(60_000), ..Policy::default() };
    let started = client.call::<_, Operation>(MAKE, scripted(fits, "", "nothing ")).await;
    assert!(started.is_ok());
    gateway.stop().await;
}

#[tokio::test]
async fn text_that_is_no_text_is_invalid() {
    let gateway = Gateway::start().await;
    let mut raw = Raw::connect(&gateway).await;
    let name = framed(0, b"\x0a\x02\xff\xfe");
    for method in [GET, CREATE_POLICY] {
        let answer = raw.send(request(method, &[], std::slice::from_ref(&name))).await;
        assert_eq!(status(answer).await.0, "3", "{method}");
    }
    let header = ("x-goog-request-params", "parent=%ff");
    let answer = raw.send(request(MAKE, &[header], &[framed(0, b"")])).await;
    assert_eq!(status(answer).await.0, "3");
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_not_grpc_is_answered_in_https_terms() {
    let gateway = Gateway::start().await;
    let mut raw = Raw::connect(&gateway).await;
    let empty = || UnsyncBoxBody::new(Full::new(Bytes::new()).map_err(|never| match never {}));
    let get = Request::get("http://gateway/x").version(Version::HTTP_2);
    let get = get.header(header::CONTENT_TYPE, "application/grpc").body(empty()).unwrap();
    let answer = raw.send(get).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers()[header::ALLOW], "POST");
    for content_type in ["application/grpc-web", "application/grpcx"] {
        let post = Request::post(format!("http://gateway/{GET}")).version(Version::HTTP_2);
        let post = post.header(header::CONTENT_TYPE, content_type).body(empty()).unwrap();
        assert_eq!(raw.send(post).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let mut json = request(GET, &[], &[framed(0, b"")]);
    json.headers_mut().insert(header::CONTENT_TYPE, "application/grpc+json".parse().unwrap());
    assert_eq!(status(raw.send(json).await).await.0, "12");
    let mut proto = request(GET, &[], &[framed(0, b"")]);
    proto.headers_mut().insert(header::CONTENT_TYPE, "application/grpc+proto".parse().unwrap());
    assert_eq!(status(raw.send(proto).await).await.0, "3");

    for content_type in
        ["Application/GRPC", "application/grpc+Proto; a=b", "APPLICATION/GRPC+PROTO"]
    {
        let mut proto = request(GET, &[], &[framed(0, b"")]);
        proto.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        assert!(Longrunning::takes(proto.headers()), "{content_type}");
        assert_eq!(status(raw.send(proto).await).await.0, "3", "{content_type}");
    }
    assert!(!Longrunning::takes(&HeaderMap::new()));

    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut old, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let post = Request::post(format!("/{GET}")).header(header::HOST, "gateway");
    let post = post.header(header::CONTENT_TYPE, "application/grpc").body(empty()).unwrap();
    let answer = old.send_request(post).await.unwrap();
    assert_eq!(answer.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    drop(old);
    gateway.stop().await;
}

#[tokio::test]
async fn an_empty_list_is_an_empty_message() {
    let gateway = Gateway::start().await;
    let mut raw = Raw::connect(&gateway).await;
    let sent = framed(0, &List::default().encode_to_vec());
    let list = "google.longrunning.Operations/ListOperations";
    let (status, body) = status(raw.send(request(list, &[], &[sent])).await).await;
    assert_eq!((&*status, &*body), ("0", &[0; 5][..]));
    gateway.stop().await;
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_before_the_message_is_sent() {
    let gateway = Gateway::start().await;
    let mut raw = Raw::connect(&gateway).await;
    for prefix in [&[0, 0, 1, 0, 1][..], &[0, 0xff], &[1, 0xff, 0xff, 0xff, 0xff]] {
        let sent = prefix.iter().map(|byte| Ok(Frame::data(Bytes::copy_from_slice(&[*byte]))));
        // The rest never comes, nor an end.
        let sent = tokio_stream::iter(sent.collect::<Vec<_>>()).chain(tokio_stream::pending());
        let answer = raw.send(streamed(MAKE, &[("grpc-timeout", "60S")], sent)).await;
        assert_eq!(status(answer).await.0, "8", "{prefix:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_that_breaks_off_is_no_fault_of_the_server() {
    let gateway = Gateway::start().await;
    let mut raw = Raw::connect(&gateway).await;
    let whole = framed(0, &named("operations/x").encode_to_vec());
    let broken = [Ok(Frame::data(whole.slice(..7))), Err(std::io::Error::other("gone"))];
    let broken = streamed(GET, &[], tokio_stream::iter(broken));
    let wrong_length = request(GET, &[("content-length", "9")], &[whole]);
    for sent in [broken, wrong_length] {
        // The stream was reset, by either side: there may be an answer or none.
        if let Ok(answer) = raw.try_send(sent).await {
            assert_eq!(answer.headers()["grpc-status"], "1");
        }
    }
    let line = |code: &str, count: u32| {
        format!(
            "opgate_requests_total{{protocol=\"grpc\",method=\"get\",code=\"{code}\"}} {count}\n"
        )
    };
    let counted = async {
        while !gateway.exporter.render().unwrap().contains(&line("CANCELLED", 2)) {
            tokio::task::yield_now().await;
        }
    };
    let counted = tokio::time::timeout(Duration::from_secs(10), counted).await;
    let text = gateway.exporter.render().unwrap();
    assert!(counted.is_ok(), "{text}");
    assert!(text.contains(&line("UNAVAILABLE", 0)), "{text}");
    gateway.stop().await;
}
