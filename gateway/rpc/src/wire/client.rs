//! The other end of a unary call: what a client sends, and what an answer means to it.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use opgate_core::Code;
use prost::Message as _;

use super::compression::Compression;
use super::frame::{PREFIX_BYTES, message, prefix};
use super::percent;
use super::request::is_grpc;
use crate::proto::Status;

/// What comes with the base64 of binary headers: padding may be there or not.
const BINARY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The largest number of a `grpc-timeout`, and one more: it has at most eight digits.
const TIMEOUT_DIGITS: u128 = 100_000_000;

/// Why there is no message.
#[derive(Clone, Debug, PartialEq)]
pub enum Unanswered {
    /// The call was refused. The code is never that of a success.
    Refused(Status),
    /// What came is not an answer to a unary call; nobody knows what became of it.
    Broken(String),
}

/// The body of a call with this message.
pub fn body(message: &[u8]) -> Bytes {
    let mut framed = Vec::with_capacity(PREFIX_BYTES + message.len());
    framed.extend(prefix(0, message.len()));
    framed.extend_from_slice(message);
    framed.into()
}

/// Sets the headers that every call has; it ends after so long.
pub fn head(headers: &mut HeaderMap, within: Duration) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static(Compression::ACCEPTED));
    // Digits and a letter are always a header value.
    if let Ok(timeout) = HeaderValue::try_from(timeout(within)) {
        headers.insert("grpc-timeout", timeout);
    }
}

/// A length of time as `grpc-timeout` has it, in the finest unit that can say it. Rounded up: whoever
/// waits must not be told that it is over before.
fn timeout(within: Duration) -> String {
    let nanos = within.as_nanos();
    for (unit, length) in [
        ('n', 1),
        ('u', 1_000),
        ('m', 1_000_000),
        ('S', 1_000_000_000),
        ('M', 60_000_000_000),
        ('H', 3_600_000_000_000),
    ] {
        let amount = nanos.div_ceil(length);
        if amount < TIMEOUT_DIGITS {
            return format!("{amount}{unit}");
        }
    }
    format!("{}H", TIMEOUT_DIGITS - 1)
}

/// The message of an answer, at most so many bytes long, compressed or not.
///
/// # Errors
/// The status that came instead, or what is wrong with the answer.
pub fn answer(
    http: StatusCode,
    headers: &HeaderMap,
    body: Bytes,
    trailers: &HeaderMap,
    bytes_max: usize,
) -> Result<Bytes, Unanswered> {
    if !is_grpc(headers) {
        let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let kind = String::from_utf8_lossy(kind.unwrap_or(b"nothing")).into_owned();
        let text = format!("answered {} with {kind} in place of gRPC", http.as_u16());
        return Err(match of_http(http) {
            Some(code) => Unanswered::Refused(Status {
                code: code.number(),
                message: text,
                details: Vec::new(),
            }),
            None => Unanswered::Broken(text),
        });
    }
    // Where there is nothing else to say the status stands in the head.
    let said = if trailers.contains_key("grpc-status") { trailers } else { headers };
    let Some(number) = said.get("grpc-status") else {
        return Err(Unanswered::Broken(format!("answered {} without a status", http.as_u16())));
    };
    let number = number.to_str().ok().and_then(|number| number.parse::<i32>().ok());
    let Some(number) = number else {
        return Err(Unanswered::Broken("the answer's status is no number".to_owned()));
    };
    if number != 0 {
        return Err(Unanswered::Refused(status(number, said)));
    }
    let broken = |problem: opgate_core::Error| Unanswered::Broken(problem.message.into_owned());
    let encoding = headers.get("grpc-encoding").map(HeaderValue::as_bytes);
    message(body, Compression::parse(encoding).map_err(broken)?, bytes_max).map_err(broken)
}

/// The status in these headers.
fn status(number: i32, said: &HeaderMap) -> Status {
    let text = |name| said.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let message = text("grpc-message").unwrap_or_default();
    // What is no UTF-8 once it is decoded is told as it stands.
    let message = percent::decode(message).map_or_else(|| message.to_owned(), Into::into);
    let details = text("grpc-status-details-bin")
        .and_then(|text| BINARY.decode(text).ok())
        .and_then(|bytes| Status::decode(&*bytes).ok())
        // Somebody in between may have replaced the one and not the other.
        .filter(|told| told.code == number)
        .map(|told| told.details);
    Status { code: number, message, details: details.unwrap_or_default() }
}

/// What a status of HTTP means where there is none of gRPC: a proxy's answer, as gRPC's own table has it.
/// `None` is a success that is none.
fn of_http(http: StatusCode) -> Option<Code> {
    Some(match http.as_u16() {
        200..=299 => return None,
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame;
    use super::*;
    use crate::proto::{Any, RetryInfo};

    const LIMIT: usize = 1000;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn read(
        http: u16,
        headers: &[(&'static str, &str)],
        body: Bytes,
        trailers: &[(&'static str, &str)],
    ) -> Result<Bytes, Unanswered> {
        let http = StatusCode::from_u16(http).unwrap();
        answer(http, &map(headers), body, &map(trailers), LIMIT)
    }

    const GRPC: (&str, &str) = ("content-type", "application/grpc+proto");
    const OK: (&str, &str) = ("grpc-status", "0");

    #[test]
    fn a_message_comes_back_as_it_was_sent_compressed_or_not() {
        assert_eq!(read(200, &[GRPC], body(b"abc"), &[OK]).unwrap(), "abc");
        assert_eq!(read(200, &[GRPC, OK], body(b""), &[]).unwrap(), "");
        let zipped = Compression::gzip(b"abc");
        let framed = [&prefix(1, zipped.len())[..], &zipped].concat();
        let gzip = ("grpc-encoding", "gzip");
        assert_eq!(read(200, &[GRPC, gzip], framed.into(), &[OK]).unwrap(), "abc");
        let any = Any::new("a.B", Bytes::from_static(b"x"));
        assert_eq!(body(&any.encode_to_vec()), frame(&any));
    }

    #[test]
    fn a_status_is_read_wherever_it_stands_with_its_details() {
        let wait = RetryInfo { retry_delay: Some(Duration::from_secs(3).into()) };
        let told = Status {
            code: 14,
            message: "ä".to_owned(),
            details: vec![Any::pack(RetryInfo::NAME, &wait)],
        };
        for engine in [
            base64::engine::general_purpose::STANDARD,
            base64::engine::general_purpose::STANDARD_NO_PAD,
        ] {
            let details = engine.encode(told.encode_to_vec());
            let said = [
                ("grpc-status", "14"),
                ("grpc-message", "%C3%A4"),
                ("grpc-status-details-bin", &details),
            ];
            let expected = Err(Unanswered::Refused(told.clone()));
            assert_eq!(read(200, &[GRPC], Bytes::new(), &said), expected);
            assert_eq!(read(200, &[&[GRPC], &said[..]].concat(), Bytes::new(), &[]), expected);
            // Details of another status are none of this one.
            let other = [("grpc-status", "5"), said[1], said[2]];
            let bare = Status { code: 5, message: "ä".to_owned(), details: Vec::new() };
            assert_eq!(read(200, &[GRPC], Bytes::new(), &other), Err(Unanswered::Refused(bare)));
        }
    }

    #[test]
    fn what_is_not_grpc_is_a_status_by_its_http_status_or_nothing_at_all() {
        for (http, code) in [(503, 14), (429, 14), (404, 12), (401, 16), (403, 7), (500, 2)] {
            let Err(Unanswered::Refused(status)) =
                read(http, &[("content-type", "text/html")], body(b"abc"), &[])
            else {
                panic!("{http}");
            };
            assert_eq!(status.code, code);
            assert!(status.message.contains(&http.to_string()), "{status:?}");
        }
        for (headers, body, trailers) in [
            (&[("content-type", "text/html")][..], body(b"abc"), &[][..]),
            (&[], body(b"abc"), &[OK]),
            (&[GRPC], body(b"abc"), &[]),
            (&[GRPC], body(b"abc"), &[("grpc-status", "x")]),
            (&[GRPC], Bytes::new(), &[OK]),
            (&[GRPC], Bytes::from_static(b"\0\0\0\0\x05abc"), &[OK]),
            (&[GRPC], body(&[0; LIMIT + 1]), &[OK]),
            (&[GRPC, ("grpc-encoding", "zstd")], body(b"abc"), &[OK]),
        ] {
            let read = read(200, headers, body, trailers);
            assert!(matches!(read, Err(Unanswered::Broken(_))), "{headers:?}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn a_timeout_is_never_shorter_than_what_is_waited(nanos in any::<u64>(), unit in 0..6u32) {
            let within = Duration::from_nanos(nanos).saturating_mul(60_u32.pow(unit));
            // The longest that can be said.
            let within = within.min(Duration::from_hours(99_999_999));
            let text = timeout(within);
            prop_assert!(text.len() <= 9, "{text}");
            let mut headers = HeaderMap::new();
            head(&mut headers, within);
            let read = super::super::Deadline::parse(Some(headers["grpc-timeout"].as_bytes()));
            prop_assert!(read.is_ok());
            let (digits, unit) = text.split_at(text.len() - 1);
            let length = match unit {
                "n" => 1,
                "u" => 1_000,
                "m" => 1_000_000,
                "S" => 1_000_000_000,
                "M" => 60_000_000_000,
                _ => 3_600_000_000_000,
            };
            prop_assert!(digits.parse::<u128>().unwrap() * length >= within.as_nanos());
        }

        #[test]
        fn no_answer_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            number in ".{0,4}",
            text in "[ -~]{0,40}",
        ) {
            let said = [
                ("grpc-status", &*number),
                ("grpc-message", &text),
                ("grpc-status-details-bin", &text),
            ];
            if let Ok(number) = HeaderValue::from_str(&number) {
                let mut trailers = map(&said[1..]);
                trailers.insert("grpc-status", number);
                drop(answer(StatusCode::OK, &map(&[GRPC]), bytes.into(), &trailers, LIMIT));
            }
        }
    }
}
