//! The API as JSON over HTTP, by the `google.api.http` rules of the same `.proto` files. The
//! handlers are those of gRPC: what is asked becomes the message of the same method.

mod content;
mod exact;
mod inline;
mod sse;

use std::sync::Arc;

use ::http::request::Parts;
use ::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use opgate_core::{Error, ErrorKind};
use opgate_edge::{Body, BodyError, RequestBody, ResponseFuture, collect_limited};
use opgate_rpc::transcode::{self, Alt, Binding, Parameters, Rules};
use opgate_rpc::wire::{DURABILITY, Deadline, PREFIX_BYTES, Reply};
use opgate_rpc::{loss, proto as rpc, status};
use opgate_telemetry::{self as telemetry, Code, InFlight};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};

use self::inline::Inline;
use super::client as proto;
use super::method::Method;
use super::methods::{Asked, Message};
use super::refusal::Refusal;
use super::{DESCRIPTORS, Inner, SERVICES};

/// Where everything here lies.
pub(super) const ROOT: &str = "/opgate/v1/";
/// How long the caller waits, in seconds.
const SERVER_TIMEOUT: &str = "x-server-timeout";
/// Where all changes of a scope are watched.
const WATCH_ALL: &str = "/opgate/v1/operations:watch";
const LAST_EVENT_ID: &str = "last-event-id";

/// The paths, and what they mean.
#[derive(Debug)]
pub(super) struct Paths {
    pool: DescriptorPool,
    rules: Rules<Arc<Form>>,
    inline: Inline,
}

/// One HTTP form of a method.
#[derive(Debug)]
struct Form {
    method: Method,
    binding: Binding,
    output: MessageDescriptor,
}

impl Paths {
    /// Those that the descriptors declare.
    ///
    /// # Errors
    /// What is wrong with the descriptors: a defect of opgate.
    pub(super) fn new() -> Result<Self, String> {
        let pool = DescriptorPool::decode(DESCRIPTORS).map_err(|error| error.to_string())?;
        let mut rules = Rules::default();
        for service in pool.services().filter(|known| SERVICES.contains(&known.full_name())) {
            for described in service.methods() {
                let method = Method::find(service.full_name(), described.name())
                    .ok_or_else(|| format!("{} is not served", described.full_name()))?;
                for binding in Binding::of(&described)? {
                    let (verb, template) = (binding.method().cloned(), binding.template().clone());
                    let form = Form { method, binding, output: described.output() };
                    rules
                        .insert(verb, template, Arc::new(form))
                        .map_err(|conflict| conflict.to_string())?;
                }
            }
        }
        Ok(Self { pool, rules, inline: Inline::new()? })
    }
}

impl Inner {
    /// Answers an HTTP request.
    pub(super) fn http(self: Arc<Self>, request: Request<RequestBody>) -> ResponseFuture {
        let (parts, body) = request.into_parts();
        let (parameters, problem) = Parameters::read(parts.uri.query(), &parts.headers);
        let found = transcode::method_override(&parts.method, &parts.headers)
            .and_then(|method| self.paths.rules.find(&method, parts.uri.path()))
            .map(|found| found.map(|found| Arc::clone(found.value)));
        let form = match found {
            Ok(Some(form)) => form,
            Ok(None) => {
                let text = format!("{} {} is not there", parts.method, parts.uri.path());
                let error = Error::new(ErrorKind::NotFound, text);
                return self.refuse(None, error, &parameters);
            }
            Err(error) => return self.refuse(None, error, &parameters),
        };
        let method = form.method;
        let asked = problem.map_or(Ok(()), Err).and_then(|()| {
            transcode::check_content_type(&parts.headers)?;
            let timeout = parts.headers.get(SERVER_TIMEOUT).map(HeaderValue::as_bytes);
            Asked::new(&parts.headers, Deadline::parse_seconds(timeout)?)
        });
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) => return self.refuse(Some(method), error, &parameters),
        };
        let message = message(Arc::clone(&self), Arc::clone(&form), &parts, body);
        let known = parts.headers.get(header::IF_NONE_MATCH).cloned();
        let head = Box::new(Head { parameters, form, known });
        if method.streams() {
            return Box::pin(async move {
                let in_flight = self.begin(method.label());
                match Arc::clone(&self).watch(method, message).await {
                    Ok(events) => {
                        in_flight.finish(Code::Ok);
                        sse::stream(Arc::clone(&self), events)
                    }
                    Err(refusal) => {
                        self.refused_over_http(Some(method), in_flight, refusal, &head.parameters)
                    }
                }
            });
        }
        let answer = Arc::clone(&self).answer(method, asked, message);
        Box::pin(async move {
            let in_flight = self.begin(method.label());
            let response = answer.await.and_then(|reply| Ok(self.paths.response(&reply, &head)?));
            match response {
                Ok(response) => {
                    in_flight.finish(Code::Ok);
                    response
                }
                Err(refusal) => {
                    self.refused_over_http(Some(method), in_flight, refusal, &head.parameters)
                }
            }
        })
    }

    /// What a request with these query parameters asks to watch: its scope and its filter.
    pub(super) fn asked_to_watch(
        &self,
        query: Option<&str>,
    ) -> Result<proto::WatchOperationsRequest, Error> {
        let found = self.paths.rules.find(&::http::Method::GET, WATCH_ALL)?;
        let form = found.map(|found| Arc::clone(found.value)).ok_or_else(Error::not_found)?;
        let captured = form.binding.template().matches(WATCH_ALL)?;
        let captured = captured.ok_or_else(Error::not_found)?;
        let message = form.binding.message(&captured, query, &[], Parameters::is_one)?;
        proto::WatchOperationsRequest::decode(&*message.encode_to_vec()).map_err(|error| {
            Error::new(ErrorKind::Internal, "a request could not be read").with_source(error)
        })
    }

    /// Refuses a request whose body nobody reads.
    pub(super) fn refuse(
        &self,
        method: Option<Method>,
        error: Error,
        parameters: &Parameters,
    ) -> ResponseFuture {
        let in_flight = self.begin(method.map_or(telemetry::Method::Other, Method::label));
        let response = self.refused_over_http(method, in_flight, error.into(), parameters);
        Box::pin(std::future::ready(response))
    }

    fn refused_over_http(
        &self,
        method: Option<Method>,
        in_flight: InFlight<'_>,
        refusal: Refusal,
        parameters: &Parameters,
    ) -> Response<Body> {
        let Refusal::Error { error, name } = refusal else {
            in_flight.finish(Code::Cancelled);
            // Nobody is there to read it.
            return Response::new(Body::empty());
        };
        if let Some(method) = method {
            self.note(method, &error);
        }
        in_flight.finish(Code::from_number(status::code(error.kind).number()));
        transcode::refused(&error, name.as_deref(), parameters, &self.paths.pool)
    }
}

/// What of a request its answer has to know.
struct Head {
    parameters: Parameters,
    form: Arc<Form>,
    /// The tag of the version that the caller has.
    known: Option<HeaderValue>,
}

/// The request message, once the body is there.
fn message(inner: Arc<Inner>, form: Arc<Form>, parts: &Parts, body: RequestBody) -> Message {
    let (path, last) = (parts.uri.clone(), parts.headers.get(LAST_EVENT_ID).cloned());
    Box::pin(async move {
        let settings = &inner.settings;
        let body = collect_limited(body, settings.request_bytes, settings.request_timeout).await;
        let body = content::carried(form.method, body.map_err(|error| unread(&error))?);
        let captured = form.binding.template().matches(path.path())?;
        let captured = captured.ok_or_else(Error::not_found)?;
        let binding = &form.binding;
        let mut message = binding.message(&captured, path.query(), &body, Parameters::is_one)?;
        if let Some(last) = last.filter(|_| form.method.streams()) {
            resume(&mut message, form.method, &last)?;
        }
        Ok(message.encode_to_vec().into())
    })
}

fn unread(error: &BodyError) -> Refusal {
    match error {
        BodyError::TooLarge { .. } => {
            Error::new(ErrorKind::PayloadTooLarge, error.to_string()).into()
        }
        BodyError::Timeout { .. } => {
            Error::new(ErrorKind::DeadlineExceeded, error.to_string()).into()
        }
        BodyError::Broken(_) => Refusal::Withdrawn,
    }
}

/// A browser that connects anew sends the same URL, and in this header what it has seen since.
fn resume(message: &mut DynamicMessage, method: Method, last: &HeaderValue) -> Result<(), Error> {
    let invalid = || Error::invalid(LAST_EVENT_ID, "must be the id of an event");
    let last = last.to_str().map_err(|_| invalid())?;
    if last.is_empty() {
        return Ok(());
    }
    let from = if method == Method::Watch {
        Value::U64(last.parse().map_err(|_| invalid())?)
    } else {
        Value::String(last.to_owned())
    };
    message.set_field_by_name("from", from);
    Ok(())
}

impl Paths {
    /// The response of a call that was served.
    fn response(&self, reply: &Reply, head: &Head) -> Result<Response<Body>, Error> {
        let Head { parameters, form, known } = head;
        let message = reply.framed.slice(PREFIX_BYTES..);
        let (mut tag, mut lost) = (None, reply.lost);
        let mut response = if parameters.alt == Alt::Proto {
            transcode::ok_proto(message.to_vec())
        } else {
            let (message, inlined, version, unsaid) = self.inline.message(form.method, message)?;
            lost |= unsaid;
            tag = version.filter(|_| form.method == Method::Get).map(etag);
            if tag.is_some() && tag == *known {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            } else {
                let json = parameters.json().encoded(&form.output, message)?;
                transcode::ok(self.inline.put(json, &inlined))
            }
        };
        loss::put(lost, response.headers_mut());
        if let Some(tag) = tag {
            response.headers_mut().insert(header::ETAG, tag);
        }
        if let Some(durability) = reply.durability {
            let durability = HeaderValue::from_static(durability.name());
            response.headers_mut().insert(DURABILITY, durability);
        }
        Ok(response)
    }

    /// The JSON of an event's operation, in one line.
    pub(super) fn event(&self, operation: super::client::Operation) -> Result<Vec<u8>, Error> {
        let described = self.pool.get_message_by_name("opgate.v1.Operation");
        let missing = || Error::new(ErrorKind::Internal, "opgate.v1.Operation is not described");
        let (message, inlined) = self.inline.operation(operation);
        let json = transcode::Json::default().encoded(&described.ok_or_else(missing)?, message)?;
        Ok(self.inline.put(json, &inlined))
    }

    /// The JSON of a status that a stream ends with, in one line.
    fn error(&self, status: &rpc::Status) -> Vec<u8> {
        let code = opgate_core::Code::from_number(status.code);
        let http = transcode::http_code(code.unwrap_or(opgate_core::Code::Unknown));
        transcode::error_body(status, http, transcode::ErrorFormat::V2, false, &self.pool)
    }
}

/// The tag of a version.
fn etag(version: u64) -> HeaderValue {
    let tag = Bytes::from(format!("\"{version}\""));
    // Digits in quotes are always a header value.
    HeaderValue::from_maybe_shared(tag).unwrap_or(HeaderValue::from_static("\"0\""))
}
