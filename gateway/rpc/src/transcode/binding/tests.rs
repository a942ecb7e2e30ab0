use http::HeaderValue;
use serde_json::json;

use super::super::testing::{kinds, message, pool};
use super::super::{Parameters, Rules};
use super::*;

fn method(name: &str) -> MethodDescriptor {
    let service = pool().get_service_by_name("test.Things").unwrap();
    service.methods().find(|method| method.name() == name).unwrap()
}

fn things() -> Rules<Binding> {
    let mut rules = Rules::default();
    for binding in Binding::of(&method("CreateThing")).unwrap() {
        rules.insert(binding.method().cloned(), binding.template().clone(), binding).unwrap();
    }
    rules
}

/// The message of a request such as `POST /v1/things?a=b`, as JSON.
fn request(request: &str, body: &str) -> Result<serde_json::Value, String> {
    let rules = things();
    let (method, uri) = request.split_once(' ').unwrap();
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let found = rules.find(&method.parse().unwrap(), path).unwrap().unwrap();
    let message = found
        .value
        .message(&found.captured, Some(query), body.as_bytes(), Parameters::is_one)
        .map_err(|error| {
            assert!(error.field.is_some(), "the field is named: {error}");
            error.to_string()
        })?;
    Ok(serde_json::to_value(&message).unwrap())
}

const CREATE: &str = "POST /v1/projects/p/things";

#[test]
fn a_message_is_put_together_from_path_query_and_body() {
    let made = request(
        "POST /v1/projects/p%2Fq/things?thingId=t&validate_only=true&alt=json&$.xgafv=1",
        r#"{"displayName": "name", "small": 5}"#,
    );
    assert_eq!(
        made.unwrap(),
        json!({
            "parent": "projects/p%2Fq", "thingId": "t", "validateOnly": true,
            "thing": { "displayName": "name", "small": 5 },
        })
    );
    let all = r#"{"thing_id": "t", "parent": "x"}"#;
    assert_eq!(request("POST /v1/things", all).unwrap(), json!({ "thingId": "t", "parent": "x" }));
    let nested = request("GET /v1/a%2Fb/c/d:make?thing.inner.names=1&thing.inner.names=2", "");
    assert_eq!(
        nested.unwrap(),
        json!({
            "parent": "c/d",
            "thing": { "displayName": "a/b", "inner": { "names": ["1", "2"] } },
        })
    );
}

#[test]
fn every_kind_of_field_can_be_in_a_query() {
    let query = [
        "flag=true",
        "small=-5",
        "large=9007199254740993",
        "small_count=7",
        "largeCount=18446744073709551615",
        "single=0.5",
        "twice=-Infinity",
        "displayName=a+b%2Bc",
        "data=_-8",
        "color=BLUE",
        "colors=RED",
        "colors=2",
        "names=x",
        "one=1",
        "maybe=0",
        "time=2026-01-02T03:04:05Z",
        "span=1.5s",
        "mask=displayName,inner.small_count",
        "wrapped=4",
        "text=",
        "wrappedFlag=false",
        "numbers=1",
        "numbers=2",
        "fixed=3",
    ];
    let query: Vec<String> = query.iter().map(|field| format!("thing.{field}")).collect();
    let made = request(&format!("GET /v1/n/x:make?{}", query.join("&")), "").unwrap_err();
    // The path has set the name.
    assert_eq!(made, "thing.displayName: is given more than once");
    let query: Vec<String> =
        query.into_iter().filter(|field| !field.contains(".displayName=")).collect();
    let made = request(&format!("GET /v1/n/x:make?{}", query.join("&")), "").unwrap();
    assert_eq!(
        made["thing"],
        json!({
            "flag": true, "small": -5, "large": "9007199254740993", "smallCount": 7,
            "largeCount": "18446744073709551615", "single": 0.5, "twice": "-Infinity",
            "displayName": "n", "data": "/+8=", "color": "BLUE", "colors": ["RED", "BLUE"],
            "names": ["x"], "one": "1", "maybe": 0, "time": "2026-01-02T03:04:05Z",
            "span": "1.500s", "mask": "displayName,inner.smallCount", "wrapped": "4", "text": "",
            "wrappedFlag": false, "numbers": ["1", "2"], "fixed": "3",
        })
    );
}

#[test]
fn what_is_wrong_with_a_query_is_named() {
    for (query, problem) in [
        ("nope=1", "nope: test.CreateThingRequest has no field `nope`"),
        ("thingId.x=1", "thingId.x: goes through a field that is not a single message"),
        ("thingId=a&thing_id=b", "thing_id: is given more than once"),
        ("parent=projects/q", "parent: is given more than once"),
        ("thing.small=1", "thing.small: belongs in the body"),
        ("thing=1", "thing: belongs in the body"),
        ("validateOnly=yes", "validateOnly: `true` or `false` is expected, not `yes`"),
        ("thingId=%zz", "thingId: `%` is not followed by two hex digits"),
        ("%ff=1", "query: is not UTF-8 once its escapes are resolved"),
    ] {
        assert_eq!(request(&format!("{CREATE}?{query}"), "").unwrap_err(), problem, "{query}");
    }
    for (field, problem) in [
        ("small=1.5", "a 32-bit whole number is expected, not `1.5`"),
        ("small=2147483648", "a 32-bit whole number is expected, not `2147483648`"),
        ("smallCount=-1", "a 32-bit whole number that is not negative is expected, not `-1`"),
        ("single=1e39", "a 32-bit number, `NaN` or `Infinity` is expected, not `1e39`"),
        ("twice=inf", "a number, `NaN` or `Infinity` is expected, not `inf`"),
        ("color=GREEN", "test.Color has no value `GREEN`"),
        ("data=%25", "base64 is expected, not `%`"),
        ("span=5", "a number of seconds, such as 1.5s, is expected, not `5`"),
        ("object=1", "a google.protobuf.Struct cannot be given as text"),
        ("any=1", "a google.protobuf.Any cannot be given as text"),
        ("inner=1", "a test.Kinds cannot be given as text"),
        ("inners=1", "can be given in a body only"),
        ("labels=1", "can be given in a body only"),
        ("inners.small=1", "goes through a field that is not a single message"),
        ("labels.x=1", "goes through a field that is not a single message"),
        ("one=1&thing.other=2", "thing.other: excludes `one`, which is set too"),
    ] {
        let found = request(&format!("GET /v1/n/x:make?thing.{field}"), "").unwrap_err();
        assert!(found.ends_with(problem), "{field}: {found}");
        assert!(found.starts_with("thing."), "{field}: {found}");
    }
    let deep = format!("GET /v1/n/x:make?thing.{}small=1", "inner.".repeat(40));
    assert!(request(&deep, "").unwrap_err().contains("lies deeper than 32 fields"));
    let many = format!("{CREATE}?{}", "key=1&".repeat(1001));
    assert_eq!(request(&many, "").unwrap_err(), "query: more than 1000 parameters");
}

#[test]
fn a_body_is_where_it_belongs() {
    assert_eq!(request("GET /v1/n/x:make", "{}").unwrap()["parent"], "x");
    assert_eq!(request("GET /v1/n/x:make", "{1}").unwrap_err(), "body: this request takes none");
    assert_eq!(request("POST /v1/things", " \n").unwrap(), json!({}));
    assert_eq!(request(CREATE, "").unwrap(), json!({ "parent": "projects/p" }));
    assert_eq!(request(CREATE, "{}").unwrap()["thing"], json!({}));
    assert_eq!(request(CREATE, "null").unwrap().get("thing"), None);
    assert_eq!(
        request("POST /v1/things?thingId=t", "{}").unwrap_err(),
        "thingId: belongs in the body"
    );
}

#[test]
fn what_is_in_the_path_and_in_the_body_is_the_same() {
    let binding = Binding::new(
        "POST /v1/{parent=projects/*}:go",
        Some("*"),
        message("test.CreateThingRequest"),
    );
    let binding = binding.unwrap();
    let captured = binding.template().matches("/v1/projects/p:go").unwrap().unwrap();
    let made = |body: &str| binding.message(&captured, None, body.as_bytes(), |_| false);
    assert!(made(r#"{"parent": "projects/p"}"#).is_ok());
    assert!(made(r#"{"parent": ""}"#).is_ok());
    let error = made(r#"{"parent": "projects/q"}"#).unwrap_err();
    assert_eq!(error.to_string(), "parent: is another in the body than in the path");
}

#[test]
fn bindings_that_do_not_fit_are_explained() {
    let new = |request, body| Binding::new(request, body, kinds()).unwrap_err();
    assert_eq!(new("POST", None), "a method and a path, such as `POST /v1/things`, is expected");
    assert_eq!(new("TRACE /v1/x", None), "`TRACE` is not one of GET, PUT, POST, DELETE and PATCH");
    assert_eq!(new("GET /v1/{nope}", None), "test.Kinds has no field `nope`");
    assert_eq!(
        new("GET /v1/{names}", None),
        "`names` is not a single value, and cannot be in a path"
    );
    assert_eq!(
        new("GET /v1/{inners.small}", None),
        "`inners.small` goes through a field that is no message"
    );
    assert_eq!(new("POST /v1/x", Some("nope")), "body: test.Kinds has no field `nope`");
    let wrong = Binding::of(&method("Wrong")).unwrap_err();
    assert_eq!(wrong, "`thing` is not a single value, and cannot be in a path");
    assert!(Binding::of(&method("Plain")).unwrap().is_empty());
    let response_body = Binding::of(&method("CreateThing")).unwrap();
    assert_eq!(response_body[2].response_body().unwrap().name(), "inner");
}

#[test]
fn a_body_that_says_it_is_something_else_is_refused() {
    let check = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(value));
        check_content_type(&headers).is_ok()
    };
    assert!(check_content_type(&HeaderMap::new()).is_ok());
    for json in [
        "application/json",
        "application/json; charset=UTF-8",
        "Application/JSON;charset=\"utf-8\"",
        "application/merge-patch+json",
        "",
    ] {
        assert!(check(json), "{json}");
    }
    for other in ["text/plain", "application/json; charset=latin1", "application/x-protobuf"] {
        assert!(!check(other), "{other}");
    }
}
