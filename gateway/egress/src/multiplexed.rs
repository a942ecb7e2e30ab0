//! One connection over HTTP/2, which all calls to its destination share.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header, response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::client::{Limits, USER_AGENT, broken};
use crate::destination::Destination;
use crate::dial;
use crate::network::Network;
use crate::problem::Problem;
use crate::stream::secured;

/// The protocol's name in ALPN.
const ALPN: &[u8] = b"h2";
/// Largest list of headers, or of trailers, of an answer.
const HEAD_BYTES: u32 = 64 * 1024;
/// How much of one answer may be on its way.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// How much of all answers may be.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// A whole answer.
#[derive(Debug)]
pub struct Answered {
    /// Its status and headers.
    pub head: response::Parts,
    /// Its body.
    pub body: Bytes,
    /// What came behind the body.
    pub trailers: HeaderMap,
}

/// The connection to one destination. It is made by whoever needs it first, and again after it was lost.
pub struct Multiplexed {
    network: Arc<dyn Network>,
    destination: Destination,
    tls: TlsConnector,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    kept: Option<Arc<Kept>>,
    /// When the last attempt to connect failed, and why.
    failed: Option<(Instant, Problem)>,
}

/// An open connection. It lives for as long as anybody has a call on it.
struct Kept {
    sender: http2::SendRequest<Full<Bytes>>,
    /// Bytes that came in.
    read: Arc<AtomicU64>,
    /// Whether it is not to be used for more calls.
    retired: AtomicBool,
    /// The one task that drives it, in a set because dropping that ends it.
    _task: JoinSet<()>,
}

/// How far a call got, for when it ends early.
#[derive(Default)]
struct Step {
    /// The connection that it was given to, and what had come in over that before.
    given: Option<(Arc<Kept>, u64)>,
    /// What the answer's head said.
    status: Option<StatusCode>,
}

impl fmt::Debug for Multiplexed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multiplexed")
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}

impl Multiplexed {
    /// A connection that is not made yet. `tls` is used where the destination wants TLS.
    pub fn new(network: Arc<dyn Network>, destination: Destination, mut tls: ClientConfig) -> Self {
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let tls = TlsConnector::from(Arc::new(tls));
        Self { network, destination, tls, current: Mutex::default() }
    }

    /// Sends a request whose URL is beneath the destination, and returns the answer, whatever its
    /// status. A `User-Agent` is added where there is none.
    ///
    /// A request of which it is certain that it was not looked at, as its connection was closed before,
    /// is sent once more on a new one. Any other is sent once.
    ///
    /// # Errors
    /// Why there is no whole answer. [`Problem::sent`] tells whether it may have arrived.
    pub async fn send(&self, request: Request<Bytes>, limits: Limits) -> Result<Answered, Problem> {
        let mut step = Step::default();
        let answer = timeout(limits.total, self.call(request, limits, &mut step)).await;
        let answer = answer.unwrap_or_else(|_| {
            // Whoever is silent for as long is likely to stay so: the next call is to find out.
            if let Some((kept, before)) = &step.given
                && kept.read.load(Ordering::Relaxed) == *before
            {
                kept.retired.store(true, Ordering::Relaxed);
            }
            Err(Problem::TimedOut { within: limits.total, sent: step.given.is_some() })
        });
        answer.map_err(|problem| match step.status {
            Some(status) => Problem::Cut { status, problem: Box::new(problem) },
            None => problem,
        })
    }

    async fn call(
        &self,
        request: Request<Bytes>,
        limits: Limits,
        step: &mut Step,
    ) -> Result<Answered, Problem> {
        let mut request = request.map(Full::new);
        let agent = HeaderValue::from_static(USER_AGENT);
        request.headers_mut().entry(header::USER_AGENT).or_insert(agent);
        *request.version_mut() = http::Version::HTTP_2;
        let mut again = true;
        let answer = loop {
            let kept = self.kept(limits).await?;
            let mut sender = kept.sender.clone();
            let before = kept.read.load(Ordering::Relaxed);
            let copy = request.clone();
            let sending = sender.try_send_request(request);
            step.given = Some((Arc::clone(&kept), before));
            let mut error = match sending.await {
                Ok(answer) => break answer,
                Err(error) => error,
            };
            let fate = Fate::of(error.take_message().is_some(), error.error());
            if fate == Fate::Closed {
                kept.retired.store(true, Ordering::Relaxed);
            }
            let problem = broken(error.error());
            if fate == Fate::Unknown {
                return Err(problem);
            }
            step.given = None;
            if !std::mem::take(&mut again) {
                return Err(Problem::Unreachable(format!("{}: {problem}", self.destination)));
            }
            request = copy;
        };
        let (head, body) = answer.into_parts();
        step.status = Some(head.status);
        let (body, trailers) = collect(body, limits.reply_bytes).await?;
        Ok(Answered { head, body, trailers })
    }

    /// The connection, made if need be. Who waits for an attempt that fails, fails with it.
    async fn kept(&self, limits: Limits) -> Result<Arc<Kept>, Problem> {
        let asked = Instant::now();
        let until = asked + limits.connect;
        let late =
            |_| Problem::Unreachable(format!("{}: it is being connected to", self.destination));
        let mut current = timeout_at(until, self.current.lock()).await.map_err(late)?;
        if let Some(kept) = current.kept.as_ref().filter(|kept| kept.is_of_use()) {
            return Ok(Arc::clone(kept));
        }
        current.kept = None;
        if let Some((at, problem)) = &current.failed
            && *at >= asked
        {
            return Err(problem.clone());
        }
        match self.open(until).await {
            Ok(kept) => {
                let kept = Arc::new(kept);
                *current = Current { kept: Some(Arc::clone(&kept)), failed: None };
                Ok(kept)
            }
            Err(problem) => {
                current.failed = Some((Instant::now(), problem.clone()));
                Err(problem)
            }
        }
    }

    async fn open(&self, until: Instant) -> Result<Kept, Problem> {
        let left = until.saturating_duration_since(Instant::now());
        let addresses = dial::resolve(&*self.network, &self.destination, left).await?;
        let opened =
            dial::first(&*self.network, &self.destination, &addresses, until, |stream, _| {
                Box::pin(self.shake(stream))
            })
            .await;
        opened.map_err(Problem::Unreachable)
    }

    async fn shake(&self, stream: TcpStream) -> io::Result<Kept> {
        let stream = secured(stream, &self.destination, &self.tls).await?;
        if self.destination.tls && stream.alpn.as_deref() != Some(ALPN) {
            return Err(io::Error::other("it does not speak HTTP/2 over TLS (ALPN h2)"));
        }
        let read = Arc::new(AtomicU64::new(0));
        let stream = TokioIo::new(stream.counted(Arc::clone(&read)));
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES)
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        let mut task = JoinSet::new();
        // How it ended is told by the calls that were under way.
        task.spawn(async move { drop(connection.await) });
        Ok(Kept { sender, read, retired: AtomicBool::new(false), _task: task })
    }

    /// The URL of a path at the destination.
    ///
    /// # Errors
    /// The path is none.
    pub fn url(&self, path: &str) -> Result<Uri, http::Error> {
        let scheme = if self.destination.tls { "https" } else { "http" };
        let authority = format!("{}:{}", self.destination.host, self.destination.port);
        Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build()
    }
}

impl Kept {
    fn is_of_use(&self) -> bool {
        !self.retired.load(Ordering::Relaxed) && !self.sender.is_closed()
    }
}

/// What is known of a request that was not answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was not looked at, as its connection was closed before.
    Closed,
    /// It was refused before it was looked at.
    Refused,
    /// Nothing.
    Unknown,
}

impl Fate {
    /// By what it was told with (RFC 9113, 6.8 and 8.7). Requests before the last one that a good-bye
    /// names end otherwise.
    fn of(kept_back: bool, error: &hyper::Error) -> Self {
        if kept_back {
            return Self::Closed;
        }
        let causes =
            std::iter::successors(std::error::Error::source(error), |cause| cause.source());
        let mut protocol = causes.filter_map(|cause| cause.downcast_ref::<h2::Error>());
        match protocol.next().filter(|error| error.is_remote()) {
            Some(error) if error.is_go_away() => Self::Closed,
            Some(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM) => Self::Refused,
            Some(_) | None => Self::Unknown,
        }
    }
}

async fn collect(mut body: Incoming, bytes_max: usize) -> Result<(Bytes, HeaderMap), Problem> {
    let too_large = || Problem::TooLarge(format!("{bytes_max} bytes"));
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let (mut all, mut trailers) = (BytesMut::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| broken(&error))?.into_data() {
            Ok(data) if data.len() > bytes_max - all.len() => return Err(too_large()),
            Ok(data) => all.extend_from_slice(&data),
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok((all.freeze(), trailers))
}
