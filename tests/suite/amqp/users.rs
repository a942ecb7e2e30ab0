//! SIGHUP: users that are read again while they are connected.

use std::net::SocketAddr;
use std::path::Path;

use fe2o3_amqp::connection::{ConnectionHandle, OpenError};
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Sender, Session};

use crate::process::{Daemon, Launch};

/// Somebody who is connected.
struct Client {
    connection: ConnectionHandle<()>,
    session: SessionHandle<()>,
    links: usize,
}

impl Client {
    async fn open(address: SocketAddr, user: &str, password: &str) -> Result<Self, OpenError> {
        let profile =
            SaslProfile::Plain { username: user.to_owned(), password: password.to_owned() };
        let builder = Connection::builder().container_id(user).sasl_profile(profile);
        let mut connection = builder.open(&*format!("amqp://{address}")).await?;
        let session = Session::begin(&mut connection).await.unwrap();
        Ok(Self { connection, session, links: 0 })
    }

    /// Attaches a link, which only somebody may who is known.
    async fn work(&mut self) {
        self.links += 1;
        let name = format!("requests-{}", self.links);
        Sender::attach(&mut self.session, name, "$management").await.unwrap();
    }

    /// Why the daemon closed the connection.
    async fn closed(mut self) -> String {
        format!("{:?}", self.connection.on_close().await.unwrap_err())
    }
}

fn write(file: &Path, users: &[(&str, &str)], more: &str) {
    let users = users.iter().map(|(user, password)| {
        format!("[amqp.users.{user}]\npassword = {password:?}\ntenant = \"acme\"\n")
    });
    std::fs::write(file, format!("{more}{}", users.collect::<String>())).unwrap();
}

fn reload(daemon: &Daemon, result: &str, count: usize) {
    daemon.signal("HUP");
    let line = format!("opgate_config_reloads_total{{result=\"{result}\"}} {count}");
    daemon.await_metric(&line);
}

/// What the last reload said that a restart is needed for.
fn needs_restart(daemon: &Daemon) -> String {
    daemon.await_message("settings read again");
    let log = daemon.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut said =
        lines.filter(|line: &serde_json::Value| line["message"] == "settings read again");
    said.next_back().unwrap()["needs_restart"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn users_are_replaced_at_sighup_and_who_is_none_any_more_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("opgate.toml");
    write(&file, &[("alice", "wonder land"), ("bob", "build it")], "");
    let daemon = Launch::new(dir.path()).config_file(&file).start();
    let mut hers = Client::open(daemon.amqp, "alice", "wonder land").await.unwrap();
    let mut his = Client::open(daemon.amqp, "bob", "build it").await.unwrap();
    hers.work().await;

    // Another password: whoever has come stays, and with the old one nobody comes.
    write(&file, &[("alice", "looking glass"), ("bob", "build it")], "");
    reload(&daemon, "applied", 1);
    assert_eq!(needs_restart(&daemon), "");
    hers.work().await;
    Client::open(daemon.amqp, "alice", "wonder land").await.err().unwrap();
    let late = Client::open(daemon.amqp, "alice", "looking glass").await.unwrap();

    // Settings that are no good change nothing.
    write(&file, &[("bob", "build it")], "[amqp]\nlinkss = 1\n");
    reload(&daemon, "refused", 1);
    hers.work().await;

    // Gone.
    let restart =
        "[amqp]\nlinks = 7\nlisten = \"127.0.0.1:1\"\nanonymous = \"off\"\n[data]\nqueue = 7\n";
    write(&file, &[("bob", "build it")], restart);
    reload(&daemon, "applied", 2);
    for gone in [hers, late] {
        let why = gone.closed().await;
        assert!(why.contains("UnauthorizedAccess"), "{why}");
    }
    his.work().await;
    // The address is set where the daemon was started, too, and that counts.
    assert_eq!(needs_restart(&daemon), "data.queue");
    assert_eq!(daemon.terminate().code(), Some(0));
}
