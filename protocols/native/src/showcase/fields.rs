//! Reading an instruction's fields, each problem named with what is allowed instead.

use std::time::Duration;

use opgate_bus::core::Error;
use serde_json::{Map, Value};

/// The fields of one JSON object, none of them unknown.
#[derive(Debug)]
pub(super) struct Fields {
    fields: Map<String, Value>,
    /// Where the object stands in the instruction, for example `refuse`; empty at the top.
    within: &'static str,
}

impl Fields {
    /// The fields of `object`; one that is not among `allowed` is refused.
    pub(super) fn of(
        object: Map<String, Value>,
        within: &'static str,
        allowed: &[&str],
    ) -> Result<Self, Error> {
        let fields = Self { fields: object, within };
        match fields.fields.keys().find(|key| !allowed.contains(&key.as_str())) {
            Some(unknown) => {
                let allowed = allowed.join(", ");
                Err(fields.wrong(unknown, &format!("is not known; allowed are: {allowed}")))
            }
            None => Ok(fields),
        }
    }

    /// `name` is wrong: a `problem` that says what is allowed.
    pub(super) fn wrong(&self, name: &str, problem: &str) -> Error {
        let path = if self.within.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.within)
        };
        Error::invalid(path, problem)
    }

    /// The value of `name`. Absent and `null` are the same.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "is not a string")),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str, default: bool) -> Result<bool, Error> {
        match self.take(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(self.wrong(name, "is not true or false")),
        }
    }

    /// A whole number from 0 to `limit`. `3.0` counts: protobuf's Struct knows no other numbers.
    pub(super) fn count(&mut self, name: &str, limit: u32) -> Result<u32, Error> {
        let Some(value) = self.take(name) else { return Ok(0) };
        let count = whole(&value).and_then(|count| u32::try_from(count).ok());
        count
            .filter(|count| *count <= limit)
            .ok_or_else(|| self.wrong(name, &format!("is not a whole number from 0 to {limit}")))
    }

    /// A length of time from zero to `limit`, such as `"250ms"`.
    pub(super) fn duration(
        &mut self,
        name: &str,
        limit: Duration,
    ) -> Result<Option<Duration>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let parsed = value.as_str().and_then(duration).filter(|duration| *duration <= limit);
        parsed.map(Some).ok_or_else(|| {
            let hours = limit.as_secs() / 3600;
            let allowed = format!(
                "is not a duration: a number with ms, s, m or h in a string, from \"0s\" to \"{hours}h\""
            );
            self.wrong(name, &allowed)
        })
    }
}

/// The whole number a JSON number stands for.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before the cast")]
pub(super) fn whole(value: &Value) -> Option<i64> {
    let exact = |float: &f64| float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| value.as_f64().filter(exact).map(|float| float as i64))
}

/// `1.5s`, `250ms`, `2m`, `24h`: digits, at most nine more after a point, and a unit.
fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let nanos_per_unit: u128 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits =
        |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let nanos = whole.parse::<u128>().ok()? * nanos_per_unit
        + fraction.parse::<u128>().ok()? * nanos_per_unit / scale;
    Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_digits_and_a_unit() {
        assert_eq!(duration("2s"), Some(Duration::from_secs(2)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("0.25ms"), Some(Duration::from_micros(250)));
        assert_eq!(duration("24h"), Some(Duration::from_hours(24)));
        for wrong in
            ["", "2", "s", "-1s", "1e3s", "1 s", "1.s", ".5s", "2d", "9999999999s", "\u{661}s"]
        {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn whole_numbers_may_be_written_as_floats() {
        assert_eq!(whole(&serde_json::json!(3)), Some(3));
        assert_eq!(whole(&serde_json::json!(3.0)), Some(3));
        for wrong in [serde_json::json!(3.5), serde_json::json!("3"), serde_json::json!(1e300)] {
            assert_eq!(whole(&wrong), None, "{wrong}");
        }
    }
}
