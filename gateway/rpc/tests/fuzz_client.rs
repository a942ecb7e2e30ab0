//! What an upstream answers to a call.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use opgate_rpc::status;
use opgate_rpc::wire::client::{Unanswered, answer};

const LIMIT: usize = 1000;
const NAMES: [&str; 5] =
    ["grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding", "content-type"];
const VALUES: [&str; 8] = ["0", "14", "-1", "%C3%A4%", "gzip", "CA4", "application/grpc", ""];

fn headers(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for pair in bytes.chunks(2) {
        let name = NAMES[usize::from(pair[0]) % NAMES.len()];
        let value = VALUES[usize::from(pair.get(1).copied().unwrap_or(0)) % VALUES.len()];
        headers.append(name, HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        headers.append("grpc-status-details-bin", value);
    }
    headers
}

#[test]
fn an_answer_is_a_message_of_bounded_length_or_a_refusal_or_none() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let (head, rest) = bytes.split_at(bytes.len().min(6));
        let (trailers, body) = rest.split_at(rest.len().min(6));
        let mut head = headers(head);
        head.insert("content-type", HeaderValue::from_static("application/grpc"));
        let (body, trailers) = (Bytes::copy_from_slice(body), headers(trailers));
        match answer(StatusCode::OK, &head, body, &trailers, LIMIT) {
            Ok(message) => assert!(message.len() <= LIMIT),
            Err(Unanswered::Refused(refused)) => {
                assert_ne!(refused.code, 0);
                drop(status::failure(&refused));
            }
            Err(Unanswered::Broken(problem)) => assert!(!problem.is_empty()),
        }
    });
}
