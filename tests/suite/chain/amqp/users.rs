//! As whom one daemon calls another that has users and TLS.

use std::net::SocketAddr;
use std::path::Path;

use opgate_native::client::State;

use super::super::{Client, data};
use crate::process::{Daemon, Launch};
use crate::tls::Authority;

/// A daemon behind: alice has a password, carol a certificate.
fn back(dir: &Path, authority: &Authority) -> Daemon {
    let file = |name: &str| dir.join(name).display().to_string();
    authority.issue(&dir.join("amqp.pem"), &dir.join("amqp.key"));
    authority.write(&dir.join("ca.pem"));
    Launch::new(dir)
        .set(&format!("amqp.tls.cert_file={}", file("amqp.pem")))
        .set(&format!("amqp.tls.key_file={}", file("amqp.key")))
        .set(&format!("amqp.tls.client_ca_file={}", file("ca.pem")))
        .config(
            "[amqp.users.alice]\npassword = \"as agreed\"\n\
             [amqp.users.carol]\ncertificate_names = [\"carol.example\"]\n",
        )
        .start()
}

/// A daemon in front, which calls as `keys` say.
fn front(dir: &Path, upstream: SocketAddr, authority: &Authority, keys: &str) -> Daemon {
    let ca = dir.join("ca.pem");
    authority.write(&ca);
    let config = format!(
        r#"
[egress]
ca_file = "{}"

[backends.up]
kind = "amqp"
concurrency = 100
endpoint = "amqps://{upstream}"
{keys}

[routes.do]
service = "ours"
operation = "do"
backend = "up"
[routes.do.amqp_call]
operation = "CREATE"
type = "org.opgate.operation"
body = {{ service = "showcase", operation = "echo", input = "${{}}" }}
completion = "poll"
"#,
        ca.display()
    );
    Launch::new(dir).config(&config).start()
}

/// The keys of a user with a password.
fn plain(dir: &Path, password: &str) -> String {
    let file = dir.join("password");
    std::fs::write(&file, password).unwrap();
    format!("user = \"alice\"\npassword_file = \"{}\"", file.display())
}

/// The keys of somebody with a certificate.
fn external(dir: &Path, authority: &Authority, name: &str) -> String {
    let (cert, key) = (dir.join("client.pem"), dir.join("client.key"));
    authority.issue_client(name, &cert, &key);
    format!("cert_file = \"{}\"\nkey_file = \"{}\"", cert.display(), key.display())
}

#[test]
fn who_has_the_password_or_the_certificate_is_that_user_there() {
    let authority = Authority::new();
    for user in ["alice", "carol"] {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let back = back(dirs[0].path(), &authority);
        let keys = match user {
            "alice" => plain(dirs[1].path(), "as agreed"),
            _ => external(dirs[1].path(), &authority, "carol.example"),
        };
        let front = front(dirs[1].path(), back.amqp, &authority, &keys);
        let mut client = Client::of(&front);
        let id = client.start("do", r#"{"a": 1}"#);
        let ended = client.ended(&id);
        assert_eq!(ended.state(), State::Succeeded, "{ended:?}\n{}\n{}", front.log(), back.log());
        assert_eq!(data(ended.result.as_ref()), r#"{"a":1}"#);
        let [carried] = &*Client::of(&back).all() else { panic!("{}", back.log()) };
        assert_eq!(carried.origin.as_ref().unwrap().principal, user);
    }
}

#[test]
fn who_has_neither_sends_nothing_and_is_told_why() {
    let authority = Authority::new();
    for (certificate, said) in [(None, "user"), (Some("mallory.example"), "EXTERNAL")] {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let back = back(dirs[0].path(), &authority);
        let keys = match certificate {
            None => plain(dirs[1].path(), "another"),
            Some(name) => external(dirs[1].path(), &authority, name),
        };
        let front = front(dirs[1].path(), back.amqp, &authority, &keys);
        let mut client = Client::of(&front);
        let id = client.start("do", "{}");
        let now = client.until(&id, |now| !now.log.is_empty());
        let line = &now.log[0].message;
        assert!(line.contains("not reached") && line.contains(said), "{line}");
        assert_eq!(now.native_state, "");
        client.cancel(&id);
        assert_eq!(client.ended(&id).state(), State::Canceled);
        assert_eq!(Client::of(&back).all().len(), 0);
    }
}
