//! What filters mean on operations of this face.

use opgate_core::{Code, ErrorKind, Failure, Outcome, Parent, Payload};

use super::*;
use crate::buildgrid::EXECUTE_METADATA;
use crate::proto::STRUCT;
use crate::sample::{POLICY, WORKFLOW_METADATA, busy, ended, operation, types};

const NAME: &str = "projects/p/operations/00000000000000000000000007";

fn parse(text: &str) -> Shows {
    let (instances, _) = Instances::new(&["main".to_owned()]);
    Shows::parse(types(), &Arc::new(instances), text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Whether it passes; what is decided early is what is decided in the end.
fn passes(operation: &Operation, text: &str) -> bool {
    let filter = parse(text);
    let passes = filter.passes(operation);
    let early = filter.early(operation);
    assert!(early.is_none_or(|early| early == passes), "{text}");
    let early = filter.early(&without_payloads(operation));
    assert!(early.is_none_or(|early| early == passes), "{text}");
    passes
}

fn without_payloads(operation: &Operation) -> Operation {
    let mut operation = operation.clone();
    operation.input.bytes = "".into();
    if let Some(Outcome::Succeeded(Some(payload))) = &mut operation.outcome {
        payload.bytes = "".into();
    }
    operation
}

fn check(operation: &Operation, cases: &[(&str, bool)]) {
    for (text, expected) in cases {
        assert_eq!(passes(operation, text), *expected, "{text}");
    }
}

#[test]
fn the_fields_of_the_operation_itself() {
    let running = operation(Some(POLICY), Some(WORKFLOW_METADATA));
    check(
        &running,
        &[
            (&format!("name = {NAME}"), true),
            ("name = projects/p/operations/*", true),
            ("name = projects/p", false),
            ("name : 'projects/p'", true),
            ("done = false", true),
            ("done = true OR error:*", false),
            ("NOT error:*", true),
            // What is not set matches nothing.
            ("error.code != 5", false),
            ("response.@type != x", false),
            ("response.title != x", false),
            ("response:*", false),
        ],
    );
    let failed = Outcome::Failed(Failure::new(Code::NotFound, "no such disk"));
    check(
        &ended(running.clone(), failed),
        &[
            ("done = true error:*", true),
            ("error.code = 5 AND error.code = NOT_FOUND AND error.code < 6", true),
            ("error.message : disk", true),
            ("error:message", true),
            ("disk", true),
            ("disc", false),
        ],
    );
    check(
        &ended(running, Outcome::Canceled(None)),
        &[("error.code = 1", true), ("error.code = CANCELLED", true), ("error.message:*", true)],
    );
}

#[test]
fn metadata_of_a_declared_type() {
    let mut running = busy(WORKFLOW_METADATA);
    running.cancel = None;
    check(
        &running,
        &[
            (
                "(metadata.@type=type.googleapis.com/google.cloud.workflows.v1.OperationMetadata) \
                 AND (metadata.target:workflows/w) AND (done=true OR -error:*)",
                true,
            ),
            ("metadata.@type:workflows.v1", true),
            ("metadata.@type=google.cloud.workflows.v1.OperationMetadata", false),
            ("metadata.target = projects/p/workflows/w", true),
            ("metadata.target = 'projects/*/w'", true),
            ("metadata.verb = create metadata.apiVersion = v1 metadata.api_version = v1", true),
            ("metadata.create_time = 1970-01-01T00:00:01Z", true),
            ("metadata.createTime > '1970-01-01T01:00:00.5+01:00'", true),
            ("metadata.create_time > 1970-01-01T00:00:01Z", false),
            ("metadata.end_time < 2100-01-01T00:00:00Z", false),
            ("metadata:target", true),
            ("metadata:end_time", false),
            ("metadata:*", true),
            // Not a field of this type: never an error, never a match.
            ("metadata.no_such = 1 OR metadata.no_such != 1 OR metadata:no_such", false),
            ("metadata.target.deeper = 1", false),
            ("workflows/w", true),
        ],
    );
    let untyped = operation(None, None);
    check(&untyped, &[("metadata:*", false), ("metadata.@type:*", false)]);
    let unknown = operation(None, Some("unknown.Type"));
    check(&unknown, &[("metadata:*", false), ("metadata.@type:*", false)]);
}

#[test]
fn metadata_that_is_a_report() {
    check(
        &busy(STRUCT),
        &[
            ("metadata.@type:Struct", true),
            ("metadata.state = RUNNING metadata.native_state = CRUNCHING", true),
            ("metadata.progress.percent > 66.5 metadata.progress.done = 2", true),
            // A number is no text.
            ("metadata.progress.message = 2", false),
            ("metadata.create_time >= 1970-01-01T00:00:00.5Z", true),
            ("metadata.createTime < 1970-01-01T00:00:00.5Z", false),
            ("metadata.cancelRequested = true", true),
            ("metadata.resources.identifier : projects/p/workflows/w", true),
            // An element equals, and only `:` goes into a list.
            ("metadata.resources.identifier : workflows", false),
            ("metadata.resources.identifier = projects/p/workflows/w", false),
            ("metadata.resources:* metadata:resources metadata.progress:percent", true),
            ("metadata.log:*", false),
        ],
    );
}

#[test]
fn responses() {
    let done = |payload| ended(operation(Some(POLICY), None), Outcome::Succeeded(payload));
    let policy = done(Some(Payload::json(r#"{"title":"t","createTime":"2020-01-01T00:00:00Z"}"#)));
    check(
        &policy,
        &[
            (
                "response.@type=type.googleapis.com/google.identity.accesscontextmanager.v1.AccessPolicy",
                true,
            ),
            ("response.title = t", true),
            ("response.title = x", false),
            ("response.create_time <= 2020-01-01T00:00:00Z", true),
            ("response.parent:*", false),
        ],
    );
    check(&done(None), &[("response.@type:AccessPolicy", true), ("response.title:*", false)]);
    // What is no such message is shown as it came, and has the fields of that.
    let text = Payload::new("text/plain", "hello");
    check(
        &done(Some(text)),
        &[("response.@type:HttpBody", true), ("response.contentType = text/plain", true)],
    );
    let mut object = ended(
        operation(Some(STRUCT), None),
        Outcome::Succeeded(Some(Payload::json(
            r#"{"a":{"b":[1,2,{"c":"x"}]},"f":1.5,"t":"yes","n":null,"camelCase":true}"#,
        ))),
    );
    check(
        &object,
        &[
            ("response.a.b:2 response.a.b.c:x", true),
            ("response.a.b:3", false),
            ("response.f > 1 response.f < 2 response.f = 1.5", true),
            ("response.f = yes OR response.f != yes", false),
            ("response.t = 'y*' response.t != no", true),
            ("response.n:* OR response.n != 1", false),
            ("response.camel_case = true", true),
            ("response:a response.a:b", true),
            ("response:n", false),
        ],
    );
    object.expects.metadata_type = Some(EXECUTE_METADATA.into());
    check(&object, &[("metadata.stage = COMPLETED", true), ("metadata.stage != COMPLETED", false)]);
}

#[test]
fn an_instance_shows_its_own_forms() {
    let mut failed = ended(
        operation(Some(POLICY), None),
        Outcome::Failed(Failure::new(Code::NotFound, "no such disk")),
    );
    failed.parent = Parent::new("main").unwrap();
    check(
        &failed,
        &[
            ("name = main/*7", true),
            ("error:* OR error.code = 5", false),
            ("response.@type:ExecuteResponse response.status.code = 5", true),
            ("metadata.stage = COMPLETED metadata.stage = 4", true),
            ("metadata.@type:ExecuteOperationMetadata", true),
        ],
    );
}

#[test]
fn payloads_are_asked_for_only_where_nothing_else_decides() {
    let json = ended(
        operation(Some(POLICY), None),
        Outcome::Succeeded(Some(Payload::json(r#"{"title":"t"}"#))),
    );
    let named = ended(
        operation(None, None),
        Outcome::Succeeded(Some(Payload::protobuf(POLICY, b"\x1a\x01t".as_slice()))),
    );
    let running = operation(Some(POLICY), None);
    for (operation, text, expected) in [
        (&json, "done = true", Some(true)),
        (&json, "response.title = t", None),
        (&json, "response.title = t done = false", Some(false)),
        (&json, "response.title = t OR done = true", Some(true)),
        (&json, "NOT response.title = t", None),
        (&json, "response.@type:AccessPolicy", None),
        (&named, "response.@type:AccessPolicy", Some(true)),
        (&named, "response.title = t", None),
        (&running, "response.title = t", Some(false)),
        (&running, "-response.title = t", Some(true)),
    ] {
        let early = parse(text).early(&without_payloads(operation));
        assert_eq!(early, expected, "{text}");
    }
}

#[test]
fn what_is_no_field_is_refused() {
    for (text, expected) in [
        ("state = RUNNING", "at column 1: no such field; there are name, done, error.code, "),
        ("done = true AND error.details:*", "at column 17: no such field; "),
        ("done = maybe", "at column 8: `done` is true or false, not `maybe`"),
        ("error.code = NO", "at column 14: `error.code` is a google.rpc.Code, by name or number, "),
        ("name(", "at column 1: function `name`: "),
    ] {
        let error = Shows::parse(types(), &Arc::default(), text).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
        let field = error.field.unwrap();
        assert_eq!(field.field, "filter");
        assert!(field.description.starts_with(expected), "{text}: {}", field.description);
    }
}

#[test]
fn an_any_is_looked_into_as_deep_as_is_sane() {
    let nested = |depth: usize| {
        let mut packed = prost_types::Any {
            type_url: format!("type.googleapis.com/{POLICY}"),
            value: b"\x1a\x05title".to_vec(),
        };
        for _ in 0..depth {
            let value = prost::Message::encode_to_vec(&packed);
            packed = prost_types::Any { type_url: "google.protobuf.Any".to_owned(), value };
        }
        let bytes = prost::Message::encode_to_vec(&packed);
        let payload = Payload::protobuf("google.protobuf.Any", bytes);
        ended(operation(None, None), Outcome::Succeeded(Some(payload)))
    };
    check(&nested(3), &[("response.title = title", true), ("response.title = other", false)]);
    // So deep that one call for each would be more than a stack holds.
    check(&nested(5_000), &[("response.title = title OR response:title", false)]);
}
