//! The protocols of the `http` listener, told apart.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use opgate_edge::{Body, Frontend, Peer, ResponseFuture};
use opgate_longrunning::Longrunning;

/// Gives each request to its protocol: gRPC by content type, the others by path.
pub(crate) struct Faces {
    pub(crate) grpc: Arc<dyn Frontend>,
}

impl Frontend for Faces {
    fn call(&self, request: Request<Incoming>, peer: &Arc<Peer>) -> ResponseFuture {
        if Longrunning::takes(request.headers()) {
            self.grpc.call(request, peer)
        } else {
            Box::pin(async { not_found() })
        }
    }
}

/// The answer where no protocol is.
fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::full("no such path; gRPC is served here\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}
