use proptest::prelude::*;
use serde_json::json;

use super::super::testing::kinds;
use super::*;

fn refused(json: &str) -> String {
    let error = from_json(&kinds(), json.as_bytes()).unwrap_err();
    assert!(error.field.is_some(), "the field is named: {error}");
    error.to_string()
}

fn read(json: &str) -> serde_json::Value {
    serde_json::to_value(from_json(&kinds(), json.as_bytes()).unwrap()).unwrap()
}

#[test]
fn both_names_of_a_field_and_all_forms_of_numbers_are_read() {
    assert_eq!(
        read(
            r#"{"small_count": "7", "large": 5, "largeCount": "6", "small": 1e2, "single": "NaN",
                 "color": 2, "colors": ["RED", 9], "data": "_-8", "twice": 3, "maybe": null,
                 "labels": {"a": "b"}, "byNumber": {"-1": {"flag": true}}, "byFlag": {"true": "RED"}}"#
        ),
        json!({
            "smallCount": 7, "large": "5", "largeCount": "6", "small": 100, "single": "NaN",
            "color": "BLUE", "colors": ["RED", 9], "data": "/+8=", "twice": 3.0,
            "labels": {"a": "b"}, "byNumber": {"-1": {"flag": true}}, "byFlag": {"true": "RED"},
        })
    );
}

#[test]
fn types_with_a_json_of_their_own_are_read() {
    let json = json!({
        "time": "2026-01-02T03:04:05.600Z", "span": "-1.500s", "mask": "displayName,inner.small",
        "object": {"a": [1.0, null, {"b": true}], "c": "d"}, "value": null, "list": [[], "x"],
        "wrapped": "9", "text": "t", "empty": {}, "wrappedFlag": true,
    });
    assert_eq!(read(&json.to_string()), json);
}

#[test]
fn an_any_is_read_by_its_type_wherever_it_stands() {
    let json = json!({
        "any": {"@type": "type.googleapis.com/test.Kinds", "small": 5,
                "any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "2s"}},
        "anys": [{"@type": "x/google.protobuf.Struct", "value": {"a": 1.0}}, {}],
    });
    let read = from_json(&kinds(), json.to_string().as_bytes()).unwrap();
    let written = super::super::Json::default().message(&read).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&written).unwrap(), json);
    // The type may come last, and Empty with or without a value.
    for json in [
        r#"{"any": {"small": 5, "@type": "x/test.Kinds"}}"#,
        r#"{"any": {"@type": "x/google.protobuf.Empty"}}"#,
        r#"{"any": {"@type": "x/google.protobuf.Empty", "value": {}}}"#,
    ] {
        from_json(&kinds(), json.as_bytes()).unwrap();
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (json, problem) in [
        ("", "body: is not JSON: EOF while parsing a value (line 1, column 0)"),
        ("{", "body: is not JSON: EOF while parsing an object (line 1, column 1)"),
        ("{} x", "body: is not JSON: trailing characters (line 1, column 4)"),
        ("{\"small\": 1,}", "body: is not JSON: trailing comma (line 1, column 13)"),
        ("[]", "body: invalid type: sequence, expected an object, a test.Kinds (line 1, column 0)"),
        ("{\"nope\": 1}", "nope: test.Kinds has no such field (line 1, column 7)"),
        (
            "{\"inner\": {\n\"nope\": 1}}",
            "inner.nope: test.Kinds has no such field (line 2, column 6)",
        ),
        ("{\"small\": 1, \"small\": 2}", "small: is given more than once (line 1, column 20)"),
        (
            "{\"smallCount\": 1, \"small_count\": 2}",
            "small_count: is given more than once (line 1, column 31)",
        ),
        (
            "{\"one\": \"\", \"other\": 2}",
            "other: excludes `one`, which is set too (line 1, column 23)",
        ),
        (
            "{\"inners\": [{}, {\"flag\": \"yes\"}]}",
            "inners[1].flag: invalid type: string \"yes\", expected true or false (line 1, column 30)",
        ),
        (
            "{\"labels\": {\"a\": 1}}",
            "labels[\"a\"]: invalid type: integer `1`, expected a string (line 1, column 18)",
        ),
        (
            "{\"labels\": {\"a\": \"\", \"a\": \"\"}}",
            "labels[\"a\"]: is given more than once (line 1, column 29)",
        ),
        (
            "{\"byNumber\": {\"x\": {}}}",
            "byNumber[\"x\"]: a 32-bit whole number is expected, not `x` (line 1, column 17)",
        ),
        (
            "{\"object\": {\"a\": 1, \"a\": 1}}",
            "object.a: is given more than once (line 1, column 27)",
        ),
        (
            "{\"small\": 1.5}",
            "small: a 32-bit whole number is expected, not `1.5` (line 1, column 13)",
        ),
        (
            "{\"names\": [null]}",
            "names[0]: invalid type: null, expected a string (line 1, column 15)",
        ),
        (
            "{\"names\": \"x\"}",
            "names: invalid type: string \"x\", expected a list (line 1, column 13)",
        ),
        ("{\"color\": \"GREEN\"}", "color: test.Color has no value `GREEN` (line 1, column 17)"),
        (
            "{\"empty\": {\"a\": 1}}",
            "empty.a: google.protobuf.Empty has no such field (line 1, column 18)",
        ),
        (
            "{\"any\": {\"@type\": \"x/nope\"}}",
            "any: the type `x/nope` is not known here (line 1, column 28)",
        ),
        ("{\"any\": {\"small\": 1}}", "any: the key `@type` is missing (line 1, column 21)"),
        (
            "{\"any\": {\"@type\": \"x/test.Kinds\", \"small\": true}}",
            "any.small: invalid type: boolean `true`, expected a whole number (line 1, column 49)",
        ),
        (
            "{\"any\": {\"@type\": \"x/test.Kinds\", \"flag\": true, \"flag\": true}}",
            "any.flag: is given more than once (line 1, column 61)",
        ),
    ] {
        assert_eq!(refused(json), problem, "{json}");
    }
}

#[test]
fn depth_and_number_of_values_are_bounded() {
    let nested = |times: usize, open: &str, close: &str, middle: &str| {
        format!("{}{middle}{}", open.repeat(times), close.repeat(times))
    };
    let deep = nested(120, "{\"inner\":", "}", "{}");
    assert!(refused(&deep).contains("lies deeper than 100 levels"));
    assert!(from_json(&kinds(), nested(90, "{\"inner\":", "}", "{}").as_bytes()).is_ok());
    let list = format!("{{\"value\": {}}}", nested(120, "[", "]", ""));
    assert!(refused(&list).contains("lies deeper than 100 levels"));
    let any = nested(60, "{\"any\":{\"@type\":\"x/test.Kinds\",\"any\":", "}}", "{}");
    assert!(refused(&any).contains("lies deeper than 100 levels"));
    let many = format!("{{\"numbers\": [{}1]}}", "1,".repeat(VALUES_MAX));
    let error = from_json(&kinds(), many.as_bytes()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::PayloadTooLarge);
}

proptest! {
    #[test]
    fn no_bytes_panic(json: Vec<u8>) {
        drop(from_json(&kinds(), &json));
    }

    #[test]
    fn no_json_panics(
        json in r#"\{"(small|large|color|data|time|span|any|object|value|names|single|twice|wrapped)":([0-9eE.+-]{1,8}|"[a-zA-Z0-9:.+-]{0,12}"|null|\[|\{"@type":"x/test.Kinds"\})\}?"#
    ) {
        drop(from_json(&kinds(), json.as_bytes()));
    }
}
