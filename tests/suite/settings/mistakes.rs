//! Typical mistakes in a route, and what `opgate check` says of each: the key, its value, where it stands, what
//! is wrong, what is allowed, and the name that was meant.

use super::{file, problems};

const ROUTE: &str = "[routes.r]\nservice = \"s\"\noperation = \"o\"\nbackend = \"showcase\"\n";
const GRPC: &str = "[routes.r.grpc]\nmethod = \"acme.v1.S/M\"\n";
const REQUEST: &str = "request_type = \"google.cloud.workflows.v1.CreateWorkflowRequest\"\n";
const UPSTREAMS: &str = r#"
[backends.service]
kind = "longrunning"
concurrency = 10
endpoint = "http://127.0.0.1:50051"
[backends.cloud]
kind = "oci"
concurrency = 10
endpoint = "http://127.0.0.1:9090"
signing = "none"
"#;

/// What is said of the settings in a file of these lines, a line for each problem.
fn said(text: &str) -> String {
    let (file, sources) = file(text);
    let all: Vec<String> = problems(&sources).iter().map(ToString::to_string).collect();
    all.join("\n").replace(&file.path().display().to_string(), "FILE")
}

#[track_caller]
fn says(mistakes: &[(String, &str)]) {
    let answers = mistakes.iter().map(|(text, expected)| (text, said(text), expected));
    let wrong: Vec<String> = answers
        .filter(|(_, said, expected)| said != *expected)
        .map(|(text, said, expected)| format!("{text}\nis answered\n{said}\nand not\n{expected}\n"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The route, with further keys.
fn route(keys: &str) -> String {
    format!("{ROUTE}{keys}")
}

/// The route with a gRPC door, with further keys.
fn door(keys: &str) -> String {
    format!("{ROUTE}{GRPC}{keys}")
}

/// The route to this upstream, with a table of keys.
fn to(upstream: &str, keys: &str) -> String {
    format!("{}{keys}\n{UPSTREAMS}", ROUTE.replace("showcase", upstream))
}

#[test]
fn names_that_lead_nowhere() {
    says(&[
        (
            ROUTE.replace("showcase", "shwocase"),
            "routes.r.backend = \"shwocase\" (FILE:4): is not declared; there are: showcase; did you mean \"showcase\"?",
        ),
        (
            route("time_out = \"1h\"\n"),
            "routes.r.time_out = \"1h\" (FILE:5): is not known; routes.r has enabled, service, operation, backend, http, retention, timeout, unify_keys, share, grpc, amqp, resources, worker, amqp_call, showcase, nexus, oci, longrunning_call; did you mean routes.r.timeout?",
        ),
        (
            route("[routes.r.ampq]\noperation = \"GO\"\n"),
            "routes.r.ampq (FILE:6): is not known; routes.r has enabled, service, operation, backend, http, retention, timeout, unify_keys, share, grpc, amqp, resources, worker, amqp_call, showcase, nexus, oci, longrunning_call; did you mean routes.r.amqp?",
        ),
        (
            "[route.r]\nservice = \"s\"\n".to_owned(),
            "route (FILE:2): is not known; here has data, http, egress, retry, backends, routes, amqp, admin, wait, watch, callbacks, drain, log, audit, buildgrid, descriptors, oci; did you mean routes?",
        ),
        (
            "[backends.b]\nkind = \"nexsu\"\nconcurrency = 1\n".to_owned(),
            "backends.b.kind = \"nexsu\" (FILE:2): is not known; the kinds there are: \"showcase\", \"worker\", \"nexus\", \"oci\", \"amqp\", \"longrunning\"; did you mean \"nexus\"?",
        ),
        (
            "[backends.b]\nkind = \"nexus\"\nconcurrency = 1\nendpoint = \"http://h\"\ncompletion = \"pol\"\n".to_owned(),
            "backends.b.completion = \"pol\" (FILE:5): must be one of \"both\", \"callback\", \"poll\"; did you mean \"poll\"?",
        ),
        (
            to("cloud", "[routes.r.oci]\nrequest = \"DELETE /20160918/c/{id}\"\ndialect = \"identiti\"\n"),
            "routes.r.oci.dialect = \"identiti\" (FILE:7): must be one of \"identity\", \"work-requests\", \"container-engine\", \"modern\", \"load-balancer\"; did you mean \"identity\"?",
        ),
        (
            to("cloud", ""),
            "routes.r.oci (FILE:4): is missing: the route's backend is to know what to call",
        ),
        (
            to("cloud", "[routes.r.nexus]\nservice = \"x\"\n[routes.r.oci]\nrequest = \"DELETE /20160918/c/{id}\"\ndialect = \"identity\"\n"),
            "routes.r.nexus (FILE:6): has no effect: the route's backend is not of kind = \"nexus\"",
        ),
    ]);
}

#[test]
fn types_methods_and_fields_that_are_not_there() {
    says(&[
        (
            door("response_type = \"google.cloud.workflows.v1.Workflwo\"\n"),
            "routes.r.grpc.response_type = \"google.cloud.workflows.v1.Workflwo\" (FILE:7): there is no descriptor of `google.cloud.workflows.v1.Workflwo`; did you mean `google.cloud.workflows.v1.Workflow`?",
        ),
        (
            door("input = \"json\"\n"),
            "routes.r.grpc.input = \"json\" (FILE:7): `json` needs a request_type",
        ),
        (
            door(&format!("{REQUEST}parent = \"{{parnt}}\"\n")),
            "routes.r.grpc.parent = \"{parnt}\" (FILE:8): google.cloud.workflows.v1.CreateWorkflowRequest has no single field `parnt`; did you mean `parent`?",
        ),
        (
            door(&format!("{REQUEST}request_id = \"workflow_i\"\n")),
            "routes.r.grpc.request_id = \"workflow_i\" (FILE:8): google.cloud.workflows.v1.CreateWorkflowRequest has no single field `workflow_i`; did you mean `workflow_id`?",
        ),
        (
            door(&format!(
                "{REQUEST}[routes.r.http]\nrequest = \"POST /v1/{{parnt=projects/*}}/x\"\nbody = \"workflow\"\n"
            )),
            "routes.r.http.request = \"POST /v1/{parnt=projects/*}/x\" (FILE:9): google.cloud.workflows.v1.CreateWorkflowRequest has no field `parnt`; did you mean `parent`?",
        ),
        (
            door(&format!(
                "{REQUEST}[routes.r.http]\nrequest = \"POST /v1/{{parent=projects/*}}/x\"\nbody = \"worklow\"\n"
            )),
            "routes.r.http.body = \"worklow\" (FILE:10): google.cloud.workflows.v1.CreateWorkflowRequest has no field `worklow`; did you mean `workflow`?",
        ),
        (
            ROUTE.to_owned()
                + &GRPC.replace("acme.v1.S/M", "google.cloud.workflows.v1.Workflows/CreateWorkfow"),
            "routes.r.grpc.method = \"google.cloud.workflows.v1.Workflows/CreateWorkfow\" (FILE:6): google.cloud.workflows.v1.Workflows has no method `CreateWorkfow`: it has CreateWorkflow; did you mean `CreateWorkflow`?",
        ),
        (
            ROUTE.to_owned() + &GRPC.replace("acme.v1.S/M", "opgate.v1.Workers/LeaseOperation"),
            "routes.r.grpc.method = \"opgate.v1.Workers/LeaseOperation\" (FILE:6): opgate.v1.Workers has no method `LeaseOperation`: it has LeaseOperations, ReportLease, FinishLease, ReleaseLease; did you mean `LeaseOperations`?\nroutes.r.grpc.method = \"opgate.v1.Workers/LeaseOperation\" (FILE:6): is served by opgate itself",
        ),
        (
            to(
                "service",
                "[routes.r.longrunning_call]\nmethod = \"google.cloud.workflows.v1.Workflows/CreatWorkflow\"\n",
            ),
            "routes.r.longrunning_call.method = \"google.cloud.workflows.v1.Workflows/CreatWorkflow\" (FILE:6): google.cloud.workflows.v1.Workflows has no method `CreatWorkflow`: it has CreateWorkflow; did you mean `CreateWorkflow`?",
        ),
        (
            to(
                "service",
                "[routes.r.longrunning_call]\nmethod = \"google.cloud.workflows.v1.Workflows/CreateWorkflow\"\nrequest = { parnt = \"${/p}\" }\n",
            ),
            "routes.r.longrunning_call.request (FILE:7): google.cloud.workflows.v1.CreateWorkflowRequest has no field `parnt`; did you mean `parent`?",
        ),
        (
            to(
                "service",
                "[routes.r.longrunning_call]\nmethod = \"acme.v1.S/M\"\nrequest = { parent = \"${/p}\" }\n",
            ),
            "routes.r.longrunning_call.request (FILE:7): can be made only where the request type is known: request_type names one of the descriptors",
        ),
        (
            to(
                "service",
                "[routes.r.longrunning_call]\nmethod = \"build.bazel.remote.execution.v2.Execution/Execute\"\n",
            ),
            "routes.r.longrunning_call.method = \"build.bazel.remote.execution.v2.Execution/Execute\" (FILE:6): its answers stream; an operation is answered once",
        ),
        (
            to(
                "cloud",
                "[routes.r.oci]\nrequest = \"POST /20160918/c/{id}\"\nbody = { to = \"${to}\" }\ndialect = \"identity\"\n",
            ),
            "routes.r.oci.body (FILE:7): a placeholder is one of ${/json/pointer}, ${}, ${id}, ${uuid}",
        ),
        (
            to(
                "cloud",
                &format!(
                    "[routes.r.oci]\nrequest = \"POST /20160918/c/{{id}}\"\nbody = {{ to = \"${{/workflow/nmae}}\" }}\n\
                     dialect = \"identity\"\n{GRPC}{REQUEST}input = \"json\"\n"
                ),
            ),
            "routes.r.oci.body (FILE:7): takes ${/workflow/nmae}, and google.cloud.workflows.v1.Workflow has no `nmae` in JSON; did you mean `name`?",
        ),
        (
            door(&format!(
                "{REQUEST}input = \"json\"\n[routes.r.showcase.result]\nid = \"${{/workflow_id}}\"\n"
            )),
            "routes.r.showcase (FILE:10): takes ${/workflow_id}, and google.cloud.workflows.v1.CreateWorkflowRequest has no `workflow_id` in JSON; did you mean `workflowId`?",
        ),
        (
            route(
                "[routes.r.amqp]\ntype = \"com.example:x\"\noperation = \"GO\"\ninput = { x = \"${/bdy/x}\" }\n",
            ),
            "routes.r.amqp.input (FILE:8): takes ${/bdy/x}, and there are only ${/identity}, ${/name}, ${/type}, ${/operation}, ${/properties}, ${/body}",
        ),
        (
            route(
                "[routes.r.http]\nreply = \"oci\"\nrequest = \"POST /20160918/c/{id}\"\ninput = { x = \"${/path/di}\" }\n",
            ),
            "routes.r.http.input (FILE:8): takes ${/path/di}, and the path has no {di}",
        ),
    ]);
}

/// Whoever asks for what a shipped route has is told, and not of the shipped route.
#[test]
fn two_routes_that_want_one_door() {
    says(&[
        (
            ROUTE.replace("\"s\"", "\"showcase\"").replace("\"o\"", "\"echo\""),
            "routes.r.operation = \"echo\" (FILE:3): of that service is what route showcase-echo is for: over Nexus they could not be told apart",
        ),
        (
            ROUTE.to_owned() + &GRPC.replace("acme.v1.S/M", "opgate.showcase.v1.Showcase/Run"),
            "routes.r.grpc.method = \"opgate.showcase.v1.Showcase/Run\" (FILE:6): is the method of route showcase-run already",
        ),
        (
            door(&format!(
                "{REQUEST}[routes.r.http]\nrequest = \"POST /v1/accessPolicies\"\nbody = \"*\"\n"
            )),
            "routes.r.http.request = \"POST /v1/accessPolicies\" (FILE:9): `/v1/accessPolicies` takes the same requests as `/v1/accessPolicies` of route create-access-policy",
        ),
        (
            route(
                "[routes.r.http]\nreply = \"oci\"\nrequest = \"DELETE /20160918/compartments/{id}\"\n",
            ),
            "routes.r.http.request = \"DELETE /20160918/compartments/{id}\" (FILE:7): takes the same requests as route delete-compartment",
        ),
        (
            route("[routes.r.amqp]\ntype = \"org.opgate.showcase\"\noperation = \"echo\"\n"),
            "routes.r.amqp.operation = \"echo\" (FILE:7): of that type is what route showcase-echo is for",
        ),
        (
            door(&ROUTE.replace("routes.r", "routes.q").replace("\"o\"", "\"p\""))
                + &GRPC.replace("routes.r", "routes.q"),
            "routes.r.grpc.method = \"acme.v1.S/M\" (FILE:6): is the method of route q already",
        ),
    ]);
}

#[test]
fn doors_that_nothing_would_come_through() {
    says(&[
        (
            door(&format!(
                "{REQUEST}[routes.r.http]\nrequest = \"POST /nexus/s/o\"\nbody = \"*\"\n"
            )),
            "routes.r.http.request = \"POST /nexus/s/o\" (FILE:9): lies beneath /nexus/, where opgate itself answers",
        ),
        (
            door(&format!(
                "{REQUEST}[routes.r.http]\nrequest = \"POST /opgate/v1/x\"\nbody = \"*\"\n"
            )),
            "routes.r.http.request = \"POST /opgate/v1/x\" (FILE:9): lies beneath /opgate/v1/, where opgate itself answers",
        ),
        (
            door(&format!(
                "{REQUEST}[routes.r.http]\nrequest = \"POST /20160918/x\"\nbody = \"*\"\n"
            )),
            "routes.r.http.request = \"POST /20160918/x\" (FILE:9): lies beneath the path of the OCI service identity, which takes all such requests; with reply = \"oci\" it is a call of that service",
        ),
        (
            route("[routes.r.http]\nreply = \"oci\"\nrequest = \"POST /20210201/queues/{id}\"\n"),
            "routes.r.http.request = \"POST /20210201/queues/{id}\" (FILE:7): lies beneath no OCI service; they are at /20160918",
        ),
        (
            ROUTE.replace("\"s\"", "\"callback\""),
            "routes.r.service = \"callback\" (FILE:2): is what no service may be called: over Nexus, /nexus/callback/ is where completions come in",
        ),
        (
            ROUTE.to_owned() + &GRPC.replace("acme.v1.S/M", "grpc.health.v1.Health/Check"),
            "routes.r.grpc.method = \"grpc.health.v1.Health/Check\" (FILE:6): grpc.health.v1.Health is opgate's own",
        ),
        (
            route(
                "[routes.r.amqp]\ntype = \"com.example:x\"\noperation = \"GO\"\nnode = \"queue/x\"\n",
            ),
            "routes.r.amqp.node = \"queue/x\" (FILE:8): must be the address of a management node: $management, or an entity and that behind it, such as queue/q1/$management",
        ),
        (
            route("[routes.r.http]\nrequest = \"POST /v1/things\"\n"),
            "routes.r.http (FILE:6): needs a grpc section: it is another form of that method, unless it has reply = \"oci\"",
        ),
        // What is configured goes before what is built in, and would hide it.
        (
            door(&format!(
                "{REQUEST}[routes.r.http]\nrequest = \"POST /v1/{{parent=**}}:cancel\"\nbody = \"*\"\n"
            )),
            "routes.r.http.request = \"POST /v1/{parent=**}:cancel\" (FILE:9): hides how operations are canceled over REST",
        ),
        (
            door(&format!("{REQUEST}[routes.r.http]\nrequest = \"GET /v1/operations\"\n")),
            "routes.r.http.request = \"GET /v1/operations\" (FILE:9): hides how operations are listed over REST",
        ),
    ]);
}

#[test]
fn values_that_are_out_of_range_or_no_url() {
    let endpoint = |kind: &str, url: &str| {
        format!("[backends.b]\nkind = {kind:?}\nconcurrency = 1\nendpoint = {url:?}\n")
    };
    says(&[
        (
            route("timeout = \"400d\"\n"),
            "routes.r.timeout = \"400d\" (FILE:5): must be a duration from 1ms to 365d: a whole number and one of ms, s, m, h, d, such as \"30s\"",
        ),
        (
            route("timeout = 30\n"),
            "routes.r.timeout = 30 (FILE:5): must be a duration from 1ms to 365d: a whole number and one of ms, s, m, h, d, such as \"30s\"",
        ),
        (
            route("retention = \"10ms\"\n"),
            "routes.r.retention = \"10ms\" (FILE:5): must be a duration from 1s to 365d: a whole number and one of ms, s, m, h, d, such as \"30s\"",
        ),
        (
            endpoint("nexus", "127.0.0.1:9090"),
            "backends.b.endpoint = \"127.0.0.1:9090\" (FILE:4): must be a URL such as \"https://host/path\", beginning with http:// or https://",
        ),
        (
            endpoint("nexus", "http://me:secret@127.0.0.1:9090"),
            "backends.b.endpoint = \"http://(not shown)@127.0.0.1:9090\" (FILE:4): must be a URL such as \"https://host/path\", without a user: credentials have keys of their own",
        ),
        (
            endpoint("longrunning", "http://127.0.0.1:500510"),
            "backends.b.endpoint = \"http://127.0.0.1:500510\" (FILE:4): must be \"http://host:port\", or \"https://host:port\" for TLS; the port in \"127.0.0.1:500510\" must be a number from 1 to 65535",
        ),
        (
            endpoint("longrunning", "http://127.0.0.1:50051/v1"),
            "backends.b.endpoint = \"http://127.0.0.1:50051/v1\" (FILE:4): must be \"http://host:port\", or \"https://host:port\" for TLS, without a path: methods have their own",
        ),
        (
            endpoint("amqp", "http://127.0.0.1:5673"),
            "backends.b.endpoint = \"http://127.0.0.1:5673\" (FILE:4): must be \"amqp://host:port\", or \"amqps://host:port\" for TLS",
        ),
        (
            endpoint("oci", "https://h"),
            "backends.b.key_file (FILE:3): is missing: requests are signed with a user's key, unless signing = \"none\" stands beside the endpoint\nbackends.b.tenancy (FILE:3): is missing: requests are signed with a user's key, unless signing = \"none\" stands beside the endpoint\nbackends.b.user (FILE:3): is missing: requests are signed with a user's key, unless signing = \"none\" stands beside the endpoint",
        ),
        (
            "[backends.b]\nkind = \"showcase\"\nconcurrency = 0\n".to_owned(),
            "backends.b.concurrency = 0 (FILE:3): must be a whole number from 1 to 1000000",
        ),
    ]);
}
