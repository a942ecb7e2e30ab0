//! The hot path: a plain GET of an operation that is in memory, answered with the text that is kept
//! with it, at once.

use std::future::ready;

use http::{Method, Request};
use hyper::body::Body as _;
use opgate_edge::{RequestBody, ResponseFuture};
use opgate_rpc::loss;
use opgate_rpc::transcode::{self, Alt};
use opgate_telemetry::{Code, Method as Asked};

use super::path::Place;
use super::reply::{Answer, GZIP_BYTES_MIN, takes_gzip};
use super::request::Form;
use super::{json, reply};
use crate::frontend::Inner;

/// The answer, where there is nothing to read, to decode or to wait for; all else is none of this
/// function's business, and neither is a name that nobody has.
pub(super) fn answer(inner: &Inner, request: &Request<RequestBody>) -> Option<ResponseFuture> {
    let uri = request.uri();
    // `alt=json` is what Google's discovery clients send with everything.
    let plain = request.method() == Method::GET
        && matches!(uri.query(), None | Some("alt=json"))
        && request.body().is_end_stream()
        && !request.headers().contains_key("x-goog-fieldmask")
        && !request.headers().contains_key("x-http-method-override")
        && !transcode::declared_types_only(request.headers())
        && !uri.path().contains('%');
    let Some(Place::One(name)) = plain.then(|| Place::parse(uri.path())).flatten() else {
        return None;
    };
    let snapshot = inner.resident(name)?;
    let in_flight = inner.begin_json(Asked::Get);
    let kept = match json::kept(inner, &snapshot) {
        Ok(kept) => kept.clone(),
        Err(error) => {
            let (form, problem) = (Form::default(), error.into());
            let refused = inner.refused_json(Asked::Get, in_flight, &form, &problem);
            return Some(Box::pin(ready(refused)));
        }
    };
    in_flight.finish(Code::Ok);
    Some(if kept.bytes.len() >= GZIP_BYTES_MIN && takes_gzip(request.headers()) {
        Box::pin(reply::ok(Answer::shown(kept, None), Alt::Json, true))
    } else {
        let mut response = reply::plain(kept.bytes, Alt::Json);
        loss::put(kept.lost, response.headers_mut());
        Box::pin(ready(response))
    })
}
