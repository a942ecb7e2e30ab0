//! Backends of kind `amqp`, and routes to them.

use std::io::Write as _;

use opgate::settings::{AmqpBackend, BackendKind, Settings};

use super::{file, load, problem, problems};

const ROUTE: &str = "[routes.r]\nservice = \"s\"\noperation = \"o\"\nbackend = \"up\"\n";
const CALL: &str = "[routes.r.amqp_call]\noperation = \"DELETE\"\n";
const OPEN: &str = "endpoint = \"amqp://h\"";

/// A backend with these keys, and a route to it with these.
fn up(keys: &str, route: &str) -> String {
    format!("[backends.up]\nkind = \"amqp\"\nconcurrency = 1\n{keys}\n{ROUTE}{route}")
}

fn amqp(settings: &Settings) -> &AmqpBackend {
    match &settings.backends["up"].kind {
        BackendKind::Amqp(amqp) => amqp,
        other @ (BackendKind::Showcase
        | BackendKind::Worker(_)
        | BackendKind::Nexus(_)
        | BackendKind::Oci(_)
        | BackendKind::Longrunning(_)) => panic!("{other:?}"),
    }
}

#[test]
fn what_is_left_out_is_as_documented() {
    let (_file, sources) = file(&up(OPEN, CALL));
    let (settings, _) = load(&sources);
    let up = amqp(&settings);
    assert_eq!((&*up.node, up.timeout.as_secs(), up.idle.as_secs()), ("$management", 30, 60));
    assert_eq!((up.in_flight, up.poll_first.as_secs(), up.grace.as_secs()), (256, 1, 300));
    assert_eq!(format!("{:?}", up.sasl), "ANONYMOUS");
    assert_eq!(up.endpoint.to_string(), "amqp://h:5672");
}

#[test]
fn a_user_has_a_password_in_a_file_that_is_not_shown() {
    let mut password = tempfile::NamedTempFile::new().unwrap();
    writeln!(password, "secret").unwrap();
    let path = password.path().display();
    let user = |endpoint: &str| {
        format!("endpoint = \"{endpoint}\"\nuser = \"me\"\npassword_file = \"{path}\"")
    };
    for endpoint in ["amqps://h", "amqp://127.0.0.1", "amqp://localhost"] {
        let (_file, sources) = file(&up(&user(endpoint), CALL));
        let (settings, effective) = load(&sources);
        assert_eq!(format!("{:?}", amqp(&settings).sasl), "PLAIN");
        assert!(!effective.to_string().contains("secret"));
    }
    let (_file, sources) = file(&up(&user("amqp://h"), CALL));
    let told = problem(&sources);
    assert_eq!(told.key, "backends.up.endpoint");
    assert!(told.reason.contains("allow_plaintext"), "{told}");
    let (_file, sources) =
        file(&up(&format!("{}\nallow_plaintext = true", user("amqp://h")), CALL));
    load(&sources);
}

#[test]
fn what_is_wrong_is_told_by_its_key() {
    for (keys, wrong) in [
        ("endpoint = \"h\"", &["endpoint"][..]),
        ("endpoint = \"amqp://u:p@h\"", &["endpoint"]),
        ("endpoint = \"amqps://h\"\nuser = \"me\"", &["password_file"]),
        (
            "endpoint = \"amqps://h\"\nuser = \"me\"\npassword_file = \"/absent\"",
            &["password_file"],
        ),
        ("endpoint = \"amqps://h\"\nsasl = \"plain\"", &["password_file", "user"]),
        ("endpoint = \"amqps://h\"\nsasl = \"external\"", &["sasl"]),
        ("endpoint = \"amqps://h\"\nsasl = \"scram\"", &["sasl"]),
        ("endpoint = \"amqps://h\"\nsasl = \"anonymous\"\nuser = \"me\"", &["user"]),
        ("endpoint = \"amqps://h\"\ncert_file = \"/absent\"", &["cert_file"]),
        (
            "endpoint = \"amqps://h\"\ncert_file = \"/absent\"\nkey_file = \"/absent\"",
            &["cert_file"],
        ),
        (
            "endpoint = \"amqp://h\"\ncert_file = \"/a\"\nkey_file = \"/a\"",
            &["cert_file", "key_file"],
        ),
        ("endpoint = \"amqp://h\"\nreply = \"here\"", &["reply"]),
        ("endpoint = \"amqp://h\"\nin_flight = 0", &["in_flight"]),
        ("endpoint = \"amqp://h\"\nidle_timeout = \"10ms\"", &["idle_timeout"]),
        ("endpoint = \"amqp://h\"\npoll_first = \"31s\"", &["poll_first"]),
        ("endpoint = \"amqp://h\"\nbearer = \"a\"", &["bearer"]),
        ("endpoint = \"amqp://h\"\nlease = \"30s\"", &["lease"]),
        ("endpoint = \"amqp://h\"\nnod = \"x\"", &["nod"]),
    ] {
        let (_file, sources) = file(&up(keys, CALL));
        let found: Vec<String> = problems(&sources).into_iter().map(|found| found.key).collect();
        let expected: Vec<String> = wrong.iter().map(|key| format!("backends.up.{key}")).collect();
        assert_eq!(found, expected, "{keys}");
    }
}

#[test]
fn a_route_says_what_is_asked_for() {
    let more = "type = \"t\"\nname = \"${/n}\"\nproperties = { a = \"${/a}\", k = { \"$uint\" = 1 } }\n\
                body = { all = \"${}\" }\nidempotent = true\ncompletion = \"poll\"\n\
                timeout = \"90s\"\nheaders = [\"x-a\", \"b-*\"]\n\
                [routes.r.amqp_call.poll]\nsucceeded = [\"DONE\", \"OK\"]\ncancel = \"\"\n";
    let (_file, sources) = file(&up(OPEN, &format!("{CALL}{more}")));
    let (settings, _) = load(&sources);
    let options: Vec<(&str, &str)> = settings.routes["r"]
        .options
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("body", r#"{"all":"${}"}"#),
        ("completion", "poll"),
        ("headers", "x-a,b-*"),
        ("idempotent", "true"),
        ("name", "${/n}"),
        ("operation", "DELETE"),
        ("poll.cancel", ""),
        ("poll.succeeded", "DONE,OK"),
        ("properties", r#"{"a":"${/a}","k":{"$uint":1}}"#),
        ("timeout", "90000"),
        ("type", "t"),
    ];
    assert_eq!(options, expected);
}

#[test]
fn what_is_wrong_with_a_route_is_told_by_its_key() {
    for (route, key) in [
        ("", "routes.r.amqp_call"),
        ("[routes.r.amqp_call]\ntype = \"t\"\n", "routes.r.amqp_call.operation"),
        ("[routes.r.amqp_call]\noperation = \"${/a\"\n", "routes.r.amqp_call.operation"),
        (
            "[routes.r.amqp_call]\noperation = \"X\"\ncompletion = \"later\"\n",
            "routes.r.amqp_call.completion",
        ),
        (
            "[routes.r.amqp_call]\noperation = \"X\"\nproperties = { type = \"t\" }\n",
            "routes.r.amqp_call.properties",
        ),
        ("[routes.r.amqp_call]\noperation = \"X\"\npol = 1\n", "routes.r.amqp_call.pol"),
        (
            "[routes.r.amqp_call]\noperation = \"X\"\n[routes.r.amqp_call.poll]\nstate = \"/s\"\n",
            "routes.r.amqp_call.poll.state",
        ),
        (
            "[routes.r.amqp_call]\noperation = \"X\"\ncompletion = \"poll\"\n[routes.r.amqp_call.poll]\nstate = \"s\"\n",
            "routes.r.amqp_call.poll.state",
        ),
        (
            "[routes.r.amqp_call]\noperation = \"X\"\n[routes.r.nexus]\nservice = \"x\"\n",
            "routes.r.nexus",
        ),
    ] {
        let (_file, sources) = file(&up(OPEN, route));
        assert_eq!(problem(&sources).key, key, "{route}");
    }
    let call = ROUTE.replace("\"up\"", "\"showcase\"") + CALL;
    let (_file, sources) = file(&call);
    assert_eq!(problem(&sources).key, "routes.r.amqp_call");
}
