//! `[http.tls]`, `[amqp.tls]` and `[admin.tls]`.

use std::path::{Path, PathBuf};

use opgate::settings::Sources;

use super::{load, problem, problems, set};
use crate::tls::Authority;

/// A certificate and its key, in files.
fn made(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (cert, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    Authority::new().issue(&cert, &key);
    (cert, key)
}

fn tls(listener: &str, cert: &Path, key: &Path) -> Vec<String> {
    vec![
        format!("{listener}.tls.cert_file={}", cert.display()),
        format!("{listener}.tls.key_file={}", key.display()),
    ]
}

fn sources(assignments: Vec<String>) -> Sources {
    Sources { set: assignments, ..Sources::default() }
}

#[test]
fn tls_is_enough_beyond_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = made(dir.path(), "http");
    for listener in ["http", "amqp", "admin"] {
        let mut settings = tls(listener, &cert, &key);
        let listen = format!("{listener}.listen=0.0.0.0:4433");
        settings.push(listen.clone());
        load(&sources(settings.clone()));
        assert_eq!(problem(&set(&[&listen])).key, format!("{listener}.listen"));
        settings.push(format!("{listener}.allow_plaintext=true"));
        let (settings, _) = load(&sources(settings));
        let tls = match listener {
            "http" => settings.http.tls,
            "amqp" => settings.amqp_tls,
            _ => settings.admin.tls,
        };
        assert!(tls.unwrap().plaintext);
    }
    let (settings, _) = load(&Sources::default());
    assert!(settings.http.tls.is_none() && settings.admin.tls.is_none());
    assert!(settings.amqp_tls.is_none());
}

#[test]
fn all_that_is_wrong_with_the_files_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let ((cert, key), (_, other)) = (made(dir.path(), "http"), made(dir.path(), "other"));
    let nothing = dir.path().join("nothing");
    let told = |settings: Vec<String>| -> Vec<String> {
        problems(&sources(settings)).into_iter().map(|problem| problem.to_string()).collect()
    };
    let mut settings = tls("http", &cert, &other);
    settings.extend(tls("admin", &nothing, &cert));
    settings.push(format!("admin.tls.client_ca_file={}", key.display()));
    let told_of = told(settings);
    for (line, (begins, says)) in told_of.iter().zip([
        ("admin.tls.cert_file", "No such file"),
        ("http.tls.key_file", "is not the key of the certificate"),
    ]) {
        assert!(line.starts_with(begins) && line.contains(says), "{line}");
    }
    assert_eq!(told_of.len(), 2, "{told_of:#?}");
    let mut settings = tls("http", &key, &cert);
    settings.push(format!("http.tls.client_ca_file={}", key.display()));
    let told_of = told(settings);
    for (line, (begins, says)) in told_of.iter().zip([
        ("http.tls.cert_file", "no certificate"),
        ("http.tls.client_ca_file", "no certificate"),
        ("http.tls.key_file", "no private key"),
    ]) {
        assert!(line.starts_with(begins) && line.contains(says), "{line}");
    }
    assert_eq!(told_of.len(), 3, "{told_of:#?}");
}

#[test]
fn what_is_missing_or_for_nothing_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = made(dir.path(), "http");
    let missing = problem(&set(&[&format!("http.tls.cert_file={}", cert.display())]));
    assert_eq!(missing.key, "http.tls.key_file");
    let mut settings = tls("http", &cert, &key);
    settings.push("http.tls.client_certificates=required".to_owned());
    let needs = problem(&sources(settings));
    assert_eq!(needs.key, "http.tls.client_certificates");
    assert!(needs.reason.contains("client_ca_file"), "{needs}");
}
