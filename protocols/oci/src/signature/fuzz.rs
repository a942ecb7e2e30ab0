//! Whatever a peer sends is read or refused: nothing panics, and nobody is let in by chance.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::authorization::Authorization;
use super::session::Session;
use super::{CLOCK_SKEW, Issuer, Keyring, Presented, PublicKey, Strength, der};

/// Text of these words, one for each byte: random bytes hardly ever make sense.
fn words(bytes: &[u8], words: &[&str]) -> String {
    bytes.iter().map(|byte| words[usize::from(*byte) % words.len()]).collect()
}

const AUTHORIZATION: [&str; 20] = [
    "Signature ",
    "keyId",
    "algorithm",
    "headers",
    "signature",
    "version",
    "=\"",
    "\"",
    ",",
    " ",
    "\\",
    "rsa-sha256",
    "(request-target)",
    "date",
    "HOST",
    "AQID",
    "1",
    "ST$",
    "\t",
    "x",
];

#[test]
fn fuzz_authorization() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let structured = format!("Signature {}", words(bytes, &AUTHORIZATION));
        for text in [structured.into_bytes(), bytes.to_vec()] {
            let Ok(value) = HeaderValue::from_bytes(&text) else { continue };
            let Ok(read) = Authorization::parse(&value) else { continue };
            assert!(!read.names.is_empty() && read.names.len() <= 32);
            for name in &read.names {
                assert_eq!(name.to_ascii_lowercase(), *name);
                assert_eq!(read.names.iter().filter(|other| *other == name).count(), 1);
            }
        }
    });
}

fn key() -> PublicKey {
    let pem = include_str!("../../tests/keys/issuer.public.pem");
    PublicKey::from_pem(pem, Strength::Strong).unwrap()
}

#[test]
fn fuzz_session_tokens() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let (issuer, audience) = ("i".to_owned(), "a".to_owned());
    let issuers = [Issuer { issuer, audience, keys: vec![key()] }];
    let now = std::time::SystemTime::UNIX_EPOCH;
    bolero::check!().for_each(|bytes: &[u8]| {
        let header = URL_SAFE_NO_PAD.encode("{\"alg\":\"RS256\"}");
        let text = String::from_utf8_lossy(bytes);
        let structured = format!("{header}.{}.AQID", URL_SAFE_NO_PAD.encode(bytes));
        for token in [&*text, &structured] {
            assert!(Session::open(token, &issuers, now, CLOCK_SKEW).is_err());
        }
    });
}

#[test]
fn fuzz_requests() {
    const NAMES: [&str; 8] = [
        "authorization",
        "date",
        "x-date",
        "host",
        "content-length",
        "content-type",
        "x-content-sha256",
        "x",
    ];
    let tenancies = [("t".to_owned(), opgate_core::Tenant::anonymous())];
    let mut keyring = Keyring::new(tenancies, CLOCK_SKEW, vec!["h".to_owned()]);
    keyring.insert_key("t", "u", key());
    let now = std::time::SystemTime::UNIX_EPOCH;
    bolero::check!().for_each(|bytes: &[u8]| {
        let mut headers = HeaderMap::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            let Some((name, value)) = line.split_first() else { continue };
            let name = HeaderName::from_static(NAMES[usize::from(*name) % NAMES.len()]);
            headers.extend(HeaderValue::from_bytes(value).map(|value| (name, value)));
        }
        let text = format!("Signature {}", words(bytes, &AUTHORIZATION));
        headers
            .extend(HeaderValue::try_from(text).map(|value| (http::header::AUTHORIZATION, value)));
        let uri = Uri::try_from(bytes).unwrap_or_default();
        for method in [Method::GET, Method::POST] {
            let presented =
                Presented { method: &method, uri: &uri, headers: &headers, body: bytes };
            assert!(keyring.verify(&presented, now).is_err());
        }
    });
}

#[test]
fn fuzz_key_files() {
    bolero::check!().for_each(|bytes: &[u8]| {
        if let Some((modulus, exponent)) = der::pkcs1(bytes) {
            // What is read is written again, within the other form.
            let spki = der::write_spki(modulus, exponent);
            assert_eq!(der::spki(&spki), Some((modulus, exponent)));
        }
        let _numbers = der::spki(bytes);
        let text = String::from_utf8_lossy(bytes);
        for text in [&*text, &format!("-----BEGIN PUBLIC KEY-----{text}-----END PUBLIC KEY-----")] {
            assert!(PublicKey::from_pem(text, Strength::Strong).is_err());
        }
    });
}
