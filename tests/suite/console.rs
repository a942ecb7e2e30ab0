//! The web console in a browser: runs the tests in `tests/clients/console`, in headless Chromium.
//!
//! They need `node` with `npm`, and the package index the first time: it has the browser too. Pictures of the console are
//! left in `target/console`.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::lines;
use crate::clients::{KEPT, SOURCES, modules, run};
use crate::faces::{JSON, raw};
use crate::process::{Daemon, Launch};
use crate::tls::{Authority, Shown};

const CONFIG: &str = include_str!("../clients/console/opgate.toml");

/// The modules, and the browser.
fn browser() -> (PathBuf, PathBuf) {
    let sources = Path::new(SOURCES).join("console");
    let modules = modules(&sources, "console");
    // The package has it for one architecture only; on others it is the machine's own.
    if !cfg!(target_arch = "x86_64") {
        return (modules, PathBuf::from("/usr/bin/chromium"));
    }
    let directory = Path::new(KEPT).join("chromium");
    let lock = std::fs::read_to_string(sources.join("package-lock.json")).unwrap();
    let unpacked = directory.join("unpacked.json");
    if !std::fs::read_to_string(&unpacked).is_ok_and(|unpacked| unpacked == lock) {
        // One that was left half way is no browser.
        if directory.exists() {
            std::fs::remove_dir_all(&directory).unwrap();
        }
        std::fs::create_dir_all(&directory).unwrap();
        run(Command::new("node")
            .arg(sources.join("unpack.js"))
            .env("NODE_PATH", &modules)
            .env("TMPDIR", &directory));
        std::fs::write(&unpacked, lock).unwrap();
    }
    (modules, directory.join("chromium"))
}

/// Where pictures go.
fn pictures() -> PathBuf {
    let pictures = Path::new(KEPT).parent().unwrap().join("console");
    std::fs::create_dir_all(&pictures).unwrap();
    pictures
}

fn daemon(dir: &TempDir, more: &[&str]) -> Daemon {
    let launch = Launch::new(dir.path()).config(CONFIG);
    more.iter().fold(launch, |launch, setting| launch.set(setting)).start()
}

#[test]
fn a_browser_shows_what_goes_on_and_acts_where_it_may() {
    let (modules, chromium) = browser();
    for tests in [&["show.test.js", "act.test.js"][..], &["pictures.test.js"]] {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let shows = daemon(&dirs[0], &[]);
        let acts = daemon(&dirs[1], &["admin.console.actions=true"]);
        let output = Command::new("node")
            .args(["--test", "--test-concurrency=1", "--test-reporter=spec"])
            .args(tests)
            .current_dir(Path::new(SOURCES).join("console"))
            .env("NODE_PATH", &modules)
            .env("OPGATE_CHROMIUM", &chromium)
            .env("OPGATE_SHOTS", pictures())
            .env("OPGATE_HTTP", shows.http.to_string())
            .env("OPGATE_AMQP", shows.amqp.to_string())
            .env("OPGATE_ADMIN", shows.admin.to_string())
            .env("OPGATE_ACTING_HTTP", acts.http.to_string())
            .env("OPGATE_ACTING_ADMIN", acts.admin.to_string())
            // Neither goes through the proxy of the package index.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .output()
            .unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
        assert!(output.status.success(), "{}\n{}\n{said}", shows.log(), acts.log());
        for daemon in [shows, acts] {
            assert_eq!(daemon.terminate().code(), Some(0));
        }
    }
}

/// A request over HTTP/2 with TLS, by somebody who shows a certificate.
async fn secured(
    (authority, shown): (&Authority, &Shown),
    daemon: &Daemon,
    request: Request<Full<Bytes>>,
) -> Response<Value> {
    let stream = authority.secure(daemon.admin, Some(shown), &[b"h2"]).await.unwrap();
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (head, body) = client.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(head, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_acts_is_in_the_record_and_in_the_audit_log() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let [cert, key, clients, audit] =
        ["a.pem", "a.key", "ca.pem", "audit.jsonl"].map(|name| dir.path().join(name));
    authority.issue(&cert, &key);
    authority.write(&clients);
    let daemon = Launch::new(dir.path())
        .config(CONFIG)
        .set(&format!("admin.tls.cert_file={}", cert.display()))
        .set(&format!("admin.tls.key_file={}", key.display()))
        .set(&format!("admin.tls.client_ca_file={}", clients.display()))
        .set("admin.tls.client_certificates=required")
        .set("admin.console.actions=true")
        .set("audit.sink=file")
        .set(&format!("audit.file={}", audit.display()))
        .start();
    let start = json!({ "route": "render", "input": { "json": {} } }).to_string();
    let path = "/opgate/v1/operations";
    let id = raw(daemon.http, "POST", path, &[JSON], start.as_bytes()).json()["id"].clone();
    let id = id.as_str().unwrap();
    let shown = authority.client("alice.example");
    let asked = |host: &str| {
        Request::post(format!("https://{host}/console/operations/{id}:cancel"))
            .header("opgate-console", "1")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(b"{\"reason\": \"enough\"}")))
            .unwrap()
    };
    let refused = secured((&authority, &shown), &daemon, asked("evil.example")).await;
    assert_eq!(refused.status(), 403, "{refused:?}");
    let done = secured((&authority, &shown), &daemon, asked("localhost")).await;
    assert_eq!(done.status(), 200, "{done:?}");
    assert_eq!(done.body()["cancel"]["by"], "console:alice.example");
    let line = &lines(&audit, 2)[1];
    assert_eq!((&line["action"], &line["decision"]), (&json!("cancel"), &json!("done")));
    assert_eq!(
        (&line["principal"], &line["face"]),
        (&json!("console:alice.example"), &json!("native"))
    );
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn where_it_is_off_it_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(&dir, &["admin.console.enabled=no"]);
    for path in ["/console", "/console/", "/console/operations"] {
        assert_eq!(daemon.probe(path).0, 404, "{path}");
    }
    assert_eq!(daemon.probe("/livez").0, 200);
    assert_eq!(daemon.terminate().code(), Some(0));
}
