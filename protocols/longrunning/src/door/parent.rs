//! In which scope an operation is listed.

use http::HeaderMap;
use opgate_core::{Error, Parent, did_you_mean};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::map;
use crate::scan::{self, Raw};
use opgate_rpc::wire;

const REQUEST_PARAMS: &str = "x-goog-request-params";

/// Where the parent comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ParentRule {
    /// Texts and fields of the request, one after the other.
    Template(Vec<Part>),
    /// The header that Google's clients send for routing.
    Header,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// Field numbers, outermost first.
    Field(Vec<u32>),
}

impl ParentRule {
    /// The rule where none is configured.
    pub(super) fn default_for(request: Option<&MessageDescriptor>) -> Self {
        match request.and_then(|message| field(message, "parent", &Kind::String).ok()) {
            Some(path) => Self::Template(vec![Part::Field(path)]),
            None => Self::Header,
        }
    }

    /// Reads a configured template.
    pub(super) fn parse(
        template: &str,
        request: Option<&MessageDescriptor>,
    ) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("`{` without `}`")?;
            let message =
                request.ok_or("fields can be used only where the request type is known")?;
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            parts.push(Part::Field(field(message, name, &Kind::String)?));
            rest = after;
        }
        if rest.contains('}') {
            return Err("`}` without `{`".to_owned());
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if let [Part::Text(text)] = &*parts {
            map::check_parent(text).map_err(|error| match error.field {
                Some(violation) => violation.description,
                None => error.message.into_owned(),
            })?;
        }
        Ok(Self::Template(parts))
    }

    /// The parent of one request.
    pub(super) fn read(&self, headers: &HeaderMap, request: &[u8]) -> Result<Parent, Error> {
        let not_text = || Error::invalid("parent", "is not UTF-8");
        let text = match self {
            Self::Template(parts) => {
                let mut bytes = Vec::new();
                for part in parts {
                    bytes.extend_from_slice(match part {
                        Part::Text(text) => text.as_bytes(),
                        Part::Field(path) => match scan::find(request, path) {
                            Some(Raw::Bytes(value)) => value,
                            _ => &[],
                        },
                    });
                }
                String::from_utf8(bytes).map_err(|_| not_text())?
            }
            Self::Header => {
                let params = headers.get(REQUEST_PARAMS).map(http::HeaderValue::to_str);
                let params = params.transpose().map_err(|_| not_text())?.unwrap_or_default();
                let param = |wanted: &str| {
                    let mut params = params.split('&').filter_map(|param| param.split_once('='));
                    params.find(|(name, _)| *name == wanted).map(|(_, value)| value)
                };
                let value = param("parent").or_else(|| param("name")).unwrap_or_default();
                wire::percent_decode(value).ok_or_else(not_text)?.into_owned()
            }
        };
        map::check_parent(&text)
    }
}

/// The numbers on the way to a field, by a path of names such as `workflow.name`.
pub(crate) fn field(
    message: &MessageDescriptor,
    path: &str,
    wanted: &Kind,
) -> Result<Vec<u32>, String> {
    let mut numbers = Vec::new();
    let mut message = Some(message.clone());
    let mut kind = None;
    for name in path.split('.') {
        let within = message
            .as_ref()
            .ok_or_else(|| format!("`{path}` goes through a field that is no message"))?;
        let field =
            within.get_field_by_name(name).filter(|field| !field.is_list() && !field.is_map());
        let field = field.ok_or_else(|| {
            let fields: Vec<_> = within.fields().collect();
            let singles = fields.iter().filter(|field| !field.is_list() && !field.is_map());
            let meant = did_you_mean(name, singles.map(FieldDescriptor::name));
            format!("{} has no single field `{name}`{meant}", within.full_name())
        })?;
        numbers.push(field.number());
        message = field.kind().as_message().cloned();
        kind = Some(field.kind());
    }
    if kind.as_ref() == Some(wanted) {
        Ok(numbers)
    } else {
        Err(format!("`{path}` is not a {wanted:?} field"))
    }
}
