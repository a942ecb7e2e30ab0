use opgate_core::limits;
use serde_json::json;

use super::*;

fn read(value: &Value) -> WorkRequest {
    WorkRequest::read(value.to_string().as_bytes()).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(text).unwrap()
}

fn line(at: Option<Timestamp>, error: bool, code: &str, message: &str) -> Line {
    Line { at, error, code: code.to_owned(), message: message.to_owned() }
}

#[test]
fn an_identity_work_request_is_read() {
    let found = read(&json!({
        "id": "ocid1.identityworkrequest.oc1..x", "operationType": "DELETE_COMPARTMENT",
        "status": "FAILED", "compartmentId": "ocid1.compartment.oc1..c", "percentComplete": 12.5,
        "timeAccepted": "2026-01-02T03:04:05.123Z", "timeFinished": "2026-01-02T03:04:06.123Z",
        "resources": [{"entityType": "compartment", "actionType": "FAILED",
            "identifier": "ocid1.compartment.oc1..c", "entityUri": "/20160918/compartments/c"}],
        "errors": [{"code": "IncorrectState", "message": "not empty",
            "timestamp": "2026-01-02T03:04:06.5Z"}],
        "logs": [{"message": "began", "timestamp": "2026-01-02T03:04:05Z"}],
    }));
    assert_eq!((&*found.status, found.phase, found.finished), ("FAILED", Phase::Failed, true));
    assert_eq!(found.percent, Some(12.5));
    assert_eq!(found.compartment.as_deref(), Some("ocid1.compartment.oc1..c"));
    let [resource] = &*found.resources else { panic!("{found:?}") };
    assert_eq!((&*resource.entity_type, &*resource.action), ("compartment", "FAILED"));
    assert_eq!(&*resource.uri, "/20160918/compartments/c");
    assert_eq!(
        found.lines,
        [
            line(Some(at("2026-01-02T03:04:06.5Z")), true, "IncorrectState", "not empty"),
            line(Some(at("2026-01-02T03:04:05Z")), false, "", "began"),
        ]
    );
}

#[test]
fn a_real_one_at_its_beginning_has_nulls() {
    let found =
        read(&json!({"id": "x", "operationType": "DELETE_COMPARTMENT", "status": "ACCEPTED",
        "errors": null, "logs": null, "resources": null, "percentComplete": 0.0,
        "timeFinished": null}));
    assert_eq!((found.phase, found.finished), (Phase::Running, false));
    assert_eq!((found.percent, found.resources.len(), found.lines.len()), (Some(0.0), 0, 0));
}

#[test]
fn the_load_balancer_has_words_of_its_own() {
    let found = read(&json!({"lifecycleState": "FAILED", "message": "Creating",
        "errorDetails": [{"errorCode": "BAD_INPUT", "message": "no such shape"}]}));
    assert_eq!((found.phase, &*found.message), (Phase::Failed, "Creating"));
    assert_eq!(found.lines, [line(None, true, "BAD_INPUT", "no such shape")]);
}

#[test]
fn pages_are_arrays_or_collections() {
    let one = json!([{"message": "m", "timeStamp": "2026-01-02T03:04:05"}, {"message": ""}, 7]);
    for page_of in [one.clone(), json!({"items": one})] {
        let found = page(page_of.to_string().as_bytes(), false).unwrap();
        assert_eq!(found, [line(Some(at("2026-01-02T03:04:05Z")), false, "", "m")]);
    }
    for other in ["", "{}", "7", r#"{"items":{}}"#] {
        assert!(page(other.as_bytes(), true).is_err(), "{other}");
    }
}

#[test]
fn what_cannot_be_kept_is_left_out_or_cut() {
    let long = "x".repeat(limits::TEXT_BYTES + 1);
    let resource = |id: &str| json!({"entityType": "t", "identifier": id, "actionType": "CREATED"});
    let many: Vec<Value> = (0..400).map(|n| resource(&n.to_string())).collect();
    let found = read(&json!({"status": long, "resources": [resource(&long), {"entityType": "t"}],
        "errors": [{"message": long}]}));
    assert_eq!((found.status.len(), found.resources.len()), (limits::TEXT_BYTES, 0));
    assert_eq!(found.lines[0].message.len(), limits::TEXT_BYTES);
    assert_eq!(read(&json!({"status": "X", "resources": many})).resources.len(), limits::RESOURCES);
}

#[test]
fn what_tells_no_status_is_none() {
    for body in ["", "[]", "{}", "null", r#"{"status":7}"#, r#"{"status":""}"#, "<html>"] {
        assert!(WorkRequest::read(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_percentage_may_be_a_text() {
    for (value, percent) in [
        (json!(40), Some(40.0)),
        (json!("40.5"), Some(40.5)),
        (json!("NaN"), None),
        (json!("half"), None),
        (json!([]), None),
    ] {
        assert_eq!(read(&json!({"status": "X", "percentComplete": value})).percent, percent);
    }
}
