//! The samples of OCI's documentation: one key of 1024 bits, a GET and a POST.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use opgate_core::Tenant;
use serde_json::Value;

use crate::signature::{CLOCK_SKEW, Keyring, Presented, PublicKey, Reason, Strength, text};

const TENANCY: &str = "ocid1.tenancy.oc1..aaaa";

struct Sample {
    key: PublicKey,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
    signing_string: String,
}

fn samples() -> [Sample; 2] {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/signing-vectors.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let key = PublicKey::from_pem(&text(&vectors["public_pem"]), Strength::Sample).unwrap();
    ["get", "post"].map(|method| {
        let sample = &vectors[method];
        let body = sample["body"].as_str().unwrap_or_default().to_owned();
        let mut names = "date (request-target) host".to_owned();
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: &str| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        };
        set("date", &text(&vectors["date"]));
        set("host", &text(&vectors["host"]));
        if method == "post" {
            names.push_str(" content-length content-type x-content-sha256");
            set("content-length", "316");
            set("content-type", "application/json");
            set("x-content-sha256", &text(&sample["x_content_sha256"]));
        }
        let authorization = format!(
            "Signature version=\"1\",keyId=\"{TENANCY}/u/{}\",algorithm=\"rsa-sha256\",headers=\"{names}\",\
             signature=\"{}\"",
            key.fingerprint(),
            text(&sample["signature"]),
        );
        set("authorization", &authorization);
        Sample {
            key: key.clone(),
            method: method.to_uppercase().parse().unwrap(),
            uri: text(&sample["target"]).parse().unwrap(),
            headers,
            body,
            signing_string: text(&sample["signing_string"]),
        }
    })
}

fn keyring(key: PublicKey) -> Keyring {
    let tenancies = [(TENANCY.to_owned(), Tenant::anonymous())];
    let mut keyring = Keyring::new(tenancies, CLOCK_SKEW, Vec::new());
    keyring.insert_key(TENANCY, "u", key);
    keyring
}

/// 2014-01-05 21:31:40 UTC. It was no Thursday, as the samples have it.
fn then() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_388_957_500)
}

#[test]
fn the_documented_text_is_what_is_signed() {
    for sample in samples() {
        let names = sample.signing_string.lines().map(|line| line.split_once(": ").unwrap().0);
        let host = sample.headers["host"].as_bytes();
        let text = text::write(names, &sample.method, &sample.uri, host, &sample.headers).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), sample.signing_string);
    }
}

#[test]
fn the_documented_signatures_are_believed_and_nothing_near_them() {
    for Sample { key, method, uri, headers, body, .. } in samples() {
        let keyring = keyring(key);
        let verify = |uri: &Uri, body: &str, now: SystemTime| {
            let body = body.as_bytes();
            keyring.verify(&Presented { method: &method, uri, headers: &headers, body }, now)
        };
        assert!(verify(&uri, &body, then()).is_ok(), "{method}");
        let other = format!("{uri}x").parse().unwrap();
        assert_eq!(verify(&other, &body, then()), Err(Reason::Signature));
        let late = CLOCK_SKEW + Duration::from_secs(1);
        let clock = |ahead| Err(Reason::Clock { by: late, ahead });
        assert_eq!(verify(&uri, &body, then() + late), clock(false));
        assert_eq!(verify(&uri, &body, then() - late), clock(true));
        assert!(verify(&uri, &body, then() + CLOCK_SKEW).is_ok());
        assert!(verify(&uri, &body, then() - CLOCK_SKEW).is_ok());
        if !body.is_empty() {
            let other = body.replacen("ocid1", "ocid2", 1);
            assert_eq!(verify(&uri, &other, then()), Err(Reason::Body));
        }
    }
}

#[test]
fn a_gateway_does_not_take_the_documented_key() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/signing-vectors.json")).unwrap();
    let pem = vectors["public_pem"].as_str().unwrap();
    assert!(PublicKey::from_pem(pem, Strength::Strong).is_err());
}
