//! `[admin.console]`.

use std::path::{Path, PathBuf};

use opgate::settings::Sources;

use super::{load, problem, set};
use crate::tls::Authority;

/// A certificate, its key, and the authority that vouches for it.
fn made(dir: &Path) -> [PathBuf; 3] {
    let [cert, key, authority] = ["a.pem", "a.key", "ca.pem"].map(|name| dir.join(name));
    let vouches = Authority::new();
    vouches.issue(&cert, &key);
    vouches.write(&authority);
    [cert, key, authority]
}

fn tls(listener: &str, [cert, key, authority]: &[PathBuf; 3], certificates: &str) -> Vec<String> {
    vec![
        format!("{listener}.tls.cert_file={}", cert.display()),
        format!("{listener}.tls.key_file={}", key.display()),
        format!("{listener}.tls.client_ca_file={}", authority.display()),
        format!("{listener}.tls.client_certificates={certificates}"),
    ]
}

fn is_on(assignments: Vec<String>) -> bool {
    let (settings, _) = load(&Sources { set: assignments, ..Sources::default() });
    settings.console.is_some()
}

fn owned(assignments: &[&str]) -> Vec<String> {
    assignments.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn it_is_on_where_its_visitor_may_read_the_same_or_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let files = made(dir.path());
    let open = ["admin.listen=0.0.0.0:9464", "admin.allow_plaintext=true"];
    assert!(is_on(Vec::new()), "on loopback");
    assert!(!is_on(owned(&open)), "beyond, without anybody being known");
    assert!(is_on([owned(&open), owned(&["admin.console.enabled=yes"])].concat()));
    assert!(!is_on(owned(&["admin.console.enabled=no"])));
    // Who needs a certificate to read over the API needs one here.
    assert!(!is_on(tls("http", &files, "required")));
    assert!(is_on(tls("http", &files, "optional")));
    let both = [tls("http", &files, "required"), tls("admin", &files, "required")].concat();
    assert!(is_on(both));
    let beyond = [tls("admin", &files, "required"), owned(&["admin.listen=0.0.0.0:9464"])].concat();
    assert!(is_on(beyond.clone()));
    assert!(!is_on([beyond, owned(&["admin.allow_plaintext=true"])].concat()), "without TLS, too");
    let optional = [tls("admin", &files, "optional"), owned(&["admin.listen=0.0.0.0:9464"])];
    assert!(!is_on(optional.concat()));
}

#[test]
fn by_default_it_only_shows() {
    let (settings, _) = load(&Sources::default());
    let console = settings.console.unwrap();
    assert!(!console.actions && console.hosts.is_empty());
    assert_eq!((console.streams, console.tenant.as_str()), (16, "default"));
}

#[test]
fn what_is_wrong_is_told_also_where_it_is_off() {
    for (assignment, key) in [
        ("admin.console.enabled=perhaps", "enabled"),
        ("admin.console.actions=yes", "actions"),
        ("admin.console.streams=0", "streams"),
        ("admin.console.streams=33", "streams"),
        ("admin.console.tenant=", "tenant"),
        ("admin.console.hosts=[\"https://a\"]", "hosts"),
        ("admin.console.hosts=[\"a:9464\"]", "hosts"),
        ("admin.console.colour=red", "colour"),
    ] {
        let off = "admin.console.enabled=no";
        let sources = if key == "enabled" { set(&[assignment]) } else { set(&[off, assignment]) };
        assert_eq!(problem(&sources).key, format!("admin.console.{key}"), "{assignment}");
    }
}
