//! What becomes of a completion after an attempt.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use opgate_bus::Told;
use opgate_egress::Problem;

use crate::wire::handler_error::{self, HandlerError, Kind};

/// Judges an answer: any 2xx takes the completion. Of the others those are final that Nexus has as
/// not retryable, and 410, which is gone for good; a receiver that says otherwise wins. What is in no
/// table, redirections among it, is tried again, as Temporal does it. 404 and 410 are expected: a
/// caller that has given up, or was told otherwise, is not there any more.
pub(super) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    body: &Bytes,
    now: SystemTime,
) -> Told {
    if status.is_success() {
        return Told::Taken;
    }
    let read = HandlerError::read(status, headers, body);
    let usual = match read.kind {
        Some(kind) => kind.is_retryable(),
        None => status != StatusCode::GONE,
    };
    let problem = format!("answered {}: {}", status.as_u16(), read.message);
    if handler_error::said_retryable(headers, body).unwrap_or(usual) {
        Told::Later { problem, after: read.retry_after.or_else(|| retry_date(headers, now)) }
    } else if status == StatusCode::GONE || read.kind == Some(Kind::NotFound) {
        Told::Gone { problem }
    } else {
        Told::Refused { problem }
    }
}

/// Judges an attempt without a whole answer.
pub(super) fn of_none(problem: Problem) -> Told {
    match problem {
        Problem::Refused(refusal) => Told::Refused { problem: refusal.to_string() },
        // The head said all that there is to know.
        Problem::Cut { status, .. } if status.is_success() => Told::Taken,
        Problem::Cut { .. }
        | Problem::Unreachable(_)
        | Problem::TimedOut { .. }
        | Problem::TooLarge(_)
        | Problem::Broken(_) => Told::Later { problem: problem.to_string(), after: None },
    }
}

/// The time until the date of a `Retry-After` that is one.
fn retry_date(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn judged(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Told {
        let header = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let headers = headers.iter().map(header).collect();
        let now = httpdate::parse_http_date("Fri, 02 Jan 2026 03:04:05 GMT").unwrap();
        judge(StatusCode::from_u16(status).unwrap(), &headers, &Bytes::from(body), now)
    }

    fn again(told: &Told) -> bool {
        match told {
            Told::Later { .. } => true,
            Told::Gone { .. } | Told::Refused { .. } => false,
            Told::Taken => panic!("was taken"),
        }
    }

    #[test]
    fn each_status_has_its_judgement() {
        for status in [200, 201, 202, 203, 204, 206, 226, 299] {
            assert_eq!(judged(status, &[], "whatever"), Told::Taken, "{status}");
        }
        for status in [400, 401, 403, 409, 501] {
            assert!(matches!(judged(status, &[], ""), Told::Refused { .. }), "{status}");
        }
        for status in [404, 410] {
            assert!(matches!(judged(status, &[], ""), Told::Gone { .. }), "{status}");
        }
        for status in [
            300, 301, 302, 303, 304, 307, 308, 402, 405, 406, 407, 408, 411, 412, 413, 414, 415,
            417, 418, 421, 422, 424, 425, 426, 429, 431, 451, 500, 502, 503, 504, 505, 507, 520,
            599,
        ] {
            assert!(again(&judged(status, &[], "<html>")), "{status}");
        }
    }

    #[test]
    fn the_receiver_has_the_last_word() {
        for (status, usual) in [(404, false), (410, false), (500, true), (418, true), (502, true)] {
            for (said, expected) in [("true", true), ("False", false), ("perhaps", usual)] {
                let told = judged(status, &[("nexus-request-retryable", said)], "");
                assert_eq!(again(&told), expected, "{status} {said}");
            }
        }
        for (status, body, expected) in [
            (
                404,
                r#"{"message":"m","metadata":{"type":"nexus.HandlerError"},"details":{"type":"NOT_FOUND","retryableOverride":true}}"#,
                true,
            ),
            (
                500,
                r#"{"message":"m","metadata":{"type":"nexus.HandlerError"},"details":{"type":"INTERNAL","retryableOverride":false}}"#,
                false,
            ),
            // The type in the body is the better known one.
            (
                500,
                r#"{"message":"m","metadata":{"type":"nexus.HandlerError"},"details":{"type":"NOT_FOUND"}}"#,
                false,
            ),
            (
                404,
                r#"{"message":"m","metadata":{"type":"nexus.HandlerError"},"details":{"type":"UNAVAILABLE"}}"#,
                true,
            ),
        ] {
            assert_eq!(again(&judged(status, &[], body)), expected, "{body}");
        }
    }

    #[test]
    fn a_receiver_may_ask_for_time() {
        for (text, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Fri, 02 Jan 2026 03:05:05 GMT", Some(60)),
            ("Fri, 02 Jan 2026 03:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("99999999999", None),
        ] {
            let Told::Later { after, .. } = judged(503, &[("retry-after", text)], "") else {
                panic!("{text}")
            };
            assert_eq!(after, expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn the_operator_reads_what_the_receiver_said() {
        let Told::Refused { problem } = judged(400, &[], r#"{"message":"invalid callback token"}"#)
        else {
            panic!("was not refused")
        };
        assert_eq!(problem, "answered 400: invalid callback token");
    }

    #[test]
    fn without_an_answer_it_is_tried_again_unless_it_must_not_be_sent() {
        let timed_out = Problem::TimedOut { within: Duration::from_secs(1), sent: true };
        let cut = |status: u16| Problem::Cut {
            status: StatusCode::from_u16(status).unwrap(),
            problem: Box::new(timed_out.clone()),
        };
        for problem in [
            Problem::Unreachable("x".to_owned()),
            Problem::TooLarge("x".to_owned()),
            Problem::Broken("x".to_owned()),
            timed_out.clone(),
            cut(500),
            cut(404),
        ] {
            assert!(again(&of_none(problem.clone())), "{problem:?}");
        }
        assert_eq!(of_none(cut(200)), Told::Taken);
    }
}
