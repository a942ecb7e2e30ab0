//! SIGHUP: settings that are read again while requests are served.

mod credentials;
mod limits;
mod routes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, Request};
use opgate_oci::signature::Signer;
use serde_json::Value;
use std::io::{Read as _, Write as _};

use crate::process::{Daemon, Launch, PATIENCE};

const TENANCY: &str = "ocid1.tenancy.oc1..aaaa";
const USER: &str = "ocid1.user.oc1..bbbb";
/// A path of the face, at which there is nothing: 404 for whoever is known.
const NOTHING: &str = "/20160918/nothing";

fn key(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocols/oci/tests/keys").join(name);
    path.display().to_string()
}

fn config(keys: &[&str], more: &str) -> String {
    let files: Vec<String> = keys.iter().map(|name| key(&format!("{name}.public.pem"))).collect();
    format!(
        "[oci]\nsignatures = \"required\"\n{more}\n\
         [oci.tenancies.acme]\nid = \"{TENANCY}\"\ntenant = \"acme\"\n\
         [oci.users.ann]\ntenancy = \"acme\"\nid = \"{USER}\"\nkey_files = {files:?}\n"
    )
}

fn signer(key_name: &str) -> Signer {
    let pem = std::fs::read_to_string(key(&format!("{key_name}.pkcs8.pem"))).unwrap();
    Signer::new(TENANCY, USER, None, &pem).unwrap()
}

/// Sends a request, signed where there is a signer; the status and the whole answer.
fn send(http: SocketAddr, method: &Method, path: &str, signer: Option<&Signer>) -> (u16, String) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{http}{path}"))
        .body(Bytes::new())
        .unwrap();
    if let Some(signer) = signer {
        signer.sign(&mut request, SystemTime::now()).unwrap();
    }
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !request.headers().contains_key("host") {
        write!(head, "host: {http}\r\n").unwrap();
    }
    for (name, value) in request.headers() {
        write!(head, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
    }
    let mut stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{head}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

fn get(daemon: &Daemon, signer: Option<&Signer>) -> u16 {
    send(daemon.http, &Method::GET, NOTHING, signer).0
}

/// The fields of the last log line with a message that begins so.
fn said(daemon: &Daemon, begins: &str) -> Vec<Value> {
    let lines: Vec<Value> =
        daemon.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let is = |line: &Value| line["message"].as_str().is_some_and(|said| said.starts_with(begins));
    lines.into_iter().filter(is).collect()
}

#[test]
fn keys_are_replaced_at_sighup_and_what_needs_a_restart_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("opgate.toml");
    std::fs::write(&file, config(&["user"], "")).unwrap();
    let daemon = Launch::new(dir.path()).config_file(&file).start();
    let [user, session] = ["user", "session"].map(signer);
    assert_eq!(get(&daemon, Some(&user)), 404);
    assert_eq!(get(&daemon, Some(&session)), 401);

    // Rotation: the new key beside the old one, then alone.
    std::fs::write(&file, config(&["user", "session"], "[data]\nqueue = 7")).unwrap();
    daemon.signal("HUP");
    daemon.await_message("settings read again");
    let line = said(&daemon, "settings read again").pop().unwrap();
    assert_eq!((&line["oci_keys"], &line["needs_restart"]), (&2.into(), &"data.queue".into()));
    assert_eq!([&user, &session].map(|signer| get(&daemon, Some(signer))), [404, 404]);
    std::fs::write(&file, config(&["session"], "")).unwrap();
    daemon.signal("HUP");
    daemon.await_message("settings read again");
    assert_eq!([&user, &session].map(|signer| get(&daemon, Some(signer))), [401, 404]);

    // Settings that are no good change nothing, and each problem is said.
    let bad = config(&["weak", "curve"], "hostss = []").replace("acme\"\nid", "acne\"\nid");
    std::fs::write(&file, bad).unwrap();
    daemon.signal("HUP");
    daemon.await_metric("opgate_config_reloads_total{result=\"refused\"} 1");
    assert_eq!([&user, &session].map(|signer| get(&daemon, Some(signer))), [401, 404]);
    // The lines come before the next signal is looked at.
    std::fs::write(&file, config(&["user"], "")).unwrap();
    daemon.signal("HUP");
    daemon.await_message("settings read again");
    let mut problems = BTreeMap::<String, usize>::new();
    for line in said(&daemon, "settings not read again") {
        assert_eq!(line["level"], "ERROR");
        *problems.entry(line["key"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let expected =
        [("oci.hostss", 1), ("oci.users.ann.key_files", 2), ("oci.users.ann.tenancy", 1)];
    assert_eq!(problems, expected.map(|(key, count)| (key.to_owned(), count)).into());
    assert_eq!([&user, &session].map(|signer| get(&daemon, Some(signer))), [404, 401]);
    let metrics = daemon.probe("/metrics").1;
    for line in [
        "opgate_config_reloads_total{result=\"applied\"} 3",
        "opgate_signatures_refused_total{reason=\"key\"} 4",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn no_request_is_dropped_while_keys_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("opgate.toml");
    std::fs::write(&file, config(&["user"], "")).unwrap();
    let daemon = Launch::new(dir.path()).config_file(&file).start();
    let (served, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let client = std::thread::spawn({
        let (served, over, http) = (Arc::clone(&served), Arc::clone(&over), daemon.http);
        move || {
            let signer = signer("user");
            while !over.load(Ordering::Relaxed) {
                let (status, answer) = send(http, &Method::GET, NOTHING, Some(&signer));
                assert_eq!(status, 404, "{answer}");
                served.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for round in 1..=10 {
        std::fs::write(&file, config(&["user", "session", "large"], "")).unwrap();
        let before = served.load(Ordering::Relaxed);
        daemon.signal("HUP");
        daemon.await_message("settings read again");
        // Some requests are served between two signals.
        while served.load(Ordering::Relaxed) < before + 2 {
            assert!(!client.is_finished(), "round {round}");
            std::thread::yield_now();
        }
    }
    over.store(true, Ordering::Relaxed);
    client.join().unwrap();
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn strangers_learn_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).config(&config(&["user"], "hosts = [\"127.0.0.1\"]"));
    let daemon = launch.set("log.level=info,opgate_oci=trace").start();
    let body = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    let unsigned = send(daemon.http, &Method::GET, NOTHING, None);
    assert_eq!(unsigned.0, 401);
    assert!(unsigned.1.contains("\"code\":\"NotAuthenticated\""), "{}", unsigned.1);
    let unknown = signer("session");
    for path in
        [NOTHING, "/20160918/workRequests/x", "/20160918/workRequests", "//20160918/x", "/20160918"]
    {
        for (method, signer) in [
            (Method::GET, None),
            (Method::GET, Some(&unknown)),
            (Method::PUT, None),
            (Method::POST, Some(&unknown)),
        ] {
            let (status, answer) = send(daemon.http, &method, path, signer);
            assert_eq!((status, body(&answer)), (401, body(&unsigned.1)), "{method} {path}");
        }
    }
    let reasons = said(&daemon, "a request is not authenticated");
    let has = |reason: &str| {
        reasons.iter().any(|line| line["reason"] == reason && line["opc_request_id"].is_string())
    };
    assert!(has("it has no Authorization"), "{reasons:?}");
    assert!(reasons.iter().any(|line| line["reason"].as_str().unwrap().contains(USER)));
    assert_eq!(daemon.terminate().code(), Some(0));
}
