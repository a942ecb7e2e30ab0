//! One HTTP form of a method: from a request to its message.

use http::{HeaderMap, Method, header};
use opgate_core::{Error, ErrorKind, did_you_mean};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use super::mask::find;
use super::query::{Setter, pairs};
use super::reader;
use super::scalar;
use super::template::{Captured, Template};

/// The extension of a method's options that holds its `google.api.HttpRule`.
const HTTP: &str = "google.api.http";

/// A method and a path that mean a call, and what of the request goes where in its message.
#[derive(Clone, Debug)]
pub struct Binding {
    method: Option<Method>,
    template: Template,
    input: MessageDescriptor,
    body: Body,
    response_body: Option<FieldDescriptor>,
}

/// What the body is.
#[derive(Clone, Debug)]
enum Body {
    /// There is none.
    None,
    /// Every field that is not in the path.
    All,
    /// This field.
    Field(FieldDescriptor),
}

/// A method and a path template, from a text such as `POST /v1/{parent=projects/*}/things`.
///
/// # Errors
/// What is wrong with it.
pub fn request_line(text: &str) -> Result<(Method, Template), String> {
    let (method, template) = text
        .split_once(' ')
        .ok_or("a method and a path, such as `POST /v1/things`, is expected")?;
    let known = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH];
    let known = known.into_iter().find(|known| known.as_str() == method);
    let method = known
        .ok_or_else(|| format!("`{method}` is not one of GET, PUT, POST, DELETE and PATCH"))?;
    Ok((method, Template::parse(template.trim())?))
}

impl Binding {
    /// A binding from a text such as `POST /v1/{parent=projects/*}/things`. The body is `*`, a field,
    /// or none.
    ///
    /// # Errors
    /// What is wrong with it, or does not fit the message.
    pub fn new(
        request: &str,
        body: Option<&str>,
        input: MessageDescriptor,
    ) -> Result<Self, String> {
        let (method, template) = request_line(request)?;
        Self::checked(Some(method), template, body.unwrap_or_default(), input)
    }

    /// The bindings that the descriptor of a method declares: none, one, or one and additional ones.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn of(method: &MethodDescriptor) -> Result<Vec<Self>, String> {
        let pool = method.parent_pool();
        let Some(extension) = pool.get_extension_by_name(HTTP) else { return Ok(Vec::new()) };
        let options = method.options();
        if !options.has_extension(&extension) {
            return Ok(Vec::new());
        }
        let rule = options.get_extension(&extension);
        let Some(rule) = rule.as_message() else { return Ok(Vec::new()) };
        let more = rule.get_field_by_name("additional_bindings");
        let more = more.as_ref().and_then(|more| more.as_list()).unwrap_or_default();
        let more = more.iter().filter_map(|rule| rule.as_message());
        std::iter::once(rule).chain(more).map(|rule| Self::from_rule(method, rule)).collect()
    }

    fn from_rule(method: &MethodDescriptor, rule: &DynamicMessage) -> Result<Self, String> {
        let text = |field: &str| {
            let value = rule.get_field_by_name(field);
            value.as_ref().and_then(|value| value.as_str()).unwrap_or_default().to_owned()
        };
        let words = [
            ("get", Method::GET),
            ("put", Method::PUT),
            ("post", Method::POST),
            ("delete", Method::DELETE),
            ("patch", Method::PATCH),
        ];
        let known = words.into_iter().find(|(word, _)| !text(word).is_empty());
        let (http_method, template) = match known {
            Some((word, method)) => (Some(method), text(word)),
            None => custom(rule)?,
        };
        let template = Template::parse(&template)?;
        let binding = Self::checked(http_method, template, &text("body"), method.input())?;
        let response_body = match &*text("response_body") {
            "" => None,
            name => Some(method.output().get_field_by_name(name).ok_or_else(|| {
                format!("response_body: {} has no field `{name}`", method.output().full_name())
            })?),
        };
        Ok(Self { response_body, ..binding })
    }

    fn checked(
        method: Option<Method>,
        template: Template,
        body: &str,
        input: MessageDescriptor,
    ) -> Result<Self, String> {
        for path in template.variables() {
            let field = resolve(&input, path)?;
            if field.is_list() || field.is_map() || matches!(field.kind(), Kind::Message(_)) {
                return Err(format!("`{path}` is not a single value, and cannot be in a path"));
            }
        }
        let body = match body {
            "" => Body::None,
            "*" => Body::All,
            name => Body::Field(
                input
                    .get_field_by_name(name)
                    .ok_or_else(|| format!("body: {}", no_field(&input, name)))?,
            ),
        };
        Ok(Self { method, template, input, body, response_body: None })
    }

    /// The HTTP method; none is any.
    pub const fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// The template of the path.
    pub const fn template(&self) -> &Template {
        &self.template
    }

    /// The request message.
    pub const fn input(&self) -> &MessageDescriptor {
        &self.input
    }

    /// The field of the response message that is all of the answer, where it is not the whole.
    pub const fn response_body(&self) -> Option<&FieldDescriptor> {
        self.response_body.as_ref()
    }

    /// The message that a request is: what its path, its query and its body say together. Query
    /// parameters for which `ignored` is true are nobody's fields.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the field; `PAYLOAD_TOO_LARGE` for a body of too many values.
    pub fn message(
        &self,
        captured: &Captured<'_>,
        query: Option<&str>,
        body: &[u8],
        ignored: impl Fn(&str) -> bool,
    ) -> Result<DynamicMessage, Error> {
        let mut message = self.read_body(body)?;
        self.check_path(captured, &message)?;
        let mut setter = Setter::new(&mut message);
        for (field, text) in captured.iter() {
            setter.set(field, text)?;
        }
        for (name, text) in pairs(query)? {
            if !ignored(&name) {
                self.check_query(&name)?;
                setter.set(&name, &text)?;
            }
        }
        Ok(message)
    }

    fn read_body(&self, body: &[u8]) -> Result<DynamicMessage, Error> {
        let body = body.trim_ascii();
        match &self.body {
            // Some clients send an empty object with every request.
            Body::None if body.is_empty() || body == b"{}" => {
                Ok(DynamicMessage::new(self.input.clone()))
            }
            Body::None => Err(Error::invalid("body", "this request takes none")),
            Body::All if body.is_empty() => Ok(DynamicMessage::new(self.input.clone())),
            Body::All => reader::from_json(&self.input, body),
            Body::Field(field) => {
                let mut message = DynamicMessage::new(self.input.clone());
                if !body.is_empty()
                    && let Some(value) = reader::field_from_json(field, body)?
                {
                    message.set_field(field, value);
                }
                Ok(message)
            }
        }
    }

    /// What is in the path and in the body has to be the same.
    fn check_path(&self, captured: &Captured<'_>, message: &DynamicMessage) -> Result<(), Error> {
        for (path, text) in captured.iter() {
            let mut at = Some(message.clone());
            let mut found = None;
            for name in path.split('.') {
                let value = at.take().and_then(|message| {
                    let field = find(&self_descriptor(&message), name)?;
                    message.has_field(&field).then(|| message.get_field(&field).into_owned())
                });
                at = value.as_ref().and_then(|value| value.as_message().cloned());
                found = value;
            }
            let field = resolve(&self.input, path).map_err(|problem| internal(&problem))?;
            if let Some(found) = found
                && scalar::from_text(&field.kind(), text).is_ok_and(|value| value != found)
            {
                return Err(Error::invalid(
                    path.to_owned(),
                    "is another in the body than in the path",
                ));
            }
        }
        Ok(())
    }

    /// What belongs in the body, or is in the path, cannot be in the query.
    fn check_query(&self, name: &str) -> Result<(), Error> {
        let wrong = |problem: &str| Err(Error::invalid(scalar::clip(name).to_owned(), problem));
        let first = name.split('.').next().unwrap_or_default();
        match (&self.body, find(&self.input, first)) {
            (Body::All, Some(_)) => wrong("belongs in the body"),
            (Body::Field(body), Some(field)) if *body == field => wrong("belongs in the body"),
            (Body::All | Body::None | Body::Field(_), Some(_) | None) => Ok(()),
        }
    }
}

fn self_descriptor(message: &DynamicMessage) -> MessageDescriptor {
    prost_reflect::ReflectMessage::descriptor(message)
}

fn internal(problem: &str) -> Error {
    Error::new(ErrorKind::Internal, problem.to_owned())
}

fn custom(rule: &DynamicMessage) -> Result<(Option<Method>, String), String> {
    let custom = rule.get_field_by_name("custom");
    let custom = custom.as_ref().and_then(|custom| custom.as_message());
    let text = |field: &str| {
        let value = custom?.get_field_by_name(field)?;
        value.as_str().map(str::to_owned)
    };
    let (kind, path) = (text("kind").unwrap_or_default(), text("path").unwrap_or_default());
    let method = match &*kind {
        "*" => None,
        kind => Some(kind.parse().map_err(|_| format!("`{kind}` is not an HTTP method"))?),
    };
    Ok((method, path))
}

/// What a name of a field that is none is refused with.
pub fn no_field(message: &MessageDescriptor, name: &str) -> String {
    let fields: Vec<_> = message.fields().collect();
    let meant = did_you_mean(name, fields.iter().map(FieldDescriptor::name));
    format!("{} has no field `{name}`{meant}", message.full_name())
}

/// The field of a path of names.
fn resolve(input: &MessageDescriptor, path: &str) -> Result<FieldDescriptor, String> {
    let mut message = Some(input.clone());
    let mut found = None;
    for name in path.split('.') {
        let within =
            message.ok_or_else(|| format!("`{path}` goes through a field that is no message"))?;
        let field = within.get_field_by_name(name);
        let field = field.ok_or_else(|| no_field(&within, name))?;
        message =
            field.kind().as_message().filter(|_| !field.is_list() && !field.is_map()).cloned();
        found = Some(field);
    }
    found.ok_or_else(|| format!("`{path}` names no field"))
}

/// Whether a body may be read as JSON, by its `content-type`: JSON of any name, or none said.
///
/// # Errors
/// It is said to be something else.
pub fn check_content_type(headers: &HeaderMap) -> Result<(), Error> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let value = value.to_str().unwrap_or_default();
    let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
    let kind = kind.trim().to_ascii_lowercase();
    let json = kind.is_empty() || kind == "application/json" || kind.ends_with("+json");
    let charset = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let mut charset = charset.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let utf8 =
        charset.all(|(_, value)| value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"));
    if json && utf8 {
        Ok(())
    } else {
        let problem = "must be application/json in UTF-8";
        Err(Error::invalid("content-type", problem))
    }
}

#[cfg(test)]
mod tests;
