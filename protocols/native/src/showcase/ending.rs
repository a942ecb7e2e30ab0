//! Failures and refusals as an instruction tells them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opgate_bus::core::{Code, Detail, Error, ErrorKind, Failure, Retry};
use serde_json::Value;

use super::fields::{Fields, whole};
use super::instruction::DURATION;

/// The message of an ending that was given none.
const TOLD_TO: &str = "as the showcase was told to";

/// The failure that `code`, `message` and `details` tell of.
pub(super) fn failure(fields: &mut Fields, default: Code) -> Failure {
    let code = match fields.take("code") {
        None => Some(default),
        Some(Value::String(name)) => Code::from_name(&name),
        Some(number) => {
            whole(&number).and_then(|number| Code::from_number(i32::try_from(number).ok()?))
        }
    };
    if code.is_none() {
        fields.wrong("code", "is not a google.rpc code: a name, or a number 1 to 16");
    }
    let message = fields.text("message").unwrap_or_else(|| TOLD_TO.to_owned());
    let mut failure = Failure::new(code.unwrap_or(default), message);
    failure.details = details(fields);
    failure
}

fn details(fields: &mut Fields) -> Vec<Detail> {
    let Some(details) = fields.take("details") else { return Vec::new() };
    let detail = |detail: &Value| {
        let type_url = detail.get("@type")?.as_str()?.to_owned();
        let value = STANDARD.decode(detail.get("value")?.as_str()?).ok()?;
        (!type_url.is_empty()).then(|| Detail { type_url, value: value.into() })
    };
    let read = details.as_array().and_then(|details| details.iter().map(detail).collect());
    read.unwrap_or_else(|| {
        let allowed = "is not an array of {\"@type\": URL, \"value\": base64}";
        fields.wrong("details", allowed);
        Vec::new()
    })
}

/// The fields of a refusal.
pub(super) const REFUSAL: [&str; 3] = ["kind", "message", "retry_after"];

/// The error that `kind`, `message` and `retry_after` tell of.
pub(super) fn refusal(fields: &mut Fields) -> Error {
    let name = fields.take("kind");
    let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
    let kind = ErrorKind::ALL.into_iter().find(|kind| kind.name() == name);
    if kind.is_none() {
        let names = ErrorKind::ALL.map(ErrorKind::name).join(", ");
        fields.wrong("kind", format!("is not one of {names}"));
    }
    let message = fields.text("message").unwrap_or_else(|| TOLD_TO.to_owned());
    let error = Error::new(kind.unwrap_or(ErrorKind::InvalidArgument), message);
    match fields.duration("retry_after", DURATION) {
        Some(after) => error.with_retry(Retry::After(after)),
        None => error,
    }
}
