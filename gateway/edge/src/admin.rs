//! The admin listener: metrics and health for operators, apart from the traffic.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use ::http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Body as _;
use opgate_telemetry::Listener;
use tokio::time::MissedTickBehavior;

use crate::body::Body;
use crate::drain::Drain;
use crate::exporter::Exporter;
use crate::frontend::{Frontend, Peer, ResponseFuture};
use crate::http::HttpListener;
use crate::limits::HttpLimits;
use crate::readiness::Readiness;
use crate::request_body::RequestBody;
use crate::tls::Tls;

const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);
const EXPOSITION: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Whether a part of the daemon that must never hang (the journal thread) still moves. Must not block.
pub type Beat = Box<dyn Fn() -> bool + Send + Sync>;

/// What a further page shows: the text of a JSON value. Must not block.
pub type Page = Box<dyn Fn() -> String + Send + Sync>;

/// `/metrics`, `/livez` and `/readyz` on a port of their own, and what else is to be seen there.
#[derive(Debug)]
pub struct Admin {
    listener: HttpListener,
    pages: Pages,
}

impl Admin {
    /// Binds `address` (port 0 for any).
    pub async fn bind(
        address: SocketAddr,
        exporter: Exporter,
        readiness: Readiness,
        beat: Beat,
    ) -> io::Result<Self> {
        let limits = HttpLimits::admin();
        let listener =
            HttpListener::bind(address, Listener::Admin, limits, exporter.metrics()).await?;
        Ok(Self {
            listener,
            pages: Pages { exporter, readiness, beat, more: Vec::new(), mounted: Vec::new() },
        })
    }

    /// With one more page, at a path that begins with a slash.
    #[must_use]
    pub fn with(mut self, path: &'static str, page: Page) -> Self {
        self.pages.more.push((path, page));
        self
    }

    /// With a face of its own at a path that begins with a slash, and at all beneath it.
    #[must_use]
    pub fn mount(mut self, path: &'static str, face: Arc<dyn Frontend>) -> Self {
        self.pages.mounted.push((path, face));
        self
    }

    /// Has connections secured.
    #[must_use]
    pub fn secured(self, tls: Option<Tls>) -> Self {
        let Self { listener, pages } = self;
        Self { listener: listener.secured(tls), pages }
    }

    /// The address bound, with the port the kernel chose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `drain`, which should begin after the traffic has drained: operators want to watch that. Also
    /// does the exporter's upkeep meanwhile.
    pub async fn serve(self, drain: Drain) {
        let Self { listener, pages } = self;
        let exporter = pages.exporter.clone();
        let upkeep = async {
            let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                // It sorts every sample of the last second: other connections must not wait for it.
                let exporter = exporter.clone();
                let done = tokio::task::spawn_blocking(move || exporter.run_upkeep()).await;
                if let Err(error) = done {
                    tracing::error!(%error, "the upkeep of the metrics failed");
                }
            }
        };
        tokio::select! {
            () = listener.serve(Arc::new(pages), drain) => {}
            () = upkeep => {}
        }
    }
}

struct Pages {
    exporter: Exporter,
    readiness: Readiness,
    beat: Beat,
    more: Vec<(&'static str, Page)>,
    mounted: Vec<(&'static str, Arc<dyn Frontend>)>,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

impl Frontend for Pages {
    fn call(&self, request: Request<RequestBody>, peer: &Arc<Peer>) -> ResponseFuture {
        if let Some(face) = self.mounted(request.uri().path()) {
            return face.call(request, peer);
        }
        if request.method() == Method::HEAD {
            let answer = self.get(request.uri().path());
            return Box::pin(async { head(answer.await) });
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, path) => self.get(path),
            (_, path)
                if matches!(path, "/metrics" | "/livez" | "/readyz")
                    || self.more(path).is_some() =>
            {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                answer(response)
            }
            _ => answer(not_found()),
        }
    }
}

impl Pages {
    fn get(&self, path: &str) -> ResponseFuture {
        match path {
            "/metrics" => self.metrics(),
            "/livez" => answer(self.live()),
            "/readyz" => answer(self.ready()),
            path => match self.more(path) {
                Some(page) => answer(self::page(StatusCode::OK, JSON, page())),
                None => answer(not_found()),
            },
        }
    }

    fn more(&self, path: &str) -> Option<&Page> {
        self.more.iter().find(|(known, _)| *known == path).map(|(_, page)| page)
    }

    fn mounted(&self, path: &str) -> Option<&Arc<dyn Frontend>> {
        let is_beneath = |mounted: &str| {
            path.strip_prefix(mounted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.mounted.iter().find(|(mounted, _)| is_beneath(mounted)).map(|(_, face)| face)
    }

    /// That this runs at all shows that the runtime schedules; the beat shows the rest. Never asks an upstream.
    fn live(&self) -> Response<Body> {
        if (self.beat)() {
            text(StatusCode::OK, "alive\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "the journal thread does not move\n")
        }
    }

    fn ready(&self) -> Response<Body> {
        let report = self.readiness.report();
        let status =
            if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        text(status, report.to_string())
    }

    fn metrics(&self) -> ResponseFuture {
        let exporter = self.exporter.clone();
        exporter.metrics().gateway.ready.set_condition(self.readiness.is_ready());
        Box::pin(async move {
            let rendered = tokio::task::spawn_blocking(move || exporter.render()).await;
            match rendered {
                Ok(Ok(exposition)) => page(StatusCode::OK, EXPOSITION, exposition),
                Ok(Err(_)) | Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "no metrics\n"),
            }
        })
    }
}

fn answer(response: Response<Body>) -> ResponseFuture {
    Box::pin(std::future::ready(response))
}

/// The answer to HEAD, of the answer to GET (RFC 9110, 9.3.2). hyper leaves the body out by itself in HTTP/1 only.
fn head(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::empty())
}

fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "not found\n")
}

fn text(status: StatusCode, text: impl Into<bytes::Bytes>) -> Response<Body> {
    page(status, TEXT, text)
}

fn page(
    status: StatusCode,
    content_type: HeaderValue,
    content: impl Into<bytes::Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Body::full(content));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
