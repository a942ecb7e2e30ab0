//! The client.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::connection::{Connection, Cut};
use crate::destination::Destination;
use crate::dial;
use crate::guard::Guard;
use crate::network::{Network, System};
use crate::pool::{Bounds, Pool};
use crate::problem::{Problem, Refusal};
use crate::tls::{self, TlsError};

/// Who calls, where the request does not say.
pub(crate) const USER_AGENT: &str = concat!("opgate/", env!("CARGO_PKG_VERSION"));
/// What the connection says for itself. A request that brought its own could end early, or hide a
/// second one.
const OWN: [HeaderName; 9] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
];

/// What of the client is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A PEM file with certificate authorities to believe beside the system's. Default none.
    pub authorities: Option<PathBuf>,
    /// Unused connections kept for one destination. Default 8.
    pub idle_each: usize,
    /// Unused connections kept in all. Default 256, as many file descriptors.
    pub idle_all: usize,
    /// How long an unused connection is kept. Default 30 s: servers close theirs after 60 s and more.
    pub idle_time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let idle_time = Duration::from_secs(30);
        Self { authorities: None, idle_each: 8, idle_all: 256, idle_time }
    }
}

/// Whose URL it is.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// The operator's: called as it is.
    Configured,
    /// A caller's: called as far as the guard allows.
    Guarded(&'a Guard),
}

/// The bounds of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time to look the name up, connect and shake hands.
    pub connect: Duration,
    /// Time for all of it.
    pub total: Duration,
    /// Largest body of an answer. Its head may have 64 KiB and 128 headers, whatever is said here.
    pub reply_bytes: usize,
}

/// Calls others. Clones share the kept connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    network: Arc<dyn Network>,
    tls: TlsConnector,
    pool: Arc<Pool>,
}

/// How far a call got, for when it ends early.
#[derive(Default)]
struct Step {
    /// Whether anything may have been sent.
    sent: AtomicBool,
    /// What the answer's head said.
    status: OnceLock<StatusCode>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("pool", &self.0.pool).finish_non_exhaustive()
    }
}

impl Client {
    /// A client on the system's network.
    ///
    /// # Errors
    /// The file of authorities cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, TlsError> {
        Self::on(Arc::new(System::default()), settings)
    }

    /// A client on another network.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn on(network: Arc<dyn Network>, settings: &Settings) -> Result<Self, TlsError> {
        let tls = tls::connector(settings.authorities.as_ref())?;
        let Settings { idle_each: each, idle_all: all, idle_time: time, .. } = *settings;
        Ok(Self(Arc::new(Inner { network, tls, pool: Pool::new(Bounds { each, all, time }) })))
    }

    /// Sends a request with an absolute URL, and returns the answer, whatever its status: a
    /// redirection is an answer like any other and is not followed.
    ///
    /// The path and query are sent byte for byte. `Host`, and what frames the message, are the
    /// client's own; a `User-Agent` is added where there is none. The name is looked up at most
    /// once, and a guard checks every address it has; a kept connection serves only if it leads to
    /// one of those.
    ///
    /// **The request must be safe to repeat**, and everything opgate sends is: starts carry a
    /// request id, completions an operation token, cancels only ask again. A kept connection may
    /// have been closed by its peer while the request was on its way, which cannot be told from one
    /// closed after it was read. So a request that a kept connection did not begin to answer is sent
    /// once more on a new one. The caller would have to do the same, only later.
    ///
    /// # Errors
    /// Why there is no whole answer.
    pub async fn send(
        &self,
        trust: Trust<'_>,
        request: Request<Bytes>,
        limits: Limits,
    ) -> Result<Response<Bytes>, Problem> {
        let step = Step::default();
        let call = pin!(self.call(trust, request, limits, &step));
        let answer = timeout(limits.total, call).await.unwrap_or_else(|_| {
            Err(Problem::TimedOut { within: limits.total, sent: step.sent.load(Ordering::Relaxed) })
        });
        answer.map_err(|problem| match step.status.get() {
            Some(status) => Problem::Cut { status: *status, problem: Box::new(problem) },
            None => problem,
        })
    }

    async fn call(
        &self,
        trust: Trust<'_>,
        request: Request<Bytes>,
        limits: Limits,
        step: &Step,
    ) -> Result<Response<Bytes>, Problem> {
        let (head, body) = request.into_parts();
        let destination = match trust {
            Trust::Configured => Destination::of(&head.uri)?,
            Trust::Guarded(guard) => guard.admit(&head.uri.to_string())?,
        };
        let head = framed(head, body.len())?;
        let request = || Request::from_parts(head.clone(), Full::new(body.clone()));
        let mut addresses = None;
        if let Trust::Guarded(guard) = trust {
            let found = self.resolve(&destination, limits.connect).await?;
            for address in &found {
                guard.check(&destination, address.ip())?;
            }
            addresses = Some(found);
        }
        if let Some(mut kept) = self.0.pool.take(&destination, addresses.as_deref()) {
            step.sent.store(true, Ordering::Relaxed);
            match kept.exchange(request()).await {
                Ok(answer) => return self.finish(destination, kept, answer, limits, step).await,
                Err(Cut { answered: false, .. }) => {}
                Err(cut) => return Err(broken(&cut.error)),
            }
        }
        let until = Instant::now() + limits.connect;
        let addresses = match addresses {
            Some(addresses) => addresses,
            None => self.resolve(&destination, limits.connect).await?,
        };
        let opened = self.open(&destination, &addresses, until).await;
        let mut connection = opened.map_err(|problem| {
            // What a kept connection was given may have arrived.
            let sent = step.sent.load(Ordering::Relaxed);
            if sent { Problem::Broken(problem) } else { Problem::Unreachable(problem) }
        })?;
        step.sent.store(true, Ordering::Relaxed);
        match connection.exchange(request()).await {
            Ok(answer) => self.finish(destination, connection, answer, limits, step).await,
            Err(cut) => Err(broken(&cut.error)),
        }
    }

    /// Every address of a destination.
    async fn resolve(
        &self,
        destination: &Destination,
        within: Duration,
    ) -> Result<Vec<SocketAddr>, Problem> {
        dial::resolve(&*self.0.network, destination, within).await
    }

    /// Connects to the first of the addresses that can be connected to.
    async fn open(
        &self,
        destination: &Destination,
        addresses: &[SocketAddr],
        until: Instant,
    ) -> Result<Connection, String> {
        let network = &*self.0.network;
        dial::first(network, destination, addresses, until, |stream, address| {
            Box::pin(Connection::open(stream, address, destination, &self.0.tls))
        })
        .await
    }

    /// Reads the body, and keeps the connection.
    async fn finish(
        &self,
        destination: Destination,
        mut connection: Connection,
        answer: Response<Incoming>,
        limits: Limits,
        step: &Step,
    ) -> Result<Response<Bytes>, Problem> {
        let (head, body) = answer.into_parts();
        // Set once: there is one answer.
        step.status.set(head.status).ok();
        let body = collect(body, limits.reply_bytes).await?;
        if connection.settled().await {
            self.0.pool.put(destination, connection);
        }
        Ok(Response::from_parts(head, body))
    }
}

/// The head of a request as the connection sends it.
fn framed(mut head: request::Parts, length: usize) -> Result<request::Parts, Refusal> {
    for name in OWN {
        head.headers.remove(name);
    }
    // Said of an empty body too where one is expected, as RFC 9110 8.6 asks and hyper does not.
    if length > 0 || [Method::POST, Method::PUT, Method::PATCH].contains(&head.method) {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let uri = std::mem::take(&mut head.uri).into_parts();
    let host = uri.authority.as_ref().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(host).map_err(|error| Refusal::new(error.to_string()))?;
    head.headers.insert(header::HOST, host);
    let agent = HeaderValue::from_static(USER_AGENT);
    head.headers.entry(header::USER_AGENT).or_insert(agent);
    head.uri = Uri::from(uri.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/")));
    head.version = http::Version::HTTP_11;
    Ok(head)
}

pub(crate) fn broken(error: &hyper::Error) -> Problem {
    if error.is_parse_too_large() {
        return Problem::TooLarge("64 KiB or 128 headers in its head".to_owned());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    Problem::Broken(text)
}

async fn collect(mut body: Incoming, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::TooLarge(format!("{bytes_max} bytes"));
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
        if data.len() > bytes_max - all.len() {
            return Err(too_large());
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}
