//! How long the caller waits for this call: the header `grpc-timeout`, or over HTTP with JSON
//! `X-Server-Timeout`.

use std::time::Duration;

use opgate_core::{Error, ErrorKind, Retry};
use tokio::time::Instant;

/// A wait is answered at least this long before the caller's deadline, so that the answer arrives.
const MARGIN_MIN: Duration = Duration::from_millis(100);
/// And need not be answered earlier than this before it.
const MARGIN_MAX: Duration = Duration::from_millis(250);

const DIGITS_MAX: usize = 8;

/// When the caller stops waiting; never, where it did not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// From the arrival of the request.
    timeout: Option<Duration>,
    at: Option<Instant>,
}

impl Deadline {
    /// From the value of the header, if it was sent.
    pub fn parse(header: Option<&[u8]>) -> Result<Self, Error> {
        let Some(header) = header else { return Ok(Self { timeout: None, at: None }) };
        let timeout = parse(header).ok_or_else(|| {
            Error::invalid(
                "grpc-timeout",
                "1 to 8 digits and a unit (H, M, S, m, u or n) are expected",
            )
        })?;
        Ok(Self::after(Some(timeout)))
    }

    /// From the value of `X-Server-Timeout`, if it was sent: seconds as a decimal number, as Google's
    /// clients of HTTP with JSON give them.
    pub fn parse_seconds(header: Option<&[u8]>) -> Result<Self, Error> {
        let Some(header) = header else { return Ok(Self { timeout: None, at: None }) };
        let seconds = std::str::from_utf8(header).ok().and_then(|text| text.trim().parse().ok());
        let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        timeout
            .map(|timeout| Self::after(Some(timeout)))
            .ok_or_else(|| Error::invalid("x-server-timeout", "a number of seconds is expected"))
    }

    /// So long from now; none is never.
    pub fn after(timeout: Option<Duration>) -> Self {
        Self { timeout, at: timeout.and_then(|timeout| Instant::now().checked_add(timeout)) }
    }

    /// Runs to its end what is ready before the deadline. What is not is dropped: it may have taken
    /// effect or not.
    pub async fn bound<T>(self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        // Before the work is begun: nothing has happened then.
        self.left()?;
        match self.at {
            Some(at) => tokio::time::timeout_at(at, work).await.unwrap_or_else(|_| Err(passed())),
            None => work.await,
        }
    }

    /// What `work` comes to before the deadline; none if that is reached first.
    pub async fn reached<T>(self, work: impl Future<Output = T>) -> Option<T> {
        match self.at {
            Some(at) => tokio::time::timeout_at(at, work).await.ok(),
            None => Some(work.await),
        }
    }

    /// The time left; none where there is no end. Refused when the deadline has passed.
    pub fn left(self) -> Result<Option<Duration>, Error> {
        let Some(at) = self.at else { return Ok(None) };
        match at.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            Some(_) | None => Err(passed().with_retry(Retry::SameRequest)),
        }
    }

    /// How long a wait may take so that its answer still arrives.
    pub fn wait_limit(self) -> Option<Duration> {
        let timeout = self.timeout?;
        let margin = (timeout / 10).clamp(MARGIN_MIN, MARGIN_MAX);
        Some(timeout.saturating_sub(margin))
    }
}

fn passed() -> Error {
    Error::new(ErrorKind::DeadlineExceeded, "the caller's deadline passed")
}

fn parse(header: &[u8]) -> Option<Duration> {
    let (&unit, digits) = header.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0, |amount, digit| amount * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_hours(amount),
        b'M' => Duration::from_mins(amount),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_and_nothing_else() {
        for (text, expected) in [
            ("1H", Some(Duration::from_hours(1))),
            ("2M", Some(Duration::from_mins(2))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("0S", Some(Duration::ZERO)),
            ("123456789n", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            (" 1S", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn seconds_are_a_decimal_number() {
        for (text, expected) in [
            ("30", Some(Duration::from_secs(30))),
            (" 1.5 ", Some(Duration::from_millis(1500))),
            ("60.0", Some(Duration::from_mins(1))),
            ("0", Some(Duration::ZERO)),
            ("1e30", None),
            ("inf", None),
            ("NaN", None),
            ("-1", None),
            ("30s", None),
            ("", None),
        ] {
            let parsed = Deadline::parse_seconds(Some(text.as_bytes()));
            assert_eq!(parsed.ok().and_then(|deadline| deadline.timeout), expected, "{text}");
        }
        assert_eq!(Deadline::parse_seconds(None).unwrap().timeout, None);
        assert!(Deadline::parse_seconds(Some(b"\xff")).is_err());
    }

    #[test]
    fn a_wait_ends_before_the_deadline_by_a_margin_within_bounds() {
        let limit = |text: &str| Deadline::parse(Some(text.as_bytes())).unwrap().wait_limit();
        assert_eq!(limit("50m"), Some(Duration::ZERO));
        assert_eq!(limit("500m"), Some(Duration::from_millis(400)));
        assert_eq!(limit("2S"), Some(Duration::from_millis(1800)));
        assert_eq!(limit("60S"), Some(Duration::from_millis(59_750)));
        assert_eq!(Deadline::parse(None).unwrap().wait_limit(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_dropped_at_the_deadline_and_not_begun_after_it() {
        let soon = Deadline::parse(Some(b"10m")).unwrap();
        let late = soon.bound(std::future::pending::<Result<(), Error>>()).await.unwrap_err();
        assert_eq!((late.kind, late.retry), (ErrorKind::DeadlineExceeded, Retry::Unknown));
        let after = soon.bound(async { Ok(()) }).await.unwrap_err();
        assert_eq!((after.kind, after.retry), (ErrorKind::DeadlineExceeded, Retry::SameRequest));
        assert!(Deadline::parse(None).unwrap().bound(async { Ok(()) }).await.is_ok());
    }
}
