//! Connections and links that end, are refused, or are of another kind.

use std::time::Duration;

use opgate_amqp::backend::ReplyTo;
use opgate_bus::core::{Code, State};
use serde_json::json;
use tempfile::tempdir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::side::{Setup, failure, result};
use crate::upstream::{Nature, Upstream};

#[tokio::test]
async fn a_link_of_requests_that_ended_is_attached_anew() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[]).open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.call().await;
    call.accept().await;
    call.detach_requests().await;
    // What was sent is answered all the same.
    call.reply(Some(call.id()), 200, "", json!("first")).await;
    assert_eq!(result(&*side.ended(id).await), Some("\"first\""));
    let id = side.start().await;
    upstream.call().await.answer(200, json!("second")).await;
    assert_eq!(result(&*side.ended(id).await), Some("\"second\""));
    assert_eq!(upstream.connections(), 1);
    side.stop().await;
}

#[tokio::test]
async fn without_the_link_of_replies_there_is_a_new_connection() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let side = Setup::with(&[]).open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.call().await;
    call.accept().await;
    call.detach_replies().await;
    let ended = side.ended(id).await;
    assert_eq!(failure(&ended).reason.as_deref(), Some("outcome_unknown"));
    let id = side.start().await;
    upstream.call().await.answer(200, json!(1)).await;
    assert_eq!(side.ended(id).await.state, State::Succeeded);
    assert_eq!(upstream.connections(), 2);
    side.stop().await;
}

#[tokio::test]
async fn where_the_node_makes_no_address_opgate_names_one() {
    let nature = Nature { dynamic: false, ..Nature::default() };
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::of(nature).await);
    let side = Setup::with(&[]).open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.call().await;
    assert!(call.reply_to().unwrap().starts_with("opgate/up/"), "{:?}", call.reply_to());
    call.answer(200, json!(1)).await;
    assert_eq!(side.ended(id).await.state, State::Succeeded);
    side.stop().await;
}

#[tokio::test]
async fn with_paired_links_requests_do_not_say_where_replies_go() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let mut setup = Setup::with(&[]);
    setup.reply = ReplyTo::Paired;
    let side = setup.open(&dir, &upstream);
    let id = side.start().await;
    let call = upstream.call().await;
    assert_eq!(call.reply_to(), None);
    call.answer(200, json!(1)).await;
    assert_eq!(side.ended(id).await.state, State::Succeeded);
    side.stop().await;
}

#[tokio::test]
async fn more_requests_than_may_be_in_flight_wait_their_turn() {
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    let mut setup = Setup::with(&[]);
    setup.in_flight = 1;
    let side = setup.open(&dir, &upstream);
    let ids = [side.start().await, side.start().await, side.start().await];
    for _ in ids {
        let call = upstream.call().await;
        assert!(upstream.is_quiet());
        call.answer(200, json!(1)).await;
    }
    for id in ids {
        assert_eq!(side.ended(id).await.state, State::Succeeded);
    }
    side.stop().await;
}

#[tokio::test]
async fn whatever_answers_instead_of_a_container_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answers: [&[u8]; 4] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"AMQP\x03\x01\x00\x00\x00\x00\x00\x05\x02\x01\x00",
        b"AMQP\x03\x01\x00\x00\x00\x00\x00\x10\x02\x01\x00\x00\xb3\xff\xff\xff\xff\x00\x00\x00",
        b"",
    ];
    let serving = tokio::spawn(async move {
        for answer in answers.iter().cycle() {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer).await.ok();
        }
    });
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    upstream.address = address;
    let mut setup = Setup::with(&[]);
    setup.timeout = Duration::from_millis(500);
    let side = setup.open(&dir, &upstream);
    let id = side.start().await;
    let ended = side.ended(id).await;
    let told = failure(&ended);
    assert_eq!((told.code, told.retryable), (Code::Unavailable, Some(true)), "{told:?}");
    assert!(told.message.contains("not reached"), "{told:?}");
    assert_eq!(&*ended.native_state, "");
    side.stop().await;
    serving.abort();
}

#[tokio::test]
async fn who_takes_bytes_and_never_says_any_is_not_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dir, mut upstream) = (tempdir().unwrap(), Upstream::start().await);
    upstream.address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
        }
    });
    let mut setup = Setup::with(&[]);
    setup.timeout = Duration::from_millis(200);
    let side = setup.open(&dir, &upstream);
    let id = side.start().await;
    let ended = side.ended(id).await;
    let told = failure(&ended);
    assert_eq!((told.code, told.retryable), (Code::Unavailable, Some(true)), "{told:?}");
    assert!(told.message.contains("did not open in time"), "{told:?}");
    assert_eq!(&*ended.native_state, "");
    side.stop().await;
    serving.abort();
}
