//! Requests: what of head and body goes into the messages of the methods.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use hyper::body::Body as _;
use opgate_core::{Error, ErrorKind, Retry};
use opgate_edge::{BodyError, RequestBody, collect_limited};
use opgate_rpc::transcode::{Binding, Captured, Parameters, check_content_type};
use opgate_rpc::wire::{Compression, Deadline};
use prost::Message;

use super::Problem;
use super::reply::takes_gzip;
use crate::frontend::{Inner, Refusal};
use crate::types::Types;

const METHOD_OVERRIDE: &str = "x-http-method-override";
const SERVER_TIMEOUT: &str = "x-server-timeout";
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// How the parts of a request become the messages of the methods. The name is the path's.
#[derive(Debug)]
pub(crate) struct Bindings {
    pub(super) get: Binding,
    pub(super) list: Binding,
    pub(super) delete: Binding,
    pub(super) cancel: Binding,
    /// With the timeout in the query.
    pub(super) wait: Binding,
    /// With the timeout in the body.
    pub(super) wait_body: Binding,
}

impl Bindings {
    pub(crate) fn new(types: &Types) -> Result<Self, String> {
        let binding = |request: &str, body: Option<&str>, message: &str| {
            let name = format!("google.longrunning.{message}");
            let message = types.message(&name).ok_or_else(|| format!("there is no {name}"))?;
            Binding::new(request, body, message)
        };
        Ok(Self {
            get: binding("GET /**", None, "GetOperationRequest")?,
            list: binding("GET /**", None, "ListOperationsRequest")?,
            delete: binding("DELETE /**", None, "DeleteOperationRequest")?,
            cancel: binding("POST /**", Some("*"), "CancelOperationRequest")?,
            wait: binding("GET /**", None, "WaitOperationRequest")?,
            wait_body: binding("POST /**", Some("*"), "WaitOperationRequest")?,
        })
    }
}

/// How an answer is to be given.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) parameters: Parameters,
    pub(super) gzip: bool,
}

impl Form {
    /// Reads it from the head. The first problem comes with what could be read, for the error to be
    /// written in the form that was asked for.
    pub(super) fn read(parts: &Parts) -> (Self, Option<Error>) {
        let (parameters, problem) = Parameters::read(parts.uri.query(), &parts.headers);
        (Self { parameters, gzip: takes_gzip(&parts.headers) }, problem)
    }

    /// Checks that the fields that are wanted are fields of the answer.
    pub(super) fn check(&self, types: &Types, answer: &str) -> Result<(), Error> {
        match (&self.parameters.fields, types.message(answer)) {
            (Some(mask), Some(message)) => mask.check("fields", &message),
            (Some(_) | None, _) => Ok(()),
        }
    }
}

/// A request that is here as a whole.
#[derive(Debug)]
pub(super) struct Asked {
    query: Option<String>,
    body: Bytes,
    pub(super) deadline: Deadline,
}

/// Reads a request to its end.
pub(super) async fn asked(
    inner: &Inner,
    parts: Parts,
    body: RequestBody,
    answer: &mut Form,
) -> Result<Asked, Problem> {
    let Parts { uri, headers, .. } = parts;
    let deadline = headers.get(SERVER_TIMEOUT).map(http::HeaderValue::as_bytes);
    let deadline = Deadline::parse_seconds(deadline)?;
    let body = collected(inner, &headers, body).await?;
    if headers.contains_key(METHOD_OVERRIDE) && is_form(&headers) {
        // A query that was too long for a URL comes as the body of a POST that means GET.
        let form =
            std::str::from_utf8(&body).map_err(|_| Error::invalid("body", "is not UTF-8"))?;
        let query = match uri.query() {
            Some(start) => format!("{start}&{form}"),
            None => form.to_owned(),
        };
        let (parameters, problem) = Parameters::read(Some(&query), &headers);
        answer.parameters = parameters;
        let asked = Asked { query: Some(query), body: Bytes::new(), deadline };
        return match problem {
            Some(error) => Err(error.into()),
            None => Ok(asked),
        };
    }
    if says(&body) {
        check_content_type(&headers)?;
    }
    Ok(Asked { query: uri.query().map(str::to_owned), body, deadline })
}

impl Asked {
    /// The query and the body.
    pub(super) fn parts(&self) -> (Option<&str>, &[u8]) {
        (self.query.as_deref(), &self.body)
    }

    /// Whether the body says anything: some clients send an empty object with every request.
    pub(super) fn has_body(&self) -> bool {
        says(&self.body)
    }

    /// The message of a method, without the name.
    pub(super) fn message<M: Message + Default>(
        &self,
        binding: &Binding,
        name: &str,
    ) -> Result<M, Error> {
        let nothing = Captured::default();
        let query = self.query.as_deref();
        let message = binding.message(&nothing, query, &self.body, Parameters::is_one)?;
        let given = message.get_field_by_name("name");
        let given = given.as_ref().and_then(|given| given.as_str()).unwrap_or_default();
        if !given.is_empty() && given != name {
            return Err(Error::invalid("name", "is another than in the path"));
        }
        M::decode(&*message.encode_to_vec()).map_err(|error| {
            Error::new(ErrorKind::Internal, "a request became no message").with_source(error)
        })
    }
}

fn says(body: &[u8]) -> bool {
    !matches!(body.trim_ascii(), b"" | b"{}")
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(FORM)
}

async fn collected(
    inner: &Inner,
    headers: &HeaderMap,
    body: RequestBody,
) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let bytes_max = inner.request_bytes;
    let body = collect_limited(body, bytes_max, inner.request_timeout).await;
    let body = body.map_err(|error| match error {
        BodyError::TooLarge { .. } => {
            let text = format!("the body is larger than {bytes_max} bytes");
            Error::new(ErrorKind::PayloadTooLarge, text).into()
        }
        BodyError::Timeout { .. } => {
            Error::new(ErrorKind::DeadlineExceeded, "the request did not arrive in time")
                .with_retry(Retry::SameRequest)
                .into()
        }
        BodyError::Broken(_) => Problem::from(Refusal::Withdrawn),
    })?;
    let coding = headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes);
    match &*coding.unwrap_or_default().to_ascii_lowercase() {
        b"" | b"identity" => Ok(body),
        b"gzip" | b"x-gzip" => Ok(Compression::Gzip.decompress(&body, bytes_max)?),
        _ => {
            let error = Error::invalid("content-encoding", "must be gzip or identity");
            Err(Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
        }
    }
}
