//! The JSON form of opgate's own API, from the caller's side.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::events::Events;

/// Time for a connection to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for an answer, beyond what the request itself asks the gateway to wait.
const ANSWER: Duration = Duration::from_secs(30);
/// The longest wait of one request that is asked for: what a gateway grants by default.
pub(super) const WAIT: Duration = Duration::from_secs(30);
/// Largest answer: a page of full operations is bounded to 4 MiB, and base64 makes it a third
/// longer.
pub(super) const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// All but the unreserved characters of RFC 3986.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for several segments of a path.
const SEGMENTS: &AsciiSet = &VALUE.remove(b'/');

/// A request was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Nobody answered, or not in the API's terms.
    #[error("{address}: {problem}")]
    Unreachable {
        /// Who was asked.
        address: String,
        /// What happened.
        problem: String,
    },
    /// The gateway said no.
    #[error("{status}: {message}")]
    Refused {
        /// A name of `google.rpc.Code`.
        status: String,
        /// Why.
        message: String,
    },
}

/// A gateway, as its address says. Each request opens a connection of its own: a command makes few.
#[derive(Clone)]
pub(super) struct Client {
    host: String,
    /// `host:port`.
    authority: String,
    /// Over https.
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.authority).finish()
    }
}

impl Client {
    /// From `http://host:port` or `https://host:port`. Over https the gateway's certificate must be vouched for
    /// by one of the system's authorities, or of those in the file.
    pub(super) fn new(address: &str, authorities: Option<&PathBuf>) -> Result<Self, String> {
        let refused = |why: &str| {
            format!(
                "{address} is not an address of a gateway: {why}; http://HOST:PORT or \
                 https://HOST:PORT is expected"
            )
        };
        let uri: Uri = address.parse().map_err(|_| refused("it is not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") if authorities.is_some() => {
                return Err(refused("--ca-file is for https://"));
            }
            Some("http") => None,
            Some("https") => {
                Some(opgate_egress::connector(authorities).map_err(|error| error.to_string())?)
            }
            Some(_) | None => return Err(refused("only http:// and https:// are spoken")),
        };
        if !matches!(uri.path_and_query().map_or("/", |rest| rest.as_str()), "/" | "") {
            return Err(refused("it goes on after the port"));
        }
        let authority = uri.authority().ok_or_else(|| refused("it names no host"))?;
        let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let host = authority.host();
        Ok(Self { authority: format!("{host}:{port}"), host: host.to_owned(), tls })
    }

    /// Sends a request, and gives the answer's JSON. `waits` is how long the gateway may take on
    /// purpose.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        waits: Duration,
    ) -> Result<Value, Refusal> {
        let asked = timeout(waits + ANSWER, async {
            let (response, connection) = self.exchange(method, path, body).await?;
            let answer = whole(response).await;
            connection.abort();
            answer
        });
        let (status, body) = asked
            .await
            .map_err(|_| self.unreachable("no answer in time"))?
            .map_err(|error| self.unreachable(error))?;
        self.answer(status, &body)
    }

    /// Begins to follow what the gateway tells as server-sent events.
    pub(super) async fn events(&self, path: &str) -> Result<Events, Refusal> {
        let asked = timeout(ANSWER, self.exchange(Method::GET, path, None)).await;
        let (response, connection) = asked
            .map_err(|_| self.unreachable("no answer in time"))?
            .map_err(|error| self.unreachable(error))?;
        let kind = response.headers().get(CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            let answer = timeout(ANSWER, whole(response)).await;
            connection.abort();
            let (status, body) = answer
                .map_err(|_| self.unreachable("no answer in time"))?
                .map_err(|error| self.unreachable(error))?;
            self.answer(status, &body)?;
            return Err(self.unreachable("this is not a gateway's API"));
        }
        Ok(Events::new(self.clone(), response.into_body(), connection))
    }

    /// What is said to whoever gets no answer, or none of a gateway's.
    pub(super) fn unreachable(&self, problem: impl std::fmt::Display) -> Refusal {
        Refusal::Unreachable {
            address: format!("{}://{}", self.scheme(), self.authority),
            problem: problem.to_string(),
        }
    }

    /// What an answer says.
    fn answer(&self, status: http::StatusCode, body: &[u8]) -> Result<Value, Refusal> {
        let answer: Option<Value> = serde_json::from_slice(body).ok();
        match answer {
            Some(answer) if status.is_success() => Ok(answer),
            Some(answer) if answer["error"]["status"].is_string() => Err(refused(&answer)),
            _ => Err(self.unreachable(format!("HTTP {status}: this is not a gateway's API"))),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> io::Result<(Response<Incoming>, JoinHandle<Result<(), hyper::Error>>)> {
        let connected = timeout(CONNECT, TcpStream::connect(&self.authority)).await;
        let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let Some(tls) = &self.tls else { return self.ask(stream, method, path, body).await };
        let name = self.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = name.try_into().map_err(io::Error::other)?;
        let secured = timeout(CONNECT, tls.connect(name, stream)).await;
        let stream = secured.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.ask(stream, method, path, body).await
    }

    const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    async fn ask<S>(
        &self,
        stream: S,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> io::Result<(Response<Incoming>, JoinHandle<Result<(), hyper::Error>>)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.authority);
        let body = body.map(|body| Bytes::from(body.to_string()));
        if body.is_some() {
            let json = HeaderValue::from_static("application/json");
            request = request.header(CONTENT_TYPE, json);
        }
        let request =
            request.body(Full::new(body.unwrap_or_default())).map_err(io::Error::other)?;
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        Ok((response, connection))
    }
}

async fn whole(response: Response<Incoming>) -> io::Result<(http::StatusCode, Bytes)> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(io::Error::other)?;
    Ok((head.status, body.to_bytes()))
}

/// What the gateway said no with.
pub(super) fn refused(answer: &Value) -> Refusal {
    let text = |key: &str| answer["error"][key].as_str().unwrap_or_default().to_owned();
    Refusal::Refused { status: text("status"), message: text("message") }
}

/// The path of an operation, and of an action on it such as `:cancel`.
///
/// The name may be any face's: its segments are kept, what is not fit for a path is escaped.
pub(super) fn path(name: &str, action: &str) -> String {
    let name = utf8_percent_encode(name.trim_matches('/'), SEGMENTS);
    format!("/opgate/v1/operations/{name}{action}")
}

/// Text as the value of a query parameter.
pub(super) fn value(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_makes_a_path() {
        assert_eq!(path("abc", ""), "/opgate/v1/operations/abc");
        assert_eq!(
            path("projects/p/operations/abc", ":cancel"),
            "/opgate/v1/operations/projects/p/operations/abc:cancel"
        );
        assert_eq!(path("/abc", ""), "/opgate/v1/operations/abc");
        assert_eq!(path("a?b#c d:e", ""), "/opgate/v1/operations/a%3Fb%23c%20d%3Ae");
    }

    #[test]
    fn an_address_is_http_or_https_with_a_host() {
        let new = |address| Client::new(address, None);
        assert_eq!(new("http://127.0.0.1:8080").unwrap().authority, "127.0.0.1:8080");
        assert_eq!(new("http://[::1]:8080/").unwrap().authority, "[::1]:8080");
        assert_eq!(new("http://gateway").unwrap().authority, "gateway:80");
        assert_eq!(new("https://gateway").unwrap().authority, "gateway:443");
        for wrong in ["", "127.0.0.1:8080", "ftp://a:1", "http://a:1/v1", "http:///x"] {
            assert!(new(wrong).is_err(), "{wrong}");
        }
    }
}
