use http::HeaderValue;
use opgate_core::Trace;
use prost_reflect::{DynamicMessage, Value};

use super::*;
use crate::sample::{POLICY, WORKFLOW_METADATA, types};

const CREATE_WORKFLOW: &str = "google.cloud.workflows.v1.Workflows/CreateWorkflow";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const CREATE_POLICY: &str =
    "google.identity.accesscontextmanager.v1.AccessContextManager/CreateAccessPolicy";

fn settings(method: &str) -> DoorSettings {
    DoorSettings { method: method.to_owned(), route: "r".to_owned(), ..DoorSettings::default() }
}

fn problems(settings: &DoorSettings) -> Vec<String> {
    let (_, problems) = Doors::new(types(), std::slice::from_ref(settings), |route| route == "r");
    let prefix = format!("grpc method {}: ", settings.method);
    problems.iter().map(|problem| problem.strip_prefix(&prefix).unwrap().to_owned()).collect()
}

/// Reads one request through the only door.
fn read(
    settings: DoorSettings,
    headers: &[(&'static str, &str)],
    request: &[u8],
) -> Result<Asked, Error> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        })
        .collect();
    let method = settings.method.replace('*', "Anything");
    let (doors, problems) = Doors::new(types(), &[settings], |_| true);
    assert_eq!(problems, Vec::<String>::new());
    doors.get(&method).unwrap().read(&method, &headers, &Bytes::copy_from_slice(request))
}

fn start(settings: DoorSettings, headers: &[(&'static str, &str)], request: &[u8]) -> Start {
    match read(settings, headers, request).unwrap() {
        Asked::Start(start) => *start,
        Asked::Validate { .. } => panic!("a start was expected"),
    }
}

fn message(full_name: &str, fields: &[(&str, Value)]) -> Vec<u8> {
    let mut message = DynamicMessage::new(types().message(full_name).unwrap());
    for (name, value) in fields {
        message.try_set_field_by_name(name, value.clone()).unwrap();
    }
    prost::Message::encode_to_vec(&message)
}

fn create_workflow(parent: &str) -> Vec<u8> {
    let parent = ("parent", Value::String(parent.to_owned()));
    let id = ("workflow_id", Value::String("w".to_owned()));
    message("google.cloud.workflows.v1.CreateWorkflowRequest", &[parent, id])
}

#[test]
fn a_described_method_needs_no_types() {
    let request = create_workflow("projects/p/locations/l");
    let start = start(settings(CREATE_WORKFLOW), &[], &request);
    assert_eq!(&*start.endpoint, CREATE_WORKFLOW);
    assert_eq!(start.parent.as_str(), "projects/p/locations/l");
    assert_eq!(start.input.message_type(), Some("google.cloud.workflows.v1.CreateWorkflowRequest"));
    assert_eq!(start.input.bytes, request);
    let expects = start.expects;
    assert_eq!(expects.response_type.as_deref(), Some("google.cloud.workflows.v1.Workflow"));
    assert_eq!(expects.metadata_type.as_deref(), Some(WORKFLOW_METADATA));
    assert_eq!((start.dedupe, start.request_id), (None, None));
}

#[test]
fn an_opaque_method_passes_bytes_on() {
    for method in ["acme.Things/Make", "acme.Things/*"] {
        let start = start(settings(method), &[], b"\xff\xff");
        assert_eq!(start.input.bytes, &b"\xff\xff"[..]);
        assert_eq!(start.input.message_type(), Some(""));
        assert_eq!(&*start.endpoint, &*method.replace('*', "Anything"));
        assert_eq!(start.expects, Expects::default());
        assert_eq!(start.parent.as_str(), "");
    }
}

#[test]
fn a_typed_request_is_checked() {
    let error = read(settings(CREATE_POLICY), &[], b"\xff").unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
    assert!(error.message.starts_with(&format!("not a {POLICY}: ")), "{error}");
}

#[test]
fn the_parent_comes_from_where_it_is_said_to() {
    let typed = |parent: Option<&str>| DoorSettings {
        parent: parent.map(str::to_owned),
        ..settings(CREATE_WORKFLOW)
    };
    let opaque = |parent: Option<&str>| DoorSettings {
        parent: parent.map(str::to_owned),
        ..settings("acme.Things/Make")
    };
    let params = |value| [("x-goog-request-params", value)];
    let request = create_workflow("projects/p");
    for (settings, header, expected) in [
        (typed(None), "parent=projects%2Fother", "projects/p"),
        (typed(Some("")), "", ""),
        (typed(Some("fixed/scope")), "", "fixed/scope"),
        (typed(Some("{parent}/workflows/{workflow_id}")), "", "projects/p/workflows/w"),
        (typed(Some("x{workflow.name}")), "", "x"),
        (opaque(None), "parent=projects%2Fother", "projects/other"),
        (opaque(None), "a=b&name=projects/n&parent=projects/other", "projects/other"),
        (opaque(None), "name=projects/n", "projects/n"),
        (opaque(None), "nonsense&=&%", ""),
        (opaque(Some("fixed")), "parent=projects%2Fother", "fixed"),
    ] {
        let start = start(settings, &params(header), &request);
        assert_eq!(start.parent.as_str(), expected);
    }
    for (settings, header, request) in [
        (opaque(None), "parent=%ff", Vec::new()),
        (opaque(None), "parent=a%0ab", Vec::new()),
        (opaque(None), "parent=/a", Vec::new()),
        (typed(None), "", create_workflow("a//b")),
        (typed(None), "", create_workflow(&"x".repeat(1025))),
    ] {
        let error = read(settings, &params(header), &request).unwrap_err();
        assert_eq!(error.field.unwrap().field, "parent");
    }
}

#[test]
fn a_key_comes_from_the_field_or_the_header() {
    let door =
        DoorSettings { request_id: Some("workflow_id".to_owned()), ..settings(CREATE_WORKFLOW) };
    let header = [("idempotency-key", "from-header"), ("x-request-id", "hop")];
    let key =
        |start: Start| start.dedupe.map(|repeat| (repeat.space.as_str().to_owned(), repeat.key));
    let grpc = |key: &str| Some(("grpc".to_owned(), key.to_owned()));
    let found = start(door.clone(), &header, &create_workflow("p"));
    assert_eq!(found.request_id.as_deref(), Some("w"));
    assert_eq!(key(found), grpc("w"));
    assert_eq!(key(start(door, &header, b"")), grpc("from-header"));
    let opaque = start(settings("acme.Things/Make"), &header[1..], b"");
    assert_eq!(opaque.request_id.as_deref(), Some("hop"), "for the record");
    assert_eq!(key(opaque), None, "a proxy's id is no key");
}

#[test]
fn two_keys_are_refused_by_name() {
    let door =
        DoorSettings { request_id: Some("workflow_id".to_owned()), ..settings(CREATE_WORKFLOW) };
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    for request in [Vec::new(), create_workflow("p")] {
        let error = read(door.clone(), &twice, &request).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
        assert_eq!(error.field.unwrap().field, "idempotency-key");
    }
    assert_eq!(start(door, &[("idempotency-key", "")], b"").dedupe, None);
}

#[test]
fn only_a_valid_trace_is_kept() {
    let upper = TRACE.to_uppercase();
    let later = format!("{}-what-comes", TRACE.replacen("00", "cc", 1));
    let zero_trace = TRACE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
    let zero_parent = TRACE.replace("b7ad6b7169203331", &"0".repeat(16));
    let longer = format!("{TRACE}-00");
    let forbidden = TRACE.replacen("00", "ff", 1);
    for (sent, kept) in [
        (TRACE, true),
        (&upper, false),
        (&zero_trace, false),
        (&zero_parent, false),
        (&longer, false),
        (&forbidden, false),
        (TRACE.trim_end_matches('1'), false),
        (&TRACE.replace('-', "_"), false),
        ("00-1-2-01", false),
        ("nonsense", false),
        ("", false),
    ] {
        let headers = [("traceparent", sent), ("tracestate", "a=b")];
        let trace = start(settings("acme.Things/Make"), &headers, b"").trace;
        assert_eq!(trace.map(|trace| trace.parent.to_string()), kept.then(|| sent.to_owned()));
    }
    // Of a later version is kept what this one has.
    let headers = [("traceparent", &*later), ("tracestate", "a=b")];
    let trace = start(settings("acme.Things/Make"), &headers, b"").trace;
    assert_eq!(trace.as_deref(), Trace::of(TRACE, &["a=b"]).as_ref());
    let twice = [("traceparent", TRACE), ("traceparent", TRACE)];
    assert_eq!(start(settings("acme.Things/Make"), &twice, b"").trace, None);
}

#[test]
fn headers_are_kept_but_for_credentials_and_the_hops_own() {
    let sent = [
        ("authorization", "Bearer secret"),
        ("cookie", "secret"),
        ("x-goog-api-key", "secret"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "1S"),
        ("grpc-trace-bin", "AAAA"),
        ("traceparent", TRACE),
        ("tracestate", "a=b"),
        ("user-agent", "me"),
        ("opgate-showcase", "{}"),
        ("x-odd-bin", "AAAA"),
    ];
    let start = start(settings("acme.Things/Make"), &sent, b"");
    let mut kept: Vec<_> =
        start.headers.iter().map(|header| (&*header.name, header.value.clone())).collect();
    kept.sort();
    let expected = [("opgate-showcase", "{}"), ("user-agent", "me"), ("x-odd-bin", "AAAA")];
    assert_eq!(kept, expected.map(|(name, value)| (name, Bytes::from(value))));
    let trace = start.trace.unwrap();
    assert_eq!((&*trace.parent, &*trace.state), (TRACE, "a=b"));
}

#[test]
fn json_is_what_a_backend_without_protobuf_can_read() {
    let json = |method: &str| DoorSettings { input: InputForm::Json, ..settings(method) };
    let workflow = start(json(CREATE_WORKFLOW), &[], &create_workflow("p"));
    assert_eq!(workflow.input, Payload::json(r#"{"parent":"p","workflowId":"w"}"#));
    let echo = "opgate.showcase.v1.Showcase/Echo";
    // {"n": 3.0}
    let three = b"\x0a\x0e\x0a\x01n\x12\x09\x11\0\0\0\0\0\0\x08\x40";
    assert_eq!(start(json(echo), &[], three).input, Payload::json(r#"{"n":3}"#));
    let nan = b"\x0a\x0e\x0a\x01n\x12\x09\x11\0\0\0\0\0\0\xf8\x7f";
    assert_eq!(read(json(echo), &[], nan).unwrap_err().kind, ErrorKind::InvalidArgument);
}

#[test]
fn a_door_streams_as_its_descriptor_or_its_setting_says() {
    let streams = |method: &str, stream| {
        let settings = DoorSettings { stream, ..settings(method) };
        let (doors, problems) = Doors::new(types(), std::slice::from_ref(&settings), |_| true);
        assert_eq!(problems, Vec::<String>::new());
        doors.get(method).unwrap().streams()
    };
    assert!(streams("build.bazel.remote.execution.v2.Execution/Execute", None));
    assert!(streams("build.bazel.remote.execution.v2.Execution/Execute", Some(true)));
    assert!(!streams(CREATE_POLICY, None));
    assert!(!streams("acme.Things/Make", None));
    assert!(streams("acme.Things/Make", Some(true)));
}

#[test]
fn json_of_very_many_values_is_refused() {
    let door = DoorSettings { input: InputForm::Json, ..settings(CREATE_POLICY) };
    let scopes = b"\x3a\x00".repeat(JSON_VALUES_MAX + 1);
    let error = read(door, &[], &scopes).unwrap_err();
    assert_eq!(error.kind, ErrorKind::PayloadTooLarge);
    assert_eq!(start(settings(CREATE_POLICY), &[], &scopes).input.bytes.len(), scopes.len());
}

#[test]
fn a_request_that_is_sent_again_is_the_same_json() {
    use prost_reflect::MapKey;
    let text = |text: &str| Value::String(text.to_owned());
    let labels = (0..9).map(|n| (MapKey::String(format!("l{n}")), text("x"))).collect();
    let mut workflow =
        DynamicMessage::new(types().message("google.cloud.workflows.v1.Workflow").unwrap());
    workflow.set_field_by_name("labels", Value::Map(labels));
    let request = message(
        "google.cloud.workflows.v1.CreateWorkflowRequest",
        &[("workflow", Value::Message(workflow))],
    );
    let input = || {
        let door = DoorSettings { input: InputForm::Json, ..settings(CREATE_WORKFLOW) };
        start(door, &[], &request).input
    };
    let first = input();
    for _ in 0..20 {
        assert_eq!(input(), first);
    }
}

#[test]
fn every_problem_is_found() {
    let door = DoorSettings {
        method: CREATE_WORKFLOW.to_owned(),
        route: "nowhere".to_owned(),
        request_type: Some(POLICY.to_owned()),
        response_type: Some("unknown.Response".to_owned()),
        metadata_type: Some("unknown.Metadata".to_owned()),
        parent: Some("{no_such_field}".to_owned()),
        request_id: Some("scopes".to_owned()),
        input: InputForm::Bytes,
        stream: Some(true),
        http: None,
    };
    assert_eq!(
        problems(&door),
        [
            "stream: it is false by its descriptor",
            "response_type: there is no descriptor of `unknown.Response`",
            "metadata_type: there is no descriptor of `unknown.Metadata`",
            "request_type: it is google.cloud.workflows.v1.CreateWorkflowRequest by its descriptor",
            &format!("parent: {POLICY} has no single field `no_such_field`"),
            &format!("request_id: {POLICY} has no single field `scopes`"),
            "there is no route `nowhere`",
        ]
    );
}

#[test]
fn each_problem_alone() {
    type Change = fn(&mut DoorSettings);
    let cases: [(&str, Change, &str); 15] = [
        (
            "build.bazel.remote.execution.v2.Execution/WaitExecution",
            |_| {},
            "it starts nothing, and is opgate's own",
        ),
        (
            "build.bazel.remote.execution.v2.Execution/Execute",
            |door| door.stream = Some(false),
            "stream: it is true by its descriptor",
        ),
        ("acme.Things", |_| {}, "`package.Service/Method` or"),
        ("acme.Things/", |_| {}, "`package.Service/Method` or"),
        ("acme..Things/Make", |_| {}, "`package.Service/Method` or"),
        ("/acme.Things/Make", |_| {}, "`package.Service/Method` or"),
        (
            "google.longrunning.Operations/*",
            |_| {},
            "google.longrunning.Operations is opgate's own",
        ),
        (
            "acme.Things/*",
            |door| door.request_type = Some("google.protobuf.Empty".to_owned()),
            "request_type: the methods of a whole",
        ),
        ("acme.Things/Make", |door| door.input = InputForm::Json, "input: `json` needs"),
        (
            "acme.Things/Make",
            |door| door.parent = Some("{parent}".to_owned()),
            "parent: fields can be used only where",
        ),
        (
            "acme.Things/Make",
            |door| door.request_id = Some("id".to_owned()),
            "request_id: a field can be used only where",
        ),
        ("acme.Things/Make", |door| door.parent = Some("a/".to_owned()), "parent: has an empty"),
        ("acme.Things/Make", |door| door.parent = Some("a}".to_owned()), "parent: `}` without `{`"),
        (
            CREATE_WORKFLOW,
            |door| door.parent = Some("{parent".to_owned()),
            "parent: `{` without `}`",
        ),
        (
            CREATE_WORKFLOW,
            |door| door.parent = Some("{workflow}".to_owned()),
            "parent: `workflow` is not a",
        ),
    ];
    for (method, change, expected) in cases {
        let mut door = settings(method);
        change(&mut door);
        let problems = problems(&door);
        assert!(
            problems.iter().any(|problem| problem.starts_with(expected)),
            "{method}: {problems:?}"
        );
    }
    let twice = [settings(CREATE_POLICY), settings(CREATE_POLICY)];
    let (_, problems) = Doors::new(types(), &twice, |_| true);
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn a_door_to_a_service_is_behind_the_doors_to_its_methods() {
    let doors = [
        settings("acme.Things/*"),
        DoorSettings { route: "one".to_owned(), ..settings("acme.Things/Make") },
    ];
    let (doors, problems) = Doors::new(types(), &doors, |_| true);
    assert!(problems.is_empty());
    let route = |method: &str| doors.get(method).map(|door| &*door.route);
    assert_eq!(route("acme.Things/Make"), Some("one"));
    assert_eq!(route("acme.Things/Break"), Some("r"));
    assert_eq!(route("acme.Things/a/b"), None);
    assert_eq!(route("acme.Things/"), None);
    assert_eq!(route("acme.Other/Make"), None);
    assert_eq!(doors.services(), ["acme.Things"]);
}

#[test]
fn a_request_may_ask_to_be_validated_only() {
    // No built-in request has the field `validate_only`; an extra descriptor set brings one.
    let field = prost_types::FieldDescriptorProto {
        name: Some("validate_only".to_owned()),
        number: Some(5),
        r#type: Some(prost_types::field_descriptor_proto::Type::Bool.into()),
        label: Some(prost_types::field_descriptor_proto::Label::Optional.into()),
        ..Default::default()
    };
    let file = prost_types::FileDescriptorProto {
        name: Some("acme.proto".to_owned()),
        package: Some("acme".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![prost_types::DescriptorProto {
            name: Some("MakeRequest".to_owned()),
            field: vec![field],
            ..Default::default()
        }],
        ..Default::default()
    };
    let set = prost_types::FileDescriptorSet { file: vec![file] };
    let bytes = prost::Message::encode_to_vec(&set);
    let set = crate::DescriptorSet { origin: "acme.bin".to_owned(), bytes };
    let (types, problems) = crate::types::Types::new(&[set]);
    assert!(problems.is_empty(), "{problems:?}");
    let request_type = Some("acme.MakeRequest".to_owned());
    let response_type = Some(POLICY.to_owned());
    let door = DoorSettings { request_type, response_type, ..settings("acme.Things/Make") };
    let (doors, problems) = Doors::new(&types, &[door], |_| true);
    assert!(problems.is_empty(), "{problems:?}");
    let door = doors.get("acme.Things/Make").unwrap();
    let read = |request: &'static [u8]| {
        door.read("acme.Things/Make", &HeaderMap::new(), &Bytes::from_static(request)).unwrap()
    };
    let Asked::Validate { response_type } = read(b"\x28\x01") else {
        panic!("it asks for no start")
    };
    assert_eq!(response_type.as_deref(), Some(POLICY));
    assert!(matches!(read(b"\x28\x00"), Asked::Start(_)));
    assert!(matches!(read(b""), Asked::Start(_)));
}

/// Reads one HTTP request, such as `POST /v1/things?a=b`, through the only door; none if it is no
/// start.
fn http(settings: DoorSettings, request: &str, body: &str) -> Option<Result<Asked, Error>> {
    let (doors, problems) = Doors::new(types(), &[settings], |_| true);
    assert_eq!(problems, Vec::<String>::new());
    let (method, uri) = request.split_once(' ').unwrap();
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let found = doors.http(&method.parse().unwrap(), path).unwrap()?;
    let headers = HeaderMap::new();
    Some(found.value.read(&found.captured, Some(query), &headers, body.as_bytes()))
}

fn http_start(settings: DoorSettings, request: &str, body: &str) -> Start {
    match http(settings, request, body).unwrap().unwrap() {
        Asked::Start(start) => *start,
        Asked::Validate { .. } => panic!("a start was expected"),
    }
}

#[test]
fn an_annotated_method_is_started_by_its_http_request() {
    let json = r#"{"description": "d"}"#;
    let request = "POST /v1/projects/p/locations/l/workflows?workflowId=w&$alt=json";
    let rest = http_start(settings(CREATE_WORKFLOW), request, json);
    assert_eq!(rest.face, Face::Rest);
    assert_eq!(&*rest.endpoint, "POST /v1/{parent=projects/*/locations/*}/workflows");
    assert_eq!(rest.parent.as_str(), "projects/p/locations/l");
    // The very message that a gRPC caller would send, and the same promises about the answer.
    let mut workflow =
        DynamicMessage::new(types().message("google.cloud.workflows.v1.Workflow").unwrap());
    workflow.set_field_by_name("description", Value::String("d".to_owned()));
    let message = message(
        "google.cloud.workflows.v1.CreateWorkflowRequest",
        &[
            ("parent", Value::String("projects/p/locations/l".to_owned())),
            ("workflow", Value::Message(workflow)),
            ("workflow_id", Value::String("w".to_owned())),
        ],
    );
    let grpc = start(settings(CREATE_WORKFLOW), &[], &message);
    assert_eq!((rest.input, rest.expects), (grpc.input, grpc.expects));
    assert_eq!(rest.route, grpc.route);

    let policy =
        http_start(settings(CREATE_POLICY), "POST /v1/accessPolicies", r#"{"title": "t"}"#);
    assert_eq!(policy.input.bytes, &b"\x1a\x01t"[..]);
    for other in ["GET /v1/accessPolicies", "POST /v1/accessPolicies/x", "POST /v2/accessPolicies"]
    {
        assert!(http(settings(CREATE_POLICY), other, "").is_none(), "{other}");
    }
    let error = http(settings(CREATE_POLICY), "POST /v1/accessPolicies", r#"{"titel": "t"}"#);
    assert_eq!(error.unwrap().unwrap_err().field.unwrap().field, "titel");
}

#[test]
fn a_request_that_is_sent_again_is_the_same_bytes() {
    let labels: Vec<String> = (0..9).map(|number| format!(r#""l{number}": """#)).collect();
    let json = format!(r#"{{"labels": {{{}}}}}"#, labels.join(","));
    for input in [InputForm::Bytes, InputForm::Json] {
        let input = || {
            let door = DoorSettings { input, ..settings(CREATE_WORKFLOW) };
            http_start(door, "POST /v1/projects/p/locations/l/workflows", &json).input
        };
        let first = input();
        for _ in 0..20 {
            assert_eq!(input(), first);
        }
    }
}

#[test]
fn a_configured_request_replaces_the_annotated_one() {
    let form = |request: &str, body: Option<&str>| {
        let form = HttpForm { request: request.to_owned(), body: body.map(str::to_owned) };
        DoorSettings { http: Some(form), ..settings(CREATE_POLICY) }
    };
    let put = || form("PUT /policies/{parent=organizations/*}/{title}", Some("*"));
    let start = http_start(put(), "PUT /policies/organizations/1/a%2Fb", r#"{"scopes": ["s"]}"#);
    assert_eq!(start.parent.as_str(), "organizations/1");
    assert!(http(put(), "POST /v1/accessPolicies", "").is_none());

    let opaque = DoorSettings { http: put().http, ..settings("acme.Things/Make") };
    assert_eq!(problems(&opaque), ["http: needs a method whose request type is known"]);
    for (request, body, problem) in [
        ("POST", None, "http: a method and a path, such as `POST /v1/things`, is expected"),
        ("POST /v1/{nope}", None, &*format!("http: {POLICY} has no field `nope`")),
        ("POST /v1/x", Some("nope"), &*format!("http: body: {POLICY} has no field `nope`")),
    ] {
        assert_eq!(problems(&form(request, body)), [problem]);
    }
    let both = [form("POST /v1/{title}", None), form("POST /v1/{etag}", None)];
    let methods = ["x.A/B", "x.A/C"].map(str::to_owned);
    let both: Vec<DoorSettings> = both
        .into_iter()
        .zip(methods)
        .map(|(door, method)| DoorSettings {
            method,
            request_type: Some(POLICY.to_owned()),
            ..door
        })
        .collect();
    let (_, problems) = Doors::new(types(), &both, |_| true);
    let route = &both[0].route;
    let conflict =
        format!("http: `/v1/{{etag}}` takes the same requests as `/v1/{{title}}` of route {route}");
    assert_eq!(problems, [format!("grpc method x.A/C: {conflict}")]);
}
