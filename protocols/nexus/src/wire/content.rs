//! Content: a body and its `Content-*` headers as a [`Payload`].
//!
//! The media type and the bytes are kept as they came, and so is a `Content-Encoding`: opgate undoes
//! none. `Content-Length` is not content. Other `Content-*` headers are not kept: Temporal cannot
//! decode a payload with a second one.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use opgate_core::{Error, Loss, Losses, Payload, limits};

use super::names::CONTENT_PREFIX;

/// The media type of bytes of which no more is said.
const OCTETS: &str = "application/octet-stream";

/// The content of a message. Neither type nor encoding nor bytes are a payload of none: [`Payload::is_nothing`].
///
/// # Errors
/// `InvalidArgument` that names the header: it is too long, or not UTF-8.
pub fn read(headers: &HeaderMap, body: Bytes) -> Result<Payload, Error> {
    let mut payload = Payload::new(label(headers, "content-type")?.unwrap_or_default(), body);
    let encoding = label(headers, "content-encoding")?;
    payload.encoding = encoding
        .filter(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity"))
        .map(Into::into);
    Ok(payload)
}

/// The content of a result: none where there is nothing.
///
/// # Errors
/// As [`read`].
pub fn read_result(headers: &HeaderMap, body: Bytes) -> Result<Option<Payload>, Error> {
    let payload = read(headers, body)?;
    Ok((!payload.is_nothing()).then_some(payload))
}

fn label<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    if value.len() > limits::MEDIA_TYPE_BYTES {
        let allowed = limits::MEDIA_TYPE_BYTES;
        let problem = format!("is {} bytes long, at most {allowed} are allowed", value.len());
        return Err(Error::invalid(name, problem));
    }
    let text = std::str::from_utf8(value.as_bytes());
    text.map(Some).map_err(|_| Error::invalid(name, "is not UTF-8"))
}

/// Whether a message's headers say of its content what is not kept.
pub fn is_more(headers: &HeaderMap) -> bool {
    const KEPT: [&str; 3] = ["content-type", "content-encoding", "content-length"];
    let of_content = |name: &str| name.starts_with(CONTENT_PREFIX) && !KEPT.contains(&name);
    headers.keys().any(|name| of_content(name.as_str()))
}

/// Writes the content's headers and gives its bytes. JSON goes without the `charset=utf-8` that it
/// always is in: Temporal takes no parameter there.
pub fn write(payload: Option<&Payload>, headers: &mut HeaderMap) -> Bytes {
    let Some(payload) = payload else { return Bytes::new() };
    let media_type =
        if is_utf8_json(&payload.media_type) { Payload::JSON } else { &payload.media_type };
    labelled(payload, media_type, headers)
}

/// As [`write`], the answer to somebody who sent `sent`: the same type is spelled as it was sent.
pub fn write_back(payload: Option<&Payload>, sent: &Payload, headers: &mut HeaderMap) -> Bytes {
    match payload {
        Some(payload) if payload.media_type == sent.media_type => {
            labelled(payload, &payload.media_type, headers)
        }
        payload => write(payload, headers),
    }
}

fn labelled(payload: &Payload, media_type: &str, headers: &mut HeaderMap) -> Bytes {
    if !media_type.is_empty() {
        // What cannot stand in a header came from a face without headers: then they are bytes.
        let value = HeaderValue::from_bytes(media_type.as_bytes());
        headers.insert(header::CONTENT_TYPE, value.unwrap_or(HeaderValue::from_static(OCTETS)));
    }
    let encoding = payload.encoding.as_deref().map(str::as_bytes);
    if let Some(Ok(encoding)) = encoding.map(HeaderValue::from_bytes) {
        headers.insert(header::CONTENT_ENCODING, encoding);
    }
    payload.bytes.clone()
}

/// What a content loses that is written so: its headers say.
pub fn lost(payload: &Payload, written: &HeaderMap) -> Losses {
    let label = |name| written.get(name).map_or(&b""[..], HeaderValue::as_bytes);
    let media_type = label(header::CONTENT_TYPE);
    let encoding = payload.encoding.as_deref().unwrap_or_default();
    Losses::NONE
        .with(Loss::ResultType, *media_type != *payload.media_type.as_bytes())
        .with(Loss::ResultEncoding, *label(header::CONTENT_ENCODING) != *encoding.as_bytes())
        .with(Loss::ResultSections, !payload.sections.is_empty())
}

fn is_utf8_json(media_type: &str) -> bool {
    let Some((essence, parameter)) = media_type.split_once(';') else { return false };
    let charset = parameter.split_once('=').is_some_and(|(name, value)| {
        name.trim().eq_ignore_ascii_case("charset")
            && value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    essence.trim().eq_ignore_ascii_case(Payload::JSON) && charset
}

/// The `message-type` of JSON that is a protobuf message's
/// (`application/json; format=protobuf; message-type="X"`).
pub fn json_message_type(payload: &Payload) -> Option<&str> {
    let parameter = |wanted: &str| {
        payload.media_type.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case(wanted).then_some(value)
        })
    };
    let json = payload.is_json();
    let protobuf =
        parameter("format").is_some_and(|format| format.eq_ignore_ascii_case("protobuf"));
    parameter("message-type").filter(|name| json && protobuf && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn carried(headers: &[(&'static str, &str)], body: &[u8]) -> (HeaderMap, Bytes) {
        let header = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), value.parse().unwrap())
        };
        let headers = headers.iter().map(header).collect();
        let payload = read(&headers, Bytes::copy_from_slice(body)).unwrap();
        let mut written = HeaderMap::new();
        let body = write(Some(&payload), &mut written);
        (written, body)
    }

    #[test]
    fn the_shapes_that_temporal_reads_pass_unchanged() {
        for media_type in [
            "application/json",
            "application/json; format=protobuf; message-type=\"a.B\"",
            "application/x-protobuf; message-type=\"a.B\"",
            "application/octet-stream",
            "application/x-temporal-payload",
            "text/plain; charset=utf-8",
        ] {
            let (headers, body) = carried(&[("content-type", media_type)], b"{\"a\": 1e400}");
            assert_eq!(headers.get("content-type").unwrap(), media_type);
            assert_eq!((headers.len(), &*body), (1, &b"{\"a\": 1e400}"[..]));
        }
        let (headers, body) = carried(&[], b"");
        assert!(headers.is_empty() && body.is_empty());
        let (headers, body) = carried(&[], b"\0\xff");
        assert!(headers.is_empty() && *body == b"\0\xff"[..]);
    }

    #[test]
    fn nothing_is_no_type_and_no_bytes() {
        let read = |media_type: &'static str, body: &'static str| {
            let mut headers = HeaderMap::new();
            if !media_type.is_empty() {
                headers.insert("content-type", HeaderValue::from_static(media_type));
            }
            read_result(&headers, Bytes::from_static(body.as_bytes())).unwrap()
        };
        assert_eq!(read("", ""), None);
        assert_eq!(read("application/json", ""), Some(Payload::json("")));
        assert_eq!(read("", "x"), Some(Payload::new("", "x")));
        // What is said of how it is encoded is something.
        let (headers, body) = carried(&[("content-encoding", "gzip")], b"");
        assert_eq!(headers.get("content-encoding").unwrap(), "gzip");
        assert!(body.is_empty());
    }

    #[test]
    fn a_charset_of_json_is_given_back_to_its_sender_only() {
        let spelled = Payload::new("application/json; charset=UTF-8", "1");
        let mut headers = HeaderMap::new();
        write(Some(&spelled), &mut headers);
        assert_eq!(headers.get("content-type").unwrap(), "application/json");
        write_back(Some(&spelled), &Payload::json("1"), &mut headers);
        assert_eq!(headers.get("content-type").unwrap(), "application/json");
        write_back(Some(&spelled), &spelled, &mut headers);
        assert_eq!(headers.get("content-type").unwrap(), "application/json; charset=UTF-8");
    }

    #[test]
    fn only_type_and_encoding_are_content() {
        let (headers, body) = carried(
            &[
                ("content-type", "application/json"),
                ("content-encoding", "gzip"),
                ("content-length", "2"),
                ("content-language", "de"),
            ],
            b"\x1f\x8b",
        );
        assert_eq!(headers.len(), 2);
        assert_eq!(headers.get("content-encoding").unwrap(), "gzip");
        assert_eq!(&*body, b"\x1f\x8b");
        let (headers, _) = carried(&[("content-encoding", "identity")], b"x");
        assert!(headers.is_empty());
    }

    #[test]
    fn a_label_that_cannot_be_kept_is_refused_and_one_that_cannot_be_sent_replaced() {
        let long = "x".repeat(limits::MEDIA_TYPE_BYTES + 1);
        let mut headers = HeaderMap::new();
        headers.insert("content-type", long.parse().unwrap());
        let error = read(&headers, Bytes::new()).unwrap_err();
        assert_eq!(error.field.unwrap().field, "content-type");
        headers.insert("content-type", HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(read(&headers, Bytes::new()).is_err());
        let mut written = HeaderMap::new();
        write(Some(&Payload::new("a/b\r\nx: y", "1")), &mut written);
        assert_eq!(written.get("content-type").unwrap(), OCTETS);
        assert_eq!(written.len(), 1);
    }

    #[test]
    fn json_of_a_message_names_it() {
        let of = |media_type: &str| {
            json_message_type(&Payload::new(media_type, "{}")).map(ToOwned::to_owned)
        };
        let full = "application/json; format=protobuf; message-type=\"a.B\"";
        assert_eq!(of(full), Some("a.B".to_owned()));
        assert_eq!(of("Application/JSON;Message-Type=a.B;Format=Protobuf"), Some("a.B".to_owned()));
        assert_eq!(of("application/json; message-type=\"a.B\""), None);
        assert_eq!(of("application/x-protobuf; message-type=\"a.B\""), None);
    }

    proptest! {
        #[test]
        fn every_content_comes_back_to_its_sender_byte_for_byte(
            media_type in proptest::option::of("[!-~]([ -~]{0,40}[!-~])?"),
            body in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut headers = HeaderMap::new();
            if let Some(media_type) = &media_type {
                headers.insert("content-type", media_type.parse().unwrap());
            }
            let sent = read(&headers, body.clone().into()).unwrap();
            let mut written = HeaderMap::new();
            prop_assert_eq!(&write_back(Some(&sent), &sent, &mut written), &body);
            prop_assert_eq!(written, headers);
        }
    }
}
