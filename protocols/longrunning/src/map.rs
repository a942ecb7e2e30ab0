//! Between the canonical operation and google.longrunning: pure, total, and without a type that
//! lies about its content.

pub(crate) mod content;
mod metadata;
mod name;
mod report;
mod structure;

use std::borrow::Cow;

use opgate_core::{Losses, Operation, Outcome, limits};
use prost::Message as _;

use crate::buildgrid::{self, Profile};
use crate::proto;
use crate::types::Types;
use opgate_rpc::wire;

pub(crate) use content::read;
pub(crate) use metadata::{Told, read as metadata};
pub(crate) use name::{Name, check_parent, print as name, scope};
use opgate_rpc::proto::Status;
use opgate_rpc::status;
pub(crate) use opgate_rpc::status::{of_error, withdrawn};
pub(crate) use structure::{NoJson, from_json, read as object, to_json};

/// Largest operation: one alone still makes a page that a client takes.
const OPERATION_BYTES_MAX: usize = wire::MESSAGE_BYTES_MAX - 8 * 1024;
/// How an upstream's operation is called that has ended, as the backend has it.
const DONE: &str = "DONE";
/// What an outcome leaves to metadata, at least. Without very long resource names no metadata needs
/// more.
const METADATA_ROOM: usize = 40 * 1024;
/// Keys and lengths of the fields of an operation.
const FIELDS_ROOM: usize = 32;
/// What packing adds to a payload at its limit: media type, type, labels.
const PACKING_ROOM: usize = 8 * 1024;
// So the largest payload there is fits as `google.api.HttpBody`, whatever it grows to otherwise.
const _: () = assert!(
    limits::PAYLOAD_BYTES + PACKING_ROOM + METADATA_ROOM + FIELDS_ROOM + name::NAME_BYTES_MAX
        <= OPERATION_BYTES_MAX
);

/// The operation as google.longrunning says it, in the forms of its parent's profile. Done means
/// exactly one of error and response.
///
/// It is never larger than a client takes. What gives way, in this order: the form of the response,
/// or the details of the error; the log; the metadata. With it comes what it does not say of the
/// operation.
pub(crate) fn shown(
    types: &Types,
    profile: Profile,
    operation: &Operation,
) -> (proto::Operation, Losses) {
    let name = name::print(profile, &operation.parent, operation.id);
    let unsaid = Losses::of_work(operation, DONE, false);
    let (metadata, mut lost) = match profile {
        Profile::Google => metadata::metadata(types, operation),
        Profile::BuildGrid => (Some(buildgrid::metadata(operation)), unsaid),
    };
    let taken = metadata.as_ref().map_or(0, |any| any.encoded_len().min(METADATA_ROOM));
    let room = OPERATION_BYTES_MAX.saturating_sub(FIELDS_ROOM + name.len() + taken);
    let response_type = operation.expects.response_type.as_deref();
    let outcome = operation.outcome.as_ref().map(|outcome| match outcome {
        outcome if profile == Profile::BuildGrid => {
            let (response, unsaid) = buildgrid::outcome(types, operation, outcome, room);
            (proto::Outcome::Response(response), unsaid)
        }
        Outcome::Succeeded(payload) => {
            let response = content::within(room, types, payload.as_ref(), response_type);
            let unsaid = content::lost(types, payload.as_ref(), &response);
            (proto::Outcome::Response(response), unsaid)
        }
        Outcome::Failed(_) | Outcome::Canceled(_) => {
            let reason = operation.cancel.as_ref().map_or("", |cancel| &cancel.reason);
            let (status, unsaid) = error_of(outcome, reason, room).unwrap_or_default();
            (proto::Outcome::Error(status), unsaid)
        }
    });
    let (outcome, of_outcome) = outcome.unzip();
    let mut mapped = proto::Operation { name, metadata, done: outcome.is_some(), outcome };
    if mapped.encoded_len() > OPERATION_BYTES_MAX && profile == Profile::Google {
        (mapped.metadata, lost) = metadata::without_log(types, operation);
    }
    if mapped.encoded_len() > OPERATION_BYTES_MAX {
        (mapped.metadata, lost) = (None, unsaid);
    }
    (mapped, lost | of_outcome.unwrap_or_default())
}

/// The error of an end without a result, and what it does not say; none of any other.
pub(crate) fn error_of(outcome: &Outcome, reason: &str, room: usize) -> Option<(Status, Losses)> {
    let status = match outcome {
        Outcome::Succeeded(_) => return None,
        Outcome::Failed(failure) => status::of_failure(failure, room),
        Outcome::Canceled(failure) => status::of_cancellation(failure.as_ref(), reason, room),
    };
    let lost = outcome.failure().map(|failure| status::lost(failure, &status));
    Some((status, lost.unwrap_or_default() | Losses::of_code(outcome)))
}

/// The operation as google.longrunning says it.
#[cfg(test)]
pub(crate) fn operation(
    types: &Types,
    profile: Profile,
    operation: &Operation,
) -> proto::Operation {
    shown(types, profile, operation).0
}

/// The response of an operation, as far as it has one and wherever there is room for it.
pub(crate) fn response(
    types: &Types,
    profile: Profile,
    operation: &Operation,
) -> Option<proto::Any> {
    let declared = operation.expects.response_type.as_deref();
    match (profile, operation.outcome.as_ref()?) {
        (Profile::BuildGrid, outcome) => {
            Some(buildgrid::outcome(types, operation, outcome, OPERATION_BYTES_MAX).0)
        }
        (Profile::Google, Outcome::Succeeded(payload)) => {
            Some(content::within(OPERATION_BYTES_MAX, types, payload.as_ref(), declared))
        }
        (Profile::Google, Outcome::Failed(_) | Outcome::Canceled(_)) => None,
    }
}

/// The error of an operation, as far as it has one, without its details.
pub(crate) fn error(profile: Profile, operation: &Operation) -> Option<(i32, Cow<'_, str>)> {
    if profile == Profile::BuildGrid {
        return None;
    }
    match operation.outcome.as_ref()? {
        Outcome::Succeeded(_) => None,
        Outcome::Failed(failure) => Some((failure.code.number(), failure.message.as_str().into())),
        Outcome::Canceled(failure) => {
            let reason = operation.cancel.as_ref().map_or("", |cancel| &cancel.reason);
            let status = status::of_cancellation(failure.as_ref(), reason, 0);
            Some((status.code, status.message.into()))
        }
    }
}

/// The response of an operation that succeeded with a payload, as `google.api.HttpBody` whatever was
/// declared: the form that grows least as JSON.
pub(crate) fn response_as_bytes(types: &Types, operation: &Operation) -> Option<proto::Any> {
    match operation.outcome.as_ref()? {
        Outcome::Succeeded(payload) => {
            let payload = payload.as_ref()?;
            Some(content::within(0, types, Some(payload), None))
        }
        Outcome::Failed(_) | Outcome::Canceled(_) => None,
    }
}

/// Whether an operation's result is a message, not what one was made of.
pub(crate) fn is_message(operation: &Operation) -> bool {
    let result = operation.outcome.as_ref().and_then(Outcome::result);
    result.is_some_and(|result| result.message_type().is_some())
}

/// What a response does not say of an operation's result.
pub(crate) fn lost_of_response(
    types: &Types,
    operation: &Operation,
    response: &proto::Any,
) -> Losses {
    let result = operation.outcome.as_ref().and_then(Outcome::result);
    content::lost(types, result, response)
}

/// The operation a start answers with when it was only to be validated: done, and without a name,
/// as nothing was started.
pub(crate) fn validated(response_type: Option<&str>) -> proto::Operation {
    let response = proto::Outcome::Response(content::nothing(response_type));
    proto::Operation { name: String::new(), metadata: None, done: true, outcome: Some(response) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use opgate_core::{Code, Detail, Failure, LogEntry, Native, Parent, Payload};

    use super::*;
    use crate::proto::STRUCT;
    use crate::sample::{POLICY, busy, ended, operation, types};

    fn mapped(outcome: Outcome) -> proto::Operation {
        super::operation(types(), Profile::Google, &ended(operation(Some(POLICY), None), outcome))
    }

    #[test]
    fn what_has_not_ended_has_neither_error_nor_response() {
        let running = super::operation(types(), Profile::Google, &operation(Some(POLICY), None));
        assert_eq!(running.name, "projects/p/operations/00000000000000000000000007");
        assert_eq!((running.done, running.outcome, running.metadata), (false, None, None));
    }

    #[test]
    fn what_has_ended_has_exactly_one() {
        let empty = proto::Any::new(POLICY, Bytes::new());
        let cases = [
            (Outcome::Succeeded(None), Ok(empty)),
            (
                Outcome::Succeeded(Some(Payload::json(r#"{"title":"t"}"#))),
                Ok(proto::Any::new(POLICY, Bytes::from_static(b"\x1a\x01t"))),
            ),
            (Outcome::Failed(Failure::new(Code::NotFound, "gone")), Err(5)),
            (Outcome::Canceled(None), Err(1)),
            (Outcome::Canceled(Some(Failure::new(Code::Internal, "x"))), Err(1)),
        ];
        for (outcome, expected) in cases {
            let mapped = mapped(outcome);
            assert!(mapped.done);
            let result = match mapped.outcome.unwrap() {
                proto::Outcome::Response(any) => Ok(any),
                proto::Outcome::Error(status) => Err(status.code),
            };
            assert_eq!(result, expected);
        }
    }

    #[test]
    fn a_validated_start_is_done_without_a_name_and_of_the_declared_type() {
        for (declared, expected) in [(Some(POLICY), POLICY), (None, proto::EMPTY)] {
            let validated = validated(declared);
            assert!(validated.done && validated.name.is_empty() && validated.metadata.is_none());
            let empty = proto::Any::new(expected, Bytes::new());
            assert_eq!(validated.outcome, Some(proto::Outcome::Response(empty)));
        }
    }

    /// An operation with the longest name and all the metadata there can be but for resources.
    fn full(response_type: &str, outcome: Outcome) -> Operation {
        let mut operation = ended(busy(STRUCT), outcome);
        operation.expects.response_type = Some(response_type.into());
        operation.parent = Parent::new(&"p".repeat(limits::NAME_BYTES)).unwrap();
        let text: Box<str> = "t".repeat(limits::TEXT_BYTES).into();
        operation.native_state = text.clone();
        operation.waiting = text.clone();
        operation.progress.as_mut().unwrap().message = text.clone();
        operation.cancel.as_mut().unwrap().reason = text;
        let line = LogEntry { message: "m".repeat(500).into(), ..operation.log[0].clone() };
        operation.log = vec![line; limits::LOG_ENTRIES];
        operation
    }

    fn fits(operation: &Operation) -> proto::Operation {
        let mapped = super::operation(types(), Profile::Google, operation);
        assert!(mapped.encoded_len() <= OPERATION_BYTES_MAX, "{}", mapped.encoded_len());
        mapped
    }

    fn response(mapped: &proto::Operation) -> &proto::Any {
        match mapped.outcome.as_ref().unwrap() {
            proto::Outcome::Response(any) => any,
            proto::Outcome::Error(status) => panic!("{status:?}"),
        }
    }

    fn has_log(mapped: &proto::Operation) -> Option<bool> {
        let json = to_json(&mapped.metadata.as_ref()?.value).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        Some(json.get("log").is_some())
    }

    /// `{"x":[0,0,...]}`, a JSON of this many bytes: eleven bytes of Struct for every two.
    fn zeros(bytes: usize) -> Payload {
        let zeros = "0,".repeat((bytes - 9) / 2);
        Payload::json(format!("{{\"x\":[{zeros}0]}}"))
    }

    #[test]
    fn json_that_grows_too_large_stays_json() {
        let fitting = fits(&full(STRUCT, Outcome::Succeeded(Some(zeros(700_000)))));
        assert!(response(&fitting).is(STRUCT));
        assert_eq!(has_log(&fitting), Some(true));
        for bytes in [800_000, limits::PAYLOAD_BYTES] {
            let payload = zeros(bytes);
            let mapped = fits(&full(STRUCT, Outcome::Succeeded(Some(payload.clone()))));
            assert!(response(&mapped).is(proto::HTTP_BODY));
            let body = proto::HttpBody::decode(&*response(&mapped).value).unwrap();
            assert_eq!((&*body.content_type, body.data), (Payload::JSON, payload.bytes));
            assert_eq!(has_log(&mapped), Some(true), "there is room for it");
        }
    }

    #[test]
    fn the_largest_payload_fits_beside_everything_else() {
        let bytes = vec![b'x'; limits::PAYLOAD_BYTES];
        for payload in [
            Payload::protobuf(POLICY, bytes.clone()),
            Payload::new("application/octet-stream", bytes.clone()),
            Payload { sections: vec![1; 100_000], ..Payload::json(bytes.clone()) },
            Payload { encoding: Some("e".repeat(50_000).into()), ..Payload::json(bytes.clone()) },
            Payload::new("m".repeat(50_000), bytes.clone()),
            Payload::protobuf(&"m".repeat(50_000), bytes),
        ] {
            let mapped = fits(&full(POLICY, Outcome::Succeeded(Some(payload.clone()))));
            assert_eq!(has_log(&mapped), Some(true));
            if !response(&mapped).is(POLICY) {
                let body = proto::HttpBody::decode(&*response(&mapped).value).unwrap();
                assert_eq!(body.data, payload.bytes);
                // A media type is not said of bytes that are encoded otherwise.
                assert!(payload.encoding.is_none() || body.content_type.ends_with("octet-stream"));
            }
        }
    }

    #[test]
    fn metadata_gives_way_to_an_outcome_log_first() {
        let with_resources = |bytes: usize| {
            let payload = Payload::new("a/b", vec![0; limits::PAYLOAD_BYTES]);
            let mut operation = full(POLICY, Outcome::Succeeded(Some(payload)));
            operation.resources[0].uri = "u".repeat(bytes).into();
            operation
        };
        for (bytes, expected) in
            [(0, Some(true)), (25 * 1024, Some(false)), (100 * 1024, None), (5_000_000, None)]
        {
            assert_eq!(has_log(&fits(&with_resources(bytes))), expected, "{bytes}");
        }
        let mut running = with_resources(5_000_000);
        running.outcome = None;
        assert_eq!(fits(&running).metadata, None);
    }

    #[test]
    fn details_give_way_to_the_text_of_an_error() {
        let half = limits::PAYLOAD_BYTES / 2;
        let mut failure = Failure::new(Code::NotFound, "m".repeat(half));
        failure.reason = Some("disk-missing".to_owned());
        failure.retryable = Some(true);
        failure.details = vec![Detail { type_url: String::new(), value: vec![0; half].into() }];
        for canceled in [false, true] {
            let of = |failure: Failure| {
                if canceled { Outcome::Canceled(Some(failure)) } else { Outcome::Failed(failure) }
            };
            let status = |failure: &Failure| match fits(&full(POLICY, of(failure.clone()))).outcome
            {
                Some(proto::Outcome::Error(status)) => status,
                other => panic!("{other:?}"),
            };
            let whole = status(&failure);
            assert_eq!((whole.message.len(), whole.details.len()), (half, 2));
            let native = Native {
                protocol: "oci".to_owned(),
                code: "c".repeat(30_000),
                http: None,
                bytes: Bytes::new(),
                encoded: None,
            };
            let grown = Failure { native: Some(Box::new(native)), ..failure.clone() };
            let cut = status(&grown);
            assert_eq!((cut.code, &cut.message), (if canceled { 1 } else { 5 }, &failure.message));
            let [detail] = &*cut.details else { panic!("{:?}", cut.details.len()) };
            let info = opgate_rpc::proto::ErrorInfo::decode(&*detail.value).unwrap();
            assert_eq!((&*info.reason, &*info.domain), ("DISK_MISSING", "opgate"));
            assert_eq!(info.metadata["detailsOmitted"], "2");
            assert_eq!(info.metadata["retryable"], "true");
        }
    }
}
