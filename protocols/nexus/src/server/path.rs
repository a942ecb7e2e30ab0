//! Paths: what is called, and of which operation.

use http::Method;
use opgate_core::{Error, ErrorKind, Kind, Operation, Parent};
use opgate_telemetry as telemetry;
use percent_encoding::percent_decode_str;

use super::ROOT;
use super::ask::escapes_hold;

/// What the parents of operations begin with that were started behind an endpoint.
const ENDPOINTS: &str = "endpoints";
const SERVICES: &str = "services";
const RESULT: &str = "result";
const CANCEL: &str = "cancel";

/// One operation of a service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) kind: Kind,
    /// Under which it is listed: the root, or `endpoints/{endpoint}`.
    pub(super) parent: Parent,
}

impl Target {
    /// Whether an operation is one of these. Without an endpoint it may be listed anywhere: other
    /// faces start operations too.
    pub(super) fn is_of(&self, operation: &Operation) -> bool {
        operation.kind == self.kind
            && (self.parent == Parent::root() || operation.parent == self.parent)
    }

    /// The endpoint that a start through here is recorded with.
    pub(super) fn endpoint(&self) -> String {
        format!("{ROOT}{}", self.parent.as_str())
    }
}

/// What is called.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    Start,
    Cancel(String),
    Info(String),
    Result(String),
}

impl Call {
    pub(super) const fn method(&self) -> telemetry::Method {
        match self {
            Self::Start => telemetry::Method::Start,
            Self::Cancel(_) => telemetry::Method::Cancel,
            Self::Info(_) => telemetry::Method::Get,
            Self::Result(_) => telemetry::Method::Wait,
        }
    }
}

/// A call, and what it is of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) target: Target,
    pub(super) call: Call,
}

impl Place {
    /// Reads a method and a raw path; `token` is the one in the header or the query.
    pub(super) fn parse(method: &Method, path: &str, token: Option<&str>) -> Result<Self, Error> {
        let path = path.strip_prefix(ROOT).unwrap_or_default();
        // Split first: an escaped slash is part of a name.
        let mut parts = path.split('/').map(decoded).collect::<Result<Vec<_>, _>>()?;
        let mut parent = Parent::root();
        if parts.len() >= 5 && parts[0] == ENDPOINTS && parts[2] == SERVICES {
            parent = endpoint(&parts[1])?;
            parts.drain(..3);
        }
        let mut parts = parts.into_iter();
        let (Some(service), Some(operation)) = (parts.next(), parts.next()) else {
            return Err(nothing());
        };
        let rest: Vec<String> = parts.collect();
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        let call = call(method, &rest, token)?;
        for (field, name) in [("service", &service), ("operation", &operation)] {
            is_name(field, name)?;
        }
        let kind = Kind::new(&service, &operation)
            .map_err(|error| Error::invalid(error.what, error.problem))?;
        Ok(Self { target: Target { kind, parent }, call })
    }
}

/// What is called by the part of a path behind the operation.
fn call(method: &Method, rest: &[&str], token: Option<&str>) -> Result<Call, Error> {
    let (get, post) = (*method == Method::GET, *method == Method::POST);
    let needed = || {
        let problem = "is missing: give it in the header, or in the query as token";
        Error::invalid(crate::wire::names::OPERATION_TOKEN, problem)
    };
    // In the path it counts where it is nowhere else.
    let or_path = |path: &str| {
        let token = token.unwrap_or(path);
        if token.is_empty() { Err(needed()) } else { Ok(token.to_owned()) }
    };
    let given = || token.map(str::to_owned).ok_or_else(needed);
    match rest {
        [] if post => Ok(Call::Start),
        [] if get => Ok(Call::Info(given()?)),
        [] => Err(not_offered(method, "POST, GET")),
        [CANCEL] if post => Ok(Call::Cancel(given()?)),
        [RESULT] if get && token.is_some() => Ok(Call::Result(given()?)),
        [path] if get => Ok(Call::Info(or_path(path)?)),
        [path, CANCEL] if post => Ok(Call::Cancel(or_path(path)?)),
        [path, RESULT] if get => Ok(Call::Result(or_path(path)?)),
        [CANCEL] | [_, CANCEL] => Err(not_offered(method, "POST")),
        [_] | [_, RESULT] => Err(not_offered(method, "GET")),
        _ => Err(nothing()),
    }
}

fn nothing() -> Error {
    let text = "there is nothing at this path: /nexus/SERVICE/OPERATION is expected";
    Error::new(ErrorKind::NotFound, text)
}

fn not_offered(method: &Method, offered: &'static str) -> Error {
    Error::invalid("method", format!("{method} is not offered at this path: {offered}"))
}

fn decoded(part: &str) -> Result<String, Error> {
    let text = percent_decode_str(part).decode_utf8().ok().filter(|_| escapes_hold(part));
    let text = text.ok_or_else(|| Error::invalid("path", "is not percent-encoded UTF-8"))?;
    Ok(text.into_owned())
}

fn endpoint(name: &str) -> Result<Parent, Error> {
    is_name("endpoint", name)?;
    if name.contains('/') {
        return Err(Error::invalid("endpoint", "has a slash in it"));
    }
    Parent::new(&format!("{ENDPOINTS}/{name}"))
        .map_err(|error| Error::invalid("endpoint", error.problem))
}

/// Clients take the dots of a path for steps in it, and never send them.
fn is_name(field: &'static str, name: &str) -> Result<(), Error> {
    match name {
        "" => Err(Error::invalid(field, "is empty")),
        "." | ".." => Err(Error::invalid(field, "must not be . or ..")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, path: &str, token: Option<&str>) -> Result<Place, Error> {
        Place::parse(&method.parse().unwrap(), path, token)
    }

    fn called(method: &str, path: &str, token: Option<&str>) -> Call {
        parse(method, path, token).unwrap().call
    }

    #[test]
    fn every_form_of_the_version_matrix() {
        let t = || "t".to_owned();
        for (method, path, token, call) in [
            ("POST", "/nexus/s/o", None, Call::Start),
            ("POST", "/nexus/s/o", Some("t"), Call::Start),
            ("GET", "/nexus/s/o", Some("t"), Call::Info(t())),
            ("GET", "/nexus/s/o/t", None, Call::Info(t())),
            ("GET", "/nexus/s/o/x", Some("t"), Call::Info(t())),
            ("GET", "/nexus/s/o/result", Some("t"), Call::Result(t())),
            ("GET", "/nexus/s/o/result", None, Call::Info("result".to_owned())),
            ("GET", "/nexus/s/o/t/result", None, Call::Result(t())),
            ("GET", "/nexus/s/o/x/result", Some("t"), Call::Result(t())),
            ("POST", "/nexus/s/o/cancel", Some("t"), Call::Cancel(t())),
            ("POST", "/nexus/s/o/t/cancel", None, Call::Cancel(t())),
            ("POST", "/nexus/s/o/x/cancel", Some("t"), Call::Cancel(t())),
            ("POST", "/nexus/s/o/%74/cancel", None, Call::Cancel(t())),
        ] {
            assert_eq!(called(method, path, token), call, "{method} {path} {token:?}");
            let behind = path.replace("/nexus/", "/nexus/endpoints/e/services/");
            let place = parse(method, &behind, token).unwrap();
            assert_eq!((place.call, place.target.parent.as_str()), (call, "endpoints/e"));
        }
    }

    #[test]
    fn names_are_split_before_they_are_decoded() {
        let place = parse("POST", "/nexus/accept%2Fesc%20v1%25/%C3%A9+", None).unwrap();
        assert_eq!(place.target.kind, Kind::new("accept/esc v1%", "\u{e9}+").unwrap());
        assert_eq!(place.target.parent, Parent::root());
        let place = parse("POST", "/nexus/endpoints/o", None).unwrap();
        assert_eq!(place.target.kind, Kind::new("endpoints", "o").unwrap());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let long = format!("/nexus/s/{}", "x".repeat(1025));
        for (method, path, kind, field) in [
            ("POST", "/nexus/s/%zz", ErrorKind::InvalidArgument, "path"),
            ("POST", "/nexus/s/%ff", ErrorKind::InvalidArgument, "path"),
            ("POST", "/nexus//o", ErrorKind::InvalidArgument, "service"),
            ("POST", "/nexus/s/", ErrorKind::InvalidArgument, "operation"),
            ("POST", "/nexus/./o", ErrorKind::InvalidArgument, "service"),
            ("POST", "/nexus/s/%2e%2E", ErrorKind::InvalidArgument, "operation"),
            ("POST", "/nexus/s/a%0Ab", ErrorKind::InvalidArgument, "operation"),
            ("POST", &long, ErrorKind::InvalidArgument, "operation"),
            ("POST", "/nexus/endpoints/a%2Fb/services/s/o", ErrorKind::InvalidArgument, "endpoint"),
            ("POST", "/nexus/endpoints//services/s/o", ErrorKind::InvalidArgument, "endpoint"),
            ("PUT", "/nexus/s/o", ErrorKind::InvalidArgument, "method"),
            ("GET", "/nexus/s/o", ErrorKind::InvalidArgument, "nexus-operation-token"),
            ("POST", "/nexus/s/o/cancel", ErrorKind::InvalidArgument, "nexus-operation-token"),
            ("POST", "/nexus/s/o//cancel", ErrorKind::InvalidArgument, "nexus-operation-token"),
            ("POST", "/nexus/s/o/result", ErrorKind::InvalidArgument, "method"),
            ("GET", "/nexus/s/o/t/cancel", ErrorKind::InvalidArgument, "method"),
            ("POST", "/nexus/s", ErrorKind::NotFound, ""),
            ("POST", "/nexus/", ErrorKind::NotFound, ""),
            ("POST", "/nexus/s/o/t/x", ErrorKind::NotFound, ""),
            ("GET", "/nexus/s/o/t/result/x", ErrorKind::NotFound, ""),
        ] {
            let error = parse(method, path, None).unwrap_err();
            let named = error.field.map_or_else(String::new, |field| field.field.into_owned());
            assert_eq!((error.kind, &*named), (kind, field), "{method} {path}");
        }
    }

    #[test]
    fn fuzz_no_path_panics() {
        const PARTS: [&str; 10] =
            ["/", "s", "endpoints", "services", "result", "cancel", "%2F", "%", ".", "\u{e9}"];
        bolero::check!().for_each(|bytes: &[u8]| {
            let words: String =
                bytes.iter().map(|byte| PARTS[usize::from(*byte) % PARTS.len()]).collect();
            for path in [words, String::from_utf8_lossy(bytes).into_owned()] {
                for method in [Method::GET, Method::POST] {
                    drop(Place::parse(&method, &format!("/nexus/{path}"), None));
                    drop(Place::parse(&method, &format!("/nexus/{path}"), Some("t")));
                }
            }
        });
    }
}
