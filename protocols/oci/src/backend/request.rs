//! The requests to an API.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use opgate_bus::{Lease, Route};
use opgate_core::{Error, ErrorKind, Loss, Losses, Operation, Payload};
use opgate_rpc::exact;
use opgate_rpc::headers::put_trace;
use opgate_template::Source;
use serde_json::Value;

use super::endpoint::{Endpoint, with_query};
use super::plan::Plan;
use crate::wire::names::{REQUEST_ID, RETRY_TOKEN};

/// How many lines of a list are asked for at once: every service that pages allows as many.
const LIMIT: &str = "100";

/// One operation's requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addressed<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) plan: &'a Plan<'a>,
    pub(super) operation: &'a Operation,
}

/// A list of a work request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Errors,
    Logs,
}

impl List {
    const fn path(self) -> &'static str {
        match self {
            Self::Errors => "/errors",
            Self::Logs => "/logs",
        }
    }
}

/// Which lines of a list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// One page: the first, or the one behind this token.
    Page(Option<&'a str>),
    /// All, of a work request of this compartment.
    Of(&'a str),
}

impl Addressed<'_> {
    /// Starts it. The retry token is the operation's id: however often it is sent, by whichever
    /// process, it is the same start. A DELETE carries it too, though few services look at it there:
    /// most answer a repeated one alike.
    pub(super) fn start(&self) -> Result<Request<Bytes>, Error> {
        let operation = self.operation;
        let input = json(&operation.input);
        let source = Source { input: input.as_ref(), id: Some(operation.id) };
        let (url, body) = self.plan.start(self.endpoint, &source)?;
        let mut headers = HeaderMap::new();
        for header in &operation.headers {
            let Ok(name) = header.name.parse::<HeaderName>() else { continue };
            let Ok(value) = HeaderValue::from_bytes(&header.value) else { continue };
            if self.plan.passes(&name) {
                headers.append(name, value);
            }
        }
        put(&mut headers, RETRY_TOKEN, operation.id.to_text().as_str());
        let body = body.map(|body| {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Payload::JSON));
            // What is not looked into goes byte for byte.
            if self.plan.takes_all() {
                operation.input.bytes.clone()
            } else {
                body.to_string().into()
            }
        });
        self.request(self.plan.method().clone(), &url, headers, body.unwrap_or_default())
    }

    /// What of the input a start does not carry. The route says what of it is taken; what is, is to be the
    /// same numbers.
    pub(super) fn lost(&self) -> Losses {
        let input = &self.operation.input;
        if self.plan.takes_all() {
            return Losses::NONE
                .with(Loss::InputType, *input.media_type != *Payload::JSON)
                .with(Loss::InputSections, !input.sections.is_empty());
        }
        let kept = json(input).is_none() || exact::keeps_numbers(&input.bytes, true);
        Losses::NONE.with(Loss::InputNumbers, !kept)
    }

    /// Asks for its work request.
    pub(super) fn look(&self, id: &str) -> Result<Request<Bytes>, Error> {
        self.about(Method::GET, &self.plan.work_request(self.endpoint, id, ""))
    }

    /// Asks for errors or logs of its work request.
    pub(super) fn list(
        &self,
        id: &str,
        list: List,
        part: Part<'_>,
    ) -> Result<Request<Bytes>, Error> {
        let mut url = self.plan.work_request(self.endpoint, id, list.path());
        match part {
            Part::Page(None) => with_query(&mut url, [("limit", LIMIT)]),
            Part::Page(Some(page)) => with_query(&mut url, [("limit", LIMIT), ("page", page)]),
            Part::Of(compartment) => with_query(&mut url, [("compartmentId", compartment)]),
        }
        self.about(Method::GET, &url)
    }

    /// Asks for its cancellation.
    pub(super) fn cancel(&self, id: &str) -> Result<Request<Bytes>, Error> {
        self.about(Method::DELETE, &self.plan.work_request(self.endpoint, id, ""))
    }

    fn about(&self, method: Method, url: &str) -> Result<Request<Bytes>, Error> {
        self.request(method, url, HeaderMap::new(), Bytes::new())
    }

    fn request(
        &self,
        method: Method,
        url: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Bytes>, Error> {
        let operation = self.operation;
        // Parts of at most 32 characters: both sides' logs have it.
        put(&mut headers, REQUEST_ID, &format!("{}/{}", operation.id, operation.epoch.0));
        put_trace(operation.trace.as_deref(), &mut headers);
        headers.insert(header::ACCEPT, HeaderValue::from_static(Payload::JSON));
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = url.parse().map_err(|error| {
            let text = "the URL of the request upstream cannot be made of the input";
            Error::new(ErrorKind::InvalidArgument, text).with_source(error)
        })?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// Whether the request of a start can be made of its input.
///
/// # Errors
/// Why not.
pub(super) fn check(plan: &Plan<'_>, endpoint: &Endpoint, input: &Payload) -> Result<(), Error> {
    let input = json(input);
    plan.start(endpoint, &Source { input: input.as_ref(), id: None }).map(drop)
}

/// What a route says of the operation that a lease is for.
pub(super) fn plan(route: &Route) -> Result<Plan<'_>, Error> {
    Plan::of(&route.options).map_err(super::plan::unusable)
}

/// The operation of a lease, as requests need it.
pub(super) fn addressed<'a>(
    endpoint: &'a Endpoint,
    plan: &'a Plan<'a>,
    lease: &'a Lease,
) -> Addressed<'a> {
    Addressed { endpoint, plan, operation: lease.operation() }
}

fn json(input: &Payload) -> Option<Value> {
    let plain = input.is_json() && input.encoding.is_none();
    if plain { serde_json::from_slice(&input.bytes).ok() } else { None }
}

/// Sets a header. What cannot be one is left out: nothing here depends on what is not made here.
fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
