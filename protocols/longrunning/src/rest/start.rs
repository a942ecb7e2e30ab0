//! Requests that start operations: the HTTP forms of the methods that do over gRPC.

use std::sync::Arc;

use http::request::Parts;
use opgate_core::{Error, ErrorKind};
use opgate_edge::{RequestBody, ResponseFuture};
use opgate_telemetry::Method;

use super::reply::Answer;
use super::request::{Form, asked};
use super::{Problem, json};
use crate::door::Asked;
use crate::frontend::Inner;
use crate::map;

/// Whether a request of this method and raw path starts an operation.
pub(super) fn is_one(inner: &Inner, method: &http::Method, raw_path: &str) -> bool {
    // One whose path is broken is refused when it is read.
    !matches!(inner.doors.http(method, raw_path), Ok(None))
}

/// Answers a request that starts an operation.
pub(super) fn answer(
    inner: Arc<Inner>,
    method: http::Method,
    parts: Parts,
    body: RequestBody,
    mut form: Form,
) -> ResponseFuture {
    Box::pin(async move {
        let in_flight = inner.begin_json(Method::Start);
        let answer = inner.start_json(&method, parts, body, &mut form).await;
        inner.respond_json(Method::Start, in_flight, &form, answer).await
    })
}

impl Inner {
    async fn start_json(
        &self,
        method: &http::Method,
        parts: Parts,
        body: RequestBody,
        form: &mut Form,
    ) -> Result<Answer, Problem> {
        let (uri, headers) = (parts.uri.clone(), parts.headers.clone());
        let asked = asked(self, parts, body, form).await?;
        form.check(&self.types, json::OPERATION)?;
        let found = self.doors.http(method, uri.path())?;
        let found = found
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "there is nothing at this path"))?;
        let (query, body) = asked.parts();
        match found.value.read(&found.captured, query, &headers, body)? {
            Asked::Validate { response_type } => {
                let operation = map::validated(response_type.as_deref());
                let text = json::written_operation(self, &operation, &form.parameters)?;
                Ok(Answer::read(text.into()))
            }
            Asked::Start(start) => {
                self.check_instance(found.value.grpc_method(), &start)?;
                let receipt = asked.deadline.bound(self.bus.start(&self.caller, *start)).await?;
                let shown = json::operation(self, &receipt.snapshot, &form.parameters)?;
                Ok(Answer::shown(shown, Some(receipt.durability)))
            }
        }
    }
}
