//! Signatures, over real sockets.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opgate_bus::core::Tenant;
use opgate_oci::Settings;
use opgate_oci::signature::{CLOCK_SKEW, Keyring, PublicKey, Signer, Strength, Verifier};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gateway::{Gateway, settings};

const OURS: &str = "ocid1.tenancy.oc1..ours";
const OTHERS: &str = "ocid1.tenancy.oc1..others";
const USER: &str = "ocid1.user.oc1..user";
const KEY: &str = include_str!("../keys/user.pkcs8.pem");

fn signing() -> Settings {
    let tenancies = [(OURS, "default"), (OTHERS, "others")]
        .map(|(id, tenant)| (id.to_owned(), Tenant::new(tenant).unwrap()));
    let mut keyring = Keyring::new(tenancies, CLOCK_SKEW, vec!["127.0.0.1".to_owned()]);
    let key = include_str!("../keys/user.public.pem");
    let key = PublicKey::from_pem(key, Strength::Strong).unwrap();
    keyring.insert_key(OURS, USER, key.clone());
    keyring.insert_key(OTHERS, USER, key);
    Settings { authenticator: Arc::new(Verifier::new(keyring)), ..settings() }
}

/// A signed request; its URL is absolute.
fn signed(tenancy: &str, method: Method, url: &str, body: &str) -> Request<Bytes> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let mut request = Request::builder().method(method).uri(url).body(body).unwrap();
    let signer = Signer::new(tenancy, USER, None, KEY).unwrap();
    signer.sign(&mut request, SystemTime::now()).unwrap();
    request
}

/// Sends head lines and a body as they are; the status, the headers' lines and the body.
async fn raw(address: SocketAddr, head: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!("{head}connection: close\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

/// The request line for a target, and the headers of a request; `hosts` in place of its own.
fn head(request: &Request<Bytes>, target: &str, hosts: &[&str]) -> String {
    let mut head = format!("{} {target} HTTP/1.1\r\n", request.method());
    for host in hosts {
        write!(head, "host: {host}\r\n").unwrap();
    }
    for (name, value) in request.headers().iter().filter(|(name, _)| *name != "host") {
        write!(head, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
    }
    head
}

#[tokio::test]
async fn who_signed_sees_its_tenants_operations_and_no_others() {
    let dir = TempDir::new().unwrap();
    let gateway = Gateway::over(dir.path(), signing()).await;
    let running = gateway.run("cluster", "c", &json!({"id": "x"})).await;
    let address = gateway.address;
    let target = format!("/20160918/workRequests/{}", gateway.oci.name(&running));
    let url = format!("http://{address}{target}");
    let host = address.to_string();
    for (tenancy, status) in [(OURS, 200), (OTHERS, 404)] {
        let request = signed(tenancy, Method::GET, &url, "");
        let answer = raw(address, &head(&request, &target, &[&host]), "").await;
        assert_eq!(answer.0, status, "{answer:?}");
    }
    // Another's is as absent as what is not there at all.
    let absent = format!("/20160918/workRequests/ocid1.x.oc1..{}", "a".repeat(60));
    let mut bodies = Vec::new();
    for target in [&target, &absent] {
        let request = signed(OTHERS, Method::GET, &format!("http://{address}{target}"), "");
        bodies.push(raw(address, &head(&request, target, &[&host]), "").await.2);
    }
    assert_eq!(bodies[0], bodies[1]);
    gateway.stop().await;
}

#[tokio::test]
async fn http_2_is_signed_by_its_authority() {
    let dir = TempDir::new().unwrap();
    let gateway = Gateway::over(dir.path(), signing()).await;
    let url = format!("http://{}/20160918/nothing?a=%2F", gateway.address);
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    for (other, status) in [(None, 404), (Some("127.0.0.1:1"), 401)] {
        let mut request = signed(OURS, Method::GET, &url, "");
        request.headers_mut().remove("host");
        if let Some(other) = other {
            request.headers_mut().insert("host", other.parse().unwrap());
        }
        let answer = sender.send_request(request.map(Full::new)).await.unwrap();
        assert_eq!(answer.status(), status, "{other:?}");
        answer.into_body().collect().await.unwrap();
    }
    drop(sender);
    connection.await.unwrap().unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn every_refusal_is_the_same_and_stores_nothing() {
    let dir = TempDir::new().unwrap();
    let gateway = Gateway::over(dir.path(), signing()).await;
    let address = gateway.address;
    let host = address.to_string();
    let target = "/20160918/compartments/c";
    let url = format!("http://{address}{target}");
    let delete = signed(OURS, Method::DELETE, &url, "");
    let post = signed(OURS, Method::POST, &url, "{}");
    let plain = format!("DELETE {target} HTTP/1.1\r\nhost: {host}\r\n");
    let good = head(&delete, target, &[&host]);
    let whole = head(&post, target, &[&host]);
    let chunked = whole.replace("content-length: 2", "transfer-encoding: chunked");
    let both =
        whole.replace("content-length: 2", "content-length: 2\r\ntransfer-encoding: chunked");
    let cases = [
        ("no signature", plain, ""),
        ("two hosts", head(&delete, target, &[&host, &host]), ""),
        ("another host first", head(&delete, target, &["127.0.0.1:1", &host]), ""),
        ("no host", head(&delete, target, &[]), ""),
        ("a host that is not served", head(&delete, target, &["h"]), ""),
        ("another target", head(&delete, "/20160918/compartments/d", &[&host]), ""),
        ("another spelling", head(&delete, "/20160918/compartments/%63", &[&host]), ""),
        ("two slashes", head(&delete, &format!("/{target}"), &[&host]), ""),
        (
            "a target of another host",
            head(&delete, "http://127.0.0.1:1/20160918/compartments/c", &[&host]),
            "",
        ),
        ("another method", good.replace("DELETE ", "GET "), ""),
        ("two dates", good.replace("date: ", "date: Fri, 20 Nov 2026 11:24:16 GMT\r\ndate: "), ""),
        ("two signatures", format!("{good}authorization: Signature x=\"\"\r\n"), ""),
        ("a body nobody signed", format!("{good}content-length: 2\r\n"), "{}"),
        ("another body", whole.clone(), "[]"),
        ("a body in chunks", chunked, "2\r\n{}\r\n0\r\n\r\n"),
        ("a length and chunks", both, "2\r\n[]\r\n0\r\n\r\n"),
        ("an unknown path", head(&delete, "/20160918/nothing", &[&host]), ""),
    ];
    let mut texts = std::collections::BTreeSet::new();
    for (what, head, body) in cases {
        let (status, headers, text) = raw(address, &head, body).await;
        assert_eq!(status, 401, "{what}: {text}");
        assert!(
            headers.contains("opc-request-id: ") && headers.contains("www-authenticate: Signature")
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["code"], "NotAuthenticated");
        texts.insert(text);
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(gateway.operations().await.is_empty());
    // The whole URL as the target is the same request, where its host is the signed one.
    let absolute = raw(address, &head(&delete, &url, &[&host]), "").await;
    assert_ne!(absolute.0, 401, "{absolute:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_strangers_body_is_not_waited_for() {
    let dir = TempDir::new().unwrap();
    let gateway = Gateway::over(dir.path(), signing()).await;
    let host = gateway.address;
    let head = format!("POST /20160918/x HTTP/1.1\r\nhost: {host}\r\ncontent-length: 900000\r\n");
    // Its body never comes: the answer does, long before the time that a body may take.
    let (status, head, _) = raw(gateway.address, &head, "{").await;
    assert_eq!(status, 401);
    assert!(head.to_ascii_lowercase().contains("connection: close"), "{head}");
    gateway.stop().await;
}
