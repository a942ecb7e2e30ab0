//! The API over gRPC.

use std::sync::Arc;

use http::{Request, Response};
use opgate_core::{Error, ErrorKind, Losses};
use opgate_edge::{Body, RequestBody, ResponseFuture};
use opgate_rpc::wire::{self, Call, Compression, Deadline, Next};
use opgate_telemetry::{self as telemetry, Code, InFlight, Protocol};

use super::Inner;
use super::events::Events;
use super::method::Method;
use super::methods::{Asked, Message};
use super::refusal::Refusal;

impl Inner {
    /// Answers a gRPC call.
    pub(super) fn grpc(self: Arc<Self>, request: Request<RequestBody>) -> ResponseFuture {
        if let Err(not_grpc) = wire::check(&request) {
            self.begin(telemetry::Method::Other).finish(Code::InvalidArgument);
            return Box::pin(std::future::ready(wire::not_grpc(not_grpc)));
        }
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().strip_prefix('/').unwrap_or_default();
        let method = path.split_once('/').and_then(|(service, name)| Method::find(service, name));
        let Some(method) = method else {
            self.begin(telemetry::Method::Other).finish(Code::Unimplemented);
            let error = Error::new(ErrorKind::Unsupported, "there is no such method here");
            let response = wire::refused(&opgate_rpc::status::of_error(&error, None));
            return Box::pin(std::future::ready(response));
        };
        let call = Call::new(&parts.headers, body)
            .and_then(|call| Ok((Asked::new(&parts.headers, call.deadline())?, call)));
        let (asked, call) = match call {
            Ok(call) => call,
            Err(error) => {
                let in_flight = self.begin(method.label());
                let response = self.refused(method, in_flight, error.into());
                return Box::pin(std::future::ready(response));
            }
        };
        let (compression, deadline) = (call.reply(), call.deadline());
        let inner = Arc::clone(&self);
        let message: Message = Box::pin(async move {
            let settings = &inner.settings;
            Ok(call.read(settings.request_bytes, settings.request_timeout).await?)
        });
        if method.streams() {
            return Box::pin(async move {
                let in_flight = self.begin(method.label());
                match Arc::clone(&self).watch(method, message).await {
                    Ok(events) => {
                        in_flight.finish(Code::Ok);
                        streamed(events, compression, deadline)
                    }
                    Err(refusal) => self.refused(method, in_flight, refusal),
                }
            });
        }
        let answer = Arc::clone(&self).answer(method, asked, message);
        Box::pin(async move {
            let in_flight = self.begin(method.label());
            match answer.await {
                Ok(reply) => {
                    in_flight.finish(Code::Ok);
                    wire::ok(reply, compression)
                }
                Err(refusal) => self.refused(method, in_flight, refusal),
            }
        })
    }

    pub(super) fn begin(&self, method: telemetry::Method) -> InFlight<'_> {
        self.metrics.requests.begin(Protocol::Native, method)
    }

    fn refused(&self, method: Method, in_flight: InFlight<'_>, refusal: Refusal) -> Response<Body> {
        let status = self.status(method, refusal);
        in_flight.finish(Code::from_number(status.code));
        wire::refused(&status)
    }
}

fn streamed(events: Events, compression: Compression, deadline: Deadline) -> Response<Body> {
    let next = |mut events: Events| async {
        match events.next().await {
            Some(Ok(event)) => Next::Message(wire::frame(&event), events),
            Some(Err(status)) => Next::End(Err(Box::new(status))),
            None => Next::End(Ok(Losses::NONE)),
        }
    };
    wire::stream(events, next, compression, deadline)
}
