//! By what a repeated start is known to be the same operation.

use std::time::Duration;

use opgate_core::{Dedupe, DedupeKey, Error, Fingerprint, KeySpace, Kind, Payload, Timestamp};
use serde_json::{Number, Value};

use crate::router::Target;
use crate::start::{Caller, DEDUPE_KEY_BYTES, RepeatKey, Start};

/// How long a dedupe key is honoured at the least, whatever the retention: what OCI promises.
const HONOURED: Duration = Duration::from_hours(24);
/// Integers that a double holds exactly: up to here they are the same number as a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The dedupe record of a start with this key.
///
/// # Errors
/// `InvalidArgument`: the key is empty or too long.
pub(crate) fn dedupe(
    caller: &Caller,
    target: &Target,
    start: &Start,
    repeat: &RepeatKey,
    now: Timestamp,
) -> Result<Dedupe, Error> {
    let RepeatKey { space, key, own, fingerprint, while_live } = repeat;
    if key.is_empty() || key.len() > DEDUPE_KEY_BYTES {
        let text = format!("is {} bytes long, 1 to {DEDUPE_KEY_BYTES} are allowed", key.len());
        return Err(Error::invalid("request_id", text));
    }
    let route = &target.route;
    let callback = start.callbacks.first().map(|callback| &*callback.url);
    let until = if *while_live { now } else { now.plus(route.retention.max(HONOURED)) };
    let dedupe = |space: KeySpace, key: &str, fingerprint| Dedupe {
        key: DedupeKey::derive(&caller.tenant, &space, key),
        space,
        fingerprint,
        until,
        live: *while_live,
    };
    Ok(match own {
        Some(own) if target.unified => {
            let space = KeySpace::new(&format!("route {}", route.name));
            dedupe(space, own, of_content(&route.kind, &start.input, callback))
        }
        Some(_) | None => {
            let fingerprint =
                fingerprint.unwrap_or_else(|| Fingerprint::of(&route.kind, &start.input, callback));
            dedupe(space.clone(), key, fingerprint)
        }
    })
}

/// Of what a start asks for, however its protocol writes it down: JSON is taken by its value. A callback is a
/// part of it: a caller who wants to be told must not be taken for one who does not, and wait in vain.
fn of_content(kind: &Kind, input: &Payload, callback: Option<&str>) -> Fingerprint {
    let read =
        || serde_json::from_slice(&input.bytes).ok().map(|value| canonical(value).to_string());
    match input.is_json().then(read).flatten() {
        Some(text) => Fingerprint::of(kind, &Payload::json(text), callback),
        None => Fingerprint::of(kind, input, callback),
    }
}

/// The one form of all JSON with this value: keys sorted, whole numbers as integers.
fn canonical(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> =
                fields.into_iter().map(|(key, value)| (key, canonical(value))).collect();
            fields.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        Value::Number(number) => Value::Number(whole(&number).unwrap_or(number)),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

/// The integer that a double is, where it is one: a protocol without integers writes 5.0 for 5.
fn whole(number: &Number) -> Option<Number> {
    let value = number.as_f64().filter(|value| number.is_f64() && value.abs() <= EXACT)?;
    let text = format!("{value:.0}");
    let integer: i64 = text.parse().ok()?;
    (value.fract() == 0.0).then(|| Number::from(integer))
}

#[cfg(test)]
mod tests {
    use opgate_core::Kind;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(input: &str) -> Fingerprint {
        of_content(&Kind::new("s", "o").unwrap(), &Payload::json(input.to_owned()), None)
    }

    #[test]
    fn the_order_of_fields_spaces_and_forms_of_a_number_make_no_difference() {
        let one = of(r#"{"a": 5, "b": [1, {"x": 0, "y": "z"}]}"#);
        for same in [
            r#"{"b":[1,{"y":"z","x":0}],"a":5}"#,
            r#"{"a": 5.0, "b": [1.0, {"x": -0.0, "y": "z"}]}"#,
            r#"{"a": 5e0, "b": [1, {"x": 0, "y": "\u007a"}]}"#,
        ] {
            assert_eq!(of(same), one, "{same}");
        }
        for other in [
            r#"{"a": "5", "b": [1, {"x": 0, "y": "z"}]}"#,
            r#"{"a": 5.5, "b": [1, {"x": 0, "y": "z"}]}"#,
            r#"{"a": 5, "b": [{"x": 0, "y": "z"}, 1]}"#,
            r#"{"a": 5, "b": [1, {"x": 0, "y": "z"}], "c": null}"#,
        ] {
            assert_ne!(of(other), one, "{other}");
        }
    }

    #[test]
    fn large_integers_are_not_taken_for_their_neighbours() {
        assert_ne!(of("9007199254740993"), of("9007199254740992"));
        assert_ne!(of("18446744073709551615"), of("18446744073709551614"));
    }

    #[test]
    fn what_is_no_json_counts_by_its_bytes() {
        let kind = Kind::new("s", "o").unwrap();
        let input = |bytes: &'static str| Payload::new("application/octet-stream", bytes);
        let of = |input: &Payload| of_content(&kind, input, None);
        assert_eq!(of(&input("{ }")), of(&input("{ }")));
        assert_ne!(of(&input("{ }")), of(&input("{}")));
        assert_ne!(of(&Payload::json("{")), of(&Payload::json("{ ")));
        let called_back = of_content(&kind, &input("{}"), Some("https://a.example/"));
        assert_ne!(called_back, of(&input("{}")));
    }

    proptest! {
        /// A value read from its own text is the same request.
        #[test]
        fn a_canonical_form_is_its_own(numbers: Vec<f64>, integers: Vec<i64>, text: String) {
            let value = json!({ "numbers": numbers, "integers": integers, "text": text });
            let form = canonical(value.clone());
            let again: Value = serde_json::from_str(&form.to_string()).unwrap();
            prop_assert_eq!(canonical(again).to_string(), form.to_string());
            prop_assert_eq!(of(&value.to_string()), of(&form.to_string()));
        }
    }
}
