use serde_json::json;

use super::super::form::decoded;
use super::*;

const SERVICES: [&str; 2] = ["/20160918", "/oci/20180222"];

fn settings(request: &str) -> DoorSettings {
    DoorSettings { route: "r".to_owned(), request: request.to_owned(), ..Default::default() }
}

fn door(settings: &DoorSettings) -> Door {
    let (door, problems) = Door::new(settings, &SERVICES);
    assert!(problems.is_empty(), "{problems:?}");
    door.unwrap()
}

/// What a door makes of a request's path, query and body.
fn input(
    door: &Door,
    path: &str,
    query: Option<&str>,
    body: &'static str,
) -> Result<Value, Refusal> {
    let path = decoded(path).unwrap();
    let captured = door.form.captured(&path).unwrap();
    door.input(&captured, query, &Bytes::from_static(body.as_bytes()))
}

fn said(refusal: &Refusal) -> (u16, &str, &str) {
    (refusal.status.as_u16(), &refusal.code, &refusal.message)
}

#[test]
fn without_a_template_every_field_is_taken_and_the_path_wins() {
    let door = door(&settings("POST /20160918/things/{id}/actions/move"));
    let path = "/20160918/things/a%2Fb/actions/move";
    let query = Some("id=q&lock=true&tag=x&tag=y+z&tag=%C3%A9&empty");
    let body = r#"{"id": 1, "lock": false, "n": 1.50, "deep": {"a": [null]}}"#;
    let expected = json!({
        "id": "a/b",
        "lock": "true",
        "n": 1.50,
        "deep": {"a": [null]},
        "tag": ["x", "y z", "\u{e9}"],
        "empty": "",
    });
    assert_eq!(input(&door, path, query, body).unwrap(), expected);
    assert_eq!(input(&door, path, None, "").unwrap(), json!({"id": "a/b"}));
}

#[test]
fn a_template_takes_what_it_names() {
    let template = json!({
        "what": "${/path/id}",
        "to": "${/body/target}",
        "lock": "${/query/lock}",
        "text": "${/path/id} to ${/body/target}",
        "all": "${/body}",
    });
    let door = door(&DoorSettings { input: Some(template), ..settings("PUT /20160918/x/{id}") });
    let made = input(&door, "/20160918/x/i", Some("lock=1"), r#"{"target": "t"}"#).unwrap();
    let expected = json!({
        "what": "i", "to": "t", "lock": "1", "text": "i to t", "all": {"target": "t"},
    });
    assert_eq!(made, expected);
    let made = input(&door, "/20160918/x/i", None, "").unwrap();
    assert_eq!(made, json!({"what": "i", "text": "i to "}));
}

#[test]
fn a_request_that_is_wrong_is_refused_by_the_name_of_what_is() {
    let required = vec!["target".to_owned()];
    let door = door(&DoorSettings { required, ..settings("POST /20160918/x/{id}") });
    let good = r#"{"target": "t"}"#;
    for (path, query, body, code, about) in [
        ("i", None, "", "MissingParameter", "target: is missing"),
        ("i", None, r#"{"target": null}"#, "MissingParameter", "target: is missing"),
        ("i", None, "{", "CannotParseRequest", "body: is not JSON"),
        ("i", None, r#"{"target": "t"} x"#, "CannotParseRequest", "body: is not JSON"),
        ("i", None, "[1]", "CannotParseRequest", "body: must be a JSON object"),
        ("i", None, "\"t\"", "CannotParseRequest", "body: must be a JSON object"),
        ("i", Some("a=%zz"), good, "InvalidParameter", "a: "),
        ("i", Some("%ff=1"), good, "InvalidParameter", "query: "),
        ("%2e%2e", None, good, "InvalidParameter", "id: must not be"),
        (".", None, good, "InvalidParameter", "id: must not be"),
        ("a%0Ab", None, good, "InvalidParameter", "id: has a control character"),
    ] {
        let refusal = input(&door, &format!("/20160918/x/{path}"), query, body).unwrap_err();
        let (status, said, message) = said(&refusal);
        assert_eq!((status, said), (400, code), "{path} {query:?} {body}");
        assert!(message.starts_with(about), "{message}");
    }
    assert!(input(&door, "/20160918/x/i", None, good).is_ok());
}

#[test]
fn what_a_template_calls_otherwise_is_refused_by_the_callers_name() {
    let door = door(&DoorSettings {
        input: Some(json!({"which": "${/body/purgeType}", "in": "${/body/compartmentId}"})),
        compartment: Some("${/in}".to_owned()),
        required: vec!["which".to_owned()],
        ..settings("POST /20160918/x")
    });
    let refusal = input(&door, "/20160918/x", None, "{}").unwrap_err();
    assert_eq!(refusal.message, "purgeType: is missing");
    let made = input(&door, "/20160918/x", None, r#"{"purgeType": "NORMAL"}"#).unwrap();
    assert_eq!(door.compartment(&made).unwrap_err().message, "compartmentId: is missing");
}

#[test]
fn a_compartment_is_what_the_input_says() {
    let plain = door(&settings("POST /20160918/x"));
    let of = |door: &Door, input: Value| door.compartment(&input);
    assert_eq!(of(&plain, json!({"compartmentId": "c"})), Ok(Some("c".to_owned())));
    assert_eq!(of(&plain, json!({})), Ok(None));
    assert_eq!(of(&plain, json!({"compartmentId": null})), Ok(None));
    let refusal = of(&plain, json!({"compartmentId": 1})).unwrap_err();
    assert_eq!(said(&refusal).1, "InvalidParameter");
    assert!(refusal.message.starts_with("compartmentId: "), "{}", refusal.message);
    let template = Some("${/details/targetCompartmentId}".to_owned());
    let named = door(&DoorSettings { compartment: template, ..settings("POST /20160918/x") });
    let target = |id: Value| json!({"details": {"targetCompartmentId": id}});
    assert_eq!(of(&named, target(json!("t"))), Ok(Some("t".to_owned())));
    let refusal = of(&named, json!({"compartmentId": "c"})).unwrap_err();
    assert_eq!(said(&refusal), (400, "MissingParameter", "targetCompartmentId: is missing"));
    let refusal = of(&named, target(json!(""))).unwrap_err();
    assert_eq!(said(&refusal).1, "InvalidParameter");
    assert!(refusal.message.starts_with("targetCompartmentId: "), "{}", refusal.message);
}

#[test]
fn what_cannot_be_a_door_is_told_with_its_key() {
    let request = "POST /20160918/x/{id}";
    let with_input = |template: Value| DoorSettings { input: Some(template), ..settings(request) };
    let with_compartment =
        |text: &str| DoorSettings { compartment: Some(text.to_owned()), ..settings(request) };
    for (settings, key, about) in [
        (settings("GET /20160918/x"), "request", "only POST, PUT, PATCH, DELETE"),
        (settings("POST /20180222/x"), "request", "at /20160918, /oci/20180222"),
        (settings("POST /20160918"), "request", "at /20160918, /oci/20180222"),
        (settings("POST /{a}/x"), "request", "at /20160918, /oci/20180222"),
        (settings("DELETE /20160918/workRequests/{id}"), "request", "beneath workRequests"),
        (with_input(json!({"a": "${/path/x}"})), "input", "the path has no {x}"),
        (with_input(json!({"a": "${/x}"})), "input", "there are only ${/path/...}"),
        (with_input(json!({"a": "${id}"})), "input", "there is none before it has started"),
        (with_input(json!({"a": "${x}"})), "input", "a placeholder is one of"),
        (with_input(json!({"$merge": 1})), "input", "`$merge` stands alone"),
        (with_compartment("${/a"), "compartment", "a placeholder ends with `}`"),
        (with_compartment("${uuid}"), "compartment", "there is none before it has started"),
        (
            DoorSettings { required: vec![String::new()], ..settings(request) },
            "required",
            "empty name",
        ),
    ] {
        let (_, problems) = Door::new(&settings, &SERVICES);
        let [problem] = &*problems else { panic!("{settings:?}: {problems:?}") };
        assert_eq!((&*problem.route, problem.key), ("r", key));
        assert!(problem.text.contains(about), "{}", problem.text);
    }
    let (_, problems) = Door::new(&settings(request), &[]);
    assert_eq!(problems[0].text, "lies beneath no OCI service: none is configured");
}

#[test]
fn fuzz_no_request_panics() {
    const PARTS: [&str; 12] =
        ["/", "x", "i", "%2F", "%", "..", "\u{e9}", "{", "\"a\":", "&", "a=", "}"];
    let template = json!({"a": ["${/path/id}", "${/body/a}", "${/query/a}-"]});
    let plain = door(&settings("POST /20160918/x/{id}"));
    let templated = door(&DoorSettings {
        input: Some(template),
        compartment: Some("${/a/1}".to_owned()),
        ..settings("POST /20160918/x/{id}")
    });
    bolero::check!().for_each(|bytes: &[u8]| {
        let words: String =
            bytes.iter().map(|byte| PARTS[usize::from(*byte) % PARTS.len()]).collect();
        for text in [words, String::from_utf8_lossy(bytes).into_owned()] {
            let Some(path) = decoded(&format!("/20160918/x/{text}")) else { continue };
            for door in [&plain, &templated] {
                let captured = door.form.captured(&path);
                let captured = captured.unwrap_or_else(|| vec![("id", "i")]);
                for body in [text.clone(), format!("{{{text}}}")] {
                    let made = door.input(&captured, Some(&text), &Bytes::from(body));
                    drop(made.and_then(|input| door.compartment(&input)));
                }
            }
        }
    });
}
