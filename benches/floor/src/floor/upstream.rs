//! What opgate has as upstreams, in one: a gRPC service, a Nexus handler and an API of OCI's kind that do nothing, on
//! one port behind the daemon's own edge.
//!
//! | request | answer |
//! |---|---|
//! | gRPC `*/Now`, `*/Later` | an operation that is done; one that is not |
//! | gRPC `*/WaitOperation`, `*/GetOperation` | it is done |
//! | `POST /nexus/*/now`, `*/later`; `GET` of its result | 200; 201 with a token; 200 |
//! | `POST /20160918/now`, `*/later` | 200; 202 with a work request |
//! | `POST /20160918/after` | 202 with a work request that ends in [`AFTER`] |
//! | `GET /20160918/workRequests/ID` | IN_PROGRESS or SUCCEEDED; counted |
//! | `GET /looks` | how often that was asked |

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use opgate_edge::{
    Body, Drain, Frontend, HttpLimits, HttpListener, Peer, RequestBody, ResponseFuture,
};
use opgate_telemetry::{Listener, Metrics};

use crate::announce;
use crate::operation::{Operation, framed};
use crate::raw;

/// How long the work of `after` takes.
const AFTER: Duration = Duration::from_secs(1);
/// Before the milliseconds since the start of this process at which a work request ends.
const WORK_REQUEST: &str = "ocid1.benchworkrequest.oc1..";

pub(crate) async fn serve(done: Operation) -> anyhow::Result<()> {
    let running = Operation { done: false, response: None, ..done.clone() };
    let upstream = Upstream {
        done: framed(&done)?,
        running: framed(&running)?,
        began: Instant::now(),
        looks: AtomicU64::new(0),
    };
    let listener = HttpListener::bind(
        (Ipv4Addr::LOCALHOST, 0).into(),
        Listener::Http,
        HttpLimits::default(),
        Metrics::register(&[]),
    )
    .await?;
    announce(listener.local_addr()?)?;
    // Never drained: the process is killed.
    let (_trigger, drain) = Drain::new();
    listener.serve(Arc::new(Shared(Arc::new(upstream))), drain).await;
    Ok(())
}

struct Upstream {
    done: Bytes,
    running: Bytes,
    began: Instant,
    looks: AtomicU64,
}

struct Shared(Arc<Upstream>);

impl Frontend for Shared {
    fn call(&self, request: Request<RequestBody>, _: &Arc<Peer>) -> ResponseFuture {
        let upstream = Arc::clone(&self.0);
        Box::pin(async move {
            let (head, mut body) = request.into_parts();
            // Read to its end like any server would, and not looked at.
            while let Some(Ok(_)) = body.frame().await {}
            upstream.answer(&head.method, head.uri.path())
        })
    }
}

impl Upstream {
    fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        let last = path.rsplit('/').next().unwrap_or_default();
        match (method, last) {
            (&Method::POST, "Later") => raw::reply(self.running.clone()),
            (&Method::POST, "Now" | "WaitOperation" | "GetOperation") => {
                raw::reply(self.done.clone())
            }
            (&Method::POST, "now") | (&Method::GET, "result") => json(StatusCode::OK, "{}"),
            (&Method::POST, "later") if path.starts_with("/nexus/") => {
                json(StatusCode::CREATED, r#"{"token":"t","state":"running"}"#)
            }
            (&Method::POST, "later") => accepted(Duration::ZERO),
            (&Method::POST, "after") => accepted(self.began.elapsed() + AFTER),
            (&Method::GET, "looks") => {
                json(StatusCode::OK, format!("{}", self.looks.load(Ordering::Relaxed)))
            }
            (&Method::GET, "logs" | "errors") => json(StatusCode::OK, "[]"),
            (&Method::GET, id) => self.work_request(id),
            _ => json(StatusCode::NOT_FOUND, r#"{"code":"NotFound","message":"not here"}"#),
        }
    }

    fn work_request(&self, id: &str) -> Response<Body> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let ends = id.strip_prefix(WORK_REQUEST).and_then(|ends| ends.parse().ok());
        let over = ends.is_none_or(|ends| self.began.elapsed() >= Duration::from_millis(ends));
        let status = if over { "SUCCEEDED" } else { "IN_PROGRESS" };
        json(
            StatusCode::OK,
            format!(
                r#"{{"id":"{id}","operationType":"BENCH","status":"{status}","compartmentId":"c","resources":[],"percentComplete":50.0,"timeAccepted":"2026-11-22T00:00:00Z"}}"#
            ),
        )
    }
}

/// Work that is over at this time, counted from the start of the process.
fn accepted(ends: Duration) -> Response<Body> {
    let mut response = json(StatusCode::ACCEPTED, "");
    let id = format!("{WORK_REQUEST}{}", ends.as_millis());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("opc-work-request-id", id);
    }
    response
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
