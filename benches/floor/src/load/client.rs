//! One client connection, and one request on it, checked.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TE};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::Protocol;

/// Large enough that flow control never holds a reply back, whatever the number of waiters.
const CONNECTION_WINDOW: u32 = 1 << 30;
const STREAM_WINDOW: u32 = 1 << 20;
/// What the generator itself allows in flight on one connection; the server's own limit applies as well.
const STREAMS: usize = 100_000;

impl Expect {
    /// Status 200, of any length.
    pub(crate) const OK: Self = Self { status: StatusCode::OK, bytes: None };
}

/// A request that can be sent any number of times, and what its reply must look like.
#[derive(Clone)]
pub(crate) struct Call(Arc<Inner>);

struct Inner {
    protocol: Protocol,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// With the gRPC prefix; empty for a GET.
    body: Bytes,
    expect: Expect,
}

/// What a reply must look like.
#[derive(Clone, Copy)]
pub(crate) struct Expect {
    pub(crate) status: StatusCode,
    /// None: of any length.
    pub(crate) bytes: Option<usize>,
}

impl Call {
    pub(crate) fn new(
        target: SocketAddr,
        protocol: Protocol,
        path: &str,
        message: &[u8],
        further: &[(HeaderName, HeaderValue)],
        expect: Expect,
    ) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        let mut body = BytesMut::new();
        let mut method = Method::GET;
        let mut uri = format!("http://{target}{path}");
        match protocol {
            Protocol::Grpc => {
                method = Method::POST;
                headers.insert(CONTENT_TYPE, "application/grpc".parse()?);
                headers.insert(TE, "trailers".parse()?);
                body.put_u8(0);
                body.put_u32(u32::try_from(message.len())?);
                body.put_slice(message);
            }
            Protocol::H2 => {}
            Protocol::H1 => {
                headers.insert(HOST, target.to_string().parse()?);
                path.clone_into(&mut uri);
            }
        }
        if protocol != Protocol::Grpc && !message.is_empty() {
            method = Method::POST;
            headers.insert(CONTENT_TYPE, "application/json".parse()?);
            body.put_slice(message);
        }
        headers.extend(further.iter().cloned());
        let uri = uri.parse().with_context(|| format!("bad path {path}"))?;
        Ok(Self(Arc::new(Inner { protocol, method, uri, headers, body: body.freeze(), expect })))
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.0.protocol
    }

    fn request<B>(&self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.0.method.clone();
        *request.uri_mut() = self.0.uri.clone();
        *request.headers_mut() = self.0.headers.clone();
        request
    }

    fn check(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        trailers: &HeaderMap,
        body: &Bytes,
    ) -> anyhow::Result<()> {
        ensure!(status == self.0.expect.status, "HTTP status {status}");
        if self.0.protocol == Protocol::Grpc {
            // A reply of trailers only carries its status in the headers.
            let field = |name: &str| trailers.get(name).or_else(|| headers.get(name));
            let code = field("grpc-status").context("no grpc-status")?;
            if code.as_bytes() != b"0" {
                let text =
                    field("grpc-message").and_then(|text| text.to_str().ok()).unwrap_or_default();
                bail!("grpc-status {} {text}", code.to_str()?);
            }
            let prefix = body.first_chunk::<5>().context("no gRPC message")?;
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
            ensure!(
                prefix[0] == 0 && usize::try_from(length)? == body.len() - 5,
                "not exactly one plain gRPC message"
            );
        }
        if let Some(expected) = self.0.expect.bytes {
            ensure!(body.len() == expected, "{} bytes instead of {expected}", body.len());
        }
        Ok(())
    }
}

/// One connection; clones share it.
#[derive(Clone)]
pub(crate) enum Client {
    Two(SendRequest<Bytes>),
    /// HTTP/1.1 carries one request at a time; the lock is a queue in order of arrival.
    One(Arc<Mutex<hyper::client::conn::http1::SendRequest<Full<Bytes>>>>),
}

impl Client {
    pub(crate) async fn connect(target: SocketAddr, protocol: Protocol) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target)
            .await
            .with_context(|| format!("cannot connect to {target}"))?;
        stream.set_nodelay(true)?;
        // A connection that breaks shows as an error of every request on it, so its own result is not needed.
        if protocol == Protocol::H1 {
            let (sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            drop(tokio::spawn(connection));
            return Ok(Self::One(Arc::new(Mutex::new(sender))));
        }
        let (sender, connection) = h2::client::Builder::new()
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_window_size(STREAM_WINDOW)
            .initial_max_send_streams(STREAMS)
            .enable_push(false)
            .handshake(stream)
            .await?;
        drop(tokio::spawn(connection));
        Ok(Self::Two(sender))
    }

    /// Sends the request, reads the whole reply and checks it.
    pub(crate) async fn call(&self, call: &Call) -> anyhow::Result<Bytes> {
        match self {
            Self::Two(sender) => reply(send(sender, call).await?, call).await,
            Self::One(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await?;
                let request = call.request(Full::new(call.0.body.clone()));
                let (head, incoming) = sender.send_request(request).await?.into_parts();
                let body = incoming.collect().await?.to_bytes();
                call.check(head.status, &head.headers, &HeaderMap::new(), &body)?;
                Ok(body)
            }
        }
    }

    /// Sends the request; what it returns reads the reply. Requests leave in the order of these calls.
    pub(crate) async fn begin(
        &self,
        call: &Call,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<Bytes>> + Send + use<>> {
        let Self::Two(sender) = self else { bail!("HTTP/1.1 carries one request at a time") };
        let response = send(sender, call).await?;
        let call = call.clone();
        Ok(async move { reply(response, &call).await })
    }
}

async fn send(sender: &SendRequest<Bytes>, call: &Call) -> anyhow::Result<ResponseFuture> {
    let end = call.0.body.is_empty();
    let (response, mut stream) =
        sender.clone().ready().await?.send_request(call.request(()), end)?;
    if !end {
        stream.send_data(call.0.body.clone(), true)?;
    }
    Ok(response)
}

async fn reply(response: ResponseFuture, call: &Call) -> anyhow::Result<Bytes> {
    let (head, mut incoming) = response.await?.into_parts();
    let mut body = Bytes::new();
    while let Some(chunk) = incoming.data().await {
        let chunk = chunk?;
        incoming.flow_control().release_capacity(chunk.len())?;
        body = join(body, chunk);
    }
    let trailers = incoming.trailers().await?.unwrap_or_default();
    call.check(head.status, &head.headers, &trailers, &body)?;
    Ok(body)
}

/// Most replies are one chunk, which is handed on as it is.
fn join(body: Bytes, chunk: Bytes) -> Bytes {
    if body.is_empty() {
        return chunk;
    }
    let mut whole = BytesMut::from(body);
    whole.extend_from_slice(&chunk);
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"\0\0\0\0\x02ok";

    fn outcome(
        status: u16,
        headers: &[(&str, &str)],
        trailers: &[(&str, &str)],
        body: &'static [u8],
    ) -> bool {
        let map = |fields: &[(&str, &str)]| {
            fields
                .iter()
                .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
                .collect()
        };
        let target = (std::net::Ipv4Addr::LOCALHOST, 1).into();
        let expect = Expect { bytes: Some(MESSAGE.len()), ..Expect::OK };
        let call = Call::new(target, Protocol::Grpc, "/a.B/C", b"", &[], expect).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        call.check(status, &map(headers), &map(trailers), &Bytes::from_static(body)).is_ok()
    }

    #[test]
    fn only_the_expected_reply_counts_as_good() {
        let ok = [("grpc-status", "0")];
        assert!(outcome(200, &[], &ok, MESSAGE));
        assert!(
            !outcome(200, &[("grpc-status", "13")], &[], b""),
            "an error in a reply of trailers only"
        );
        assert!(!outcome(200, &[], &[("grpc-status", "3")], MESSAGE), "an error after a message");
        assert!(!outcome(200, &[], &[], MESSAGE), "no status at all");
        assert!(!outcome(503, &[], &ok, MESSAGE), "an HTTP error");
        assert!(!outcome(200, &[], &ok, b"\0\0\0\0\x03oops"), "a message of another length");
        assert!(!outcome(200, &[], &ok, b"\0\0\0\0\x03ok"), "a prefix that lies");
        assert!(!outcome(200, &ok, &[], b""), "success without a message");
    }
}
