use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;

use super::super::said;
use super::*;
use crate::proto::{EMPTY, HTTP_BODY};
use crate::sample::types;

/// Whatever a service answers with, a look and an end are made of it or not.
#[test]
fn fuzz_answers() {
    let options = |result: &str| {
        BTreeMap::from(
            [("method", "a.v1.S/M"), ("result", result)]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        )
    };
    let (bytes, json) = (options("bytes"), options("json"));
    let plans = [&bytes, &json].map(|options| Plan::of(types(), options).unwrap());
    let kinds = [STRUCT, HTTP_BODY, EMPTY, "google.rpc.Status", "a.B"];
    bolero::check!().for_each(|given: &[u8]| {
        let given = Bytes::copy_from_slice(given);
        let kind = kinds[usize::from(given.first().copied().unwrap_or(0)) % kinds.len()];
        let any = Any::new(kind, given.slice(given.len().min(1)..));
        let made = [
            Operation::decode(given.clone()).ok(),
            Some(Operation {
                metadata: Some(any.clone()),
                done: true,
                outcome: Some(proto::Outcome::Response(any)),
                ..Operation::default()
            }),
        ];
        for operation in made.into_iter().flatten() {
            drop(said::read(types(), operation.metadata.as_ref()));
            for plan in &plans {
                drop(started(operation.clone(), plan.idempotent));
                drop(outcome(types(), plan, operation.clone()));
            }
        }
    });
}

#[test]
fn a_payload_that_is_typed_is_the_same_any_again() {
    for any in [
        Any::new("a.v1.B", Bytes::from_static(b"\xff")),
        Any { type_url: "example.com/x/a.v1.B".to_owned(), value: Bytes::from_static(b"\xff") },
        Any { type_url: "a.v1.B".to_owned(), value: Bytes::new() },
    ] {
        let payload = payload(types(), false, &any).0.unwrap();
        assert_eq!(payload.message_type(), Some("a.v1.B"));
        let again = map::content::within(1000, types(), Some(&payload), None);
        assert_eq!(again, any);
    }
}
