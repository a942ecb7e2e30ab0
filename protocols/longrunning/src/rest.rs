//! The same operations over HTTP with JSON: what `google.longrunning.Operations` maps to by its
//! `google.api.http` rules, under any version and any name.
//!
//! | request | method | |
//! |---|---|---|
//! | `GET /{version}/{name}` | Get | |
//! | `GET /{version}/{scope}/operations` | List | `filter`, `pageSize`, `pageToken`, `returnPartialSuccess`; of a BuildGrid instance as that has it |
//! | `DELETE /{version}/{name}` | Delete | |
//! | `POST /{version}/{name}:cancel` | Cancel | body `{}` or none |
//! | `GET`, `POST /{version}/{name}:wait` | Wait | `timeout` in the query or the body |
//! | whatever a door says | a start | the fields of the method's request |
//!
//! Where it says other than gRPC, because strict readers of JSON refuse an answer as a whole for one
//! type that they do not know:
//!
//! - An error keeps those details that are of `google/rpc/error_details.proto`.
//! - A result for which no type was declared is a `google.api.HttpBody`, as it is over gRPC too:
//!   readers have to know that type. Metadata for which none was declared is left out.
//! - A message of a type that is not known here is `{"@type", "value"}` with its bytes in base 64.

mod json;
mod operations;
mod path;
mod reply;
mod request;
mod resident;
mod start;
#[cfg(test)]
mod table;

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{ALLOW, HeaderValue};
use http::{Request, Response, StatusCode};
use opgate_core::{Error, ErrorKind};
use opgate_edge::{Body, Frontend, Peer, RequestBody, ResponseFuture};
use opgate_rpc::transcode::{decode_path, http_code, method_override, refused, refused_with};
use opgate_telemetry::{Code, InFlight, Method, Protocol};

use self::path::Place;
use self::reply::Answer;
pub(crate) use self::request::Bindings;
use self::request::{Form, asked};
use crate::frontend::{Inner, Refusal, Verb};
use crate::map;

/// The frontend for requests with JSON. Clones share everything, with the gRPC frontend as well.
#[derive(Clone, Debug)]
pub struct Rest(Arc<Inner>);

impl Rest {
    pub(crate) const fn new(inner: Arc<Inner>) -> Self {
        Self(inner)
    }
}

impl Frontend for Rest {
    fn call(&self, request: Request<RequestBody>, _peer: &Arc<Peer>) -> ResponseFuture {
        let other = self.0.for_caller_of(&request);
        let inner = other.as_ref().unwrap_or(&self.0);
        resident::answer(inner, &request).unwrap_or_else(|| answer(inner, request))
    }
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    One(Verb, String),
    Wait(String),
    List(String),
    /// The path is about something, of which other methods can be asked: these.
    NotAllowed(&'static str),
    Nothing,
}

impl Target {
    fn of(method: &http::Method, raw_path: &str) -> Result<Self, Error> {
        let path = resolved(raw_path)?;
        let place = Place::parse(&path);
        Ok(match (place, method) {
            (Some(Place::One(name)), &http::Method::GET) => Self::One(Verb::Get, name.to_owned()),
            (Some(Place::One(name)), &http::Method::DELETE) => {
                Self::One(Verb::Delete, name.to_owned())
            }
            (Some(Place::One(_)), _) => Self::NotAllowed("GET, DELETE"),
            (Some(Place::Cancel(name)), &http::Method::POST) => {
                Self::One(Verb::Cancel, name.to_owned())
            }
            (Some(Place::Cancel(_)), _) => Self::NotAllowed("POST"),
            (Some(Place::Wait(name)), &(http::Method::GET | http::Method::POST)) => {
                Self::Wait(name.to_owned())
            }
            (Some(Place::Wait(_)), _) => Self::NotAllowed("GET, POST"),
            (Some(Place::All(scope)), &http::Method::GET) => Self::List(scope.to_owned()),
            (Some(Place::All(_)), _) => Self::NotAllowed("GET"),
            (None, _) => Self::Nothing,
        })
    }

    const fn method(&self) -> Method {
        match self {
            Self::One(Verb::Get, _) => Method::Get,
            Self::One(Verb::Cancel, _) => Method::Cancel,
            Self::One(Verb::Delete, _) => Method::Delete,
            Self::Wait(_) => Method::Wait,
            Self::List(_) => Method::List,
            Self::NotAllowed(_) | Self::Nothing => Method::Other,
        }
    }
}

/// What requests of this method and path are for without any configuration; none: for nothing.
pub(crate) fn built_in(method: &http::Method, path: &str) -> Option<&'static str> {
    match Target::of(method, path).ok()? {
        Target::One(Verb::Get, _) => Some("read"),
        Target::One(Verb::Cancel, _) => Some("canceled"),
        Target::One(Verb::Delete, _) => Some("deleted"),
        Target::Wait(_) => Some("waited for"),
        Target::List(_) => Some("listed"),
        Target::NotAllowed(_) | Target::Nothing => None,
    }
}

/// The path with its escapes resolved, but for slashes: those would look like borders.
fn resolved(raw_path: &str) -> Result<Cow<'_, str>, Error> {
    if !raw_path.contains('%') {
        return Ok(raw_path.into());
    }
    decode_path(raw_path).map(Into::into).map_err(|problem| Error::invalid("path", problem))
}

/// Answers a request. Each kind has a future of its own, as over gRPC.
fn answer(inner: &Arc<Inner>, request: Request<RequestBody>) -> ResponseFuture {
    let inner = Arc::clone(inner);
    let (parts, body) = request.into_parts();
    let called = method_override(&parts.method, &parts.headers);
    let (mut form, problem) = Form::read(&parts);
    // What is configured goes before what is built in.
    if let Ok(called) = &called
        && start::is_one(&inner, called, parts.uri.path())
    {
        return match problem {
            None => start::answer(inner, called.clone(), parts, body, form),
            Some(error) => inner.refuse_json(Method::Start, &form, &error.into()),
        };
    }
    let meant = called.as_ref().unwrap_or(&parts.method).clone();
    let target = called.and_then(|method| Target::of(&method, parts.uri.path()));
    let method = target.as_ref().map_or(Method::Other, Target::method);
    let target = match target.and_then(|target| problem.map_or(Ok(target), Err)) {
        Ok(target) => target,
        Err(error) => return inner.refuse_json(method, &form, &error.into()),
    };
    match target {
        Target::One(verb, name) => Box::pin(async move {
            let in_flight = inner.begin_json(method);
            let answer = match asked(&inner, parts, body, &mut form).await {
                Ok(asked) => inner.one_json(verb, name, &asked, &form).await,
                Err(problem) => Err(problem),
            };
            inner.respond_json(method, in_flight, &form, answer).await
        }),
        Target::Wait(name) => Box::pin(async move {
            let in_flight = inner.begin_json(method);
            // Boxed, for it is over long before the wait is.
            let asked = Box::pin(asked(&inner, parts, body, &mut form)).await;
            let answer = match asked {
                Ok(asked) => inner.wait_json(name, asked, &form).await,
                Err(problem) => Err(problem),
            };
            inner.respond_json(method, in_flight, &form, answer).await
        }),
        Target::List(scope) => Box::pin(async move {
            let in_flight = inner.begin_json(method);
            let answer = match asked(&inner, parts, body, &mut form).await {
                Ok(asked) => inner.list_json(&scope, &asked, &form).await,
                Err(problem) => Err(problem),
            };
            inner.respond_json(method, in_flight, &form, answer).await
        }),
        Target::NotAllowed(allow) => {
            inner.refuse_json(method, &form, &Problem::not_allowed(&meant, allow))
        }
        Target::Nothing => {
            let error = Error::new(ErrorKind::NotFound, "there is nothing at this path");
            inner.refuse_json(method, &form, &error.into())
        }
    }
}

impl Inner {
    fn begin_json(&self, method: Method) -> InFlight<'_> {
        self.metrics.requests.begin(Protocol::Http, method)
    }

    /// Refuses a request whose body nobody reads.
    fn refuse_json(&self, method: Method, form: &Form, problem: &Problem) -> ResponseFuture {
        let in_flight = self.begin_json(method);
        Box::pin(std::future::ready(self.refused_json(method, in_flight, form, problem)))
    }

    /// Makes the response of an answer, and counts it.
    async fn respond_json(
        &self,
        method: Method,
        in_flight: InFlight<'_>,
        form: &Form,
        answer: Result<Answer, Problem>,
    ) -> Response<Body> {
        match answer {
            Ok(answer) => {
                in_flight.finish(Code::Ok);
                reply::ok(answer, form.parameters.alt, form.gzip).await
            }
            Err(problem) => self.refused_json(method, in_flight, form, &problem),
        }
    }

    fn refused_json(
        &self,
        method: Method,
        in_flight: InFlight<'_>,
        form: &Form,
        problem: &Problem,
    ) -> Response<Body> {
        let (parameters, pool) = (&form.parameters, self.types.pool());
        let (status, mut response) = match &problem.refusal {
            Refusal::Error { error, name } => {
                self.failures.note(Protocol::Http, method, error);
                let status = map::of_error(error, name.as_deref());
                let response = match problem.status {
                    Some(http) => refused_with(&status, http.as_u16(), None, parameters, pool),
                    None => refused(error, name.as_deref(), parameters, pool),
                };
                (status, response)
            }
            Refusal::Withdrawn => {
                let status = map::withdrawn();
                let http = http_code(opgate_core::Code::Cancelled);
                let response = refused_with(&status, http, None, parameters, pool);
                (status, response)
            }
        };
        in_flight.finish(Code::from_number(status.code));
        if let Some(allow) = problem.allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// A request that could not be served, with what HTTP has to say beyond the status.
struct Problem {
    refusal: Refusal,
    /// The HTTP status where it is another than that of the code.
    status: Option<StatusCode>,
    allow: Option<&'static str>,
}

impl Problem {
    fn of(error: Error, name: String) -> Self {
        Refusal::of(error, name).into()
    }

    fn with_status(status: StatusCode, error: Error) -> Self {
        Self { status: Some(status), ..Self::from(error) }
    }

    fn not_allowed(method: &http::Method, allow: &'static str) -> Self {
        let text = format!("{method} is not offered at this path: {allow}");
        let error = Error::new(ErrorKind::Unsupported, text);
        Self { allow: Some(allow), ..Self::with_status(StatusCode::METHOD_NOT_ALLOWED, error) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, status: None, allow: None }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Refusal::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_small() {
        fn size<A, B, C, D, F: Future>(_: fn(A, B, C, D) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(Inner::wait_json) <= 1024, "{}", size(Inner::wait_json));
    }

    #[test]
    fn methods_and_paths_mean_calls() {
        let one = |verb| Target::One(verb, "operations/x".to_owned());
        for (method, path, expected) in [
            ("GET", "/v1/operations/x", one(Verb::Get)),
            ("DELETE", "/v1/operations/x", one(Verb::Delete)),
            ("POST", "/v1/operations/x:cancel", one(Verb::Cancel)),
            ("GET", "/v1/operations/x:wait", Target::Wait("operations/x".to_owned())),
            ("POST", "/v1/operations/x:wait", Target::Wait("operations/x".to_owned())),
            ("GET", "/v1/%6Fperations/%78", one(Verb::Get)),
            ("GET", "/v1/operations", Target::List("operations".to_owned())),
            ("HEAD", "/v1/operations/x", Target::NotAllowed("GET, DELETE")),
            ("POST", "/v1/operations/x", Target::NotAllowed("GET, DELETE")),
            ("GET", "/v1/operations/x:cancel", Target::NotAllowed("POST")),
            ("DELETE", "/v1/operations/x:wait", Target::NotAllowed("GET, POST")),
            ("POST", "/v1/operations", Target::NotAllowed("GET")),
            ("GET", "/v1/things", Target::Nothing),
            ("OPTIONS", "*", Target::Nothing),
        ] {
            let method = method.parse().unwrap();
            assert_eq!(Target::of(&method, path).unwrap(), expected, "{method} {path}");
        }
        assert!(Target::of(&http::Method::GET, "/v1/operations/%zz").is_err());
        // An escaped slash is no border.
        let escaped = Target::of(&http::Method::GET, "/v1/operations%2Fx").unwrap();
        assert_eq!(escaped, Target::Nothing);
    }
}
