//! What requests bring: content, outcomes, headers, links, callbacks, reports.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderName, Uri};
use opgate_core::{
    Callback, CancelDelivery, Code, Error, Header, Link, LogEntry, Outcome, Payload, Progress,
    Report, Resource, Timestamp, limits,
};

use super::value::NoJson;
use super::{failure, value};
use crate::api::client as proto;

/// The media type of content that nobody named.
pub(in crate::api) const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";

/// Content, from any of its three forms.
pub(in crate::api) fn payload(
    field: &'static str,
    payload: proto::Payload,
) -> Result<Payload, Error> {
    use proto::payload::Body;
    let invalid = |part: &str, problem: &str| {
        Err(Error::invalid(format!("{field}.{part}"), problem.to_owned()))
    };
    for (part, label) in [("media_type", &payload.media_type), ("encoding", &payload.encoding)] {
        if label.chars().any(char::is_control) {
            return invalid(part, "holds a control character");
        }
    }
    let given = |default: &'static str| match &*payload.media_type {
        "" => default.to_owned(),
        given => given.to_owned(),
    };
    let mut content = match payload.body {
        None => Payload::new(given(BYTES), Bytes::new()),
        // Copied, as it may hold on to the buffer of a whole request.
        Some(Body::Data(data)) => Payload::new(given(BYTES), Bytes::copy_from_slice(&data)),
        Some(Body::Text(text)) => Payload::new(given(TEXT), text),
        Some(Body::Json(json)) => {
            let text = match value::text(json) {
                Ok(text) => text,
                Err(NoJson::Empty) => return invalid("json", "holds a Value of no kind"),
                Err(NoJson::NotFinite) => {
                    return invalid("json", "holds a number that JSON does not have");
                }
            };
            Payload::new(given(Payload::JSON), text)
        }
    };
    content.encoding = match &*payload.encoding {
        "" => None,
        encoding => Some(encoding.into()),
    };
    if !payload.sections.is_empty() {
        let whole: u64 = payload.sections.iter().copied().map(u64::from).sum();
        if usize::try_from(whole).ok() != Some(content.bytes.len()) {
            return invalid("sections", "must be lengths that together are that of the content");
        }
        content.sections = payload.sections;
    }
    Ok(content)
}

/// How an operation is to end.
pub(in crate::api) fn outcome(outcome: Option<proto::Outcome>) -> Result<Outcome, Error> {
    use proto::outcome::Outcome as Told;
    match outcome.and_then(|outcome| outcome.outcome) {
        None => Err(Error::invalid("outcome", "must be one of succeeded, failed and canceled")),
        Some(Told::Succeeded(result)) if result == proto::Payload::default() => {
            Ok(Outcome::Succeeded(None))
        }
        Some(Told::Succeeded(result)) => {
            payload("outcome.succeeded", result).map(|result| Outcome::Succeeded(Some(result)))
        }
        Some(Told::Failed(failed)) => {
            failure::told("outcome.failed", failed, Code::Unknown).map(Outcome::Failed)
        }
        Some(Told::Canceled(failed)) if failed == proto::Failure::default() => {
            Ok(Outcome::Canceled(None))
        }
        Some(Told::Canceled(failed)) => failure::told("outcome.canceled", failed, Code::Cancelled)
            .map(|failed| Outcome::Canceled(Some(failed))),
    }
}

/// Headers to keep. How many and how large they may be in all, the core says.
pub(in crate::api) fn headers(
    field: &'static str,
    headers: Vec<proto::Header>,
) -> Result<Vec<Header>, Error> {
    let header = |header: proto::Header| {
        let invalid = |problem: &str| Err(Error::invalid(field, problem.to_owned()));
        // Names keep their case; which letters they may have is HTTP's rule.
        if HeaderName::from_bytes(header.name.as_bytes()).is_err() {
            return invalid("has a name that is no HTTP header's");
        }
        if header.value.chars().any(|letter| letter.is_control() && letter != '\t') {
            return invalid("has a value with a control character");
        }
        Ok(Header { name: header.name.into(), value: Bytes::from(header.value) })
    };
    headers.into_iter().map(header).collect()
}

/// Links to somewhere else.
pub(in crate::api) fn links(
    field: &'static str,
    links: Vec<proto::Link>,
) -> Result<Vec<Link>, Error> {
    let odd = |letter: char| letter.is_control() || letter.is_whitespace();
    let link = |link: proto::Link| {
        if link.url.is_empty() || link.url.contains(odd) || link.r#type.contains(odd) {
            let problem = "needs a url, and neither url nor type may hold spaces";
            return Err(Error::invalid(field, problem));
        }
        Ok(Link { url: link.url.into(), kind: link.r#type.into() })
    };
    links.into_iter().map(link).collect()
}

/// Where to tell of the completion.
pub(in crate::api) fn callbacks(callbacks: Vec<proto::Callback>) -> Result<Vec<Callback>, Error> {
    let callback = |callback: proto::Callback| {
        let uri = callback.url.parse::<Uri>().ok();
        let scheme = uri.as_ref().and_then(Uri::scheme_str);
        if !matches!(scheme, Some("http" | "https")) || callback.url.len() > limits::TEXT_BYTES {
            let problem = format!(
                "must be an absolute http or https URL of at most {} bytes",
                limits::TEXT_BYTES
            );
            return Err(Error::invalid("callbacks.url", problem));
        }
        let headers = headers("callbacks.headers", callback.headers)?;
        Ok(Callback::new(callback.url, headers))
    };
    callbacks.into_iter().map(callback).collect()
}

/// What a worker tells, and the lease it tells it under.
pub(in crate::api) fn report(
    request: proto::ReportLeaseRequest,
) -> Result<(String, Report), Error> {
    let report = Report {
        progress: request.progress.map(progress).transpose()?,
        log: request.log.into_iter().map(entry).collect::<Result<_, _>>()?,
        resources: request.resources.into_iter().map(resource).collect(),
        links: links("links", request.links)?,
        native_state: request.native_state.map(Into::into),
        waiting: request.waiting.map(Into::into),
        cancel: request.accept_cancel.map(|accepted| {
            if accepted { CancelDelivery::Acked } else { CancelDelivery::Refused }.into()
        }),
        ..Report::default()
    };
    Ok((request.lease, report))
}

fn progress(progress: proto::Progress) -> Result<Progress, Error> {
    let proto::Progress { percent, done, total, message } = progress;
    if percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        return Err(Error::invalid("progress.percent", "must be from 0 to 100"));
    }
    Ok(Progress { percent, done, total, message: message.into() })
}

fn entry(entry: proto::LogEntry) -> Result<LogEntry, Error> {
    let at = match entry.time {
        Some(time) => instant(time),
        None => SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(since_epoch),
    };
    let at = at.ok_or_else(|| Error::invalid("log.time", "is no valid Timestamp"))?;
    Ok(LogEntry { at, error: entry.error, code: entry.code.into(), message: entry.message.into() })
}

fn since_epoch(time: Duration) -> Option<Timestamp> {
    i64::try_from(time.as_nanos()).ok().map(Timestamp::from_nanos)
}

fn instant(time: prost_types::Timestamp) -> Option<Timestamp> {
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    let seconds = time.seconds.checked_mul(1_000_000_000)?;
    seconds.checked_add(i64::from(nanos)).map(Timestamp::from_nanos)
}

fn resource(resource: proto::Resource) -> Resource {
    Resource {
        entity_type: resource.entity_type.into(),
        action: resource.action.into(),
        becomes: Box::default(),
        identifier: resource.identifier.into(),
        uri: resource.uri.into(),
    }
}

#[cfg(test)]
mod tests {
    use opgate_core::ErrorKind;
    use prost_types::value::Kind;
    use proto::payload::Body;

    use super::*;

    fn content(media_type: &str, body: Option<Body>) -> Result<Payload, Error> {
        let media_type = media_type.to_owned();
        payload(
            "input",
            proto::Payload { media_type, encoding: String::new(), body, sections: Vec::new() },
        )
    }

    #[test]
    fn each_form_of_content_has_its_media_type() {
        let json =
            |number| Body::Json(prost_types::Value { kind: Some(Kind::NumberValue(number)) });
        let data = || Body::Data(Bytes::from_static(b"\x00"));
        let text = || Body::Text("t".to_owned());
        for (media_type, body, expected) in [
            ("", None, Payload::new(BYTES, "")),
            ("a/b", None, Payload::new("a/b", "")),
            ("", Some(data()), Payload::new(BYTES, &b"\x00"[..])),
            ("a/b; c=d", Some(data()), Payload::new("a/b; c=d", &b"\x00"[..])),
            ("", Some(text()), Payload::new(TEXT, "t")),
            ("", Some(json(1.0)), Payload::json("1")),
            ("application/x+json", Some(json(1.0)), Payload::new("application/x+json", "1")),
        ] {
            assert_eq!(content(media_type, body).unwrap(), expected);
        }
        for body in [json(f64::NAN), Body::Json(prost_types::Value { kind: None })] {
            let error = content("", Some(body)).unwrap_err();
            assert_eq!(error.field.unwrap().field, "input.json");
        }
        assert!(content("a/\n", None).is_err());
    }

    #[test]
    fn an_empty_success_has_no_result_and_an_empty_cancellation_no_failure() {
        use proto::outcome::Outcome as Told;
        let read = |told| outcome(Some(proto::Outcome { outcome: Some(told) }));
        assert_eq!(
            read(Told::Succeeded(proto::Payload::default())).unwrap(),
            Outcome::Succeeded(None)
        );
        assert_eq!(
            read(Told::Canceled(proto::Failure::default())).unwrap(),
            Outcome::Canceled(None)
        );
        let failed = read(Told::Failed(proto::Failure::default())).unwrap();
        assert_eq!(failed, Outcome::Failed(opgate_core::Failure::new(Code::Unknown, "")));
        assert_eq!(outcome(None).unwrap_err().kind, ErrorKind::InvalidArgument);
    }

    #[test]
    fn every_failure_reads_back_as_it_is_shown() {
        use opgate_core::{Detail, Failure, Native};
        let mut cause = Failure::new(Code::NotFound, "gone");
        cause.native = Some(Box::new(Native {
            protocol: "oci".to_owned(),
            code: "NotAuthorizedOrNotFound".to_owned(),
            http: Some(404),
            bytes: Bytes::from_static(b"{}"),
            encoded: None,
        }));
        for code in Code::ALL {
            let mut failure = Failure::new(code, "text");
            failure.reason = Some("why".to_owned());
            failure.retryable = Some(false);
            failure.retry_after = Some(Duration::from_millis(1500));
            let value = Bytes::from_static(b"\x08\x01");
            failure.details = vec![Detail { type_url: "a/b".to_owned(), value }];
            failure.cause = Some(Box::new(cause.clone()));
            let back = failure::told("f", failure::shown(&failure), Code::Unknown).unwrap();
            assert_eq!(back, failure);
        }
    }

    #[test]
    fn what_is_wrong_with_a_failure_is_named() {
        let odd_code = proto::Failure { code: "OK".to_owned(), ..Default::default() };
        let native = proto::Native { http: 99, ..Default::default() };
        let odd_status = proto::Failure { native: Some(native), ..Default::default() };
        let after = prost_types::Duration { seconds: -1, nanos: 0 };
        let odd_after = proto::Failure { retry_after: Some(after), ..Default::default() };
        let deep = (0..limits::FAILURE_DEPTH).fold(proto::Failure::default(), |cause, _| {
            proto::Failure { cause: Some(Box::new(cause)), ..Default::default() }
        });
        for (failure, field) in [
            (odd_code, "f.code"),
            (odd_status, "f.native.http"),
            (odd_after, "f.retry_after"),
            (deep, "f"),
        ] {
            let error = failure::told("f", failure, Code::Unknown).unwrap_err();
            assert_eq!(error.field.unwrap().field, field);
        }
    }

    #[test]
    fn headers_links_and_callbacks_that_are_none() {
        let header = |name: &str, value: &str| {
            headers("headers", vec![proto::Header { name: name.into(), value: value.into() }])
        };
        assert_eq!(&*header("X-Case", "é").unwrap()[0].name, "X-Case");
        for (name, value) in [("", "x"), ("a b", "x"), ("a", "x\ny"), ("a:", "")] {
            assert!(header(name, value).is_err(), "{name:?} {value:?}");
        }
        let link =
            |url: &str| links("links", vec![proto::Link { url: url.into(), r#type: "t".into() }]);
        assert!(link("temporal:///a/b").is_ok() && link("").is_err() && link("a b").is_err());
        let callback =
            |url: &str| callbacks(vec![proto::Callback { url: url.into(), headers: vec![] }]);
        assert!(callback("https://h/p?q=1").is_ok() && callback("http://h:1").is_ok());
        for url in ["", "h/p", "/p", "ftp://h", "file:///x", "http://"] {
            assert!(callback(url).is_err(), "{url}");
        }
    }
}
