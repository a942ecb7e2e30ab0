//! The command line: what goes where, and with which exit code.

use std::process::{Command, Output};

fn opgate(arguments: &[&str]) -> Output {
    // Nothing of the surroundings may reach the settings.
    Command::new(env!("CARGO_BIN_EXE_opgate")).args(arguments).env_clear().output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn help_fits_a_screen_and_names_the_variables() {
    let output = opgate(&["--help"]);
    let help = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(help.lines().count() <= 40, "{} lines", help.lines().count());
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    for word in ["OPGATE_CONFIG", "OPGATE_READY_FILE", "OPGATE__SECTION__KEY", "OPGATE__LOG__LEVEL"]
    {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
    for code in ["0", "64", "70", "71", "73", "74", "78", "130", "143"] {
        assert!(help.split(&[' ', '\n'][..]).any(|word| word == code), "{code} is not in\n{help}");
    }
    assert!(output.stderr.is_empty());
}

#[test]
fn the_version_goes_to_standard_output() {
    let output = opgate(&["version"]);
    assert_eq!(text(&output.stdout), format!("opgate {}\n", env!("CARGO_PKG_VERSION")));
    let output = opgate(&["version", "--json"]);
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(output.stderr.is_empty());
}

#[test]
fn shells_are_told_every_command() {
    let shells =
        [("bash", "complete -F"), ("zsh", "#compdef opgate"), ("fish", "complete -c opgate")];
    for (shell, mark) in shells {
        let output = opgate(&["completions", shell]);
        let script = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        for word in [mark, "older-than", "backends", "ready-file"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let page = opgate(&["man"]);
    assert!(text(&page.stdout).contains(".TH opgate 1"), "{}", text(&page.stdout));
    let list = opgate(&["man", "ops", "list"]);
    assert!(text(&list.stdout).contains("older\\-than"), "{}", text(&list.stdout));
    assert_eq!(opgate(&["man", "ops", "no-such"]).status.code(), Some(64));
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    let all = opgate(&["man", "--dir", pages.to_str().unwrap()]);
    assert_eq!((all.status.code(), text(&all.stdout)), (Some(0), ""));
    for page in ["opgate.1", "opgate-check.1", "opgate-ops.1", "opgate-ops-watch.1"] {
        assert!(pages.join(page).exists(), "{page}");
    }
}

#[test]
fn wrong_usage_is_64() {
    for arguments in [&["--no-such-flag"][..], &["no-such-command"], &["--config"], &["run", "x"]] {
        let output = opgate(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_good_configuration_passes_in_silence() {
    let output = opgate(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
}

#[test]
fn a_wrong_configuration_is_78_and_all_of_it_is_told() {
    let output = opgate(&["check", "--set", "wait.max=1", "--set", "http.lisen=x"]);
    assert_eq!(output.status.code(), Some(78));
    let told: Vec<&str> = text(&output.stderr).lines().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("http.lisen = \"x\" (--set): is not known"), "{}", told[0]);
    assert!(told[1].starts_with("wait.max = 1 (--set): must be a duration"), "{}", told[1]);
    assert!(output.stdout.is_empty());
}

#[test]
fn routes_are_shown_with_every_door() {
    let path =
        "routes.delete-compartment.http.request=DELETE /20160918/compartments/{compartmentId}";
    let output = opgate(&["routes", "--set", path]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert_eq!(
        told.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["ROUTE", "BACKEND", "DOOR", "REQUEST"]
    );
    // Words of a line, however wide its columns are.
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = told.lines().map(words).collect();
    for line in [
        "create-workflow showcase grpc /google.cloud.workflows.v1.Workflows/CreateWorkflow",
        "create-workflow showcase rest POST /v1/{parent=projects/*/locations/*}/workflows",
        "delete-compartment showcase oci DELETE /20160918/compartments/{compartmentId}",
        "showcase-echo showcase nexus POST /nexus/showcase/echo",
        "showcase-run showcase amqp any $management operation=run type=org.opgate.showcase, reply when accepted",
        "showcase-run showcase native POST /opgate/v1/operations showcase/run",
    ] {
        assert!(lines.iter().any(|told| told == line), "{line} is not in\n{told}");
    }
    assert!(!lines.iter().any(|line| line.contains("not-there")));
}

#[test]
fn routes_as_json_have_their_backends_and_queues() {
    let settings = [
        "backends.crew.kind=worker",
        "backends.crew.concurrency=2",
        "routes.paint.service=a b",
        "routes.paint.operation=paint",
        "routes.paint.backend=crew",
        "routes.paint.worker.queue=walls",
    ];
    let settings: Vec<&str> = settings.iter().flat_map(|one| ["--set", one]).collect();
    let output = opgate(&[&["routes", "--json"], &settings[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let routes: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let paint = routes.as_array().unwrap().iter().find(|route| route["route"] == "paint").unwrap();
    assert_eq!(paint["backend"], "crew");
    assert_eq!((&paint["kind"], &paint["queue"]), (&"worker".into(), &"walls".into()));
    assert_eq!(
        paint["doors"],
        serde_json::json!([
            { "door": "nexus", "request": "POST /nexus/a%20b/paint" },
            { "door": "native", "request": "POST /opgate/v1/operations a b/paint" },
        ])
    );
}

#[test]
fn check_finds_what_run_refuses() {
    let types = "routes.create-workflow.grpc.response_type=acme.v1.Nothing";
    // A file that is no descriptor set; it has newlines, and what is said of it has none.
    let files =
        format!("descriptors.files=[\"{}/config/opgate.toml\"]", env!("CARGO_MANIFEST_DIR"));
    let wrong = ["--set", types, "--set", "wait.max=1", "--set", &files];
    let check = opgate(&[&["check"], &wrong[..]].concat());
    assert_eq!(check.status.code(), Some(78));
    let told: Vec<&str> = text(&check.stderr).lines().collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("descriptors.files = [") && told[0].contains("(--set): "));
    assert!(told[1].starts_with("routes.create-workflow.grpc.response_type = "), "{}", told[1]);
    assert!(told[1].contains("(--set): ") && told[1].contains("acme.v1.Nothing"), "{}", told[1]);
    assert!(told[2].starts_with("wait.max = 1 (--set): "), "{}", told[2]);

    let run = opgate(&[&["run"], &wrong[..]].concat());
    assert_eq!(run.status.code(), Some(78));
    let logged: Vec<serde_json::Value> =
        text(&run.stderr).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let logged: Vec<&str> = logged.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(logged, told);
}

#[test]
fn a_log_level_that_is_none_is_78_and_says_what_is_allowed() {
    for command in ["check", "run"] {
        for level in [&["--log", "wran"][..], &["--set", "log.level=chatty"]] {
            let output = opgate(&[&[command], level].concat());
            assert_eq!(output.status.code(), Some(78), "{command} {level:?}");
            let said = text(&output.stderr);
            assert!(said.contains("log.level") && said.contains("info, debug or trace"), "{said}");
        }
    }
}

#[test]
fn the_settings_in_effect_are_shown_with_their_origins() {
    let output = opgate(&["check", "--print", "--log", "debug"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("level = \"debug\"  # --set"), "{shown}");
    assert!(shown.contains("listen = \"127.0.0.1:8080\"  # default"), "{shown}");
}

#[test]
fn flags_may_stand_before_and_after_the_command() {
    let before = opgate(&["--set", "wait.open=7", "check", "--print"]);
    let after = opgate(&["check", "--print", "--set", "wait.open=7"]);
    assert!(text(&before.stdout).contains("open = 7  # --set"));
    assert_eq!(before.stdout, after.stdout);
}
