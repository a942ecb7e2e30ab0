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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address, as the socket shows it.
    pub remote: SocketAddr,
    /// Our address the client reached.
    pub local: SocketAddr,
    /// What TLS says of the client; none: the connection is not secured.
    pub tls: Option<PeerTls>,
}

impl Peer {
    /// The ends of a connection without TLS.
    pub const fn plain(remote: SocketAddr, local: SocketAddr) -> Self {
        Self { remote, local, tls: None }
    }
}

/// What TLS says of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTls {
    /// The certificate it proved itself with; none if it showed none, or was not asked for one.
    pub certificate: Option<ClientCertificate>,
}

/// Whom a client's certificate is for, as one of the listener's authorities vouches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its names in DNS, in lower case.
    pub dns: Vec<String>,
    /// Its URIs, such as SPIFFE's.
    pub uris: Vec<String>,
}

impl ClientCertificate {
    /// Whether it is for this name: a name in DNS, in any case of letters, or a URI, letter by letter. A wildcard
    /// in the certificate is a name like any other.
    pub fn is_for(&self, name: &str) -> bool {
        self.dns.iter().any(|own| own.eq_ignore_ascii_case(name))
            || self.uris.iter().any(|own| own == name)
    }
}

/// The server side of one or more HTTP protocols.
pub trait Frontend: Send + Sync + 'static {
    /// One request in, one response out; errors are responses already.
    ///
    /// The future is dropped when the client goes away or the drain runs out of time: durable work must not live in
    /// it. A panic is answered with status 500 and counted.
    fn call(&self, request: Request<RequestBody>, peer: &Arc<Peer>) -> ResponseFuture;
}
