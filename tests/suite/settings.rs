//! Settings: layers, problems, and the shipped file as the one source of defaults.

mod amqp_backend;
mod amqp_users;
mod console;
mod longrunning_backend;
mod manner;
mod mistakes;
mod nexus;
mod oci;
mod oci_backend;
mod oci_keys;
mod reload;
mod starts;
mod tls;

use std::collections::BTreeSet;
use std::time::Duration;

use opgate::settings::{BackendKind, Durability, Effective, Problem, Settings, Sources, Worker};
use opgate_amqp::Product;

const DEFAULTS: &str = include_str!("../../config/opgate.toml");

/// Sources of one file with the given text, which must be kept while they are used.
fn file(text: &str) -> (tempfile::NamedTempFile, Sources) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let sources = Sources { files: vec![file.path().to_owned()], ..Sources::default() };
    (file, sources)
}

fn set(assignments: &[&str]) -> Sources {
    let set = assignments.iter().map(|&assignment| assignment.to_owned()).collect();
    Sources { set, ..Sources::default() }
}

fn variables(variables: &[(&str, &str)]) -> Sources {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    Sources { environment: variables.iter().map(owned).collect(), ..Sources::default() }
}

fn load(sources: &Sources) -> (Settings, Effective) {
    Settings::load(sources).unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems(sources: &Sources) -> Vec<Problem> {
    match Settings::load(sources) {
        Ok(_) => panic!("accepted"),
        Err(problems) => problems.iter().cloned().collect(),
    }
}

/// The only problem there is.
fn problem(sources: &Sources) -> Problem {
    let mut problems = problems(sources);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.remove(0)
}

#[test]
fn the_shipped_file_is_valid_and_loopback_only() {
    let (settings, _) = load(&Sources::default());
    assert!(settings.http.listen.ip().is_loopback() && settings.admin.listen.ip().is_loopback());
    assert_eq!(settings.data.durability, Durability::Fsync);
    assert_eq!(settings.wait.max, Duration::from_secs(30));
    assert!(settings.routes.contains_key("create-workflow"));
}

/// The keys in the shipped file, commented-out ones included, with `NAME` for given names.
fn documented() -> BTreeSet<String> {
    let mut section = Vec::new();
    let mut keys = BTreeSet::new();
    for line in DEFAULTS.lines() {
        let code = line.strip_prefix("# ").unwrap_or(line);
        if code.starts_with('[') {
            let header = code.trim_start_matches('[');
            let header = header.split(']').next().unwrap();
            section = header.split('.').map(str::to_owned).collect();
            if matches!(section[0].as_str(), "backends" | "routes") {
                section[1] = "NAME".to_owned();
            }
            if section[0] == "oci" && section.len() > 2 {
                section[2] = "NAME".to_owned();
            }
        } else if let Some((key, _)) = code.split_once(" = ")
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            keys.insert(format!("{}.{key}", section.join(".")));
        }
    }
    keys
}

#[test]
fn the_shipped_file_has_every_key_and_only_those() {
    let documented: BTreeSet<String> = documented()
        .into_iter()
        // What an instruction holds is the showcase's own affair.
        .filter(|key| !key.starts_with("routes.NAME.showcase"))
        .collect();
    let sections = [
        "data",
        "http",
        "http.tls",
        "admin",
        "admin.console",
        "admin.tls",
        "amqp.tls",
        "wait",
        "watch",
        "retry",
        "callbacks",
        "drain",
        "log",
    ]
    .into_iter()
    .chain(["callbacks.receivers", "egress", "buildgrid", "descriptors", "audit"])
    .chain([
        "oci",
        "oci.services",
        "oci.compartments",
        "oci.tenancies",
        "oci.users",
        "oci.issuers",
        "amqp",
        "amqp.users",
        "amqp.properties",
        "amqp.work",
    ])
    .chain([
        "backends",
        "routes",
        "routes.NAME.amqp",
        "routes.NAME.grpc",
        "routes.NAME.amqp_call",
        "routes.NAME.amqp_call.poll",
        "routes.NAME.http",
        "routes.NAME.longrunning_call",
        "routes.NAME.nexus",
        "routes.NAME.oci",
        "routes.NAME.resources",
        "routes.NAME.showcase",
        "routes.NAME.worker",
    ]);
    let mut known = Settings::keys();
    for section in sections {
        assert!(known.remove(section), "{section} is read");
    }
    assert_eq!(documented, known);
}

#[test]
fn all_problems_are_told_at_once() {
    let (_file, sources) = file(
        "[http]\n\
         lisen = \"127.0.0.1:0\"\n\
         connections = 0\n\
         head_timeout = 30\n\
         [data]\n\
         max_size = \"1.9GiB\"\n\
         durability = \"sometimes\"\n\
         [backends.up]\n\
         kind = \"grpc\"\n\
         [routes.My_Route]\n\
         service = \"s\"\n",
    );
    let name = sources.files[0].display().to_string();
    let found: Vec<(String, Option<String>)> =
        problems(&sources).into_iter().map(|problem| (problem.key, problem.origin)).collect();
    let at = |line: u32| Some(format!("{name}:{line}"));
    let expected = [
        ("backends.up.concurrency", at(9)),
        ("backends.up.kind", at(9)),
        ("data.durability", at(7)),
        ("data.max_size", at(6)),
        ("http.connections", at(3)),
        ("http.head_timeout", at(4)),
        ("http.lisen", at(2)),
        ("routes.My_Route", at(11)),
        ("routes.My_Route.backend", at(11)),
        ("routes.My_Route.operation", at(11)),
    ];
    assert_eq!(found, expected.map(|(key, origin)| (key.to_owned(), origin)));
}

#[test]
fn a_problem_says_what_came_from_where_and_what_is_allowed() {
    let (_file, sources) = file("[http]\n\nhead_timeout = \"30 s\"\n");
    let origin = format!("{}:3", sources.files[0].display());
    assert_eq!(
        problem(&sources).to_string(),
        format!(
            "http.head_timeout = \"30 s\" ({origin}): must be a duration from 10ms to 1h: a whole \
             number and one of ms, s, m, h, d, such as \"30s\""
        )
    );
}

#[test]
fn a_slip_in_a_key_is_met_with_the_key_meant() {
    assert_eq!(problem(&set(&["http.lsiten=1"])).nearest.as_deref(), Some("http.listen"));
    assert_eq!(problem(&set(&["htp.listen=1"])).nearest.as_deref(), Some("http"));
    assert_eq!(problem(&set(&["wait.colour=1"])).nearest, None);
}

#[test]
fn bare_numbers_fractions_and_other_spellings_are_refused() {
    for assignment in [
        "http.body_size=4194304",
        "http.body_size=1.5MiB",
        "http.body_size=4MB",
        "http.head_timeout=30",
        "http.head_timeout=0.5s",
        "http.connections=1.9",
        "http.connections=\"7\"",
        "http.connections=-1",
        "http.allow_plaintext=yes",
        "http.allow_plaintext=1",
        "http.listen=localhost:1",
        "http.listen=127.0.0.1",
        "log.level=loud=very",
        "log.level=chatty",
        "log.level=info,opgate_store",
        "log.level=info, h2=debug",
        "log.level=info,",
        "log.format=xml",
        "data.dir=",
        "data.dir=7",
        "descriptors.files=a.pb",
        "http=1",
        "routes.showcase-run.timeout=0s",
    ] {
        let problem = problem(&set(&[assignment]));
        assert_eq!(problem.origin.as_deref(), Some("--set"), "{assignment}: {problem}");
    }
}

#[test]
fn each_layer_lies_over_the_one_before() {
    let (_first, mut sources) = file("[wait]\nmax = \"1s\"\nopen = 1\n[drain]\nnotice = \"1s\"\n");
    let (_second, second) = file("[wait]\nmax = \"2s\"\nopen = 2\n");
    sources.files.extend(second.files);
    sources.environment = variables(&[("OPGATE__WAIT__MAX", "3s")]).environment;
    sources.set = set(&["wait.max=4s", "wait.max=5s"]).set;
    let (settings, effective) = load(&sources);
    assert_eq!(settings.wait.max, Duration::from_secs(5));
    assert_eq!(settings.wait.open, 2);
    assert_eq!(settings.drain.notice, Duration::from_secs(1));
    assert_eq!(settings.drain.timeout, Duration::from_secs(30));
    let shown = effective.to_string();
    let first = sources.files[0].display();
    let second = sources.files[1].display();
    for line in [
        "max = \"5s\"  # --set".to_owned(),
        format!("open = 2  # {second}:3"),
        format!("notice = \"1s\"  # {first}:5"),
        "timeout = \"30s\"  # default".to_owned(),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
}

#[test]
fn the_settings_in_effect_can_be_read_back() {
    let (_, effective) = load(&set(&["http.listen=127.0.0.1:0", r#"data.dir="a \"b\" \\c""#]));
    let (_file, sources) = file(&effective.to_string());
    let (settings, again) = load(&sources);
    assert_eq!(settings.data.dir.to_str(), Some(r#"a "b" \c"#));
    let values = |effective: &Effective| {
        let value = |line: &str| line.rsplit_once("  # ").unwrap_or((line, "")).0.to_owned();
        effective.to_string().lines().map(value).collect::<Vec<_>>()
    };
    assert_eq!(values(&effective), values(&again));
}

#[test]
fn a_variable_sets_a_key_and_is_named_when_it_is_wrong() {
    let (settings, _) = load(&variables(&[
        ("OPGATE__HTTP__LISTEN", "[::1]:0"),
        ("OPGATE__HTTP__CONNECTIONS", "12"),
        ("OPGATE__ROUTES__CREATE_WORKFLOW__RETENTION", "2h"),
        ("OPGATE_CONFIG", "not ours"),
        ("PATH", "/bin"),
    ]));
    assert_eq!(settings.http.listen.to_string(), "[::1]:0");
    assert_eq!(settings.http.connections, 12);
    assert_eq!(settings.routes["create-workflow"].retention, Duration::from_hours(2));

    let wrong = problem(&variables(&[("OPGATE__WAIT__MAX", "long")]));
    assert_eq!(wrong.origin.as_deref(), Some("environment variable OPGATE__WAIT__MAX"));
    let unknown = problem(&variables(&[("OPGATE__WAIT__MAXX", "1s")]));
    assert_eq!(unknown.nearest.as_deref(), Some("wait.max"));
    problem(&variables(&[("OPGATE__", "1s")]));
    problem(&variables(&[("OPGATE__WAIT", "1s")]));
}

#[test]
fn a_variable_cannot_add_an_entry() {
    let wrong = problem(&variables(&[("OPGATE__BACKENDS__BILLING__KIND", "showcase")]));
    assert_eq!(wrong.key, "backends.billing");
    assert_eq!(
        wrong.origin.as_deref(),
        Some("environment variable OPGATE__BACKENDS__BILLING__KIND")
    );
    let (_file, mut sources) = file("[backends.billing]\nkind = \"showcase\"\nconcurrency = 1\n");
    sources.environment = variables(&[("OPGATE__BACKENDS__BILLING__CONCURRENCY", "9")]).environment;
    assert_eq!(load(&sources).0.backends["billing"].concurrency, 9);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Sources { files: vec!["no/such/file.toml".into()], ..Sources::default() };
    assert_eq!(problem(&missing).origin.as_deref(), Some("no/such/file.toml"));
    let (_file, broken) = file("[http]\nlisten = \n");
    let origin = format!("{}:2", broken.files[0].display());
    assert_eq!(problem(&broken).origin, Some(origin));
    let (_file, twice) = file("[wait]\nopen = 1\nopen = 2\n");
    let origin = format!("{}:3", twice.files[0].display());
    assert_eq!(problem(&twice).origin, Some(origin));
}

#[test]
fn an_assignment_must_name_a_key_in_a_section() {
    for assignment in ["http.listen", "=1", "http=1=2", ".=1", "http..listen=1", "x=1"] {
        problem(&set(&[assignment]));
    }
}

#[test]
fn plaintext_beyond_loopback_must_be_asked_for_on_that_listener() {
    for listener in ["http", "admin", "amqp"] {
        let listen = format!("{listener}.listen=0.0.0.0:0");
        assert_eq!(problem(&set(&[&listen])).key, format!("{listener}.listen"));
        load(&set(&[&listen, &format!("{listener}.allow_plaintext=true")]));
    }
    // An address of the other family that is loopback all the same.
    load(&set(&["http.listen=[::ffff:127.0.0.1]:0"]));
    assert_eq!(
        problem(&set(&["http.listen=0.0.0.0:0", "admin.allow_plaintext=true"])).key,
        "http.listen"
    );
}

#[test]
fn amqp_says_of_itself_what_it_is_told_to() {
    let product = |sources: &Sources| load(sources).0.amqp.product;
    assert_eq!(product(&Sources::default()), Product::default());
    let told = ["amqp.properties.product=RabbitMQ", "amqp.properties.version=\"4.1.0\""];
    let expected = Product { name: "RabbitMQ".to_owned(), version: "4.1.0".to_owned() };
    assert_eq!(product(&set(&told)), expected);
    // To a client for which one without the other is the end, neither can be nothing.
    for key in ["amqp.properties.product", "amqp.properties.version"] {
        for value in ["\"\"", &"x".repeat(101), "4"] {
            assert_eq!(problem(&set(&[&format!("{key}={value}")])).key, key);
        }
    }
}

#[test]
fn keys_are_checked_against_one_another() {
    for (assignments, key) in [
        (&["admin.listen=127.0.0.1:8080"][..], "admin.listen"),
        (&["amqp.listen=127.0.0.1:9464"], "amqp.listen"),
        (&["data.live_operations=9", "data.resident_operations=8"], "data.live_operations"),
        (&["http.stream_window=2MiB"], "http.stream_window"),
        (&["retry.first=2m"], "retry.first"),
        (&["routes.showcase-run.backend=none"], "routes.showcase-run.backend"),
        (&["routes.showcase-run.operation=echo"], "routes.showcase-run.operation"),
        (&["routes.showcase-run.showcase.steps=1"], "routes.showcase-run.showcase"),
        (&["routes.create-workflow.showcase.colour=1"], "routes.create-workflow.showcase"),
        (&["routes.create-workflow.grpc.method=a/b/c"], "routes.create-workflow.grpc.method"),
        (
            &["routes.showcase-run.grpc.method=opgate.showcase.v1.Showcase/Echo"],
            "routes.showcase-run.grpc.method",
        ),
        (&["routes.create-workflow.grpc.input=xml"], "routes.create-workflow.grpc.input"),
        (&["routes.create-workflow.http.body=x"], "routes.create-workflow.http.request"),
        (
            &["routes.create-workflow.http.request=\"GO /v1\""],
            "routes.create-workflow.http.request",
        ),
        (
            &["routes.create-workflow.http.request=\"POST /v1/{nope}\""],
            "routes.create-workflow.http.request",
        ),
        (
            &[
                "routes.create-workflow.http.request=\"POST /v1/x\"",
                "routes.create-workflow.http.body=nope",
            ],
            "routes.create-workflow.http.body",
        ),
        (&["routes.showcase-run.grpc.request_type=1"], "routes.showcase-run.grpc.request_type"),
        (&["descriptors.files=[\"no/such.pb\"]"], "descriptors.files"),
        (&["buildgrid.instances=[\"a/operations\"]"], "buildgrid.instances"),
    ] {
        assert_eq!(problem(&set(assignments)).key, key);
    }
    load(&set(&["http.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0"]));
}

#[test]
fn a_log_level_may_name_parts_and_spans() {
    for level in ["off", "WARN", "info,opgate_store=debug", "warn,[call{a=1}]=trace,opgate[call]"] {
        load(&set(&[&format!("log.level=\"{level}\"")]));
    }
    let wrong = problem(&set(&["log.level=wran"])).to_string();
    assert!(wrong.contains("\"wran\" is no level") && wrong.contains("warn, info"), "{wrong}");
}

#[test]
fn what_descriptors_do_not_have_is_told_with_all_else() {
    let bad = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(bad.path(), [7]).unwrap();
    let (_file, sources) = file(&format!(
        "[wait]\nmaxx = 1\n\
         [descriptors]\nfiles = [\"no/such.pb\", \"{}\"]\n\
         [routes.create-workflow.grpc]\n\
         metadata_type = \"acme.v1.Nothing\"\n\
         request_id = \"nothing\"\n\
         [routes.showcase-run.grpc]\n\
         method = \"google.longrunning.Operations/DeleteOperation\"\n\
         request_type = \"acme.v1.Nothing\"\n",
        bad.path().display()
    ));
    let name = sources.files[0].display().to_string();
    let problems = problems(&sources);
    let found: Vec<(&str, Option<&str>)> =
        problems.iter().map(|problem| (problem.key.as_str(), problem.origin.as_deref())).collect();
    let at = |line: u32| format!("{name}:{line}");
    let (four, six, seven, nine, ten, two) = (at(4), at(6), at(7), at(9), at(10), at(2));
    let expected = [
        ("descriptors.files", Some(&*four)),
        ("descriptors.files", Some(&*four)),
        ("routes.create-workflow.grpc.metadata_type", Some(&*six)),
        ("routes.create-workflow.grpc.request_id", Some(&*seven)),
        // The service is opgate's own, and the method returns something else.
        ("routes.showcase-run.grpc.method", Some(&*nine)),
        ("routes.showcase-run.grpc.method", Some(&*nine)),
        ("routes.showcase-run.grpc.request_type", Some(&*ten)),
        ("wait.maxx", Some(&*two)),
    ];
    assert_eq!(found, expected, "{problems:#?}");
}

#[test]
fn a_problem_is_one_line_whatever_it_quotes() {
    let (_file, sources) = file("[descriptors]\nfiles = [\"no\\nsuch\\u001b[2J.pb\"]\n");
    let line = problem(&sources).to_string();
    assert!(!line.contains(char::is_control), "{line:?}");
}

#[test]
fn a_file_adds_routes_changes_them_and_switches_them_off() {
    let (_file, sources) = file(
        "[routes.mine]\n\
         service = \"s\"\noperation = \"o\"\nbackend = \"showcase\"\n\
         [routes.create-workflow]\nretention = \"1h\"\n\
         [routes.showcase-run]\nenabled = false\n\
         [routes.own-run]\n\
         service = \"showcase\"\noperation = \"run\"\nbackend = \"showcase\"\n",
    );
    let (settings, _) = load(&sources);
    let (defaults, _) = load(&Sources::default());
    assert_eq!(settings.routes["mine"].retention, defaults.routes["create-workflow"].retention);
    assert_eq!(settings.routes["create-workflow"].retention, Duration::from_hours(1));
    assert!(!settings.routes.contains_key("showcase-run"));
    assert_eq!(settings.routes.len(), defaults.routes.len() + 1);
}

#[test]
fn an_instruction_is_kept_as_json() {
    let (settings, _) = load(&set(&["routes.create-workflow.showcase.duration=1s"]));
    let options = &settings.routes["create-workflow"].options;
    let instruction: serde_json::Value = serde_json::from_str(&options["instruction"]).unwrap();
    assert_eq!(instruction["duration"], "1s");
    assert_eq!(instruction["steps"], 2);
    assert_eq!(instruction["result"]["$merge"][0], "${/workflow}");
}

#[test]
fn workers_are_configured_and_what_is_wrong_with_them_is_told() {
    let (_file, sources) = file(
        "[backends.farm]\nkind = \"worker\"\nconcurrency = 1\n\
         [routes.render]\nservice = \"s\"\noperation = \"o\"\nbackend = \"farm\"\n",
    );
    let settings = Settings::load(&sources).unwrap().0;
    let expected = Worker { backlog: 100_000, lease: Duration::from_secs(30), attempts: 3 };
    assert!(matches!(&settings.backends["farm"].kind, BackendKind::Worker(w) if *w == expected));
    assert!(settings.routes["render"].grpc.is_none(), "a route needs no door");

    let (_file, sources) = file(
        "[backends.farm]\nkind = \"worker\"\nconcurrency = 1\n\
         backlog = 0\nlease = \"1ms\"\nattempts = 0\n\
         [backends.mill]\nkind = \"worker\"\nconcurrency = 1\n\
         [backends.show]\nkind = \"showcase\"\nconcurrency = 1\nlease = \"30s\"\n\
         [routes.a]\nservice = \"s\"\noperation = \"a\"\nbackend = \"farm\"\n\
         worker = { queue = \"No Queue\" }\n\
         [routes.b]\nservice = \"s\"\noperation = \"b\"\nbackend = \"show\"\n\
         worker = { queue = \"q\" }\n\
         [routes.c]\nservice = \"s\"\noperation = \"c\"\nbackend = \"farm\"\n\
         showcase = { duration = \"1s\" }\n\
         [routes.d]\nservice = \"s\"\noperation = \"d\"\nbackend = \"farm\"\n\
         worker = { queue = \"mill\" }\n\
         [routes.e]\nservice = \"s\"\noperation = \"e\"\nbackend = \"mill\"\n",
    );
    let found: Vec<String> = problems(&sources).into_iter().map(|problem| problem.key).collect();
    let expected = [
        "backends.farm.attempts",
        "backends.farm.backlog",
        "backends.farm.lease",
        "backends.show.lease",
        "routes.a.worker.queue",
        "routes.b.worker",
        "routes.c.showcase",
        "routes.e.worker.queue",
    ];
    assert_eq!(found, expected);
}
