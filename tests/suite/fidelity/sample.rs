//! Operations, texts and JSON for the comparison.

use std::time::Duration;

use bytes::Bytes;
use opgate_core::machine::{Decision, apply, decide};
use opgate_core::{
    Accept, Change, Command, Expects, Face, Kind, Losses, Operation, OperationId, Origin, Parent,
    Payload, Routed, Seq, Submission, Tenant, Timestamp,
};
use proptest::prelude::*;

/// An operation of which nothing is known.
pub(super) fn operation() -> Operation {
    let accept = Accept {
        parent: Parent::root(),
        kind: Kind::new("s", "o").unwrap(),
        origin: Origin {
            face: Face::Native,
            endpoint: "e".into(),
            principal: "p".into(),
            request_id: None,
        },
        routed: Routed { route: "r".into(), backend: "b".into(), native_ref: Bytes::new() },
        expects: Expects::default(),
        input: Payload::new("", ""),
        resources: Vec::new(),
        deadline: None,
        retention: Duration::from_secs(1),
        links_in: Vec::new(),
        callbacks: Vec::new(),
        headers: Vec::new(),
        trace: None,
        dedupe: None,
        lost: Losses::NONE,
        share: None,
        share_key: None,
        outcome: None,
    };
    let submission = Submission {
        tenant: Tenant::anonymous(),
        target: OperationId::from_bits(7),
        expect: None,
        command: Command::Accept(Box::new(accept)),
    };
    let Decision::Change(events) = decide(None, submission) else { unreachable!() };
    apply(None, &Change { seq: Seq(1), at: Timestamp::from_nanos(1_000_000), events }).unwrap()
}

pub(super) fn text() -> impl Strategy<Value = String> {
    "[ -~é☃]{0,24}"
}

/// Bytes, of which some are JSON: written in one line, over several, or as nobody would.
pub(super) fn content() -> impl Strategy<Value = Vec<u8>> {
    let odd = [
        r#"{"a":1,"a":2}"#,
        "[9007199254740993, 18446744073709551617]",
        "{\"b\":0.1000000000000000055511,\"a\":-0}",
        " [1e2] ",
        "\"\\u0041\"",
        "null",
        "",
    ];
    prop_oneof![
        2 => proptest::collection::vec(any::<u8>(), 0..40),
        4 => value().prop_map(|value| value.to_string().into_bytes()),
        1 => value().prop_map(|value| serde_json::to_vec_pretty(&value).unwrap()),
        2 => proptest::sample::select(odd.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
    ]
}

/// A value of JSON.
pub(super) fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-100_i64..100).prop_map(Into::into),
        proptest::num::f64::NORMAL.prop_map(Into::into),
        text().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::vec(("[a-z$]{0,6}", inner), 0..4)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Media types, most of them known.
pub(super) fn media_type() -> impl Strategy<Value = String> {
    let known = [
        "application/json",
        "application/json; charset=utf-8",
        "application/x-protobuf; message-type=\"a.B\"",
        "application/octet-stream",
        "text/plain; charset=utf-8",
        "application/problem+json",
    ];
    prop_oneof![
        6 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => "[a-z]{1,8}/[a-z]{1,8}(; [a-z]{1,4}=[a-z]{1,4})?",
    ]
}
