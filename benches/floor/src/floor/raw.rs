//! One port, hand-written gRPC, constant bytes behind the daemon's own edge: what is left when everything an
//! operation costs is taken out.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use opgate_edge::{
    Body, Drain, Frontend, HttpLimits, HttpListener, Peer, RequestBody, ResponseFuture,
};
use opgate_telemetry::{Listener, Metrics};
use prost::Message as _;

use crate::announce;
use crate::operation::{Operation, Release, WaitRequest, framed};

pub(crate) async fn serve(operation: &Operation) -> anyhow::Result<()> {
    let constant = Constant {
        operation: framed(operation)?,
        empty: framed(&())?,
        release: Release::default(),
    };
    let listener = HttpListener::bind(
        (Ipv4Addr::LOCALHOST, 0).into(),
        Listener::Http,
        HttpLimits::default(),
        Metrics::register(&[]),
    )
    .await?;
    announce(listener.local_addr()?)?;
    // Never drained: the process is killed.
    let (_trigger, drain) = Drain::new();
    listener.serve(Arc::new(Raw(Arc::new(constant))), drain).await;
    Ok(())
}

struct Constant {
    operation: Bytes,
    empty: Bytes,
    release: Release,
}

struct Raw(Arc<Constant>);

impl Frontend for Raw {
    fn call(&self, request: Request<RequestBody>, _: &Arc<Peer>) -> ResponseFuture {
        let constant = Arc::clone(&self.0);
        Box::pin(async move {
            let wait = request.uri().path().ends_with("/WaitOperation");
            let cancel = request.uri().path().ends_with("/CancelOperation");
            // Read to its end like any server would. A small message is one frame; a broken request is answered all
            // the same.
            let mut body = request.into_body();
            let mut message = Bytes::new();
            while let Some(Ok(frame)) = body.frame().await {
                message = frame.into_data().unwrap_or(message);
            }
            if wait {
                let message = message.get(5..).unwrap_or_default();
                constant.release.wait(&WaitRequest::decode(message).unwrap_or_default()).await;
            }
            if cancel {
                constant.release.trigger();
                return reply(constant.empty.clone());
            }
            reply(constant.operation.clone())
        })
    }
}

/// A gRPC reply of one message, with its prefix.
pub(crate) fn reply(body: Bytes) -> Response<Body> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut response = Response::new(Body::with_trailers(body, trailers));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
