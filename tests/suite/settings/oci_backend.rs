//! Backends of kind `oci`, and routes to them.

use opgate::settings::{BackendKind, OciBackend, Settings};

use super::{file, load, problem, problems};

const ROUTE: &str = "[routes.r]\nservice = \"s\"\noperation = \"o\"\nbackend = \"up\"\n";
const OCI: &str = "[routes.r.oci]\nrequest = \"POST /20160918/c/{id}\"\ndialect = \"modern\"\n";
const OPEN: &str = "endpoint = \"https://h\"\nsigning = \"none\"";
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/protocols/oci/tests/keys");

/// A backend with these keys, and a route to it with these.
fn up(keys: &str, route: &str) -> String {
    format!("[backends.up]\nkind = \"oci\"\nconcurrency = 1\n{keys}\n{ROUTE}{route}")
}

/// The keys of a user, with this file as the private key.
fn user(key_file: &str) -> String {
    format!(
        "endpoint = \"https://h\"\ntenancy = \"ocid1.tenancy.oc1..t\"\n\
         user = \"ocid1.user.oc1..u\"\nkey_file = \"{KEYS}/{key_file}\""
    )
}

fn oci(settings: &Settings) -> &OciBackend {
    match &settings.backends["up"].kind {
        BackendKind::Oci(oci) => oci,
        other @ (BackendKind::Showcase
        | BackendKind::Worker(_)
        | BackendKind::Nexus(_)
        | BackendKind::Amqp(_)
        | BackendKind::Longrunning(_)) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn a_user_and_a_key_sign() {
    let (_file, sources) = file(&up(&user("user.pkcs8.pem"), OCI));
    let (settings, _) = load(&sources);
    let up = oci(&settings);
    let signer = up.signer.as_ref().unwrap();
    assert!(signer.key_id().starts_with("ocid1.tenancy.oc1..t/ocid1.user.oc1..u/"));
    assert_eq!((up.timeout.as_secs(), up.poll_first.as_secs()), (10, 1));
    assert_eq!((up.poll_longest.as_secs(), up.grace.as_secs()), (30, 300));
    let (_file, sources) = file(&up_open(""));
    assert!(oci(&load(&sources).0).signer.is_none());
}

fn up_open(keys: &str) -> String {
    up(&format!("{OPEN}\n{keys}"), OCI)
}

#[test]
fn what_is_wrong_is_told_by_its_key() {
    let user_with = |keys: &str| format!("{}\n{keys}", user("user.pkcs8.pem"));
    for (keys, wrong) in [
        (OPEN.replace("https://h", "h"), &["endpoint"][..]),
        (OPEN.replace("https://h", "https://h/?a=b"), &["endpoint"]),
        ("endpoint = \"https://h\"".to_owned(), &["key_file", "tenancy", "user"]),
        (format!("{OPEN}\nuser = \"ocid1.user.oc1..u\""), &["user"]),
        (OPEN.replace("none", "instance"), &["key_file", "signing", "tenancy", "user"]),
        (user("absent.pem"), &["key_file"]),
        (user("encrypted.pkcs8.pem"), &["key_file"]),
        (user("user.public.pem"), &["key_file"]),
        (user("weak.pkcs8.pem"), &["key_file"]),
        (user_with("fingerprint = \"20:3b\""), &["fingerprint"]),
        (
            user_with("fingerprint = \"20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34\""),
            &["key_file"],
        ),
        (user("user.pkcs8.pem").replace("ocid1.tenancy.", "ocid1.user."), &["tenancy"]),
        (user("user.pkcs8.pem").replace("ocid1.user.oc1..u", "me"), &["user"]),
        (format!("{OPEN}\npoll_first = \"31s\""), &["poll_first"]),
        (format!("{OPEN}\ngrace = \"25h\""), &["grace"]),
        (format!("{OPEN}\nbearer = \"a\""), &["bearer"]),
        (format!("{OPEN}\nlease = \"30s\""), &["lease"]),
        (format!("{OPEN}\nendpiont = \"x\""), &["endpiont"]),
    ] {
        let (_file, sources) = file(&up(&keys, OCI));
        let found: Vec<String> = problems(&sources).into_iter().map(|found| found.key).collect();
        let expected: Vec<String> = wrong.iter().map(|key| format!("backends.up.{key}")).collect();
        assert_eq!(found, expected, "{keys}");
    }
}

#[test]
fn a_key_of_another_kind_of_backend_is_told_of_all_that_have_it() {
    let (_file, sources) =
        file("[backends.up]\nkind = \"worker\"\nconcurrency = 1\ntimeout = \"1s\"\n");
    let problem = problem(&sources);
    assert_eq!(problem.key, "backends.up.timeout");
    assert!(
        problem.reason.contains("kind = \"nexus\" or kind = \"oci\" or kind = \"amqp\""),
        "{problem}"
    );
}

#[test]
fn a_route_says_what_is_called() {
    let more = "body = { to = \"${/to}\", list = [1, true] }\nquery = { a = \"${/a}\" }\n\
                cancel = false\nheaders = [\"x-a\", \"b-*\"]\nwork_requests = \"/w\"\n";
    let (_file, sources) = file(&up(OPEN, &format!("{OCI}{more}")));
    let (settings, _) = load(&sources);
    let options: Vec<(&str, &str)> = settings.routes["r"]
        .options
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("body", r#"{"list":[1,true],"to":"${/to}"}"#),
        ("cancel", "false"),
        ("dialect", "modern"),
        ("headers", "x-a,b-*"),
        ("query", r#"{"a":"${/a}"}"#),
        ("request", "POST /20160918/c/{id}"),
        ("work_requests", "/w"),
    ];
    assert_eq!(options, expected);
}

#[test]
fn what_is_wrong_with_a_route_is_told_by_its_key() {
    for (route, key) in [
        ("", "routes.r.oci"),
        ("[routes.r.oci]\ndialect = \"modern\"\n", "routes.r.oci.request"),
        ("[routes.r.oci]\nrequest = \"DELETE /20160918/c\"\n", "routes.r.oci.dialect"),
        (&OCI.replace("modern", "old"), "routes.r.oci.dialect"),
        (&OCI.replace("POST", "GET"), "routes.r.oci.request"),
        (&OCI.replace("/20160918", ""), "routes.r.oci.work_requests"),
        (&format!("{OCI}cancel = \"no\"\n"), "routes.r.oci.cancel"),
        (&format!("{OCI}body = \"${{to}}\"\n"), "routes.r.oci.body"),
        (&format!("{}body = {{}}\n", OCI.replace("POST", "DELETE")), "routes.r.oci.body"),
        (&format!("{OCI}query = {{ a = \"${{\" }}\n"), "routes.r.oci.query"),
        (&format!("{OCI}query = \"a\"\n"), "routes.r.oci.query"),
        (&format!("{OCI}headers = [\"cookie\"]\n"), "routes.r.oci.headers"),
        (&format!("{OCI}colour = \"x\"\n"), "routes.r.oci.colour"),
        (&format!("{OCI}[routes.showcase-run.oci]\nrequest = \"x\"\n"), "routes.showcase-run.oci"),
    ] {
        let (_file, sources) = file(&up(OPEN, route));
        let found: Vec<String> = problems(&sources).into_iter().map(|found| found.key).collect();
        assert_eq!(found, [key], "{route}");
    }
}

#[test]
fn an_unknown_key_is_told_the_keys_of_its_kind_once_each() {
    for (kind, own, other) in [("oci", "key_file", "callback"), ("worker", "backlog", "endpoint")] {
        let keys = if kind == "oci" { user("user.pkcs8.pem") } else { String::new() };
        let text =
            format!("[backends.up]\nkind = {kind:?}\nconcurrency = 1\n{keys}\nnonesuch = 1\n");
        let (_file, sources) = file(&text);
        let problem = problem(&sources);
        let (_, list) = problem.reason.split_once(" has ").unwrap();
        let keys: Vec<&str> = list.split(", ").collect();
        let once: std::collections::BTreeSet<&str> = keys.iter().copied().collect();
        assert_eq!(once.len(), keys.len(), "{list}");
        assert!(once.contains(own) && !once.contains(other), "{list}");
    }
}
