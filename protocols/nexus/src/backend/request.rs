//! The requests to a handler.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use opgate_bus::Route;
use opgate_core::{Error, ErrorKind, Losses, Operation, Payload};
use opgate_rpc::headers::put_trace;

use super::form::Form;
use super::settings::{OPERATION, SERVICE, Settings, passes};
use crate::wire::{content, duration, link, names};

/// Where completions come to: the path beneath the base of callbacks.
pub(super) const CALLBACK_PATH: &str = "/nexus/callback/";
/// The token of a callback, as the specification is about to have it.
const CALLBACK_TOKEN: &str = "nexus-callback-token";

/// Whom a request is for, and what about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addressed<'a> {
    settings: &'a Settings,
    route: &'a Route,
    operation: &'a Operation,
}

/// The callback of a start.
#[derive(Clone, Debug)]
pub(super) struct Callback {
    pub(super) url: String,
    pub(super) token: String,
}

impl<'a> Addressed<'a> {
    pub(super) const fn new(
        settings: &'a Settings,
        route: &'a Route,
        operation: &'a Operation,
    ) -> Self {
        Self { settings, route, operation }
    }

    /// Starts it. The request id is the operation's own: however often it is sent, by whichever
    /// process, it is the same start.
    pub(super) fn start(
        &self,
        callback: Option<&Callback>,
        timeout: Duration,
        remaining: Option<Duration>,
    ) -> Result<Request<Bytes>, Error> {
        let operation = self.operation;
        let mut headers = self.headers(timeout);
        let body = content::write(Some(&operation.input), &mut headers);
        link::write(&operation.links_in, &mut headers);
        put(&mut headers, names::REQUEST_ID, operation.id.to_text().as_str());
        if let Some(remaining) = remaining {
            put(&mut headers, names::OPERATION_TIMEOUT, &duration::write(remaining));
        }
        if let Some(callback) = callback {
            put(&mut headers, CALLBACK_TOKEN, &callback.token);
        }
        let callback = callback.map(|callback| (names::CALLBACK, &*callback.url));
        let [service, name] = self.names();
        let url = self.settings.endpoint.url(&[service, name], callback);
        request(Method::POST, &url, headers, body)
    }

    /// What a start does not carry of its input.
    pub(super) fn lost(request: &Request<Bytes>, input: &Payload) -> Losses {
        if input.is_nothing() {
            Losses::NONE
        } else {
            content::lost(input, request.headers()).as_input()
        }
    }

    /// Asks for its result; with a wait, once it is there or that is over.
    pub(super) fn result(
        &self,
        form: Form,
        token: &str,
        timeout: Duration,
        wait: Option<Duration>,
    ) -> Result<Request<Bytes>, Error> {
        let wait = wait.map(duration::write);
        let wait = wait.as_deref().map(|wait| (names::WAIT, wait));
        self.about(Method::GET, form, token, "result", wait, timeout)
    }

    /// Asks for its cancellation.
    pub(super) fn cancel(
        &self,
        form: Form,
        token: &str,
        timeout: Duration,
    ) -> Result<Request<Bytes>, Error> {
        self.about(Method::POST, form, token, "cancel", None, timeout)
    }

    fn about(
        &self,
        method: Method,
        form: Form,
        token: &str,
        verb: &str,
        parameter: Option<(&str, &str)>,
        timeout: Duration,
    ) -> Result<Request<Bytes>, Error> {
        let mut headers = self.headers(timeout);
        let [service, name] = self.names();
        let endpoint = &self.settings.endpoint;
        let url = match form {
            Form::Header => {
                put(&mut headers, names::OPERATION_TOKEN, token);
                endpoint.url(&[service, name, verb], parameter)
            }
            Form::Path => endpoint.url(&[service, name, token, verb], parameter),
        };
        request(method, &url, headers, Bytes::new())
    }

    /// What the handler calls the kind of operation.
    fn names(&self) -> [&'a str; 2] {
        let options = &self.route.options;
        let named = |option, own| options.get(option).map_or(own, String::as_str);
        let kind = &self.route.kind;
        [named(SERVICE, kind.service()), named(OPERATION, kind.operation())]
    }

    /// What every request carries. Of what stands in several places the later one counts: the
    /// caller's headers, opgate's, the operator's.
    fn headers(&self, timeout: Duration) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for header in &self.operation.headers {
            let Ok(name) = header.name.parse::<HeaderName>() else { continue };
            let Ok(value) = HeaderValue::from_bytes(&header.value) else { continue };
            // Of several values of a header Nexus keeps the first.
            if passes(&self.route.options, &name) && !headers.contains_key(&name) {
                headers.insert(name, value);
            }
        }
        put_trace(self.operation.trace.as_deref(), &mut headers);
        put(&mut headers, names::REQUEST_TIMEOUT, &duration::write(timeout));
        // A Temporal frontend otherwise tells of the cause of a failure alone.
        put(&mut headers, names::TEMPORAL_FAILURE_SUPPORT, "true");
        self.settings.credentials.apply(&mut headers);
        headers
    }
}

/// Sets a header. What cannot be one is left out: nothing here depends on what is not made here.
fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn request(
    method: Method,
    url: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Request<Bytes>, Error> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = url.parse().map_err(|error| {
        let text = "the URL of the operation cannot be made of its names";
        Error::new(ErrorKind::InvalidArgument, text).with_source(error)
    })?;
    *request.headers_mut() = headers;
    Ok(request)
}
