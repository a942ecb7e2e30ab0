//! Daemons that are killed, or stopped, with a request on its way; and nodes that do not do their part.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Instant;

use opgate_native::client::{Operation, State};

use super::super::{Client, data};
use super::node::Node;
use crate::process::{Daemon, Launch, PATIENCE};

/// A daemon in front of a node: one route must not come twice, the other may.
fn launch(dir: &Path, node: SocketAddr) -> Launch {
    Launch::new(dir).config(&format!(
        r#"
[backends.up]
kind = "amqp"
concurrency = 100
endpoint = "amqp://{node}"

[routes.once]
service = "ours"
operation = "once"
backend = "up"
[routes.once.amqp_call]
operation = "DELETE"
type = "queue"

[routes.again]
service = "ours"
operation = "again"
backend = "up"
[routes.again.amqp_call]
operation = "DELETE"
type = "queue"
idempotent = true
"#
    ))
}

fn is_unknown(ended: &Operation) -> bool {
    ended.error.as_ref().is_some_and(|error| error.reason == "outcome_unknown")
}

/// Nothing is left of what was there before, and the next request is another's.
fn is_sent_no_more(front: &Daemon, node: &Node, id: &str) {
    let mut client = Client::of(front);
    let ended = client.ended(id);
    assert!(is_unknown(&ended), "{ended:?}\n{}", front.log());
    let next = client.start("once", "{}");
    let request = node.request();
    assert_eq!(request.key(), next);
    request.answer("done");
    assert_eq!(client.ended(&next).state(), State::Succeeded);
    assert!(node.is_quiet());
}

#[test]
fn killed_between_the_record_and_the_sending_it_is_not_sent_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    // It takes no request: what is recorded as on its way certainly is not.
    let node = Node::start(0);
    let front = launch(dir.path(), node.address).start();
    let mut client = Client::of(&front);
    let id = client.start("once", "{}");
    client.until(&id, |now| now.native_state == "REQUESTED");
    assert!(node.is_quiet());
    node.gives(100);
    is_sent_no_more(&front.crash(), &node, &id);
}

#[test]
fn killed_while_the_node_has_it_it_is_not_sent_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(100);
    let front = launch(dir.path(), node.address).start();
    let id = Client::of(&front).start("once", "{}");
    assert_eq!(node.request().key(), id);
    is_sent_no_more(&front.crash(), &node, &id);
}

#[test]
fn where_the_route_says_so_the_next_process_sends_it_under_the_same_key() {
    for sent in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::start(if sent { 100 } else { 0 });
        let front = launch(dir.path(), node.address).start();
        let id = Client::of(&front).start("again", "{}");
        if sent {
            assert_eq!(node.request().key(), id);
        } else {
            node.attached();
        }
        node.gives(100);
        let front = front.crash();
        let request = node.request();
        assert_eq!(request.key(), id);
        request.answer("done");
        let ended = Client::of(&front).ended(&id);
        assert_eq!(data(ended.result.as_ref()), "\"done\"");
        assert!(node.is_quiet());
    }
}

#[test]
fn stopped_in_order_it_waits_for_the_reply() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(100);
    let launch = launch(dir.path(), node.address);
    let front = launch.start();
    let id = Client::of(&front).start("once", "{}");
    let request = node.request();
    front.signal("TERM");
    // Its port is closed: it stops.
    let ends = Instant::now() + PATIENCE;
    while TcpStream::connect(front.http).is_ok() {
        assert!(Instant::now() < ends);
        std::thread::yield_now();
    }
    request.answer("done");
    let stopped = front.wait();
    assert_eq!(stopped.code(), Some(0), "{}", stopped.log);
    let front = launch.start();
    let ended = Client::of(&front).ended(&id);
    assert_eq!((ended.state(), &*data(ended.result.as_ref())), (State::Succeeded, "\"done\""));
    assert!(node.is_quiet());
}

#[test]
fn stopped_in_order_it_waits_no_longer_than_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(100);
    let launch = launch(dir.path(), node.address).set("drain.timeout=100ms");
    let front = launch.start();
    let id = Client::of(&front).start("once", "{}");
    assert_eq!(node.request().key(), id);
    let stopped = front.terminate();
    assert_eq!(stopped.code(), Some(0), "{}", stopped.log);
    is_sent_no_more(&launch.start(), &node, &id);
}

#[test]
fn a_reply_that_nobody_waits_for_is_counted_and_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(100);
    let front = launch(dir.path(), node.address).start();
    let mut client = Client::of(&front);
    let id = client.start("once", "{}");
    let request = node.request();
    let strays = |count| format!("opgate_backend_strays_total{{backend=\"up\"}} {count}");
    front.await_metric(&strays(0));
    request.stray();
    front.await_metric(&strays(1));
    request.answer("done");
    assert_eq!(data(client.ended(&id).result.as_ref()), "\"done\"");
    // To one that was answered before.
    request.answer("once more");
    front.await_metric(&strays(2));
}
