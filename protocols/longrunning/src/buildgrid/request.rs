//! What the start of an operation said about itself.

use opgate_core::{Operation, Payload};

use super::messages::{Digest, EXECUTE_REQUEST};
use crate::scan::{self, Raw};

/// Field `action_digest` of `ExecuteRequest`, and the two fields of a digest.
const ACTION_DIGEST: u32 = 6;
const HASH: u32 = 1;
const SIZE_BYTES: u32 = 2;
/// Inputs of an `ExecuteRequest` are a few hundred bytes; a larger JSON is none.
const JSON_BYTES_MAX: usize = 16 * 1024;
/// Longest hash there is: SHA-512 in hex has 128 letters.
const HASH_BYTES_MAX: usize = 256;

/// The digest of the action to execute; none where the operation is no execution.
pub(super) fn action_digest(operation: &Operation) -> Option<Digest> {
    let input = &operation.input;
    let digest = match input.message_type() {
        Some(EXECUTE_REQUEST) => from_protobuf(&input.bytes),
        None if input.is_json() && input.bytes.len() <= JSON_BYTES_MAX => from_json(input),
        Some(_) | None => None,
    };
    digest.filter(|digest| (1..=HASH_BYTES_MAX).contains(&digest.hash.len()))
}

fn from_protobuf(request: &[u8]) -> Option<Digest> {
    let Raw::Bytes(hash) = scan::find(request, &[ACTION_DIGEST, HASH])? else { return None };
    let size_bytes = match scan::find(request, &[ACTION_DIGEST, SIZE_BYTES]) {
        Some(Raw::Varint(size)) => i64::try_from(size).ok()?,
        _ => 0,
    };
    Some(Digest { hash: std::str::from_utf8(hash).ok()?.to_owned(), size_bytes })
}

/// As proto JSON has it: 64 bits are a text there.
fn from_json(input: &Payload) -> Option<Digest> {
    let request: serde_json::Value = serde_json::from_slice(&input.bytes).ok()?;
    let digest = request.get("actionDigest")?;
    let size = digest.get("sizeBytes");
    let size_bytes = match size.and_then(serde_json::Value::as_str) {
        Some(text) => text.parse().ok()?,
        None => size.and_then(serde_json::Value::as_i64).unwrap_or_default(),
    };
    Some(Digest { hash: digest.get("hash")?.as_str()?.to_owned(), size_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::operation;

    fn of(input: Payload) -> Option<(String, i64)> {
        let mut operation = operation(None, None);
        operation.input = input;
        action_digest(&operation).map(|digest| (digest.hash, digest.size_bytes))
    }

    #[test]
    fn the_digest_is_read_from_bytes_and_from_json() {
        let expected = Some(("ab".to_owned(), 3));
        let bytes: &[u8] = b"\x0a\x01m\x32\x06\x0a\x02ab\x10\x03";
        assert_eq!(of(Payload::protobuf(EXECUTE_REQUEST, bytes)), expected);
        let json = r#"{"instanceName":"m","actionDigest":{"hash":"ab","sizeBytes":"3"}}"#;
        assert_eq!(of(Payload::json(json)), expected);
        assert_eq!(of(Payload::json(r#"{"actionDigest":{"hash":"ab"}}"#)).unwrap().1, 0);
    }

    #[test]
    fn whatever_else_an_input_holds_is_no_digest() {
        let bytes: &[u8] = b"\x32\x06\x0a\x02ab\x10\x03";
        for input in [
            Payload::protobuf("acme.Request", bytes),
            Payload::new("application/x-protobuf", bytes),
            Payload::protobuf(EXECUTE_REQUEST, b"\x32\x01".as_slice()),
            Payload::protobuf(EXECUTE_REQUEST, b"\x32\x02\x10\x03".as_slice()),
            Payload::json("[1]"),
            Payload::json(r#"{"actionDigest":{"hash":1}}"#),
            Payload::json(r#"{"actionDigest":{"hash":"ab","sizeBytes":"x"}}"#),
            Payload::json(format!(r#"{{"actionDigest":{{"hash":"{}"}}}}"#, "a".repeat(257))),
            Payload::json("{}"),
        ] {
            assert_eq!(of(input.clone()), None, "{input:?}");
        }
    }
}
