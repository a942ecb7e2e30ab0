//! Reading an instruction's fields, each problem named with what is allowed instead.

use std::time::Duration;

use opgate_bus::core::Error;
use serde_json::{Map, Value};

/// Problems told of one instruction; of more it is said how many there are.
const TOLD: usize = 16;

/// The fields of one JSON object. A getter that finds a wrong value notes that and returns a
/// placeholder, so that one refusal tells all; [`Fields::finish`] refuses.
#[derive(Debug)]
pub(super) struct Fields {
    given: Map<String, Value>,
    /// Where the object stands in the instruction, for example `refuse`; empty at the top.
    within: &'static str,
    /// The paths of wrong fields, and what is wrong with each. At most [`TOLD`].
    problems: Vec<(String, String)>,
    /// Problems beyond those.
    untold: usize,
}

impl Fields {
    /// The fields of `object`; one that is not among `allowed` is wrong.
    pub(super) fn of(
        mut object: Map<String, Value>,
        within: &'static str,
        allowed: &[&str],
    ) -> Self {
        let known = allowed.iter().filter_map(|name| object.remove_entry(*name)).collect();
        let mut fields = Self { given: known, within, problems: Vec::new(), untold: 0 };
        for unknown in object.keys() {
            let allowed = allowed.join(", ");
            fields.wrong(unknown, format!("is not known; allowed are: {allowed}"));
        }
        fields
    }

    /// Notes that `name` is wrong: a `problem` that says what is allowed.
    pub(super) fn wrong(&mut self, name: &str, problem: impl Into<String>) {
        if self.problems.len() == TOLD {
            self.untold += 1;
            return;
        }
        let dot = if self.within.is_empty() { "" } else { "." };
        self.problems.push((format!("{}{dot}{name}", self.within), problem.into()));
    }

    /// Refuses what was wrong: the first as the field of the error, all in its text.
    pub(super) fn finish(self) -> Result<(), Error> {
        let mut problems = self.problems.into_iter();
        let Some((field, mut text)) = problems.next() else { return Ok(()) };
        for (field, problem) in problems {
            text.extend(["; ", &field, ": ", &problem]);
        }
        if self.untold > 0 {
            text.extend(["; and ", &self.untold.to_string(), " more"]);
        }
        Err(Error::invalid(field, text))
    }

    /// The value of `name`. Absent and `null` are the same.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.given.remove(name).filter(|value| !value.is_null())
    }

    /// An object within the one at the top, with fields of its own, whose problems are told with
    /// these.
    pub(super) fn within<T>(
        &mut self,
        name: &'static str,
        allowed: &[&str],
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let Value::Object(object) = self.take(name)? else {
            self.wrong(name, "is not a JSON object");
            return None;
        };
        let mut inner = Self::of(object, name, allowed);
        let read = read(&mut inner);
        let room = TOLD - self.problems.len();
        self.untold += inner.untold + inner.problems.len().saturating_sub(room);
        self.problems.extend(inner.problems.into_iter().take(room));
        Some(read)
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let Value::String(text) = self.take(name)? else {
            self.wrong(name, "is not a string");
            return None;
        };
        Some(text)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.take(name) {
            None => default,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.wrong(name, "is not true or false");
                default
            }
        }
    }

    /// A whole number from 0 to `limit`. `3.0` counts: protobuf's Struct knows no other numbers.
    pub(super) fn count(&mut self, name: &str, limit: u32) -> u32 {
        let Some(value) = self.take(name) else { return 0 };
        let count = whole(&value).and_then(|count| u32::try_from(count).ok());
        count.filter(|count| *count <= limit).unwrap_or_else(|| {
            self.wrong(name, format!("is not a whole number from 0 to {limit}"));
            0
        })
    }

    /// A length of time from zero to `limit`, such as `"250ms"`.
    pub(super) fn duration(&mut self, name: &str, limit: Duration) -> Option<Duration> {
        let value = self.take(name)?;
        let parsed = value.as_str().and_then(duration).filter(|duration| *duration <= limit);
        if parsed.is_none() {
            let hours = limit.as_secs() / 3600;
            self.wrong(
                name,
                format!(
                    "is not a duration: a number with ms, s, m or h in a string, from \"0s\" to \
                     \"{hours}h\""
                ),
            );
        }
        parsed
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
