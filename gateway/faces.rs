//! The protocols of the `http` listener, told apart.

use std::sync::Arc;

use http::Request;
use opgate_edge::{Frontend, Peer, RequestBody, ResponseFuture};
use opgate_longrunning::Longrunning;
use opgate_oci::Oci;

/// Gives each request to its protocol: by how the path begins, then gRPC by content type.
pub(crate) struct Faces {
    pub(crate) grpc: Arc<dyn Frontend>,
    /// The first whose text the path begins with takes the request.
    pub(crate) paths: Vec<(&'static str, Arc<dyn Frontend>)>,
    /// Has paths of an operator's choice, none of which begins like one of those.
    pub(crate) oci: Oci,
    /// Takes what nobody else does, and says what is not there.
    pub(crate) rest: Arc<dyn Frontend>,
}

impl Frontend for Faces {
    fn call(&self, request: Request<RequestBody>, peer: &Arc<Peer>) -> ResponseFuture {
        let path = request.uri().path();
        let face = match self.paths.iter().find(|(prefix, _)| path.starts_with(prefix)) {
            Some((_, face)) => face,
            None if self.oci.takes(path) => return self.oci.call(request, peer),
            None if Longrunning::takes(request.headers()) => &self.grpc,
            None => &self.rest,
        };
        face.call(request, peer)
    }
}
