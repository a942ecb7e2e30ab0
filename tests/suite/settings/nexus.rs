//! Backends of kind `nexus`, and routes to them.

use std::io::Write as _;

use opgate::settings::{BackendKind, Nexus, Settings};

use super::{file, load, problem, problems};

const ROUTE: &str = "[routes.r]\nservice = \"s\"\noperation = \"o\"\nbackend = \"up\"\n";

fn up(keys: &str) -> String {
    format!("[backends.up]\nkind = \"nexus\"\nconcurrency = 1\n{keys}\n{ROUTE}")
}

fn nexus(settings: &Settings) -> &Nexus {
    match &settings.backends["up"].kind {
        BackendKind::Nexus(nexus) => nexus,
        other @ (BackendKind::Showcase
        | BackendKind::Worker(_)
        | BackendKind::Oci(_)
        | BackendKind::Amqp(_)
        | BackendKind::Longrunning(_)) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn an_endpoint_is_enough() {
    let (_file, sources) = file(&up("endpoint = \"https://h/nexus?key=abc\""));
    let (settings, _) = load(&sources);
    let up = nexus(&settings);
    assert!(up.callback.is_none());
    assert_eq!(up.timeout.as_secs(), 10);
    assert!(settings.routes["r"].options.is_empty());
}

#[test]
fn what_is_wrong_is_told_by_its_key() {
    for (keys, key) in [
        ("", "endpoint"),
        ("endpoint = \"h\"", "endpoint"),
        ("endpoint = \"https://u:p@h\"", "endpoint"),
        ("endpoint = \"https://h\"\ncallback = \"h\"", "callback"),
        ("endpoint = \"https://h\"\ncallback = \"https://h/?a=b\"", "callback"),
        ("endpoint = \"https://h\"\ncompletion = \"sometimes\"", "completion"),
        ("endpoint = \"https://h\"\ncompletion = \"poll\"\ncallback = \"https://h\"", "callback"),
        ("endpoint = \"https://h\"\ntimeout = \"0s\"", "timeout"),
        ("endpoint = \"https://h\"\npoll_first = \"31s\"", "poll_first"),
        ("endpoint = \"https://h\"\nbearer_file = \"no/such/file\"", "bearer_file"),
        ("endpoint = \"https://h\"\nbearer = \"a\"\nbearer_file = \"/dev/null\"", "bearer_file"),
        ("endpoint = \"https://h\"\nbearer = \"a\\nb\"", "bearer"),
        ("endpoint = \"https://h\"\nbasic = \"nobody\"", "basic"),
        ("endpoint = \"https://h\"\nbasic = \"a:b\"\nbearer = \"c\"", "basic"),
        ("endpoint = \"https://h\"\nheaders = { host = \"x\" }", "headers"),
        ("endpoint = \"https://h\"\nheaders = { x-a = 1 }", "headers"),
        ("endpoint = \"https://h\"\nlease = \"30s\"", "lease"),
        ("endpoint = \"https://h\"\nendpiont = \"x\"", "endpiont"),
    ] {
        let (_file, sources) = file(&up(keys));
        let found: Vec<String> = problems(&sources).into_iter().map(|found| found.key).collect();
        let expected = format!("backends.up.{key}");
        assert_eq!(found, [expected], "{keys}");
    }
}

#[test]
fn a_callback_needs_an_address_to_come_to() {
    let beyond = "[http]\nlisten = \"0.0.0.0:0\"\nallow_plaintext = true\n";
    let keys = "endpoint = \"https://h\"\ncompletion = \"callback\"";
    let (_file, sources) = file(&format!("{beyond}{}", up(keys)));
    assert_eq!(problem(&sources).key, "backends.up.callback");
    let (_file, sources) =
        file(&format!("{beyond}{}", up(&format!("{keys}\ncallback = \"https://me\""))));
    load(&sources);
    let (_file, sources) = file(&up(keys));
    load(&sources);
}

#[test]
fn a_route_says_what_the_handler_calls_it_and_what_it_may_know() {
    let text = up("endpoint = \"https://h\"");
    let keys = "[routes.r.nexus]\nservice = \"a/b\"\nheaders = [\"x-a\", \"b-*\"]\n";
    let (_file, sources) = file(&format!("{text}{keys}"));
    let (settings, _) = load(&sources);
    let options = &settings.routes["r"].options;
    assert_eq!((&*options["service"], &*options["headers"]), ("a/b", "x-a,b-*"));

    for (keys, key) in [
        ("[routes.r.nexus]\nservice = \"..\"\n", "routes.r.nexus.service"),
        ("[routes.r.nexus]\nheaders = [\"cookie\"]\n", "routes.r.nexus.headers"),
        ("[routes.r.nexus]\ncolour = \"x\"\n", "routes.r.nexus.colour"),
        ("[routes.r.showcase]\nduration = \"1s\"\n", "routes.r.showcase"),
        ("[routes.showcase-run.nexus]\nservice = \"x\"\n", "routes.showcase-run.nexus"),
        (
            "[routes.d]\nservice = \"s\"\noperation = \"..\"\nbackend = \"up\"\n",
            "routes.d.operation",
        ),
        // Every route is one that Nexus starts.
        (
            "[routes.d]\nservice = \".\"\noperation = \"o\"\nbackend = \"showcase\"\n",
            "routes.d.service",
        ),
    ] {
        let (_file, sources) = file(&format!("{text}{keys}"));
        assert_eq!(problem(&sources).key, key, "{keys}");
    }
}

#[test]
fn secrets_are_read_from_files_and_are_not_shown() {
    let mut secret = tempfile::NamedTempFile::new().unwrap();
    writeln!(secret, "from-a-file").unwrap();
    let path = secret.path().display();
    let (_file, sources) = file(&up(&format!(
        "endpoint = \"https://h/?key=hush\"\nbearer = \"hush\"\n\
         headers = {{ x-a = \"hush\", x-b = {{ file = \"{path}\" }}, file = \"hush\" }}"
    )));
    let (settings, effective) = load(&sources);
    let shown = format!("{effective}{:?}", nexus(&settings));
    assert!(!shown.contains("hush") && !shown.contains("from-a-file"), "{shown}");
    assert!(shown.contains(&path.to_string()), "{shown}");
    // Nor are they where something is wrong with them.
    let (_file, sources) = file(&up("endpoint = \"https://h\"\nbasic = \"hush\""));
    let problem = problem(&sources).to_string();
    assert!(problem.contains("user:password") && !problem.contains("hush"), "{problem}");
    for key in ["endpoint = \"https://h\"\ncallback", "endpoint"] {
        for secret in ["hush@h", "u:hush@h/p@q", "u:hush@hush@h?k=hush", "h/p?k=hush#"] {
            let (_file, sources) = file(&up(&format!("{key} = \"https://{secret}\"")));
            let problem = super::problem(&sources).to_string();
            assert!(!problem.contains("hush") && problem.contains("https://"), "{problem}");
        }
    }
}
