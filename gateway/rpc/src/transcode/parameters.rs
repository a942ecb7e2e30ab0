//! What Google calls system parameters: query parameters that every method takes, about how it is
//! answered rather than about what is asked.
//!
//! Source: the page "System parameters" of Google's APIs. Each may be written with `$` before it. A
//! field of a request that has the name of one can be given in a body only.

use http::{HeaderMap, Method};
use opgate_core::Error;

use super::errors::ErrorFormat;
use super::mask::Mask;
use super::query::pairs;
use super::scalar::clip;
use super::writer::Json;

const FIELD_MASK: &str = "x-goog-fieldmask";
const API_CLIENT: &str = "x-goog-api-client";
const METHOD_OVERRIDE: &str = "x-http-method-override";

/// Those that mean nothing here: who asks for whom, how an upload goes, what a script calls back.
const IGNORED: [&str; 14] = [
    "access_token",
    "apiVersion",
    "bearer_token",
    "callback",
    "key",
    "oauth_token",
    "passphrase",
    "pp",
    "quotaUser",
    "req",
    "uploadType",
    "upload_protocol",
    "userIp",
    "userProject",
];
const ALT: &str = "alt";
const FIELDS: &str = "fields";
const PRETTY: &str = "prettyPrint";
/// The format of errors; with the dot as it is.
const XGAFV: &str = ".xgafv";

/// In which form an answer is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alt {
    /// JSON, the names of enums as names.
    #[default]
    Json,
    /// JSON, enums as numbers: `json;enum-encoding=int`.
    JsonEnumNumbers,
    /// The message's bytes: `proto`.
    Proto,
}

/// The system parameters of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The form of the answer.
    pub alt: Alt,
    /// The fields that are wanted; all where there is none.
    pub fields: Option<Mask>,
    /// Whether JSON has line breaks: yes, unless it is told otherwise.
    pub pretty: bool,
    /// The format of errors.
    pub errors: ErrorFormat,
    /// Whether who reads it gives up at an `Any` of a type that the method does not declare.
    pub declared_types_only: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            alt: Alt::Json,
            fields: None,
            pretty: true,
            errors: ErrorFormat::V2,
            declared_types_only: false,
        }
    }
}

/// Whether a request is of one of Google's generated clients for Java or Node, which find the types of JSON among those
/// of their own method: neither knows the details of `google.rpc`, and an operation with one cannot be read at all.
/// Source: gax-java (sdk-platform-java#2237), proto3-json-serializer's `any.ts`. Clients of discovery (`gdcl`) read plain
/// JSON.
pub fn declared_types_only(headers: &HeaderMap) -> bool {
    let said = headers.get(API_CLIENT).and_then(|said| said.to_str().ok()).unwrap_or_default();
    let is = |language: &str| said.split_ascii_whitespace().any(|part| part.starts_with(language));
    ["gl-java/", "gl-node/", "gl-web/"].into_iter().any(is) && !is("gdcl/")
}

impl Parameters {
    /// Whether a query parameter is one of them, and so nobody's field.
    pub fn is_one(name: &str) -> bool {
        let plain = name.strip_prefix('$');
        let name = plain.unwrap_or(name);
        matches!(name, ALT | FIELDS | PRETTY)
            || IGNORED.contains(&name)
            || (plain.is_some() && name == XGAFV)
    }

    /// Reads them. The first problem comes with what could be read, for the error to be written in
    /// the form that was asked for.
    pub fn read(query: Option<&str>, headers: &HeaderMap) -> (Self, Option<Error>) {
        let mut parameters =
            Self { declared_types_only: declared_types_only(headers), ..Self::default() };
        let mut problem = None;
        match pairs(query) {
            Ok(pairs) => {
                let mut seen: Vec<(&str, &str)> = Vec::new();
                for (name, value) in pairs.iter().filter(|(name, _)| Self::is_one(name)) {
                    let name = name.strip_prefix('$').unwrap_or(name);
                    let said = seen.iter().find(|(other, _)| *other == name);
                    let taken = match said {
                        Some((_, before)) if before == value => Ok(()),
                        Some(_) if !IGNORED.contains(&name) => {
                            let name = if name == XGAFV { "$.xgafv" } else { name };
                            Err(Error::invalid(name.to_owned(), "is given twice, with two values"))
                        }
                        Some(_) | None => parameters.take(name, value),
                    };
                    seen.push((name, value));
                    problem = problem.or(taken.err());
                }
            }
            Err(error) => problem = Some(error),
        }
        if let Some(mask) = headers.get(FIELD_MASK).filter(|_| parameters.fields.is_none()) {
            let text = mask.to_str().map_err(|_| Error::invalid(FIELD_MASK, "is not ASCII"));
            match text.and_then(|text| Mask::parse(FIELD_MASK, text)) {
                Ok(mask) => parameters.fields = Some(mask),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        (parameters, problem)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), Error> {
        match name {
            ALT => self.alt = alt(value)?,
            FIELDS => self.fields = Some(Mask::parse(FIELDS, value)?),
            PRETTY => {
                self.pretty = match value {
                    "true" | "1" | "" => true,
                    "false" | "0" => false,
                    _ => return Err(bad(PRETTY, value, "`true` or `false`")),
                }
            }
            XGAFV => {
                self.errors = match value {
                    "1" => ErrorFormat::V1,
                    "2" | "" => ErrorFormat::V2,
                    _ => return Err(bad("$.xgafv", value, "`1` or `2`")),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// How the answer is written as JSON.
    pub fn json(&self) -> Json<'_> {
        Json {
            enum_numbers: self.alt == Alt::JsonEnumNumbers,
            pretty: self.pretty,
            mask: self.fields.as_ref(),
        }
    }
}

fn bad(name: &'static str, value: &str, allowed: &str) -> Error {
    Error::invalid(name, format!("{allowed} is expected, not `{}`", clip(value)))
}

fn alt(value: &str) -> Result<Alt, Error> {
    match value {
        "json" | "" => Ok(Alt::Json),
        "json;enum-encoding=int" => Ok(Alt::JsonEnumNumbers),
        "proto" => Ok(Alt::Proto),
        _ => Err(bad(ALT, value, "`json`, `json;enum-encoding=int` or `proto`")),
    }
}

/// The method a request means: that of the header `X-HTTP-Method-Override`, for callers that can
/// send nothing but GET and POST.
///
/// # Errors
/// It is sent with another method than POST, or means one that it may not.
pub fn method_override(method: &Method, headers: &HeaderMap) -> Result<Method, Error> {
    let Some(wanted) = headers.get(METHOD_OVERRIDE) else { return Ok(method.clone()) };
    let wrong = |problem: &str| Err(Error::invalid(METHOD_OVERRIDE, problem));
    if *method != Method::POST {
        return wrong("is for POST requests only");
    }
    let known = [Method::GET, Method::DELETE, Method::PUT, Method::PATCH, Method::POST];
    let known = known.into_iter().find(|known| known.as_str().as_bytes() == wanted.as_bytes());
    known.map_or_else(|| wrong("GET, DELETE, PUT, PATCH or POST is expected"), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Parameters, String> {
        let (parameters, problem) = Parameters::read(Some(query), &HeaderMap::new());
        problem.map_or(Ok(parameters), |problem| Err(problem.to_string()))
    }

    #[test]
    fn what_the_clients_send_is_read() {
        let gapic = read("%24alt=json%3Benum-encoding%3Dint").unwrap();
        assert!(gapic.json().enum_numbers && gapic.pretty);
        let discovery = read("alt=json&%24.xgafv=1&prettyPrint=false&quotaUser=q&key=k").unwrap();
        assert_eq!((discovery.alt, discovery.errors), (Alt::Json, ErrorFormat::V1));
        assert!(!discovery.pretty && discovery.fields.is_none());
        assert_eq!(read("alt=proto").unwrap().alt, Alt::Proto);
        assert_eq!(read("alt=json&$alt=json&key=a&key=b").unwrap(), Parameters::default());
        assert_eq!(read("pageSize=x&name=%C3%A9").unwrap(), Parameters::default());
        let fields = read("$fields=name,done").unwrap().fields;
        assert_eq!(fields, Some(Mask::parse("fields", "name,done").unwrap()));
    }

    #[test]
    fn who_knows_declared_types_only_is_known_by_its_name() {
        for (said, expected) in [
            ("gl-java/17.0.15 gapic/2.63.1 gax/2.63.1 rest/", true),
            ("gl-node/20.20.2 gax/5.0.8", true),
            ("gax/5.0.8 gapic/6.0.0 gl-node/20.20.2 rest/1.14.3", true),
            ("gl-go/1.26.8 gapic/1.22.1 gax/2.15.0 rest/UNKNOWN", false),
            ("gl-python/3.11.7 rest/2.32.0 gapic/1.0 gax/2.25.0", false),
            ("gdcl/7.0.0 gl-node/20.20.2", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(API_CLIENT, said.parse().unwrap());
            assert_eq!(declared_types_only(&headers), expected, "{said}");
            let (parameters, _) = Parameters::read(None, &headers);
            assert_eq!(parameters.declared_types_only, expected);
        }
    }

    #[test]
    fn a_bad_value_is_named() {
        for (query, problem) in [
            ("alt=sse", "alt: `json`, `json;enum-encoding=int` or `proto` is expected, not `sse`"),
            (
                "$alt=media",
                "alt: `json`, `json;enum-encoding=int` or `proto` is expected, not `media`",
            ),
            ("prettyPrint=yes", "prettyPrint: `true` or `false` is expected, not `yes`"),
            ("$.xgafv=3", "$.xgafv: `1` or `2` is expected, not `3`"),
            ("fields=a(", "fields: a name is missing at the end, at position 3"),
            ("alt=json&alt=proto", "alt: is given twice, with two values"),
            ("$.xgafv=1&%24.xgafv=2", "$.xgafv: is given twice, with two values"),
            ("alt=%zz", "alt: `%` is not followed by two hex digits"),
        ] {
            assert_eq!(read(query).unwrap_err(), problem, "{query}");
        }
        let (parameters, problem) = Parameters::read(Some("alt=x&$.xgafv=1"), &HeaderMap::new());
        assert!(problem.is_some());
        assert_eq!(parameters.errors, ErrorFormat::V1, "the error is written as was asked");
    }

    #[test]
    fn names_with_a_dollar_are_known_and_others_are_fields() {
        for name in ["alt", "$alt", "$.xgafv", "$userProject", "upload_protocol", "$key"] {
            assert!(Parameters::is_one(name), "{name}");
        }
        for name in [".xgafv", "name", "$odd", "$$alt", "ALT", ""] {
            assert!(!Parameters::is_one(name), "{name}");
        }
    }

    #[test]
    fn the_header_is_a_mask_too_and_the_parameter_goes_first() {
        let mut headers = HeaderMap::new();
        headers.insert("x-goog-fieldmask", "error.code".parse().unwrap());
        let mask = |text| Some(Mask::parse("fields", text).unwrap());
        assert_eq!(Parameters::read(None, &headers).0.fields, mask("error/code"));
        assert_eq!(Parameters::read(Some("fields=name"), &headers).0.fields, mask("name"));
    }

    #[test]
    fn a_post_can_mean_another_method() {
        let of = |method: Method, wanted: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-http-method-override", wanted.parse().unwrap());
            method_override(&method, &headers)
        };
        assert_eq!(method_override(&Method::PUT, &HeaderMap::new()).unwrap(), Method::PUT);
        assert_eq!(of(Method::POST, "DELETE").unwrap(), Method::DELETE);
        assert_eq!(of(Method::POST, "GET").unwrap(), Method::GET);
        assert!(of(Method::GET, "DELETE").is_err());
        assert!(of(Method::POST, "TRACE").is_err());
        assert!(of(Method::POST, "get").is_err());
    }
}
