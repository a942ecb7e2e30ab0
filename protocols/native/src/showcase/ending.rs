//! Failures and refusals as an instruction tells them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opgate_bus::core::{Code, Detail, Error, ErrorKind, Failure, Retry};
use serde_json::{Map, Value};

use super::fields::{Fields, whole};
use super::instruction::DURATION;

/// The failure that `code`, `message` and `details` tell of.
pub(super) fn failure(fields: &mut Fields, default: Code) -> Result<Failure, Error> {
    let code = match fields.take("code") {
        None => Some(default),
        Some(Value::String(name)) => Code::from_name(&name),
        Some(number) => {
            whole(&number).and_then(|number| Code::from_number(i32::try_from(number).ok()?))
        }
    };
    let Some(code) = code else {
        return Err(fields.wrong("code", "is not a google.rpc code: a name, or a number 1 to 16"));
    };
    let message = fields.text("message")?;
    let mut failure =
        Failure::new(code, message.unwrap_or_else(|| "as the showcase was told to".to_owned()));
    failure.details = details(fields)?;
    Ok(failure)
}

fn details(fields: &mut Fields) -> Result<Vec<Detail>, Error> {
    let details = match fields.take("details") {
        None => Vec::new(),
        Some(Value::Array(details)) => details,
        Some(_) => return Err(fields.wrong("details", "is not an array")),
    };
    let detail = |detail: &Value| {
        let type_url = detail.get("@type")?.as_str()?.to_owned();
        let value = STANDARD.decode(detail.get("value")?.as_str()?).ok()?;
        (!type_url.is_empty()).then(|| Detail { type_url, value: value.into() })
    };
    details.iter().map(detail).collect::<Option<_>>().ok_or_else(|| {
        fields.wrong("details", "is not an array of {\"@type\": URL, \"value\": base64}")
    })
}

/// The error that `kind`, `message` and `retry_after` tell of; `within` is where they stand.
pub(super) fn refusal(fields: Map<String, Value>, within: &'static str) -> Result<Error, Error> {
    let mut fields = Fields::of(fields, within, &["kind", "message", "retry_after"])?;
    let name = fields.text("kind")?.unwrap_or_default();
    let Some(kind) = ErrorKind::ALL.into_iter().find(|kind| kind.name() == name) else {
        let names = ErrorKind::ALL.map(ErrorKind::name).join(", ");
        return Err(fields.wrong("kind", &format!("is not one of {names}")));
    };
    let message = fields.text("message")?;
    let error = Error::new(kind, message.unwrap_or_else(|| "as the showcase was told to".into()));
    Ok(match fields.duration("retry_after", DURATION)? {
        Some(after) => error.with_retry(Retry::After(after)),
        None => error,
    })
}
