use std::collections::BTreeMap;

use bytes::Bytes;
use opgate_bus::Handles;
use opgate_core::{
    Code, Epoch, Expects, Face, Failure, Header, Kind, Link, Native, Operation, OperationId,
    Origin, Outcome, Parent, Payload, Routed, Seq, State, Tenant, Times, Timestamp, Trace, Version,
};
use opgate_store::Snapshot;
use proptest::prelude::*;

use super::*;
use crate::token;

mod receiver;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_nanos(millis * 1_000_000)
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.into(), value: Bytes::copy_from_slice(value.as_bytes()) }
}

fn ended(outcome: Outcome, callback: Callback) -> Operation {
    Operation {
        id: OperationId::from_bits(7),
        seq: Seq(1),
        changed: Seq(2),
        version: Version(2),
        tenant: Tenant::anonymous(),
        parent: Parent::root(),
        kind: Kind::new("shop", "build").unwrap(),
        origin: Origin {
            face: Face::Nexus,
            endpoint: "/nexus/shop/build".into(),
            principal: "anonymous".into(),
            request_id: None,
        },
        routed: Routed { route: "r".into(), backend: "b".into(), native_ref: Bytes::new() },
        expects: Expects::default(),
        state: outcome.state(),
        native_state: "".into(),
        waiting: "".into(),
        cancel: None,
        times: Times {
            accepted: at(1_767_323_045_999),
            started: None,
            updated: at(1_767_323_106_678),
            closed: Some(at(1_767_323_106_678)),
            expires: None,
        },
        deadline: None,
        retention: Duration::from_mins(1),
        epoch: Epoch(1),
        progress: None,
        log: Vec::new(),
        log_dropped: 0,
        resources: Vec::new(),
        input: Payload::json("1"),
        outcome: Some(outcome),
        links_in: Vec::new(),
        links_out: vec![
            Link { url: "https://h/7,8".into(), kind: "a.A".into() },
            Link { url: "https://h/x".into(), kind: "a.B".into() },
        ],
        callbacks: vec![callback],
        headers: Vec::new(),
        trace: None,
        dedupe: None,
        conflicts: Vec::new(),
        removed: None,
        lost: opgate_core::Losses::NONE,
        share: None,
    }
}

fn notice(operation: Operation) -> Notice {
    let handles = Handles::new([7; 32]);
    Notice { operation: Arc::new(Snapshot::new(operation)), callback: 0, attempt: 1, handles }
}

fn own_token() -> String {
    let tenant = Tenant::anonymous();
    let handles = Handles::new([7; 32]);
    handles.make(token::PURPOSE, &token::bound(&tenant), OperationId::from_bits(7)).unwrap()
}

type Sent = (BTreeMap<String, Vec<String>>, Bytes);

/// The headers and the body of a completion.
fn completion(operation: Operation, receiver: Option<&Receiver>) -> Result<Sent, Told> {
    let notice = notice(operation);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_614_265_330);
    let request = message::completion(&notice, notice.target().unwrap(), receiver, now)?;
    let mut headers = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in request.headers() {
        let value = String::from_utf8(value.as_bytes().to_vec()).unwrap();
        headers.entry(name.to_string()).or_default().push(value);
    }
    Ok((headers, request.into_body()))
}

fn sent(outcome: Outcome, given: Vec<Header>) -> Sent {
    completion(ended(outcome, Callback::new("https://h/cb", given)), None).unwrap()
}

fn one<'a>(headers: &'a BTreeMap<String, Vec<String>>, name: &str) -> &'a str {
    match headers.get(name).map(Vec::as_slice) {
        Some([one]) => one,
        other => panic!("{name}: {other:?}"),
    }
}

fn json(text: &'static str) -> Outcome {
    Outcome::Succeeded(Some(Payload::json(text)))
}

#[test]
fn a_completion_says_everything_that_nexus_wants_to_know() {
    let token = r#"{"v":1,"d":"AAAA"}"#;
    let (headers, body) = sent(json(r#"{"n":1}"#), vec![header("Temporal-Callback-Token", token)]);
    let id = OperationId::from_bits(7);
    let itself = format!(r#"<opgate:///operations/{id}>; type="opgate.v1.Operation""#);
    let expected = [
        ("content-type", vec!["application/json"]),
        (
            "nexus-link",
            vec![r#"<https://h/7%2C8>; type="a.A""#, r#"<https://h/x>; type="a.B""#, &*itself],
        ),
        ("nexus-operation-close-time", vec!["2026-01-02T03:05:06.678Z"]),
        ("nexus-operation-id", vec![&*own_token()]),
        ("nexus-operation-start-time", vec!["Fri, 02 Jan 2026 03:04:05 GMT"]),
        ("nexus-operation-state", vec!["succeeded"]),
        ("nexus-operation-token", vec![&*own_token()]),
        ("temporal-callback-token", vec![token]),
    ]
    .map(|(name, values)| (name.to_owned(), values.into_iter().map(str::to_owned).collect()));
    assert_eq!(headers, BTreeMap::from(expected));
    assert_eq!(body, r#"{"n":1}"#);
}

#[test]
fn a_result_keeps_its_form() {
    let message = "application/x-protobuf; message-type=\"a.B\"";
    for (result, media_type, bytes) in [
        (None, None, &b""[..]),
        (Some(Payload::json("{}")), Some("application/json"), b"{}"),
        (
            Some(Payload::new("application/json; charset=utf-8", "{}")),
            Some("application/json"),
            b"{}",
        ),
        (Some(Payload::protobuf("a.B", &b"\x08\x01"[..])), Some(message), b"\x08\x01"),
        (
            Some(Payload::new("application/octet-stream", &b"\0"[..])),
            Some("application/octet-stream"),
            b"\0",
        ),
        (Some(Payload::new("", &b"\0"[..])), None, b"\0"),
    ] {
        let (headers, body) = sent(Outcome::Succeeded(result), vec![]);
        let content: Vec<_> = headers.keys().filter(|name| name.starts_with("content-")).collect();
        assert_eq!(content.len(), usize::from(media_type.is_some()), "{content:?}");
        assert_eq!(media_type, media_type.is_some().then(|| one(&headers, "content-type")));
        assert_eq!(body, bytes);
    }
}

#[test]
fn a_failure_is_json_with_its_state() {
    let mut failure = Failure::new(Code::NotFound, "no such scene");
    for (outcome, state) in [
        (Outcome::Failed(failure.clone()), "failed"),
        (Outcome::Canceled(Some(failure.clone())), "canceled"),
        (Outcome::Canceled(None), "canceled"),
    ] {
        let (headers, body) = sent(outcome, vec![]);
        assert_eq!(one(&headers, "nexus-operation-state"), state);
        assert_eq!(one(&headers, "content-type"), "application/json");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["metadata"]["type"], "nexus.OperationError");
        assert_eq!(body["details"]["state"], state);
    }
    // What Nexus said returns as it was.
    let said = Bytes::from_static(br#"{ "message": "boom", "x": 1e400 }"#);
    let (protocol, code) = ("nexus".to_owned(), "failed".to_owned());
    failure.native =
        Some(Box::new(Native { protocol, code, http: None, bytes: said.clone(), encoded: None }));
    assert_eq!(sent(Outcome::Failed(failure), vec![]).1, said);
}

#[test]
fn what_a_start_gave_is_sent_and_cannot_break_or_spoof_the_request() {
    let barred = [
        "Host",
        "Connection",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Authorization",
        "Proxy-Connection",
        "proxy-x",
        "Expect",
        "Content-Type",
        "Content-Length",
        "content-encoding",
        "Content-X",
        "User-Agent",
        "Nexus-Link",
        "Nexus-Operation-State",
        "Nexus-Operation-Start-Time",
        "nexus-operation-close-time",
        "Nexus-Operation-Other",
    ];
    let given = barred.iter().map(|name| header(name, "forged")).chain([
        header("X-Twice", "a"),
        header("x-twice", "b;c=d, e"),
        header("Authorization", "Bearer theirs"),
        header("X-Utf8", "é\t\""),
        header("Token", ""),
    ]);
    let (headers, _) = sent(json("1"), given.collect());
    assert!(!headers.values().flatten().any(|value| value == "forged"), "{headers:?}");
    assert_eq!(headers["x-twice"], ["a", "b;c=d, e"]);
    assert_eq!(one(&headers, "authorization"), "Bearer theirs");
    assert_eq!(one(&headers, "x-utf8"), "é\t\"");
    assert_eq!(one(&headers, "token"), "");
    assert_eq!(one(&headers, "nexus-operation-state"), "succeeded");
}

#[test]
fn a_reference_of_the_starters_own_wins_and_stands_for_both() {
    let given = |pairs: &[(&str, &str)]| {
        let given = pairs.iter().map(|(name, value)| header(name, value)).collect();
        let (headers, _) = sent(json("1"), given);
        let of = |name| one(&headers, name).to_owned();
        (of("nexus-operation-token"), of("nexus-operation-id"))
    };
    let both = |token: &str, id: &str| (token.to_owned(), id.to_owned());
    assert_eq!(given(&[]), both(&own_token(), &own_token()));
    assert_eq!(given(&[("Nexus-Operation-Token", "t")]), both("t", "t"));
    assert_eq!(given(&[("nexus-operation-id", "i")]), both("i", "i"));
    assert_eq!(
        given(&[("nexus-operation-id", "i"), ("nexus-operation-token", "t")]),
        both("t", "i")
    );
}

#[test]
fn a_completion_is_of_the_trace_of_the_start_or_of_the_one_given_for_it() {
    let parent = |digit: &str| format!("00-{}-{}-01", digit.repeat(32), digit.repeat(16));
    let told = |trace: Option<Trace>, given: Vec<Header>| {
        let mut operation = ended(json("1"), Callback::new("https://h/cb", given));
        operation.trace = trace.map(Box::new);
        let (headers, _) = completion(operation, None).unwrap();
        ["traceparent", "tracestate"].map(|name| headers.get(name).map(|values| values.join("; ")))
    };
    let trace = |state: &str| Trace::of(&parent("1"), &[state]);
    let both = |digit: &str, state: &str| [Some(parent(digit)), Some(state.to_owned())];
    assert_eq!(told(None, vec![]), [None, None]);
    assert_eq!(told(trace("a=1"), vec![]), both("1", "a=1"));
    assert_eq!(told(trace(""), vec![]), [Some(parent("1")), None]);
    let own = || header("Traceparent", &parent("2"));
    assert_eq!(told(trace("a=1"), vec![own()]), [Some(parent("2")), None]);
    assert_eq!(told(trace("a=1"), vec![own(), header("tracestate", "b=2")]), both("2", "b=2"));
    // One that is of no trace is not of another's.
    assert_eq!(told(trace(""), vec![header("tracestate", "b=2")]), [Some(parent("1")), None]);
}

#[test]
fn a_receiver_may_get_headers_of_opgates_own_and_a_signature() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    let credentials = Credentials::bearer("ours").unwrap();
    let receiver = Receiver { hosts: vec![], credentials, secrets: vec![secret] };
    let given = || vec![header("authorization", "Bearer theirs"), header("webhook-id", "forged")];
    let operation = || ended(json("1"), Callback::new("https://h/cb", given()));
    let (headers, _) = completion(operation(), Some(&receiver)).unwrap();
    assert_eq!(one(&headers, "authorization"), "Bearer ours");
    assert_eq!(one(&headers, "webhook-id"), format!("{}-0", OperationId::from_bits(7)));
    assert_eq!(one(&headers, "webhook-timestamp"), "1614265330");
    assert!(one(&headers, "webhook-signature").starts_with("v1,"));
    // The next attempt has the same id.
    let (again, _) = completion(operation(), Some(&receiver)).unwrap();
    assert_eq!(again["webhook-id"], headers["webhook-id"]);
}

#[test]
fn what_cannot_be_sent_is_refused_for_good() {
    for given in [header("a b", ""), header("", "x"), header("x", "a\r\nb: c"), header("x", "\0")] {
        let operation = ended(json("1"), Callback::new("https://h/cb", vec![given]));
        let told = completion(operation, None).unwrap_err();
        assert!(matches!(told, Told::Refused { .. }), "{told:?}");
    }
    let mut operation = ended(json("1"), Callback::new("https://h/cb", vec![]));
    (operation.outcome, operation.state) = (None, State::Running);
    assert!(matches!(completion(operation, None), Err(Told::Refused { .. })));
}

proptest! {
    /// Whatever a start gives: what is opgate's stays opgate's, and the rest arrives byte for byte.
    #[test]
    fn headers_are_kept_or_barred_and_never_changed(
        given in proptest::collection::vec(
            (
                prop_oneof![
                    "[A-Za-z][A-Za-z0-9-]{0,12}",
                    "(content|Content|proxy|PROXY|nexus-operation|Nexus-Operation|nexus)-[a-z-]{0,10}",
                    "(host|Host|te|expect|upgrade|trailer|connection|keep-alive|user-agent|transfer-encoding)",
                ],
                "[!-~]([ -~\u{e9}]{0,10}[!-~])?",
            ),
            0..8,
        )
    ) {
        let headers: Vec<Header> = given.iter().map(|(name, value)| header(name, value)).collect();
        let (sent, _) = sent(json("1"), headers);
        let barred = |name: &str| {
            let own = name.starts_with("nexus-operation-")
                && name != "nexus-operation-token" && name != "nexus-operation-id";
            let words = ["host", "te", "expect", "upgrade", "trailer", "connection", "keep-alive",
                "user-agent", "transfer-encoding", "nexus-link"];
            own || words.contains(&name) || name.starts_with("content-") || name.starts_with("proxy-")
        };
        let mut expected = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in given {
            let name = name.to_ascii_lowercase();
            if !barred(&name) {
                expected.entry(name).or_default().push(value);
            }
        }
        for (name, values) in &expected {
            prop_assert_eq!(&sent[name], values);
        }
        let own = ["content-type", "nexus-link", "nexus-operation-close-time", "nexus-operation-id",
            "nexus-operation-start-time", "nexus-operation-state", "nexus-operation-token"];
        for name in sent.keys() {
            prop_assert!(expected.contains_key(name) || own.contains(&&**name), "{}", name);
        }
        prop_assert_eq!(&sent["nexus-operation-state"], &["succeeded"]);
        prop_assert_eq!(&sent["content-type"], &["application/json"]);
    }
}
