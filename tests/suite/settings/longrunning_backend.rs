//! Backends of kind `longrunning`, and routes to them.

use std::io::Write as _;

use opgate::settings::{BackendKind, LongrunningBackend, Settings};

use super::{file, load, problem, problems};

const ROUTE: &str = "[routes.r]\nservice = \"s\"\noperation = \"o\"\nbackend = \"up\"\n";
const CALL: &str = "[routes.r.longrunning_call]\nmethod = \"acme.v1.Things/Make\"\n";
/// A method whose descriptor is built in.
const KNOWN: &str = "[routes.r.longrunning_call]\n\
                     method = \"google.cloud.workflows.v1.Workflows/CreateWorkflow\"\n";
const OPEN: &str = "endpoint = \"http://h\"";

/// A backend with these keys, and a route to it with these.
fn up(keys: &str, route: &str) -> String {
    format!("[backends.up]\nkind = \"longrunning\"\nconcurrency = 1\n{keys}\n{ROUTE}{route}")
}

fn longrunning(settings: &Settings) -> &LongrunningBackend {
    match &settings.backends["up"].kind {
        BackendKind::Longrunning(longrunning) => longrunning,
        other @ (BackendKind::Showcase
        | BackendKind::Worker(_)
        | BackendKind::Nexus(_)
        | BackendKind::Oci(_)
        | BackendKind::Amqp(_)) => panic!("{other:?}"),
    }
}

#[test]
fn what_is_left_out_is_as_documented() {
    let (_file, sources) = file(&up(OPEN, CALL));
    let (settings, _) = load(&sources);
    let up = longrunning(&settings);
    assert_eq!((up.timeout.as_secs(), up.poll_first.as_secs()), (10, 1));
    assert_eq!((up.poll_longest.as_secs(), up.grace.as_secs(), up.waits), (30, 300, 64));
    assert_eq!(up.endpoint.to_string(), "http://h:80");
    assert!(up.shown.is_none());
}

#[test]
fn a_token_may_be_in_a_file_is_not_shown_and_does_not_go_in_clear_to_another_machine() {
    let mut token = tempfile::NamedTempFile::new().unwrap();
    writeln!(token, "secret").unwrap();
    let path = token.path().display();
    let with = |endpoint: &str| format!("endpoint = \"{endpoint}\"\nbearer_file = \"{path}\"");
    for endpoint in ["https://h", "http://127.0.0.1:1", "http://localhost"] {
        let (_file, sources) = file(&up(&with(endpoint), CALL));
        let (settings, effective) = load(&sources);
        assert_eq!(format!("{:?}", longrunning(&settings).credentials), r#"{"authorization"}"#);
        assert!(!effective.to_string().contains("secret"));
    }
    let (_file, sources) = file(&up(&with("http://h"), CALL));
    let told = problem(&sources);
    assert_eq!(told.key, "backends.up.endpoint");
    assert!(told.reason.contains("allow_plaintext"), "{told}");
    let (_file, sources) =
        file(&up(&format!("{}\nallow_plaintext = true", with("http://h")), CALL));
    load(&sources);
}

#[test]
fn what_is_wrong_is_told_by_its_key() {
    for (keys, wrong) in [
        ("endpoint = \"h\"", &["endpoint"][..]),
        ("endpoint = \"grpc://h\"", &["endpoint"]),
        ("endpoint = \"https://h/v1\"", &["endpoint"]),
        ("endpoint = \"https://u:p@h\"", &["endpoint"]),
        ("endpoint = \"https://h\"\nbearer = \"a\"\nbasic = \"b:c\"", &["basic"]),
        ("endpoint = \"https://h\"\nbearer_file = \"/absent\"", &["bearer_file"]),
        ("endpoint = \"https://h\"\nheaders = { grpc-timeout = \"1S\" }", &["headers"]),
        ("endpoint = \"https://h\"\nheaders = { idempotency-key = \"k\" }", &["headers"]),
        ("endpoint = \"https://h\"\ncert_file = \"/absent\"", &["cert_file"]),
        (
            "endpoint = \"https://h\"\ncert_file = \"/absent\"\nkey_file = \"/absent\"",
            &["cert_file"],
        ),
        (
            "endpoint = \"http://h\"\ncert_file = \"/a\"\nkey_file = \"/a\"",
            &["cert_file", "key_file"],
        ),
        ("endpoint = \"http://h\"\nwaits = -1", &["waits"]),
        ("endpoint = \"http://h\"\npoll_first = \"31s\"", &["poll_first"]),
        ("endpoint = \"http://h\"\ngrace = \"25h\"", &["grace"]),
        ("endpoint = \"http://h\"\nnode = \"x\"", &["node"]),
        ("endpoint = \"http://h\"\nwait = 1", &["wait"]),
    ] {
        let (_file, sources) = file(&up(keys, CALL));
        let found: Vec<String> = problems(&sources).into_iter().map(|found| found.key).collect();
        let expected: Vec<String> = wrong.iter().map(|key| format!("backends.up.{key}")).collect();
        assert_eq!(found, expected, "{keys}");
    }
}

#[test]
fn a_route_says_what_is_called() {
    let more = "request = { parent = \"${/p}\", workflow = { labels = { a = \"b\" } } }\n\
                metadata = { x-goog-request-params = \"parent=${/p}\" }\nidempotent = true\n\
                result = \"json\"\ncancel = false\ntimeout = \"90s\"\nheaders = [\"x-a\", \"b-*\"]\n";
    let (_file, sources) = file(&up(OPEN, &format!("{KNOWN}{more}")));
    let (settings, _) = load(&sources);
    let options: Vec<(&str, &str)> = settings.routes["r"]
        .options
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("cancel", "false"),
        ("headers", "x-a,b-*"),
        ("idempotent", "true"),
        ("metadata", r#"{"x-goog-request-params":"parent=${/p}"}"#),
        ("method", "google.cloud.workflows.v1.Workflows/CreateWorkflow"),
        ("request", r#"{"parent":"${/p}","workflow":{"labels":{"a":"b"}}}"#),
        ("result", "json"),
        ("timeout", "90000"),
    ];
    assert_eq!(options, expected);
}

#[test]
fn what_is_wrong_with_a_route_is_told_by_its_key() {
    let key = |key: &str| format!("routes.r.longrunning_call.{key}");
    for (route, key) in [
        (String::new(), "routes.r.longrunning_call".to_owned()),
        ("[routes.r.longrunning_call]\nresult = \"json\"\n".to_owned(), key("method")),
        (CALL.replace("/Make", ""), key("method")),
        (CALL.replace("Make", "*"), key("method")),
        // It returns something else, as its descriptor says.
        (
            CALL.replace("acme.v1.Things/Make", "google.longrunning.Operations/ListOperations"),
            key("method"),
        ),
        (format!("{CALL}request_type = \"acme.v1.Absent\"\n"), key("request_type")),
        (format!("{KNOWN}request_type = \"google.protobuf.Struct\"\n"), key("request_type")),
        (format!("{CALL}request = {{ a = 1 }}\n"), key("request")),
        (format!("{KNOWN}request = {{ parnt = \"x\" }}\n"), key("request")),
        (format!("{KNOWN}request = {{ parent = \"${{/a\" }}\n"), key("request")),
        (format!("{CALL}request_id = \"request_id\"\n"), key("request_id")),
        (format!("{KNOWN}request_id = \"absent\"\n"), key("request_id")),
        (format!("{KNOWN}request_id = \"parent\"\nidempotent = false\n"), key("idempotent")),
        (format!("{CALL}metadata = {{ authorization = \"x\" }}\n"), key("metadata")),
        (format!("{CALL}metadata = {{ a = \"${{\" }}\n"), key("metadata")),
        (format!("{CALL}result = \"text\"\n"), key("result")),
        (format!("{CALL}headers = [\"cookie\"]\n"), key("headers")),
        (format!("{CALL}methd = \"x\"\n"), key("methd")),
        (format!("{CALL}[routes.r.nexus]\nservice = \"x\"\n"), "routes.r.nexus".to_owned()),
    ] {
        let (_file, sources) = file(&up(OPEN, &route));
        assert_eq!(problem(&sources).key, key, "{route}");
    }
    let call = ROUTE.replace("\"up\"", "\"showcase\"") + CALL;
    let (_file, sources) = file(&call);
    assert_eq!(problem(&sources).key, "routes.r.longrunning_call");
}
