//! The web console, on the listener of operators: one page, and what of the API it reads.
//!
//! | path | answers |
//! |---|---|
//! | `GET /console/` | the page, which fetches nothing but what follows |
//! | `GET /console/about` | what the page has to know of this gateway |
//! | `GET /console/operations`, `.../operations/{name}` | as the API under `/opgate/v1/` |
//! | `GET /console/events?parent=&filter=` | what changes from now on: [`live`] |
//! | `POST /console/operations/{name}:cancel`, `:redrive` | as the API, where actions are on |
//!
//! All of it is the API's own handlers, messages and JSON, for one tenant.

mod guard;
mod live;
mod page;

use std::fmt;
use std::sync::Arc;

use ::http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use opgate_bus::core::{Face, Tenant};
use opgate_bus::{Caller, Via, WorksOn};
use opgate_core::{Error, ErrorKind};
use opgate_edge::{Body, Frontend, Peer, RequestBody, ResponseFuture};
use opgate_rpc::transcode::{self, Parameters};
use opgate_telemetry::{Code, Permit};
use serde_json::json;
use tokio::sync::Semaphore;

use self::guard::Hosts;
use self::live::Live;
use self::page::Page;
use super::http::ROOT as API;
use super::method::Method as Called;
use super::{Inner, Native};

/// What of the console is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose operations it shows. Default those of callers that nobody authenticates.
    pub tenant: Tenant,
    /// Whether it may change them. Default no.
    pub actions: bool,
    /// Pages that are live at a time; one beyond is told so. Default 16: a fourth of the listener's connections.
    pub streams: usize,
    /// Operations that a page is told of one by one when they change together; of more it reads its list anew. Default
    /// 256, a few pages of the table.
    pub together: usize,
    /// The names it is reached by, beside IP addresses and localhost. Default none.
    pub hosts: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tenant: Tenant::anonymous(),
            actions: false,
            streams: 16,
            together: 256,
            hosts: Vec::new(),
        }
    }
}

/// The frontend of the console. Clones share everything.
#[derive(Clone, Debug)]
pub struct Console(Arc<Shown>);

/// The API of now: settings that are read again may have it made anew.
struct Source(Box<dyn Fn() -> Native + Send + Sync>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shown {
    native: Source,
    tenant: Tenant,
    actions: bool,
    hosts: Hosts,
    streams: Arc<Semaphore>,
    together: usize,
    page: Page,
}

impl Console {
    /// Where it lies.
    pub const PATH: &'static str = "/console";

    /// Shows what `native` does, which is asked for each request.
    ///
    /// # Errors
    /// A defect of opgate: the page is not as it must be.
    pub fn new(
        settings: Settings,
        native: impl Fn() -> Native + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let Settings { tenant, actions, streams, together, hosts } = settings;
        let most = u64::try_from(streams).unwrap_or(u64::MAX);
        native().0.metrics.bus.permits_max.of(Permit::Console).set(most);
        Ok(Self(Arc::new(Shown {
            native: Source(Box::new(native)),
            tenant,
            actions,
            hosts: Hosts::new(hosts),
            streams: Arc::new(Semaphore::new(streams.min(Semaphore::MAX_PERMITS))),
            together,
            page: Page::new()?,
        })))
    }
}

impl Frontend for Console {
    fn call(&self, request: Request<RequestBody>, peer: &Arc<Peer>) -> ResponseFuture {
        let answer = self.0.answer(request, peer);
        Box::pin(async { page::sealed(answer.await) })
    }
}

impl Shown {
    fn answer(&self, request: Request<RequestBody>, peer: &Arc<Peer>) -> ResponseFuture {
        let inner = self.inner(peer);
        let refuse = |error| inner.refuse(None, error, &Parameters::default());
        if let Err(error) = self.hosts.check(&request) {
            return refuse(error);
        }
        let path = request.uri().path();
        let path = path.strip_prefix(Console::PATH).unwrap_or_default().to_owned();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match &*path {
            "" if reads => return ready(page::moved()),
            "/" if reads => return ready(self.page.response()),
            _ => {}
        }
        if let Err(error) = guard::same_origin(&request) {
            return refuse(error);
        }
        match (&*path, reads) {
            ("/about", true) => ready(self.about(&inner)),
            ("/events", true) => self.events(&inner, request.uri().query()),
            (path, true) if is_read(path) => pass(inner, request, path),
            (path, false) if is_action(path) && *request.method() == Method::POST => {
                if let Err(error) = guard::meant(&request) {
                    return refuse(error);
                }
                if !self.actions {
                    let why = "the console shows and does not act: admin.console.actions is false";
                    return refuse(Error::new(ErrorKind::PermissionDenied, why));
                }
                let via = Via { face: Some(Face::Native), peer: Some(peer.remote) };
                Box::pin(via.scope(pass(inner, request, path)))
            }
            ("" | "/" | "/about" | "/events", false) => ready(page::only_read()),
            (path, _) => {
                let text = format!("{} {}{path} is not there", request.method(), Console::PATH);
                refuse(Error::new(ErrorKind::NotFound, text))
            }
        }
    }

    /// The API as whoever looks at the console sees it. It is known by its certificate where it has one.
    fn inner(&self, peer: &Peer) -> Arc<Inner> {
        let certificate = peer.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
        let name = certificate.and_then(|known| known.uris.first().or(known.dns.first()));
        let principal = match name {
            Some(name) => format!("console:{name}").into(),
            None => "console".into(),
        };
        let caller =
            Caller { tenant: self.tenant.clone(), principal, works_on: WorksOn::nothing() };
        Arc::new(Inner { caller, shared: Arc::clone(&(self.native.0)().0.shared) })
    }

    fn about(&self, inner: &Inner) -> Response<Body> {
        let standings = inner.bus.standings();
        let backends: Vec<&str> = standings.iter().map(|standing| &*standing.name).collect();
        let faces: Vec<&str> = Face::ALL.iter().map(|face| face.name()).collect();
        let about = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "tenant": self.tenant.as_str(),
            "actions": self.actions,
            "backends": backends,
            "faces": faces,
        });
        transcode::ok(about.to_string())
    }

    fn events(&self, inner: &Arc<Inner>, query: Option<&str>) -> ResponseFuture {
        let called = Called::WatchAll;
        match Live::new(Arc::clone(inner), query, &self.streams, self.together) {
            Ok(live) => {
                inner.begin(called.label()).finish(Code::Ok);
                ready(live.response())
            }
            Err(error) => inner.refuse(Some(called), error, &Parameters::default()),
        }
    }
}

/// Whether the page reads there: a list, or one operation by any of its names.
fn is_read(path: &str) -> bool {
    path == "/operations" || (path.starts_with("/operations/") && action(path).is_none())
}

fn is_action(path: &str) -> bool {
    path.starts_with("/operations/") && matches!(action(path), Some("cancel" | "redrive"))
}

/// What stands behind the last colon of the last segment.
fn action(path: &str) -> Option<&str> {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.rsplit_once(':').map(|(_, action)| action)
}

/// Has the API answer. Of the head only what the page needs goes on: no other method, no other form.
fn pass(inner: Arc<Inner>, request: Request<RequestBody>, path: &str) -> ResponseFuture {
    let (parts, body) = request.into_parts();
    let path = path.trim_start_matches('/');
    let uri = match parts.uri.query() {
        Some(query) => format!("{API}{path}?{query}"),
        None => format!("{API}{path}"),
    };
    let Ok(uri) = uri.parse::<Uri>() else {
        return inner.refuse(None, Error::not_found(), &Parameters::default());
    };
    let mut asked = Request::new(body);
    *asked.uri_mut() = uri;
    if parts.method == Method::POST {
        *asked.method_mut() = Method::POST;
        asked
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    inner.http(asked)
}

fn ready(response: Response<Body>) -> ResponseFuture {
    Box::pin(std::future::ready(response))
}

/// A response of text.
fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reads_are_read_and_only_two_actions_are_done() {
        for path in ["/operations", "/operations/a", "/operations/p:q/operations/a"] {
            assert!(is_read(path) && !is_action(path), "{path}");
        }
        for path in ["/operations/a:cancel", "/operations/p/a:redrive"] {
            assert!(is_action(path) && !is_read(path), "{path}");
        }
        for path in [
            "/operations:watch",
            "/operations/a:wait",
            "/operations/a:watch",
            "/operations/a:complete",
            "/operationsx",
            "/queues/q:lease",
            "",
        ] {
            assert!(!is_action(path) && !is_read(path), "{path}");
        }
    }
}
