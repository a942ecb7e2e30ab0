use super::*;
use crate::sample::types;

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

const KNOWN: (&str, &str) = (METHOD, "google.cloud.workflows.v1.Workflows/CreateWorkflow");
const OPAQUE: (&str, &str) = (METHOD, "acme.v1.Things/Make");

#[test]
fn a_method_is_typed_by_its_descriptor_or_by_the_route_or_opaque() {
    for (pairs, kind) in [
        (&[KNOWN][..], Some("google.cloud.workflows.v1.CreateWorkflowRequest")),
        (
            &[(METHOD, "/google.cloud.workflows.v1.Workflows/CreateWorkflow")],
            Some("google.cloud.workflows.v1.CreateWorkflowRequest"),
        ),
        (
            &[KNOWN, (REQUEST_TYPE, "CreateWorkflowRequest")],
            Some("google.cloud.workflows.v1.CreateWorkflowRequest"),
        ),
        (&[OPAQUE, (REQUEST_TYPE, "google.protobuf.Struct")], Some("google.protobuf.Struct")),
        (&[OPAQUE], None),
    ] {
        let options = options(pairs);
        let plan = Plan::of(types(), &options).unwrap();
        assert_eq!(plan.kind.as_ref().map(MessageDescriptor::full_name), kind, "{pairs:?}");
        assert!(!plan.method.starts_with('/') && plan.cancels && !plan.idempotent && !plan.json);
    }
}

#[test]
fn a_repeat_is_allowed_by_word_or_by_a_field() {
    let id = (REQUEST_ID, "workflow_id");
    for (pairs, repeated) in [
        (&[KNOWN][..], false),
        (&[KNOWN, id], true),
        (&[KNOWN, id, (IDEMPOTENT, "true")], true),
        (&[KNOWN, (IDEMPOTENT, "true")], true),
        (&[KNOWN, (IDEMPOTENT, "false")], false),
    ] {
        assert_eq!(Plan::of(types(), &options(pairs)).unwrap().idempotent, repeated, "{pairs:?}");
    }
}

#[test]
fn what_is_wrong_is_told_by_its_option() {
    for (pairs, key) in [
        (&[][..], METHOD),
        (&[(METHOD, "acme.v1.Things")], METHOD),
        (&[(METHOD, "acme.v1.Things/*")], METHOD),
        (&[(METHOD, "acme..Things/Make")], METHOD),
        (&[(METHOD, "//Make")], METHOD),
        (&[(METHOD, "google.longrunning.Operations/ListOperations")], METHOD),
        (&[(METHOD, "build.bazel.remote.execution.v2.Execution/Execute")], METHOD),
        (&[OPAQUE, (REQUEST_TYPE, "acme.v1.Absent")], REQUEST_TYPE),
        (&[KNOWN, (REQUEST_TYPE, "google.protobuf.Struct")], REQUEST_TYPE),
        (&[OPAQUE, (REQUEST, "{}")], REQUEST),
        (&[KNOWN, (REQUEST, "{")], REQUEST),
        (&[KNOWN, (REQUEST, r#"{"nonesuch":1}"#)], REQUEST),
        (&[KNOWN, (REQUEST, r#"{"parent":"${"}"#)], REQUEST),
        (&[OPAQUE, (REQUEST_ID, "a")], REQUEST_ID),
        (&[KNOWN, (REQUEST_ID, "workflow")], REQUEST_ID),
        (&[KNOWN, (REQUEST_ID, "workflow.nonesuch")], REQUEST_ID),
        (&[KNOWN, (REQUEST_ID, "parent"), (IDEMPOTENT, "false")], IDEMPOTENT),
        (&[KNOWN, (IDEMPOTENT, "yes")], IDEMPOTENT),
        (&[KNOWN, (METADATA, "[]")], METADATA),
        (&[KNOWN, (METADATA, r#"{"a b":"x"}"#)], METADATA),
        (&[KNOWN, (METADATA, r#"{"a-bin":"x"}"#)], METADATA),
        (&[KNOWN, (METADATA, r#"{"Authorization":"x"}"#)], METADATA),
        (&[KNOWN, (METADATA, r#"{"grpc-timeout":"1S"}"#)], METADATA),
        (&[KNOWN, (RESULT, "text")], RESULT),
        (&[KNOWN, (CANCEL, "no")], CANCEL),
        (&[KNOWN, (START_WITHIN, "10s")], START_WITHIN),
        (&[KNOWN, (HEADERS, "idempotency-key")], HEADERS),
        (&[KNOWN, ("colour", "x")], "colour"),
    ] {
        let wrong = check_options(types(), &options(pairs)).unwrap_err();
        assert_eq!(wrong.0, key, "{pairs:?}: {}", wrong.1);
    }
}

#[test]
fn the_fields_of_a_request_may_be_in_either_spelling() {
    for request in [
        r#"{"workflow_id":"a"}"#,
        r#"{"workflowId":"a"}"#,
        r#"{"$merge":["${}",{"parent":"p"}]}"#,
        r#""${/request}""#,
    ] {
        assert!(Plan::of(types(), &options(&[KNOWN, (REQUEST, request)])).is_ok(), "{request}");
    }
}

#[test]
fn callers_headers_pass_by_the_list() {
    let name = |name: &str| name.parse::<HeaderName>().unwrap();
    let (open, closed) = (options(&[KNOWN]), options(&[KNOWN, (HEADERS, "x-a,b-*")]));
    let by_default = Plan::of(types(), &open).unwrap();
    let by_list = Plan::of(types(), &closed).unwrap();
    for (header, default, list) in [
        ("x-goog-request-params", true, false),
        ("baggage", true, false),
        ("x-a", false, true),
        ("b-one", false, true),
        ("idempotency-key", false, false),
        ("authorization", false, false),
    ] {
        assert_eq!(by_default.passes(&name(header)), default, "{header}");
        assert_eq!(by_list.passes(&name(header)), list, "{header}");
    }
}
