//! What a protocol on the `http` listener implements.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use ::http::{Request, Response};

use crate::body::Body;
use crate::request_body::RequestBody;

/// A response on its way.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address, as the socket shows it.
    pub remote: SocketAddr,
    /// Our address the client reached.
    pub local: SocketAddr,
}

/// The server side of one or more HTTP protocols.
pub trait Frontend: Send + Sync + 'static {
    /// One request in, one response out; errors are responses already.
    ///
    /// The future is dropped when the client goes away or the drain runs out of time: durable work must not live in
    /// it. A panic is answered with status 500 and counted.
    fn call(&self, request: Request<RequestBody>, peer: &Arc<Peer>) -> ResponseFuture;
}
