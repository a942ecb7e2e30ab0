//! The protocols of the `http` listener, told apart.

use std::sync::Arc;

use http::Request;
use opgate_bus::{Caller, Via};
use opgate_core::Face;
use opgate_edge::{Frontend, Peer, RequestBody, ResponseFuture};
use opgate_longrunning::Longrunning;
use opgate_oci::Oci;

/// Gives each request to its protocol: by how the path begins, then gRPC by content type.
pub(crate) struct Faces {
    pub(crate) grpc: Arc<dyn Frontend>,
    /// The first whose text the path begins with takes the request.
    pub(crate) paths: Vec<(&'static str, Face, Arc<dyn Frontend>)>,
    /// Has paths of an operator's choice, none of which begins like one of those.
    pub(crate) oci: Oci,
    /// Takes what nobody else does, and says what is not there.
    pub(crate) rest: Arc<dyn Frontend>,
    /// Whether somebody keeps who asks for what, and from where.
    pub(crate) audited: bool,
}

impl Frontend for Faces {
    fn call(&self, request: Request<RequestBody>, peer: &Arc<Peer>) -> ResponseFuture {
        let path = request.uri().path();
        let by_path = self.paths.iter().find(|(prefix, ..)| path.starts_with(prefix));
        let (kind, face): (_, &dyn Frontend) = match by_path {
            Some((_, kind, face)) => (*kind, &**face),
            None if self.oci.takes(path) => (Face::Oci, &self.oci),
            None if Longrunning::takes(request.headers()) => (Face::Grpc, &*self.grpc),
            None => (Face::Rest, &*self.rest),
        };
        if !self.audited {
            return face.call(request, peer);
        }
        // What one protocol of this process asks of another has come as the first one's request did.
        let inner = request.extensions().get::<Caller>().is_some();
        let peer_shown = if inner { Via::current().peer } else { Some(peer.remote) };
        let via = Via { face: Some(kind), peer: peer_shown };
        Box::pin(via.scope(face.call(request, peer)))
    }
}
