//! Connections that serve more than one call.

use std::sync::Arc;
use std::time::Duration;

use opgate_egress::{Client, Problem, Settings, Trust};

use super::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_connection_is_kept_for_the_next_call() {
    let mut server = Server::start(vec![vec![Act::Answer(OK); 3]]).await;
    let client = client();
    for _ in 0..3 {
        client.send(Trust::Configured, post(&server.url("/"), "x"), LIMITS).await.unwrap();
        assert_eq!(server.request().await.connection, 0);
    }
}

#[tokio::test]
async fn a_connection_that_is_to_be_closed_is_not_kept() {
    let last = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let mut server = Server::start(vec![vec![Act::Answer(last)], vec![Act::Answer(OK)]]).await;
    let client = client();
    for connection in 0..2 {
        client.send(Trust::Configured, post(&server.url("/"), "x"), LIMITS).await.unwrap();
        assert_eq!(server.request().await.connection, connection);
    }
}

/// The peer closes a kept connection exactly when the next request is on its way.
#[tokio::test]
async fn a_request_that_a_kept_connection_did_not_begin_to_answer_is_sent_once_more() {
    let mut server =
        Server::start(vec![vec![Act::Answer(OK), Act::Close], vec![Act::Answer(OK)]]).await;
    let client = client();
    for _ in 0..2 {
        let answer = client.send(Trust::Configured, post(&server.url("/"), "x"), LIMITS).await;
        assert_eq!(answer.unwrap().body(), "ok");
    }
    let over = [server.request().await, server.request().await, server.request().await];
    assert_eq!(over.each_ref().map(|seen| seen.connection), [0, 0, 1]);
    assert_eq!(over[1].text, over[2].text);
}

#[tokio::test]
async fn it_is_sent_once_more_only() {
    let mut server = Server::start(vec![vec![Act::Answer(OK), Act::Close], vec![Act::Close]]).await;
    let client = client();
    client.send(Trust::Configured, post(&server.url("/"), "x"), LIMITS).await.unwrap();
    let problem = client.send(Trust::Configured, post(&server.url("/"), "x"), LIMITS).await;
    assert!(matches!(problem, Err(Problem::Broken(_))), "{problem:?}");
    let over = [server.request().await, server.request().await, server.request().await];
    assert_eq!(over.map(|seen| seen.connection), [0, 0, 1]);
}

#[tokio::test]
async fn what_was_begun_to_be_answered_is_not_sent_again() {
    let half = "HTTP/1.1 200 OK\r\ncontent-le";
    let mut server = Server::start(vec![
        vec![Act::Answer(OK), Act::AnswerAndClose(half)],
        vec![Act::Answer(OK)],
    ])
    .await;
    let client = client();
    client.send(Trust::Configured, post(&server.url("/"), "x"), LIMITS).await.unwrap();
    let problem = client.send(Trust::Configured, post(&server.url("/"), "x"), LIMITS).await;
    assert!(matches!(problem, Err(Problem::Broken(_))), "{problem:?}");
    drop((server.request().await, server.request().await));
    assert!(server.seen.try_recv().is_err());
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_not_replaced() {
    let mut server = Server::start(vec![vec![Act::Close], vec![Act::Answer(OK)]]).await;
    let problem = client().send(Trust::Configured, post(&server.url("/"), "x"), LIMITS).await;
    assert!(matches!(problem, Err(Problem::Broken(_))), "{problem:?}");
    assert_eq!(server.request().await.connection, 0);
    assert!(server.seen.try_recv().is_err());
}

#[tokio::test]
async fn a_kept_connection_serves_only_while_its_address_is_among_those_of_the_name() {
    let mut server = Server::start(vec![vec![Act::Answer(OK); 3], vec![Act::Answer(OK); 3]]).await;
    let [one, two] = ["93.184.216.34", "93.184.216.35"];
    let answers: [&[&str]; 4] = [&[one], &[two, one], &[two], &["127.0.0.1"]];
    let network = Scripted { leads_to: Some(server.address), ..Scripted::default() };
    let network = Arc::new(network.named("a.example", &answers));
    let (client, guard) = (on(&network), guard(&["a.example"], true, &[]));
    for connection in [0, 0, 1] {
        let request = post("http://a.example/", "x");
        client.send(Trust::Guarded(&guard), request, LIMITS).await.unwrap();
        assert_eq!(server.request().await.connection, connection);
    }
    // Two connections are kept, both to addresses that were fine, and the name has moved on.
    let request = post("http://a.example/", "x");
    let refused = client.send(Trust::Guarded(&guard), request, LIMITS).await;
    assert!(matches!(refused, Err(Problem::Refused(_))), "{refused:?}");
    assert!(server.seen.try_recv().is_err());
    let expected = [one, two].map(|address| format!("{address}:80").parse().unwrap());
    assert_eq!(network.connects(), expected);
}

#[tokio::test]
async fn only_so_many_are_kept() {
    for (idle_each, idle_all) in [(1, 9), (9, 1), (0, 9), (9, 0)] {
        let mut server = Server::start(vec![vec![Act::Answer(OK); 9]; 2]).await;
        let client = Client::new(&Settings { idle_each, idle_all, ..Settings::default() }).unwrap();
        let call = || client.send(Trust::Configured, post(&server.url("/"), "x"), LIMITS);
        let (one, two) = tokio::join!(call(), call());
        drop((one.unwrap(), two.unwrap()));
        let closed = 2 - usize::from(idle_each.min(idle_all) == 1);
        for _ in 0..closed {
            server.gone.recv().await.unwrap();
        }
        assert!(server.gone.try_recv().is_err());
    }
}

#[tokio::test]
async fn nothing_is_kept_for_longer_than_allowed() {
    let mut server = Server::start(vec![vec![Act::Answer(OK)]]).await;
    let idle_time = Duration::from_millis(20);
    let client = Client::new(&Settings { idle_time, ..Settings::default() }).unwrap();
    client.send(Trust::Configured, post(&server.url("/"), "x"), LIMITS).await.unwrap();
    // Without another call.
    assert_eq!(tokio::time::timeout(LONG, server.gone.recv()).await.unwrap(), Some(0));
    drop(client);
}
