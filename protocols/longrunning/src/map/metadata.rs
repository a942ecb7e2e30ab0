//! `Operation.metadata`: how the work goes, in the type the method declared.
//!
//! There is no common metadata type, but nearly all of Google's share field names. So whatever type
//! is declared, the fields it has of these are filled, where their types fit:
//!
//! | field | type | filled with |
//! |---|---|---|
//! | `create_time`, `start_time`, `update_time`, `end_time` | Timestamp | when it was accepted, first taken, last changed, ended |
//! | `target` | string | the first resource, else the parent |
//! | `verb` | string | the operation's name |
//! | `api_version` | string | the version in the package of the gRPC method, or in the path of the request |
//! | `status_message`, `status_detail` | string | why it waits, else how far a cancel is, else the progress message, else the backend's state |
//! | `requested_cancellation`, `cancel_requested` | bool | whether cancellation was asked for |
//! | `cancel_time` | Timestamp | when |
//! | `progress_percent`, `progress_percentage`, `percent_complete` | number | the percentage, rounded down for integers |
//!
//! REAPI's `ExecuteOperationMetadata` shares no names and is filled as [`crate::buildgrid`] does.
//! `google.protobuf.Struct` gets an object of opgate's own, see [`super::report`].

use std::borrow::Cow;

use opgate_core::{Face, Loss, Losses, Operation, Timestamp};
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value as Reflected};
use serde_json::{Map, Value};

use super::{report, structure};
use crate::buildgrid::{self, EXECUTE_METADATA};
use crate::proto::{Any, STRUCT};
use crate::types::Types;

/// The metadata of an operation; none where no type was declared, or none that is known. With it comes
/// what it does not say of the work.
pub(super) fn metadata(types: &Types, operation: &Operation) -> (Option<Any>, Losses) {
    shown(types, operation, report::LOG_LINES_MAX)
}

/// The metadata without the log.
pub(super) fn without_log(types: &Types, operation: &Operation) -> (Option<Any>, Losses) {
    shown(types, operation, 0)
}

fn shown(types: &Types, operation: &Operation, log_lines_max: usize) -> (Option<Any>, Losses) {
    let unsaid = Losses::of_work(operation, super::DONE, false);
    let declared = operation.expects.metadata_type.as_deref();
    if declared == Some(EXECUTE_METADATA) {
        return (Some(buildgrid::metadata(operation)), unsaid);
    }
    match (declared, told(types, operation, log_lines_max)) {
        (Some(declared), Some(Told::Message(message))) => {
            let lost = lost(&message, operation, unsaid);
            (Some(Any::new(declared, message.encode_to_vec())), lost)
        }
        (Some(_), Some(Told::Report(object))) => {
            let lost = report::lost(&object, operation);
            (Some(Any::new(STRUCT, structure::encode(&object))), lost)
        }
        (_, _) => (None, unsaid),
    }
}

/// What a message with well-known fields does not say of the work; `unsaid`: all that it might not.
fn lost(message: &DynamicMessage, operation: &Operation, unsaid: Losses) -> Losses {
    let mut lost = unsaid;
    let set: Vec<_> = message.fields().collect();
    let has = |wanted: fn(&str) -> bool| set.iter().find(|(field, _)| wanted(field.name()));
    let text = has(is_text).map(|_| status_text(operation)).unwrap_or_default();
    if let Some(progress) = operation.progress.as_deref() {
        let given = progress.percent;
        let percent = has(is_percent).and_then(|(_, value)| as_double(value));
        // A percentage of 0 is not on the wire, and is read as such.
        let percent = percent.or(given.filter(|given| *given == 0.0));
        let said = given.is_none() || percent.is_some();
        let units = progress.done.is_some() || progress.total.is_some();
        let words = !progress.message.is_empty() && *progress.message != *text;
        lost = lost
            .without(Loss::Progress.into())
            .with(Loss::Progress, !said || units || words)
            .with(Loss::PercentRounded, given.is_some() && said && percent != given);
    }
    let alone = operation.cancel.is_none()
        && operation.resources.is_empty()
        && operation.links_out.is_empty()
        && (operation.waiting.is_empty() || *operation.waiting == *text);
    if alone && !text.is_empty() && *operation.native_state == *text {
        lost = lost.without(Loss::Metadata.into());
    }
    lost
}

fn is_text(field: &str) -> bool {
    matches!(field, "status_message" | "status_detail")
}

fn is_percent(field: &str) -> bool {
    matches!(field, "progress_percent" | "progress_percentage" | "percent_complete")
}

fn as_double(value: &Reflected) -> Option<f64> {
    let double = value.as_f64().or_else(|| value.as_f32().map(f64::from));
    let small = || value.as_i32().map(f64::from).or_else(|| value.as_u32().map(f64::from));
    let large = || {
        let whole = value.as_i64().or_else(|| value.as_u64()?.try_into().ok())?;
        i32::try_from(whole).ok().map(f64::from)
    };
    double.or_else(small).or_else(large)
}

/// Metadata before it is packed.
#[derive(Debug)]
pub(crate) enum Told {
    /// Of a declared type.
    Message(DynamicMessage),
    /// The object of opgate's own.
    Report(Map<String, Value>),
}

/// The metadata without the log, before it is packed; none where there is none. Not for
/// [`EXECUTE_METADATA`], which has a form of its own.
pub(crate) fn read(types: &Types, operation: &Operation) -> Option<Told> {
    told(types, operation, 0)
}

fn told(types: &Types, operation: &Operation, log_lines_max: usize) -> Option<Told> {
    let declared = operation.expects.metadata_type.as_deref()?;
    if declared == STRUCT {
        return Some(Told::Report(report::report(operation, log_lines_max)));
    }
    Some(Told::Message(filled(&types.message(declared)?, operation)))
}

fn filled(descriptor: &MessageDescriptor, operation: &Operation) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let value = known(field.name(), operation).and_then(|known| known.fit(&field));
        if let Some(value) = value {
            // `fit` has looked at the field's type; a value refused all the same is left out.
            let _set = message.try_set_field(&field, value);
        }
    }
    message
}

/// What a well-known field is filled with.
enum Known<'a> {
    Time(Timestamp),
    Text(Cow<'a, str>),
    Flag(bool),
    Percent(f64),
}

fn known<'a>(field: &str, operation: &'a Operation) -> Option<Known<'a>> {
    let times = &operation.times;
    Some(match field {
        "create_time" => Known::Time(times.accepted),
        "start_time" => Known::Time(times.started?),
        "update_time" => Known::Time(times.updated),
        "end_time" => Known::Time(times.closed?),
        "cancel_time" => Known::Time(operation.cancel.as_ref()?.requested),
        "target" => {
            let first = operation.resources.first();
            let target = first.map_or(operation.parent.as_str(), |first| &first.identifier);
            Known::Text(target.into())
        }
        "verb" => Known::Text(operation.kind.operation().into()),
        "api_version" => Known::Text(api_version(operation)?.into()),
        field if is_text(field) => Known::Text(status_text(operation)),
        "requested_cancellation" | "cancel_requested" => Known::Flag(operation.cancel.is_some()),
        field if is_percent(field) => Known::Percent(operation.progress.as_ref()?.percent_shown()?),
        _ => return None,
    })
}

impl Known<'_> {
    /// The value for a field of this type; none where the type is another.
    fn fit(&self, field: &FieldDescriptor) -> Option<Reflected> {
        if field.is_list() || field.is_map() {
            return None;
        }
        match (self, field.kind()) {
            (Self::Time(time), Kind::Message(message)) => timestamp(message, *time),
            (Self::Text(text), Kind::String) => Some(Reflected::String((**text).to_owned())),
            (Self::Flag(flag), Kind::Bool) => Some(Reflected::Bool(*flag)),
            (Self::Percent(percent), kind) => number(*percent, &kind),
            (Self::Time(_) | Self::Text(_) | Self::Flag(_), _) => None,
        }
    }
}

fn timestamp(message: MessageDescriptor, time: Timestamp) -> Option<Reflected> {
    if message.full_name() != "google.protobuf.Timestamp" {
        return None;
    }
    let (seconds, nanos) = time.seconds_and_nanos();
    let mut value = DynamicMessage::new(message);
    value.try_set_field_by_number(1, Reflected::I64(seconds)).ok()?;
    value.try_set_field_by_number(2, Reflected::I32(nanos)).ok()?;
    Some(Reflected::Message(value))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a shown percentage lies within 0 to 100"
)]
fn number(percent: f64, kind: &Kind) -> Option<Reflected> {
    Some(match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Reflected::I32(percent as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Reflected::I64(percent as i64),
        Kind::Uint32 | Kind::Fixed32 => Reflected::U32(percent as u32),
        Kind::Uint64 | Kind::Fixed64 => Reflected::U64(percent as u64),
        Kind::Double => Reflected::F64(percent),
        Kind::Float => Reflected::F32(percent as f32),
        Kind::Bool | Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Enum(_) => return None,
    })
}

/// `v1` of `acme.v1.Compartments/DeleteCompartment`, and of `/v1/compartments`.
fn api_version(operation: &Operation) -> Option<&str> {
    let is_version = |segment: &&str| {
        let rest = segment.strip_prefix('v');
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    let endpoint = &*operation.origin.endpoint;
    match operation.origin.face {
        Face::Grpc => endpoint.split_once('/')?.0.split('.').rev().skip(1).find(is_version),
        Face::Rest => {
            endpoint.trim_start_matches(|letter| letter != '/').split('/').nth(1).filter(is_version)
        }
        Face::Oci | Face::Nexus | Face::Amqp | Face::Native => None,
    }
}

fn status_text(operation: &Operation) -> Cow<'_, str> {
    let progress = operation.progress.as_ref().map_or("", |progress| &progress.message);
    let canceling = operation.cancel.as_ref().filter(|_| operation.is_canceling());
    [
        Cow::Borrowed(&*operation.waiting),
        canceling.map_or(Cow::Borrowed(""), |cancel| cancel.stands().into()),
        progress.into(),
        (&*operation.native_state).into(),
    ]
    .into_iter()
    .find(|text| !text.is_empty())
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use opgate_core::{CancelDelivery, Outcome, Parent};
    use serde_json::json;

    use super::*;
    use crate::proto;
    use crate::sample::{WORKFLOW_METADATA, at, busy, ended, operation, types};

    #[test]
    fn a_declared_type_is_filled_by_field_names() {
        let any = metadata(types(), &busy(WORKFLOW_METADATA)).0.unwrap();
        let descriptor = types().message(WORKFLOW_METADATA).unwrap();
        let message = DynamicMessage::decode(descriptor, &*any.value).unwrap();
        assert_eq!(
            serde_json::to_value(&message).unwrap(),
            json!({
                "createTime": "1970-01-01T00:00:01Z",
                "target": "projects/p/workflows/w",
                "verb": "create",
                "apiVersion": "v1",
            })
        );
        let done = ended(busy(WORKFLOW_METADATA), Outcome::Succeeded(None));
        let descriptor = types().message(WORKFLOW_METADATA).unwrap();
        let any = metadata(types(), &done).0.unwrap();
        let message = DynamicMessage::decode(descriptor, &*any.value).unwrap();
        let end = message.get_field_by_name("end_time").unwrap().into_owned();
        assert_eq!(
            serde_json::to_value(end.as_message().unwrap()).unwrap(),
            "1970-01-01T00:00:09Z"
        );
    }

    #[test]
    fn an_empty_type_stays_empty_and_no_declaration_is_no_metadata() {
        let empty = "google.identity.accesscontextmanager.v1.AccessContextManagerOperationMetadata";
        assert_eq!(metadata(types(), &busy(empty)).0, Some(Any::new(empty, "")));
        assert_eq!(metadata(types(), &operation(None, None)).0, None);
        assert_eq!(metadata(types(), &operation(None, Some("unknown.Type"))).0, None);
    }

    #[test]
    fn a_field_of_another_type_is_left_alone() {
        // `create_time` of an AccessPolicy fits; of an FDP nothing does; both must decode.
        for declared in
            ["google.identity.accesscontextmanager.v1.AccessPolicy", "google.rpc.Status"]
        {
            let any = metadata(types(), &busy(declared)).0.unwrap();
            let descriptor = types().message(declared).unwrap();
            assert!(DynamicMessage::decode(descriptor, &*any.value).is_ok());
        }
    }

    #[test]
    fn the_status_text_is_how_far_a_cancel_is() {
        let mut operation = busy(WORKFLOW_METADATA);
        let texts = [
            (CancelDelivery::Requested, "cancel requested by anna: late"),
            (CancelDelivery::Queued, "cancel waits to be sent again, attempts made: 2"),
            (CancelDelivery::Sent, "cancel sent, attempt 2"),
            (CancelDelivery::Acked, "cancel acknowledged"),
            (CancelDelivery::Refused, "cancel refused: never ever"),
            (CancelDelivery::GaveUp, "cancel given up: never ever"),
        ];
        assert_eq!(texts.map(|(delivery, _)| delivery), CancelDelivery::ALL);
        for (delivery, text) in texts {
            let cancel = operation.cancel.as_mut().unwrap();
            (cancel.delivery, cancel.attempts, cancel.problem) = (delivery, 2, "never ever".into());
            assert_eq!(status_text(&operation), text);
        }
        let Some(Known::Time(asked)) = known("cancel_time", &operation) else { panic!("no time") };
        assert_eq!(asked, at(3));
        operation.waiting = "a signature".into();
        assert_eq!(status_text(&operation), "a signature");
    }

    #[test]
    fn percentages_fit_every_kind_of_number() {
        for (kind, expected) in [
            (Kind::Int32, Some(Reflected::I32(66))),
            (Kind::Uint64, Some(Reflected::U64(66))),
            (Kind::Double, Some(Reflected::F64(66.6))),
            (Kind::String, None),
        ] {
            assert_eq!(number(66.6, &kind), expected);
        }
    }

    #[test]
    fn the_version_is_read_from_the_package_of_a_grpc_method_or_the_path() {
        let mut operation = operation(None, None);
        for (face, endpoint, expected) in [
            (Face::Grpc, "acme.v1.Compartments/Delete", Some("v1")),
            (Face::Grpc, "acme.v2beta1.admin.Compartments/Delete", Some("v2beta1")),
            (Face::Grpc, "acme.video.Compartments/Delete", None),
            (Face::Grpc, "Compartments/Delete", None),
            (Face::Rest, "/v1/x/y", Some("v1")),
            (Face::Rest, "POST /v2beta1/x", Some("v2beta1")),
            (Face::Rest, "/x/v1", None),
            (Face::Native, "acme.v1.Compartments/Delete", None),
        ] {
            operation.origin.face = face;
            operation.origin.endpoint = endpoint.into();
            assert_eq!(api_version(&operation), expected, "{endpoint}");
        }
    }

    #[test]
    fn the_target_is_the_parent_until_there_is_a_resource() {
        let mut operation = operation(None, Some(WORKFLOW_METADATA));
        operation.parent = Parent::new("projects/q").unwrap();
        let any = metadata(types(), &operation).0.unwrap();
        let target = crate::scan::find(&any.value, &[3]);
        assert_eq!(target, Some(crate::scan::Raw::Bytes(b"projects/q")));
        assert!(any.is(WORKFLOW_METADATA) && !any.is(proto::EMPTY));
    }
}
