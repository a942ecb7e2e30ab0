//! Whatever an upstream answers is read or refused: nothing panics, and what is read can be kept.

use bytes::Bytes;
use http::{Response, StatusCode};
use opgate_core::limits;

use super::refusal::{Refusal, canonical};
use super::{WorkRequest, page};

/// Random bytes hardly ever are JSON: words of it.
const WORDS: [&str; 30] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"status\":",
    "\"SUCCEEDED\"",
    "\"lifecycleState\":",
    "\"percentComplete\":",
    "1e400",
    "-0",
    "12.5",
    "null",
    "true",
    "\"resources\":[",
    "\"entityType\":\"t\"",
    "\"identifier\":\"i\"",
    "\"errors\":[",
    "\"logs\":[",
    "\"message\":\"m\"",
    "\"timestamp\":\"2026-01-02T03:04:05.1Z\"",
    "\"timestamp\":\"9999-99-99T99:99:99Z\"",
    "\"items\":[",
    "\"code\":\"NotFound\"",
    "\"timeFinished\":\"x\"",
    "\\ud800",
    "\u{e9}",
    "\u{0}",
];

fn forms(bytes: &[u8]) -> [Vec<u8>; 2] {
    let words: String = bytes.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]).collect();
    [words.into_bytes(), bytes.to_vec()]
}

#[test]
fn fuzz_work_requests_and_pages() {
    bolero::check!().for_each(|bytes: &[u8]| {
        for body in forms(bytes) {
            let mut lines = page(&body, true).unwrap_or_default();
            if let Ok(read) = WorkRequest::read(&body) {
                assert!(!read.status.is_empty() && read.status.len() <= limits::TEXT_BYTES);
                assert!(read.resources.len() <= limits::RESOURCES);
                lines.extend(read.lines);
            }
            for line in lines {
                assert!(line.message.len().max(line.code.len()) <= limits::TEXT_BYTES);
                canonical(&line.code);
            }
        }
    });
}

#[test]
fn fuzz_refusals() {
    bolero::check!().with_type::<(u16, Vec<u8>, Vec<u8>)>().for_each(|(status, wait, body)| {
        let Ok(status) = StatusCode::from_u16(*status) else { return };
        for body in forms(body) {
            let mut reply = Response::new(Bytes::from(body));
            *reply.status_mut() = status;
            if let Ok(wait) = http::HeaderValue::from_bytes(wait) {
                reply.headers_mut().insert("retry-after", wait);
            }
            let refusal = Refusal::read(&reply);
            let error = refusal.to_error();
            assert!(error.message.contains(status.as_str()));
            assert_eq!(refusal.into_failure("").native.unwrap().http, Some(status.as_u16()));
        }
    });
}
