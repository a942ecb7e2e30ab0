use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::super::from_json;
use super::super::testing::{kinds, message, pool};
use super::*;

fn made(json: &serde_json::Value) -> DynamicMessage {
    from_json(&kinds(), json.to_string().as_bytes()).unwrap()
}

fn value(json: &[u8]) -> serde_json::Value {
    serde_json::from_slice(json).unwrap()
}

fn written(message: &DynamicMessage) -> serde_json::Value {
    value(&Json::default().message(message).unwrap())
}

/// What is kept of a message with every kind of field.
fn masked(mask: &str) -> serde_json::Value {
    let message = made(&json!({
        "flag": true, "small": 1, "displayName": "n",
        "inner": {"small": 2, "displayName": "m", "inner": {"small": 3}},
        "inners": [{"small": 4, "flag": true}, {"flag": true}],
        "labels": {"a": "1", "b": "2"},
        "object": {"x": {"y": 1.0, "z": 2.0}},
        "any": {"@type": "x/test.Kinds", "small": 5, "flag": true},
        "time": "2026-01-02T03:04:05Z",
    }));
    let mask = Mask::parse("fields", mask).unwrap();
    mask.check("fields", &kinds()).unwrap();
    value(&Json { mask: Some(&mask), ..Json::default() }.message(&message).unwrap())
}

#[test]
fn every_kind_of_value_has_its_json() {
    let json = json!({
        "flag": true, "small": -5, "large": "-9007199254740993", "smallCount": 7,
        "largeCount": "18446744073709551615", "single": 0.5, "twice": "NaN",
        "displayName": "é\n\"", "data": "/+8=", "color": "BLUE", "inner": {}, "names": ["", "x"],
        "colors": ["RED", 9], "labels": {"a": "b", "c": ""}, "byNumber": {"-1": {"small": 1}},
        "one": "", "maybe": 0, "time": "2026-01-02T03:04:05.600Z", "span": "-1.500s",
        "mask": "displayName,inner.small", "object": {"a": [1.0, null], "b": {}}, "value": null,
        "list": ["x", false], "wrapped": "9", "text": "", "empty": {}, "zigzag": -1, "fixed": "3",
        "numbers": ["1"], "byFlag": {"true": "RED"},
    });
    assert_eq!(written(&made(&json)), json);
    assert_eq!(written(&made(&json!({}))), json!({}));
    let numbers = Json { enum_numbers: true, ..Json::default() };
    assert_eq!(
        value(&numbers.message(&made(&json)).unwrap())["colors"],
        json!([1, 9]),
        "enums as numbers, in lists too"
    );
}

#[test]
fn pretty_is_two_spaces_for_each_level() {
    let message = made(&json!({"flag": true, "inner": {}, "names": ["a", "b"]}));
    let pretty = Json { pretty: true, ..Json::default() }.message(&message).unwrap();
    let expected =
        "{\n  \"flag\": true,\n  \"inner\": {},\n  \"names\": [\n    \"a\",\n    \"b\"\n  ]\n}";
    assert_eq!(String::from_utf8(pretty).unwrap(), expected);
    let compact = Json::default().message(&message).unwrap();
    assert_eq!(compact, br#"{"flag":true,"inner":{},"names":["a","b"]}"#);
}

#[test]
fn an_any_that_has_no_json_is_its_bytes_and_nothing_around_it_suffers() {
    let any = |url: &str, bytes: &'static [u8]| Any {
        type_url: url.to_owned(),
        value: Bytes::from_static(bytes),
    };
    let json = |any: &Any| value(&Json::default().any(any, pool()).unwrap());
    let url = "type.googleapis.com/acme.Unknown";
    assert_eq!(json(&any(url, b"\x01\x02")), json!({"@type": url, "value": "AQI="}));
    assert_eq!(
        json(&any("x/test.Kinds", b"\x0a")),
        json!({"@type": "x/test.Kinds", "value": "Cg=="})
    );
    assert_eq!(json(&any("no slash", b"")), json!({"@type": "no slash"}));
    assert_eq!(json(&any("", b"")), json!({}));
    let empty = "type.googleapis.com/google.protobuf.Empty";
    assert_eq!(json(&any(empty, b"")), json!({"@type": empty}));
    // A time stamp out of range, a number JSON does not have.
    let late = any("x/google.protobuf.Timestamp", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
    assert_eq!(json(&late)["value"], json!("CP//////////fw=="));
    let nan = any("x/google.protobuf.Value", b"\x11\0\0\0\0\0\0\xf8\x7f");
    assert_eq!(json(&nan)["value"], json!("EQAAAAAAAPh/"));
    // Nested: only the inner one is bytes.
    let mut inner = made(&json!({"small": 1}));
    let mut odd = DynamicMessage::new(message("google.protobuf.Any"));
    odd.set_field_by_number(1, prost_reflect::Value::String(url.to_owned()));
    odd.set_field_by_number(2, prost_reflect::Value::Bytes("x".into()));
    inner.set_field_by_name("any", prost_reflect::Value::Message(odd));
    let outer = Any { type_url: "x/test.Kinds".to_owned(), value: inner.encode_to_vec().into() };
    assert_eq!(
        json(&outer),
        json!({"@type": "x/test.Kinds", "small": 1, "any": {"@type": url, "value": "eA=="}})
    );
}

#[test]
fn outside_of_an_any_there_has_to_be_a_json() {
    let mut late = DynamicMessage::new(message("google.protobuf.Timestamp"));
    late.set_field_by_number(1, prost_reflect::Value::I64(i64::MAX));
    let error = Json::default().message(&late).unwrap_err();
    assert_eq!(error.to_string(), "the answer has no JSON: a time stamp out of range");
}

#[test]
fn depth_is_bounded_and_an_any_keeps_it_to_itself() {
    let mut deep = made(&json!({}));
    for _ in 0..DEPTH_MAX {
        let mut outer = made(&json!({}));
        outer.set_field_by_name("inner", prost_reflect::Value::Message(deep));
        deep = outer;
    }
    let error = Json::default().message(&deep).unwrap_err();
    assert_eq!(error.to_string(), "the answer is deeper than 100 levels");
    // Anys within Anys: what is too deep is bytes, and all of it can be read again.
    let mut any = Any::new("test.Kinds", Bytes::new());
    for _ in 0..DEPTH_MAX {
        let mut inner = DynamicMessage::new(message("google.protobuf.Any"));
        inner.set_field_by_number(1, prost_reflect::Value::String(any.type_url.clone()));
        inner.set_field_by_number(2, prost_reflect::Value::Bytes(any.value.clone()));
        let mut outer = made(&json!({}));
        outer.set_field_by_name("any", prost_reflect::Value::Message(inner));
        any.value = outer.encode_to_vec().into();
    }
    value(&Json::default().any(&any, pool()).unwrap());
}

#[test]
fn a_mask_keeps_what_it_names_and_nothing_else() {
    assert_eq!(masked("small,display_name"), json!({"small": 1, "displayName": "n"}));
    assert_eq!(masked("inner/small"), json!({"inner": {"small": 2}}));
    assert_eq!(masked("inner(small,inner)"), json!({"inner": {"small": 2, "inner": {"small": 3}}}));
    assert_eq!(masked("inners/small"), json!({"inners": [{"small": 4}, {}]}));
    assert_eq!(masked("labels.b"), json!({"labels": {"b": "2"}}));
    assert_eq!(masked("object/x/y"), json!({"object": {"x": {"y": 1.0}}}));
    assert_eq!(masked("any/small"), json!({"any": {"small": 5}}));
    assert_eq!(masked("any(@type)"), json!({"any": {"@type": "x/test.Kinds"}}));
    assert_eq!(
        masked("inner/*/small"),
        json!({"inner": {"small": 2, "displayName": "m", "inner": {"small": 3}}}),
        "`*` names the scalars too, which have nothing within"
    );
    assert_eq!(masked("displayName,display_name,maybe"), json!({"displayName": "n"}));
}

#[test]
fn a_mask_that_names_no_field_is_refused() {
    let check = |mask: &str| Mask::parse("fields", mask).unwrap().check("fields", &kinds());
    for (mask, problem) in [
        ("nope", "fields: `nope`: test.Kinds has no such field"),
        ("inner/nope", "fields: `inner.nope`: test.Kinds has no such field"),
        ("small/x", "fields: `small` has no fields within"),
        ("time/seconds", "fields: `time` has no fields within"),
    ] {
        assert_eq!(check(mask).unwrap_err().to_string(), problem);
    }
    for free in ["any/anything", "object/a/b", "labels/x", "value/x", "*", "inners/small"] {
        check(free).unwrap();
    }
}

/// JSON of a `Kinds`, so that messages of every shape are met.
fn any_kinds() -> impl Strategy<Value = serde_json::Value> {
    let leaf = (
        any::<bool>(),
        any::<i32>(),
        any::<i64>(),
        any::<u64>(),
        any::<f32>(),
        any::<f64>(),
        ".{0,6}",
        0..4i32,
        prop::collection::vec(".{0,3}", 0..3),
    );
    let leaf = leaf.prop_map(|(flag, small, large, count, single, twice, text, color, names)| {
        json!({
            "flag": flag, "small": small, "large": large.to_string(),
            "largeCount": count.to_string(), "single": single, "twice": twice,
            "displayName": text, "color": color, "names": names, "one": "x",
            "labels": { text.clone(): "l" }, "value": text, "span": format!("{}s", small),
            "time": format!("2026-01-02T03:04:{:02}Z", small.unsigned_abs() % 60),
            "wrapped": large.to_string(), "numbers": [large.to_string()],
        })
    });
    leaf.prop_recursive(3, 12, 3, |inner| {
        (inner.clone(), prop::collection::vec(inner, 0..3)).prop_map(|(one, many)| {
            let mut any = one.clone();
            any["@type"] = "x/test.Kinds".into();
            json!({"inner": one, "inners": many, "any": any, "object": {"a": [1.5, null, "x"]}})
        })
    })
}

/// A mask with the names of some of those fields.
fn any_mask() -> impl Strategy<Value = String> {
    let name = "small|flag|displayName|inner|inners|any|labels|object|\\*";
    prop::collection::vec(prop::collection::vec(name, 1..4), 1..4)
        .prop_map(|paths| paths.iter().map(|path| path.join("/")).collect::<Vec<_>>().join(","))
}

/// Whether all that is in `part` is in `whole` as well.
fn is_part(part: &serde_json::Value, whole: &serde_json::Value) -> bool {
    match (part, whole) {
        (serde_json::Value::Object(part), serde_json::Value::Object(whole)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| is_part(part, whole)))
        }
        (serde_json::Value::Array(part), serde_json::Value::Array(whole)) => {
            part.len() == whole.len()
                && part.iter().zip(whole).all(|(part, whole)| is_part(part, whole))
        }
        (part, whole) => part == whole,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(json in any_kinds()) {
        let message = made(&json);
        for style in [Json::default(), Json { pretty: true, enum_numbers: true, mask: None }] {
            let written = style.message(&message).unwrap();
            let ours = from_json(&kinds(), &written).unwrap();
            // As bytes: a value that is set to its default is no other message.
            prop_assert_eq!(ours.encode_to_vec(), message.encode_to_vec());
            let mut reader = serde_json::Deserializer::from_slice(&written);
            let theirs = DynamicMessage::deserialize(kinds(), &mut reader).unwrap();
            prop_assert_eq!(theirs.encode_to_vec(), message.encode_to_vec());
        }
    }

    #[test]
    fn a_mask_takes_a_part_and_says_the_same_twice(json in any_kinds(), one in any_mask(), other in any_mask()) {
        let message = made(&json);
        let take = |mask: &str| {
            let mask = Mask::parse("fields", mask).unwrap();
            value(&Json { mask: Some(&mask), ..Json::default() }.message(&message).unwrap())
        };
        let whole = written(&message);
        prop_assert_eq!(take("*"), whole.clone());
        prop_assert!(is_part(&take(&one), &whole));
        let both = take(&format!("{one},{other}"));
        prop_assert_eq!(&both, &take(&format!("{other},{one}")));
        prop_assert_eq!(&both, &take(&format!("{one},{other},{one}")));
        prop_assert!(is_part(&take(&one), &both));
    }

    #[test]
    fn any_bytes_of_any_type_have_a_json(bytes: Vec<u8>, url in "(x/(test.Kinds|google.protobuf.(Any|Struct|Timestamp|Value|FieldMask|Int32Value|Empty))|.{0,5})") {
        let any = Any { type_url: url, value: bytes.into() };
        value(&Json::default().any(&any, pool()).unwrap());
    }
}
