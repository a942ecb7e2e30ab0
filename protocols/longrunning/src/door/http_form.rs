//! The HTTP requests that start what gRPC methods start.
//!
//! A request becomes the message that a gRPC caller would send, and goes on as that does.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use opgate_core::{Error, Face, Loss, Losses};
use opgate_rpc::exact;
use opgate_rpc::transcode::{self, Binding, Captured, Conflict, Json, Parameters, Rules, Template};
use prost_reflect::{MessageDescriptor, MethodDescriptor};

use super::{Asked, Door};

/// An HTTP request as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpForm {
    /// A method and a path template of `google.api.http`, such as
    /// `POST /v1/{parent=projects/*}/things`.
    pub request: String,
    /// What the body is: `*` for all fields that are not in the path, the name of one field, or
    /// nothing.
    pub body: Option<String>,
}

impl HttpForm {
    /// Whether a text is a method and a path template, and of none of the requests that this face
    /// itself answers: what is configured goes before those.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(request: &str) -> Result<(), String> {
        let (method, template) = transcode::request_line(request)?;
        match crate::rest::built_in(&method, &template.filled("x", "operations/x")) {
            Some(verb) => Err(format!("hides how operations are {verb} over REST")),
            None => Ok(()),
        }
    }
}

/// An HTTP request that goes through a door.
#[derive(Debug)]
pub(crate) struct HttpStart {
    door: Arc<Door>,
    binding: Binding,
    /// The method and the template: `POST /v1/things`.
    endpoint: Arc<str>,
}

impl HttpStart {
    /// The method that this is another form of, as `package.Service/Method`.
    pub(crate) fn grpc_method(&self) -> &str {
        self.door.endpoint.as_deref().unwrap_or_default()
    }

    /// Reads a request of this form.
    pub(crate) fn read(
        &self,
        captured: &Captured<'_>,
        query: Option<&str>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Asked, Error> {
        let message = self.binding.message(captured, query, body, Parameters::is_one)?;
        let message = Bytes::from(transcode::encode(&message));
        let mut asked =
            self.door.asked(Face::Rest, Arc::clone(&self.endpoint), headers, &message)?;
        if let Asked::Start(start) = &mut asked {
            start.lost = self.lost(&message, body);
        }
        Ok(asked)
    }

    /// What a body loses that becomes a message: how it was written.
    fn lost(&self, message: &Bytes, body: &[u8]) -> Losses {
        let text = || {
            let kind = self.door.request.as_ref()?;
            Json::default().encoded(kind, message.clone()).ok()
        };
        match text() {
            Some(text) if !body.is_empty() && text != body => {
                let is_kept =
                    |number: &str| number.parse() == Ok(0.0) || exact::has_number(&text, number);
                let kept = exact::numbers(body).all(is_kept);
                Losses::from(Loss::InputText).with(Loss::InputNumbers, !kept)
            }
            Some(_) | None => Losses::NONE,
        }
    }
}

/// The HTTP requests of a door, and every problem with them.
pub(super) fn bindings(
    configured: Option<&HttpForm>,
    request: Option<&MessageDescriptor>,
    described: Option<&MethodDescriptor>,
) -> (Vec<Binding>, Vec<String>) {
    let found = match (configured, request, described) {
        (Some(form), Some(message), _) => {
            Binding::new(&form.request, form.body.as_deref(), message.clone())
                .map(|binding| vec![binding])
        }
        (Some(_), None, _) => Err("needs a method whose request type is known".to_owned()),
        (None, _, Some(described)) => Binding::of(described),
        (None, _, None) => Ok(Vec::new()),
    };
    match found {
        Ok(bindings) => (bindings, Vec::new()),
        Err(problem) => (Vec::new(), vec![format!("http: {problem}")]),
    }
}

/// The method and the template: `POST /v1/things`.
pub(super) fn text(binding: &Binding) -> Arc<str> {
    let word = binding.method().map_or("*", http::Method::as_str);
    Arc::from(format!("{word} {}", Template::text(binding.template())))
}

/// Adds the requests of a door, and returns every problem. `requests`: those there are, each behind its
/// route.
pub(super) fn add(
    rules: &mut Rules<HttpStart>,
    door: &Arc<Door>,
    bindings: Vec<Binding>,
    requests: &[(Arc<str>, Arc<str>)],
) -> Vec<String> {
    let mut problems = Vec::new();
    for binding in bindings {
        let (method, template) = (binding.method().cloned(), binding.template().clone());
        let endpoint = text(&binding);
        let start = HttpStart { door: Arc::clone(door), binding, endpoint };
        if let Err(conflict) = rules.insert(method, template, start) {
            let Conflict { template, other } = conflict;
            let route = requests.iter().find(|(_, text)| {
                text.split_once(' ').is_some_and(|(_, template)| template == other)
            });
            let whose = route.map(|(route, _)| format!(" of route {route}")).unwrap_or_default();
            problems
                .push(format!("http: `{template}` takes the same requests as `{other}`{whose}"));
        }
    }
    problems
}
