//! One connection over HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opgate_egress::{Answered, Destination, Host, Limits, Multiplexed, Problem, System, tls};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::support::*;

/// How a request is answered.
enum Told {
    /// With this body, and a trailer.
    Body(&'static [u8]),
    /// Not at all: the stream is reset for this reason.
    Reset(h2::Reason),
}

/// A request that waits for its answer.
struct Call {
    /// Over which connection it came.
    connection: usize,
    path: String,
    answer: oneshot::Sender<Told>,
}

/// A server that answers nothing by itself.
struct Peer {
    address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
    /// Ends the newest connection with a good-bye.
    leave: Arc<tokio::sync::Notify>,
    _serving: JoinSet<()>,
}

impl Peer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::unbounded_channel();
        let leave = Arc::new(tokio::sync::Notify::new());
        let (mut serving, leaving) = (JoinSet::new(), Arc::clone(&leave));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (sender, leaving) = (sender.clone(), Arc::clone(&leaving));
                connections.spawn(async move {
                    let serve = service_fn(|request| answered(connection, sender.clone(), request));
                    let serving = http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), serve);
                    let mut serving = std::pin::pin!(serving);
                    tokio::select! {
                        _ended = &mut serving => return,
                        () = leaving.notified() => serving.as_mut().graceful_shutdown(),
                    }
                    drop(serving.await);
                });
            }
        });
        Self { address, calls, leave, _serving: serving }
    }

    fn client(&self) -> Multiplexed {
        client_of(self.address)
    }

    async fn call(&mut self) -> Call {
        tokio::time::timeout(LONG, self.calls.recv()).await.unwrap().unwrap()
    }
}

fn client_of(address: SocketAddr) -> Multiplexed {
    let (host, port) = (Host::Address(address.ip()), address.port());
    let destination = Destination { tls: false, host, port };
    Multiplexed::new(Arc::new(System::default()), destination, tls(None, None).unwrap())
}

async fn answered(
    connection: usize,
    sender: mpsc::UnboundedSender<Call>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, h2::Error> {
    let (answer, told) = oneshot::channel();
    let path = request.uri().path().to_owned();
    drop(sender.send(Call { connection, path, answer }));
    match told.await {
        Ok(Told::Body(body)) => {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-last", "1".parse().unwrap());
            let body = Full::from(body).with_trailers(async move { Some(Ok(trailers)) });
            Ok(Response::new(body.boxed()))
        }
        Ok(Told::Reset(reason)) => Err(reason.into()),
        Err(_) => Err(h2::Reason::INTERNAL_ERROR.into()),
    }
}

async fn get(client: &Multiplexed, path: &str, limits: Limits) -> Result<Answered, Problem> {
    let mut request = Request::new(Bytes::from_static(b"x"));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = client.url(path).unwrap();
    client.send(request, limits).await
}

#[tokio::test]
async fn calls_share_a_connection_and_answers_come_in_any_order_with_trailers() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let (one, two, ()) =
        tokio::join!(get(&client, "/1", LIMITS), get(&client, "/2", LIMITS), async {
            let (first, second) = (peer.call().await, peer.call().await);
            assert_eq!((first.connection, second.connection), (0, 0));
            for call in [second, first] {
                let body: &[u8] = if call.path == "/1" { b"one" } else { b"two" };
                assert!(call.answer.send(Told::Body(body)).is_ok());
            }
        });
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((&*one.body, &*two.body), (&b"one"[..], &b"two"[..]));
    assert_eq!(one.trailers["x-last"], "1");
    assert_eq!(one.head.status, 200);
}

/// What becomes of a call whose answers are these, one after the other; and over which connections it came.
async fn told(answers: Vec<Told>) -> (Result<Answered, Problem>, Vec<usize>) {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let mut connections = Vec::new();
    let answering = async {
        for told in answers {
            let call = peer.call().await;
            connections.push(call.connection);
            drop(call.answer.send(told));
        }
    };
    let (result, ()) = tokio::join!(get(&client, "/", LIMITS), answering);
    assert!(peer.calls.try_recv().is_err());
    (result, connections)
}

#[tokio::test]
async fn what_was_turned_away_is_sent_once_more_and_no_more() {
    let refused = || Told::Reset(h2::Reason::REFUSED_STREAM);
    let (result, connections) = told(vec![refused(), Told::Body(b"ok")]).await;
    assert_eq!((&*result.unwrap().body, connections), (&b"ok"[..], vec![0, 0]));
    let (result, _) = told(vec![refused(), refused()]).await;
    let problem = result.unwrap_err();
    assert!(matches!(problem, Problem::Unreachable(_)) && !problem.sent(), "{problem:?}");
}

#[tokio::test]
async fn what_broke_off_may_have_arrived_and_is_sent_once() {
    let (result, _) = told(vec![Told::Reset(h2::Reason::CANCEL)]).await;
    let problem = result.unwrap_err();
    assert!(matches!(problem, Problem::Broken(_)) && problem.sent(), "{problem:?}");
}

#[tokio::test]
async fn after_a_good_bye_calls_under_way_end_and_others_take_a_new_connection() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let (late, ()) = tokio::join!(get(&client, "/late", LIMITS), async {
        let late = peer.call().await;
        peer.leave.notify_waiters();
        let (next, ()) = tokio::join!(get(&client, "/next", LIMITS), async {
            // It may still have been on its way over the first.
            let next = peer.call().await;
            assert_eq!((&*next.path, late.connection), ("/next", 0));
            drop(next.answer.send(Told::Body(b"next")));
        });
        assert_eq!(&*next.unwrap().body, b"next");
        drop(late.answer.send(Told::Body(b"late")));
    });
    assert_eq!(&*late.unwrap().body, b"late");
    let (again, ()) = tokio::join!(get(&client, "/again", LIMITS), async {
        let again = peer.call().await;
        assert_eq!(again.connection, 1);
        drop(again.answer.send(Told::Body(b"again")));
    });
    assert_eq!(&*again.unwrap().body, b"again");
}

#[tokio::test]
async fn an_answer_is_taken_as_far_as_it_may_be_long() {
    let limits = Limits { reply_bytes: 3, ..LIMITS };
    let mut peer = Peer::start().await;
    let client = peer.client();
    for (body, fits) in [(&b"abc"[..], true), (b"abcd", false)] {
        let (result, ()) = tokio::join!(get(&client, "/", limits), async {
            drop(peer.call().await.answer.send(Told::Body(body)));
        });
        match result {
            Ok(answered) => assert!(fits && &*answered.body == body),
            Err(problem) => assert!(!fits && matches!(problem, Problem::Cut { .. }), "{problem:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_over_which_nothing_comes_any_more_is_not_used_again() {
    // It takes connections and says nothing, not even that it speaks HTTP/2.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client_of(listener.local_addr().unwrap());
    let limits = Limits { total: Duration::from_millis(500), ..LIMITS };
    for _ in 0..2 {
        let (result, accepted) = tokio::join!(get(&client, "/", limits), listener.accept());
        let _stream = accepted.unwrap();
        assert!(matches!(result, Err(Problem::TimedOut { sent: true, .. })), "{result:?}");
    }
}

#[tokio::test]
async fn who_is_not_there_was_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client_of(listener.local_addr().unwrap());
    drop(listener);
    let (one, two) = tokio::join!(get(&client, "/", LIMITS), get(&client, "/", LIMITS));
    for problem in [one.unwrap_err(), two.unwrap_err()] {
        assert!(matches!(problem, Problem::Unreachable(_)) && !problem.sent(), "{problem:?}");
    }
}
