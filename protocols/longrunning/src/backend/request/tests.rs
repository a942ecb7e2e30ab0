use std::collections::BTreeMap;

use opgate_core::ErrorKind;
use proptest::prelude::*;

use super::*;
use crate::sample::{POLICY, types};

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let usual = [("method", "a.v1.S/M")];
    let all = usual.iter().chain(pairs);
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn message(pairs: &[(&str, &str)], input: &Payload) -> Result<Vec<u8>, Error> {
    let options = options(pairs);
    let plan = Plan::of(types(), &options).unwrap();
    made(&plan, input, OperationId::from_bits(7)).map(|(message, _)| message)
}

const TYPED: (&str, &str) = ("request_type", POLICY);
/// An access policy with a title, and a field that nobody knows.
const BYTES: &[u8] = b"\x1a\x01t\xfa\x3f\x01\xff";

#[test]
fn protobuf_goes_as_it_is() {
    let named = Payload::protobuf(POLICY, BYTES);
    let unnamed = Payload::new(Payload::PROTOBUF, BYTES);
    let any = Any::new(POLICY, BYTES).encode_to_vec();
    let any = Payload::protobuf(ANY, any);
    for input in [&named, &unnamed, &any] {
        assert_eq!(message(&[TYPED], input).unwrap(), BYTES);
    }
    // Of what nobody knows nothing is looked into.
    assert_eq!(message(&[], &any).unwrap(), any.bytes);
    assert_eq!(message(&[], &named).unwrap(), BYTES);
    assert_eq!(message(&[], &Payload::new("", "")).unwrap(), b"");
    assert_eq!(message(&[TYPED], &Payload::new("", "")).unwrap(), b"");
}

#[test]
fn json_becomes_the_message() {
    let json = Payload::json(r#"{"title":"t"}"#);
    assert_eq!(message(&[TYPED], &json).unwrap(), b"\x1a\x01t");
    let template = ("request", r#"{"title":"<${/a}>","parent":"${/absent}"}"#);
    let made = message(&[TYPED, template], &Payload::json(r#"{"a":1}"#)).unwrap();
    assert_eq!(made, b"\x1a\x03<1>");
    // What needs nothing of the input takes any.
    let fixed = ("request", r#"{"title":"t"}"#);
    assert_eq!(message(&[TYPED, fixed], &Payload::new("a/b", "?")).unwrap(), b"\x1a\x01t");
    let nothing = ("request", "\"${/absent}\"");
    assert_eq!(message(&[TYPED, nothing], &Payload::json("{}")).unwrap(), b"");
}

#[test]
fn what_makes_no_request_is_refused_by_its_field() {
    let template = ("request", r#"{"title":"${/a}"}"#);
    for (pairs, input) in [
        (&[TYPED][..], Payload::json(r#"{"titel":"t"}"#)),
        (&[TYPED], Payload::json("[")),
        (&[TYPED], Payload::protobuf("a.B", BYTES)),
        (&[TYPED], Payload::protobuf(POLICY, &b"\x1a\x05t"[..])),
        (&[TYPED], Payload::protobuf(ANY, Any::new("a.B", BYTES).encode_to_vec())),
        (&[TYPED], Payload::protobuf(ANY, &b"\xff"[..])),
        (&[TYPED], Payload::new("text/plain", "t")),
        (&[TYPED], Payload { encoding: Some("gzip".into()), ..Payload::protobuf(POLICY, BYTES) }),
        (&[TYPED, template], Payload::protobuf(POLICY, BYTES)),
        (&[TYPED, template], Payload::json(r#"{"a":{"b":1}}"#)),
        (&[], Payload::json("{}")),
        (&[("metadata", r#"{"a":"${/a}"}"#)], Payload::protobuf("a.B", "")),
        (&[TYPED, ("metadata", r#"{"a":"${/a}"}"#)], Payload::json("{}")),
        (&[TYPED, ("metadata", r#"{"a":"${/title}"}"#)], Payload::json(r#"{"title":"\n"}"#)),
    ] {
        let refused = message(pairs, &input).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::InvalidArgument, "{pairs:?} {input:?}: {refused}");
        assert!(refused.field.is_some(), "{pairs:?} {input:?}: {refused}");
    }
}

#[test]
fn the_operations_id_is_put_where_none_is() {
    let uuid = "00000000-0000-8000-8000-000000000007";
    let set = ("request_id", "title");
    let made = message(&[TYPED, set], &Payload::json(r#"{"parent":"p"}"#)).unwrap();
    assert_eq!(scan::find(&made, &[3]), Some(Raw::Bytes(uuid.as_bytes())));
    // Empty is none, and what is there stays, byte for byte.
    let made = message(&[TYPED, set], &Payload::protobuf(POLICY, &b"\x1a\0\x12\x01p"[..])).unwrap();
    assert!(made.starts_with(b"\x1a\0\x12\x01p"));
    assert_eq!(scan::find(&made, &[3]), Some(Raw::Bytes(uuid.as_bytes())));
    assert_eq!(message(&[TYPED, set], &Payload::protobuf(POLICY, BYTES)).unwrap(), BYTES);
    // Within another message.
    let workflow = ("request_type", "google.cloud.workflows.v1.CreateWorkflowRequest");
    let within = ("request_id", "workflow.name");
    let made = message(&[workflow, within], &Payload::json(r#"{"parent":"p"}"#)).unwrap();
    let options = options(&[workflow, within]);
    let plan = Plan::of(types(), &options).unwrap();
    let found = scan::find(&made, plan.request_id.as_deref().unwrap());
    assert_eq!(found, Some(Raw::Bytes(uuid.as_bytes())));
    assert!(plan.idempotent);
}

#[test]
fn a_call_about_an_operation_says_which_to_whoever_routes_it() {
    assert_eq!(about("operations/a b=ä")[ROUTING], "name=operations%2Fa%20b%3D%C3%A4");
}

proptest! {
    #[test]
    fn no_input_panics_and_what_is_taken_is_a_message(
        media in prop_oneof![
            Just("application/json".to_owned()),
            Just("application/x-protobuf".to_owned()),
            Just(format!("application/x-protobuf; message-type={POLICY}")),
            Just(format!("application/x-protobuf; message-type={ANY}")),
            ".*",
        ],
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            r#"\{"(title|parent|x)":("[a-z]*"|[0-9]+|null)\}|null"#.prop_map(String::into_bytes),
        ],
    ) {
        let id = ("request_id", "title");
        if let Ok(made) = message(&[TYPED, id], &Payload::new(media, bytes)) {
            let kind = types().message(POLICY).unwrap();
            prop_assert_eq!(scan::check(&kind, &made).err(), None);
            let title = scan::find(&made, &[3]);
            prop_assert!(matches!(title, Some(Raw::Bytes(title)) if !title.is_empty()));
        }
    }
}
