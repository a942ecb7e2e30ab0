use serde_json::{Value, json};

use super::super::testing::pool;
use super::*;

fn body(error: &Error, format: ErrorFormat) -> Value {
    let status = status::of_error(error, Some("operations/x"));
    let body = error_body(&status, 404, format, true, pool());
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn every_code_has_its_http_status() {
    // 1 to 16, in the order of their numbers.
    let table = [499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
    for (number, http) in (1..).zip(table) {
        let code = Code::from_number(number).unwrap();
        assert_eq!(http_code(code), http, "{code:?}");
    }
}

#[test]
fn format_2_is_the_status_and_format_1_adds_the_older_word() {
    let error = Error::not_found();
    let plain = json!({
        "error": {
            "code": 404,
            "message": "no such operation: operations/x",
            "status": "NOT_FOUND",
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "NOT_FOUND",
                "domain": "opgate",
                "metadata": { "name": "operations/x", "retryable": "false" },
            }],
        }
    });
    assert_eq!(body(&error, ErrorFormat::V2), plain);
    let mut older = plain;
    older["error"]["errors"] = json!([{
        "message": "no such operation: operations/x", "domain": "global", "reason": "notFound",
    }]);
    assert_eq!(body(&error, ErrorFormat::V1), older);
}

#[test]
fn a_response_says_when_to_come_again() {
    let later = Retry::After(Duration::from_millis(1500));
    let busy = Error::new(ErrorKind::Unavailable, "busy").with_retry(later);
    let response = refused(&busy, None, &Parameters::default(), pool());
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(response.headers()["content-type"], "application/json; charset=UTF-8");
    let large = Error::new(ErrorKind::PayloadTooLarge, "too large");
    let response = refused(&large, None, &Parameters::default(), pool());
    assert_eq!(response.status(), 413);
    assert!(!response.headers().contains_key("retry-after"));
    let proto = Parameters { alt: Alt::Proto, ..Parameters::default() };
    let response = refused(&large, None, &proto, pool());
    assert_eq!(response.headers()["content-type"], "application/x-protobuf");
}

#[test]
fn details_of_unknown_types_are_their_bytes() {
    let detail = crate::proto::Any::new("acme.Odd", "\u{1}");
    let status = Status { code: 3, message: "m".to_owned(), details: vec![detail] };
    let body = error_body(&status, 400, ErrorFormat::V2, false, pool());
    let text = r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/acme.Odd","value":"AQ=="}]}}"#;
    assert_eq!(String::from_utf8(body).unwrap(), text);
}
