//! Whatever a peer sends is read or refused: nothing panics, and what is read is written again.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{content, duration, failure, handler_error, link, names};

/// Text of these words, one for each byte: random bytes hardly ever make sense.
fn words(bytes: &[u8], words: &[&str]) -> String {
    bytes.iter().map(|byte| words[usize::from(*byte) % words.len()]).collect()
}

fn forms(bytes: &[u8], known: &[&str]) -> [Vec<u8>; 2] {
    [words(bytes, known).into_bytes(), bytes.to_vec()]
}

fn header(name: &'static str, bytes: &[u8]) -> HeaderMap {
    let value = HeaderValue::from_bytes(bytes).ok();
    value.map(|value| (HeaderName::from_static(name), value)).into_iter().collect()
}

const DURATION: [&str; 12] =
    ["1", "9999999999", ".", "ms", "s", "m", "h", "ns", "\u{b5}s", "-", "+", " "];

#[test]
fn fuzz_durations() {
    bolero::check!().for_each(|bytes: &[u8]| {
        for text in forms(bytes, &DURATION) {
            let text = String::from_utf8_lossy(&text);
            if let Some(read) = duration::parse_lenient(&text) {
                assert!(read <= duration::MAX);
                assert!(duration::parse_lenient(&duration::write(read)).is_some());
            }
            drop(duration::header(
                &header(names::REQUEST_TIMEOUT, text.as_bytes()),
                names::REQUEST_TIMEOUT,
            ));
        }
    });
}

const LINK: [&str; 16] = [
    "<",
    ">",
    ";",
    ",",
    "type",
    "=",
    "\"",
    " ",
    "http://h/",
    "a.B",
    "%2C",
    "%",
    "?",
    "\\",
    "\u{e9}",
    "x:y",
];

#[test]
fn fuzz_links() {
    bolero::check!().for_each(|bytes: &[u8]| {
        for text in forms(bytes, &LINK) {
            let Ok(links) = link::read(&header(names::LINK, &text)) else { continue };
            let mut written = HeaderMap::new();
            link::write(&links, &mut written);
            let again = link::read(&written).unwrap();
            let mut twice = HeaderMap::new();
            link::write(&again, &mut twice);
            assert_eq!(written, twice);
        }
    });
}

const CONTENT: [&str; 10] = [
    "application/json",
    "application/x-protobuf",
    ";",
    "charset",
    "=",
    "utf-8",
    "\"",
    " ",
    "format",
    "\t",
];

#[test]
fn fuzz_content() {
    bolero::check!().for_each(|bytes: &[u8]| {
        for text in forms(bytes, &CONTENT) {
            let headers = header("content-type", &text);
            let body = Bytes::copy_from_slice(bytes);
            let Ok(read) = content::read(&headers, body.clone()) else { continue };
            let mut written = HeaderMap::new();
            assert_eq!(content::write_back(Some(&read), &read, &mut written), body);
            if !read.media_type.is_empty() {
                assert_eq!(written, headers);
            }
            drop(content::json_message_type(&read).map(ToOwned::to_owned));
        }
    });
}

const BODY: [&str; 22] = [
    "{",
    "}",
    ":",
    ",",
    "\"message\"",
    "\"metadata\"",
    "\"details\"",
    "\"cause\"",
    "\"type\"",
    "\"state\"",
    "\"failed\"",
    "\"nexus.OperationError\"",
    "\"nexus.HandlerError\"",
    "\"opgate.v1.Failure\"",
    "\"code\"",
    "\"NOT_FOUND\"",
    "\"retryableOverride\"",
    "true",
    "1",
    "[",
    "]",
    "\"\\ud800\"",
];

#[test]
fn fuzz_failures() {
    bolero::check!().for_each(|bytes: &[u8]| {
        for body in forms(bytes, &BODY) {
            let body = Bytes::from(body);
            let outcome = failure::read(&HeaderMap::new(), &body);
            let (state, written) = failure::write(&outcome).unwrap();
            serde_json::from_slice::<serde_json::Value>(&written).unwrap();
            let again = failure::read(&header(names::OPERATION_STATE, state.as_bytes()), &written);
            assert_eq!(again.state(), outcome.state());
            for status in [StatusCode::BAD_REQUEST, StatusCode::BAD_GATEWAY] {
                let read = handler_error::HandlerError::read(status, &HeaderMap::new(), &body);
                drop(handler_error::write(&read.clone().into_error()));
                failure::write(&opgate_core::Outcome::Failed(read.into_failure())).unwrap();
            }
        }
    });
}
