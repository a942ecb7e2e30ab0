//! Signatures by Standard Webhooks (<https://www.standardwebhooks.com>), symmetric: Nexus itself has
//! none. A receiver can tell who sent a completion, when, and that nothing of its body was altered.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use ring::hmac;

/// How a secret begins where it says what it is.
const PREFIX: &str = "whsec_";
/// How long a secret may be, in bytes.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret shared with a receiver. It is not printed.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// A text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretError;

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be whsec_ and 24 to 64 bytes in base64, as Standard Webhooks has it")
    }
}

impl std::error::Error for SecretError {}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let text = text.strip_prefix(PREFIX).unwrap_or(text);
        let bytes = STANDARD.decode(text).ok().filter(|bytes| BYTES.contains(&bytes.len()));
        bytes.map(|bytes| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))).ok_or(SecretError)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Adds the three headers: the id, the time in seconds since 1970, and a signature by each secret, so
/// that a secret can be replaced while the receiver still knows only one of them.
pub(super) fn sign(
    secrets: &[Secret],
    id: &str,
    now: SystemTime,
    body: &[u8],
    headers: &mut HeaderMap,
) -> Result<(), String> {
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    let time = since.map_err(|error| format!("the clock stands before 1970: {error}"))?.as_secs();
    let signature = |secret: &Secret| {
        let mut context = hmac::Context::with_key(&secret.0);
        context.update(format!("{id}.{time}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    };
    let signatures: Vec<String> = secrets.iter().map(signature).collect();
    for (name, text) in [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", time.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ] {
        headers.insert(name, HeaderValue::try_from(text).map_err(|error| error.to_string())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_signature_is_that_of_the_published_example() {
        let secret = |text: &str| text.parse::<Secret>().unwrap();
        let secrets = [
            secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ];
        let mut headers = HeaderMap::new();
        // A header of these names that was there before is no longer.
        headers.append("webhook-id", HeaderValue::from_static("forged"));
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_614_265_330_999);
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        sign(&secrets, id, now, br#"{"test": 2432232314}"#, &mut headers).unwrap();
        assert_eq!(headers.get_all("webhook-id").iter().collect::<Vec<_>>(), [id]);
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        let signatures = headers["webhook-signature"].to_str().unwrap();
        let (first, second) = signatures.split_once(' ').unwrap();
        assert_eq!(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(second.starts_with("v1,") && second != first);
    }

    #[test]
    fn a_secret_has_its_form_and_is_not_printed() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for bytes in [24, 32, 64] {
            assert_eq!(format!("{:?}", of(bytes).parse::<Secret>().unwrap()), "Secret");
        }
        for text in [of(23), of(65), "whsec_".to_owned(), "whsec_%%".to_owned(), String::new()] {
            assert!(text.parse::<Secret>().is_err(), "{text}");
        }
    }
}
