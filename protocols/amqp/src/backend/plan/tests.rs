use opgate_core::OperationId;
use serde_json::json;

use super::*;

fn options(given: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut options: BTreeMap<String, String> =
        given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    options.entry(OPERATION.to_owned()).or_insert_with(|| "DELETE".to_owned());
    options
}

fn asked(given: &[(&str, &str)], input: Option<&Value>) -> Result<Asked, Error> {
    let source = Source { input, id: Some(OperationId::from_bits(1)) };
    Plan::of(&options(given)).unwrap().asked(&source)
}

#[test]
fn fields_of_the_input_become_properties_and_the_body() {
    let input = json!({"id": "c1", "n": 7, "force": true, "deep": {"a": [1, "b"]}});
    let given = [
        (OPERATION, "${/deep/a/1}-DELETE"),
        (TYPE, "com.example:compartment"),
        (ENTITY_IDENTITY, "${/id}"),
        (PROPERTIES, r#"{"n":"${/n}","force":"${/force}","gone":"${/gone}","k":{"$uint":5}}"#),
        (BODY, r#"{"all":"${/deep}","key":"${id}"}"#),
    ];
    let made = asked(&given, Some(&input)).unwrap();
    let properties = json!({
        "operation": "b-DELETE",
        "type": "com.example:compartment",
        "identity": "c1",
        "n": 7,
        "force": true,
        "k": {"$uint": 5},
    });
    assert_eq!(Value::Object(made.properties), properties);
    assert_eq!(made.body, json!({"all": {"a": [1, "b"]}, "key": "00000000000000000000000001"}));
    let bare = asked(&[], None).unwrap();
    assert_eq!(Value::Object(bare.properties), json!({"operation": "DELETE"}));
    assert_eq!(bare.body, json!({}));
}

#[test]
fn an_input_that_does_not_fit_is_refused_by_the_field() {
    let given = [(ENTITY_NAME, "${/name}"), (PROPERTIES, r#"{"k":"${/k}"}"#)];
    for (input, field) in [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": null}), "name"),
        (json!({"name": [1]}), "name"),
        (json!({"name": "x".repeat(limits::TEXT_BYTES + 1)}), "name"),
        (json!({"name": "x", "k": [1]}), "properties.k"),
        (json!({"name": "x", "k": {"a": 1}}), "properties.k"),
        (json!({"name": "x", "k": {"$map": {"a": 1}}}), "properties.k"),
    ] {
        let error = asked(&given, Some(&input)).unwrap_err();
        assert_eq!(error.field.unwrap().field, field, "{input}");
    }
    // All of it goes as the data that it is.
    assert_eq!(asked(&[(BODY, r#""${}""#)], None).unwrap().body, Value::Null);
    for given in
        [(ENTITY_NAME, "${/n}"), (BODY, r#"{"a":"${}"}"#), (PROPERTIES, r#"{"a":"${/a}"}"#)]
    {
        assert_eq!(asked(&[given], None).unwrap_err().field.unwrap().field, "input", "{given:?}");
    }
}

#[test]
fn options_that_are_wrong_are_named_with_what_is_allowed() {
    for (key, value, problem) in [
        ("operator", "x", "is not known"),
        (OPERATION, "", "must not be empty"),
        (OPERATION, "${/a", "placeholder"),
        (TYPE, "", "must not be empty"),
        (PROPERTIES, "[]", "must be a table of templates"),
        (PROPERTIES, r#"{"operation":"x"}"#, "has an option of its own"),
        (PROPERTIES, r#"{"idempotency-key":"x"}"#, "has an option of its own"),
        (PROPERTIES, r#"{"a":{"b":1}}"#, "must be a table of templates"),
        (IDEMPOTENT, "yes", "must be true or false"),
        (COMPLETION, "later", "must be \"reply\" or \"poll\""),
        ("poll.state", "/state", "has no effect"),
        (HEADERS, "authorization", "never sent along"),
        (HEADERS, "traceparent", "never sent along"),
        (REPLY_WITHIN, "1s", "milliseconds"),
    ] {
        let (at, said) = check_options(&options(&[(key, value)])).unwrap_err();
        assert_eq!(at, key, "{value}");
        assert!(said.contains(problem), "{key} {value:?}: {said}");
    }
    let polls = (COMPLETION, "poll");
    for (key, value) in [("poll.state", "state"), ("poll.operation", ""), ("poll.failed", "")] {
        assert_eq!(check_options(&options(&[polls, (key, value)])).unwrap_err().0, key);
    }
    assert_eq!(check_options(&BTreeMap::new()).unwrap_err().0, OPERATION);
}

#[test]
fn states_are_the_words_of_opgate_unless_a_route_says_otherwise() {
    let given = options(&[(COMPLETION, "poll")]);
    let plan = Plan::of(&given).unwrap();
    let poll = plan.poll.unwrap();
    assert_eq!(
        (poll.operation, poll.kind, poll.cancel),
        ("READ", "org.opgate.operation", Some("CANCEL"))
    );
    for (state, phase) in [
        ("SUCCEEDED", Phase::Succeeded),
        ("succeeded", Phase::Succeeded),
        ("FAILED", Phase::Failed),
        ("CANCELED", Phase::Canceled),
        ("CANCELLED", Phase::Canceled),
        ("RUNNING", Phase::Running),
        ("", Phase::Running),
        ("what", Phase::Running),
    ] {
        assert_eq!(poll.phase(state), phase, "{state}");
    }
    let given = options(&[
        (COMPLETION, "poll"),
        ("poll.succeeded", "done,ok"),
        ("poll.cancel", ""),
        ("poll.canceled", ""),
    ]);
    let poll = Plan::of(&given).unwrap().poll.unwrap();
    assert_eq!((poll.phase("OK"), poll.phase("SUCCEEDED")), (Phase::Succeeded, Phase::Running));
    assert_eq!((poll.phase(""), poll.cancel), (Phase::Running, None));
}
