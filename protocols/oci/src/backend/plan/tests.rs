use opgate_core::OperationId;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn options(given: &[(&str, &str)]) -> BTreeMap<String, String> {
    given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// What the request of a route becomes with this input.
fn made(given: &[(&str, &str)], input: Option<&Value>) -> Result<(String, Option<Value>), Error> {
    let mut options = options(given);
    options.entry(DIALECT.to_owned()).or_insert_with(|| "identity".to_owned());
    let source = Source { input, id: Some(OperationId::from_bits(1)) };
    Plan::of(&options).unwrap().start(&Endpoint::parse("http://h/p/").unwrap(), &source)
}

#[test]
fn fields_of_the_input_become_segments_parameters_and_the_body() {
    let input = json!({"a": "x/y z", "n": 7, "flag": true, "list": ["1", 2], "deep": {"b": "c"}});
    for (request, query, body, url, sent) in [
        ("POST /20160918/c/{a}", "{}", "null", "http://h/p/20160918/c/x%2Fy%20z", None),
        (
            "POST /20160918/{n}/actions/{flag}",
            "{}",
            r#""${}""#,
            "http://h/p/20160918/7/actions/true",
            Some(input.clone()),
        ),
        (
            "PUT /20160918/c",
            r#"{"k":"${/deep/b}","gone":"${/absent}","l":"${/list}"}"#,
            r#"{"to":"${/n}","id":"${id}"}"#,
            "http://h/p/20160918/c?k=c&l=1&l=2",
            Some(json!({"to": 7, "id": "00000000000000000000000001"})),
        ),
        ("POST /20160918/c", "{}", r#""${/absent}""#, "http://h/p/20160918/c", None),
    ] {
        let given = [(REQUEST, request), (QUERY, query), (BODY, body)];
        assert_eq!(made(&given, Some(&input)).unwrap(), (url.to_owned(), sent), "{request}");
    }
}

#[test]
fn an_input_that_does_not_fit_is_refused_by_the_field() {
    let given = [(REQUEST, "DELETE /20160918/c/{a}"), (QUERY, r#"{"k":"${/k}"}"#)];
    for (input, field) in [
        (json!({}), "input.a"),
        (json!({"a": ""}), "input.a"),
        (json!({"a": ".."}), "input.a"),
        (json!({"a": null}), "input.a"),
        (json!({"a": {"b": 1}}), "input.a"),
        (json!([1]), "input.a"),
        (json!({"a": "x", "k": {"b": 1}}), "query.k"),
        (json!({"a": "x", "k": [[1]]}), "query.k"),
    ] {
        let error = made(&given, Some(&input)).unwrap_err();
        assert_eq!(error.field.unwrap().field, field, "{input}");
    }
    for given in [
        &[(REQUEST, "DELETE /20160918/c/{a}")][..],
        &[(REQUEST, "POST /20160918/c"), (BODY, r#""${}""#)],
        &[(REQUEST, "POST /20160918/c"), (QUERY, r#"{"a":"${/a}"}"#)],
    ] {
        assert_eq!(made(given, None).unwrap_err().field.unwrap().field, "input", "{given:?}");
    }
    // Nothing of it is asked for.
    assert!(made(&[(REQUEST, "POST /20160918/c"), (BODY, r#"{"id":"${id}"}"#)], None).is_ok());
}

#[test]
fn work_requests_are_behind_the_version_unless_said() {
    let endpoint = Endpoint::parse("http://h").unwrap();
    for (request, dialect, said, url) in [
        ("DELETE /20160918/compartments/{id}", "identity", None, "/20160918/workRequests"),
        (
            "DELETE /oci/20160918/tagNamespaces/{id}",
            "work-requests",
            None,
            "/oci/20160918/workRequests",
        ),
        (
            "POST /20170115/loadBalancers",
            "load-balancer",
            None,
            "/20170115/loadBalancerWorkRequests",
        ),
        ("POST /jobs", "modern", Some("/20210415/workRequests/"), "/20210415/workRequests"),
    ] {
        let mut given = options(&[(REQUEST, request), (DIALECT, dialect)]);
        given.extend(said.map(|path| (WORK_REQUESTS.to_owned(), path.to_owned())));
        let plan = Plan::of(&given).unwrap();
        let made = plan.work_request(&endpoint, "ocid1.x.oc1..a/b", "/errors");
        assert_eq!(made, format!("http://h{url}/ocid1.x.oc1..a%2Fb/errors"));
    }
}

#[test]
fn the_options_of_a_route_are_checked() {
    let right = [(REQUEST, "POST /20160918/c/{a}"), (DIALECT, "modern")];
    assert_eq!(check_options(&options(&right)), Ok(()));
    for (option, value, reason) in [
        (REQUEST, "", "a method and a path"),
        (REQUEST, "GET /20160918/c", "DELETE, POST, PUT, PATCH"),
        (REQUEST, "DELETE 20160918/c", "begins with /"),
        (REQUEST, "DELETE /20160918/{a", "needs its }"),
        (REQUEST, "DELETE /20160918/{}", "no name of a field"),
        (REQUEST, "DELETE /20160918/c?a=b", "query"),
        (REQUEST, "DELETE /20160918/c d", "query"),
        (REQUEST, "DELETE /c/{20160918}", "is missing: the request's path has no version"),
        (BODY, "{", "EOF"),
        (BODY, r#""${a}""#, "placeholder"),
        (QUERY, "[]", "table of templates"),
        (QUERY, r#"{"a":{"b":1}}"#, "table of templates"),
        (QUERY, r#"{"a":"${"}"#, "a: a placeholder"),
        (WORK_REQUESTS, "workRequests", "must be a path"),
        (WORK_REQUESTS, "/", "must be a path"),
        (DIALECT, "identities", "\"identity\", \"work-requests\""),
        (CANCEL, "maybe", "true or false"),
        (HEADERS, "authorization", "never sent along"),
        (HEADERS, "opc-retry-token", "never sent along"),
        (HEADERS, "x a", "no name of a header"),
        ("colour", "x", "is not known"),
    ] {
        let mut given = options(&right);
        given.insert(option.to_owned(), value.to_owned());
        let (_, problem) = check_options(&given).unwrap_err();
        assert!(problem.contains(reason), "{option} = {value:?}: {problem}");
    }
    let mut given = options(&[(REQUEST, "DELETE /20160918/c"), (DIALECT, "modern")]);
    given.insert(BODY.to_owned(), "{}".to_owned());
    assert_eq!(check_options(&given).unwrap_err().0, BODY);
    for (missing, _) in right {
        let mut given = options(&right);
        given.remove(missing);
        assert_eq!(check_options(&given).unwrap_err().0, missing);
    }
}

#[test]
fn the_dialect_says_what_can_be_canceled_unless_the_route_does() {
    for (dialect, by_dialect) in [
        ("identity", false),
        ("work-requests", false),
        ("container-engine", true),
        ("modern", true),
        ("load-balancer", false),
    ] {
        let given = [(REQUEST, "DELETE /20160918/c/{a}"), (DIALECT, dialect)];
        assert_eq!(Plan::of(&options(&given)).unwrap().cancels, by_dialect, "{dialect}");
        for said in [true, false] {
            let mut given = options(&given);
            given.insert(CANCEL.to_owned(), said.to_string());
            assert_eq!(Plan::of(&given).unwrap().cancels, said);
        }
    }
}

#[test]
fn only_what_is_on_the_list_passes_and_some_never_do() {
    let passes = |list: Option<&str>, name: &str| {
        let mut given = options(&[(REQUEST, "DELETE /20160918/c"), (DIALECT, "identity")]);
        given.extend(list.map(|list| (HEADERS.to_owned(), list.to_owned())));
        Plan::of(&given).unwrap().passes(&name.parse().unwrap())
    };
    for (name, by_default, by_list) in [
        ("if-match", true, false),
        ("baggage", true, false),
        ("x-mine", false, true),
        ("authorization", false, false),
        ("opc-retry-token", false, false),
        ("opc-request-id", false, false),
        ("x-content-sha256", false, false),
        ("date", false, false),
    ] {
        assert_eq!(passes(None, name), by_default, "{name}");
        assert_eq!(passes(Some("x-mine,opc-*,d*,auth*"), name), by_list, "{name}");
    }
}

proptest! {
    /// Whatever a field holds is one segment, and comes back from it.
    #[test]
    fn a_value_is_one_segment(value in "\\PC{1,20}") {
        prop_assume!(!matches!(value.as_str(), "." | ".."));
        let (url, _) =
            made(&[(REQUEST, "DELETE /20160918/{a}/x")], Some(&json!({"a": value}))).unwrap();
        let uri: http::Uri = url.parse().unwrap();
        let parts: Vec<&str> = uri.path().split('/').collect();
        prop_assert_eq!(parts.len(), 5);
        let read = percent_encoding::percent_decode_str(parts[3]).decode_utf8().unwrap();
        prop_assert_eq!(&*read, value.as_str());
    }

    #[test]
    fn no_request_line_panics(text in "\\PC{0,40}", input in "\\PC{0,20}") {
        let given = options(&[(REQUEST, &text), (DIALECT, "modern"), (WORK_REQUESTS, "/w")]);
        if let Ok(plan) = Plan::of(&given) {
            let input = json!({"a": input});
            let source = Source { input: Some(&input), id: None };
            drop(plan.start(&Endpoint::parse("http://h").unwrap(), &source));
        }
    }
}
