//! Signing what opgate sends.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Request, header::InvalidHeaderValue};
use opgate_egress::Renewable;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use sha2::{Digest as _, Sha256};

use super::key::{Fingerprint, KeyError, private};
use super::text::{self, CONTENT_LENGTH, CONTENT_SHA256, CONTENT_TYPE, DATE, HOST, TARGET};

/// What is signed of every request, in the order of OCI's Python SDK.
const HEAD: [&str; 3] = [DATE, TARGET, HOST];
/// What is signed beside it where a body is expected.
const BODY: [&str; 3] = [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_SHA256];

/// A request could not be signed. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The URL has no host.
    #[error("its URL has no host")]
    NoHost,
    /// A value cannot stand in a header.
    #[error("a value cannot be sent in a header: {0}")]
    Value(String),
    /// `Content-Type` is there twice.
    #[error("it has more than one Content-Type")]
    Several,
    /// The system gave no random bytes, or the key does not fit itself.
    #[error("the key did not sign")]
    Key,
}

impl From<InvalidHeaderValue> for SignError {
    fn from(error: InvalidHeaderValue) -> Self {
        Self::Value(error.to_string())
    }
}

/// Signs requests as one user, who can be renewed. Clones are of the same; the key is not printed.
#[derive(Clone)]
pub struct Signer(Renewable<Identity>);

/// A user with a key.
struct Identity {
    /// `tenancy/user/fingerprint`.
    key_id: Arc<str>,
    pair: KeyPair,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.0.now().key_id).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer of two OCIDs and a private key in PEM: PKCS#8 or PKCS#1, 2048 to 4096 bits, not
    /// encrypted. A fingerprint that is given must be the key's.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn new(
        tenancy: &str,
        user: &str,
        fingerprint: Option<Fingerprint>,
        pem: &str,
    ) -> Result<Self, KeyError> {
        let (pair, found) = private(pem)?;
        let known = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        for owner in [tenancy, user] {
            if owner.is_empty() || !owner.bytes().all(known) {
                return Err(KeyError::Owner(owner.to_owned()));
            }
        }
        if fingerprint.is_some_and(|given| given != found) {
            return Err(KeyError::Fingerprint(found));
        }
        let key_id = format!("{tenancy}/{user}/{found}").into();
        Ok(Self(Identity { key_id, pair }.into()))
    }

    /// What receivers know the key by: `tenancy/user/fingerprint`.
    pub fn key_id(&self) -> Arc<str> {
        Arc::clone(&self.0.now().key_id)
    }

    /// Signs as that other one from now on.
    pub fn renew(&self, other: &Self) {
        self.0.renew(&other.0);
    }

    /// Signs a request with an absolute URL: sets `Date`, `Host` and `Authorization`, and for POST,
    /// PUT and PATCH `Content-Length`, `x-content-sha256` and, where there is none, `Content-Type`.
    /// The request must be sent with the host, path, query and body that it has now. A request that
    /// is sent again is signed again: receivers refuse a date that is minutes old.
    ///
    /// # Errors
    /// Nothing is signed then.
    pub fn sign(&self, request: &mut Request<Bytes>, now: SystemTime) -> Result<(), SignError> {
        let identity = self.0.now();
        let host = request.uri().authority().ok_or(SignError::NoHost)?.as_str();
        let host = HeaderValue::from_str(host)?;
        let date = HeaderValue::from_str(&httpdate::fmt_http_date(now))?;
        let with_body = text::signs_body(request.method());
        let (length, sum) = (request.body().len(), content_sha256(request.body()));
        let headers = request.headers_mut();
        headers.insert(header::DATE, date);
        headers.insert(header::HOST, host.clone());
        let mut names = HEAD.to_vec();
        if with_body {
            headers.insert(header::CONTENT_LENGTH, length.into());
            headers.insert(HeaderName::from_static(CONTENT_SHA256), HeaderValue::from_str(&sum)?);
            let json = HeaderValue::from_static("application/json");
            headers.entry(header::CONTENT_TYPE).or_insert(json);
            names.extend(BODY);
        }
        let text = text::write(
            names.iter().copied(),
            request.method(),
            request.uri(),
            host.as_bytes(),
            request.headers(),
        );
        let signature =
            STANDARD.encode(identity.signature(&text.map_err(|_| SignError::Several)?)?);
        let authorization = format!(
            "Signature algorithm=\"rsa-sha256\",headers=\"{}\",keyId=\"{}\",signature=\"{signature}\",\
             version=\"1\"",
            names.join(" "),
            identity.key_id,
        );
        let mut authorization = HeaderValue::from_str(&authorization)?;
        authorization.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, authorization);
        Ok(())
    }
}

impl Identity {
    fn signature(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let signed = self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature);
        signed.map(|()| signature).map_err(|_| SignError::Key)
    }
}

/// What `x-content-sha256` says of a body.
pub(super) fn content_sha256(body: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PKCS8: &str = include_str!("../../tests/keys/user.pkcs8.pem");
    const PKCS1: &str = include_str!("../../tests/keys/user.pkcs1.pem");
    const TENANCY: &str = "ocid1.tenancy.oc1..aaaa";
    const USER: &str = "ocid1.user.oc1..bbbb";

    /// Fri, 20 Nov 2026 11:24:16 GMT.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_173_856)
    }

    fn signed(pem: &str, method: &str, url: &str, body: &'static str) -> Request<Bytes> {
        let mut request =
            Request::builder().method(method).uri(url).body(Bytes::from_static(body.as_bytes()));
        let request = request.as_mut().unwrap();
        Signer::new(TENANCY, USER, None, pem).unwrap().sign(request, now()).unwrap();
        request.clone()
    }

    fn header<'r>(request: &'r Request<Bytes>, name: &str) -> Option<&'r str> {
        request.headers().get(name).map(|value| value.to_str().unwrap())
    }

    /// Signatures that `oci.signer.Signer` of OCI's Python SDK 2.189.0 made with the same key at the
    /// same time.
    const PYTHON: [(&str, &str, &str, &str); 4] = [
        (
            "GET",
            "http://127.0.0.1:8080/20160918/workRequests?compartmentId=ocid1.tenancy.oc1..aaaa&page=a%2Fb+c",
            "",
            "NO9+8ADAG8ZHsN7umtI/2kD+nr6bZIogFEbBmjXDSI9DMtLPDx3/daEu//fR05qF8aprreIBjYN80l6cPzYb8nmi0Wh2U9qcPPiIOGnLQMFkRiy4vTqFHbSrxulYhFtGX94m2bL9JINWxxXorWvQlDcbEtjeG5H/kIJ8JHBPr+MlsWFiMiydyS/c9oeF6SpGFgQyth3rdD9+SWn7gWJi8m4PU+Md8dVKjAvM47NyGCJuXjRNUD559xiD9b0x9d4FEHQyCDIbeAziixCVIVrgHxrLMrh2gKxECuB9UoUVHRogxem/PlPhNYJJYfHlGyh0otql0RN/yecjqv0lOioz4A==",
        ),
        (
            "DELETE",
            "http://127.0.0.1:8080//20160918/compartments/ocid1.compartment.oc1..cccc",
            "",
            "heYf0U285KBC4XngshfwawG1PwvNYo+irlbzFFjLGnTYy0gm62Knyz8PfbxAdzEiARhEeoZsYn3OxIBH6SfhjCkBMh7sdlnGesypWFQW9KH5PDsb7z+9qS2JHIDGCO9NoWl+GUn7zQmOkSmGfueH9p3LUlrYS5XwXEYIUKvEA4AXL3f1CItjq+51FL2LGtMeN29M9UEr9zNh7Om2hiI+IJiCIUP/ElOu/sp+WCjCy+SNhc9WhRZtKNsAAThEvkETI1q1HhGL+agcHMp/R/fmJ4/rk6uqg0D9GcRW/UnswgFMog7faopxcUhzmI/IpeCSFYiIbNFzScvA/NB91ceteg==",
        ),
        (
            "POST",
            "http://identity.example.com/20160918/compartments/ocid1.compartment.oc1..cccc/actions/moveCompartment",
            "{\"targetCompartmentId\": \"ocid1.compartment.oc1..dddd\"}",
            "hhjdYYbeJ0Nan1hd5kCdbTSwmIA9Z781zB33DBi5lQUsWuJBeOXsGCAtRw6Prp6ylXqdfNt+dtejoOnXNnbyzuMERYHKA0sjuc+GT/YJV6IzzL3b5k5s5WjrcIDD4Qw2Bza4HXyaoaiz3SVbz+bnKf9aUoxLy9JQ1XCAmRnghK2Vnncc6L5jftxFAefgVNxgNNpD06HKJru7o3K8EdrKiUBH8jUwPCIreuGvWnEctIsRKHZS+uFwVxegFbt6TXYI/9UkzwZM6wJEER+1VRHyU2EugEYcuFqfCpcgq6I4AemnE5j/5dIaA7FI1Nl6DAXT7QHBbasWqa4C+F/e8ohpNw==",
        ),
        (
            "PUT",
            "http://identity.example.com/20160918/x",
            "",
            "T1hRwPkd4ymXISlGy3aiMa8TJuR2lY04P9LIw2fJ/vKdfpOrBlc9/cVNy4jTKLYzXoZNMyhuNShUSw14nbp6+wMCHqI3hWf4MzThM3zVa/BZwvTnRsj0weQb3TDlahCeZZwrm7bQ6dw5tHHMb6qf7R2sTL+Fcmi/PARXu38t6EKZvSEfqjGtl6TuSJ/mT10fszA26P11b8QVctz8UzhG6rjl8ILyBoFQuEBi1u0FnakVx7A1VvGfbAYRMwbZAs8/BF9Xf4CFz48IkDDmadJyS5vFlRg5oYxnDS/ggBZ/YXKgJhwyTOJS3B5Wh4mzFNPRAPoMp1AWKNkr8PYrNac1HA==",
        ),
    ];

    #[test]
    fn the_same_request_is_signed_as_the_python_sdk_signs_it() {
        let key_id = "ocid1.tenancy.oc1..aaaa/ocid1.user.oc1..bbbb/e2:5e:e0:03:58:1e:17:14:bc:f8:a8:44:5d:34:44:c2";
        for (method, url, body, signature) in PYTHON {
            for pem in [PKCS8, PKCS1] {
                let request = signed(pem, method, url, body);
                let with_body = " content-length content-type x-content-sha256";
                let names = if ["POST", "PUT"].contains(&method) { with_body } else { "" };
                let expected = format!(
                    "Signature algorithm=\"rsa-sha256\",headers=\"date (request-target) host{names}\",\
                     keyId=\"{key_id}\",signature=\"{signature}\",version=\"1\""
                );
                assert_eq!(header(&request, "authorization"), Some(&*expected), "{method}");
                assert_eq!(header(&request, "date"), Some("Fri, 20 Nov 2026 11:24:16 GMT"));
            }
        }
    }

    #[test]
    fn what_is_signed_of_a_body_is_sent_with_it() {
        let request = signed(PKCS8, "PATCH", "http://h:1/p", "{}");
        assert_eq!(header(&request, "host"), Some("h:1"));
        assert_eq!(header(&request, "content-length"), Some("2"));
        assert_eq!(header(&request, "content-type"), Some("application/json"));
        assert_eq!(
            header(&request, "x-content-sha256"),
            Some("RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=")
        );
        let request = signed(PKCS8, "DELETE", "http://h/p", "");
        for name in ["content-length", "content-type", "x-content-sha256"] {
            assert_eq!(header(&request, name), None);
        }
        // The host is the URL's, as the client of `gateway/egress` sends it, port and all.
        assert_eq!(header(&signed(PKCS8, "GET", "http://h:80/", ""), "host"), Some("h:80"));
    }

    #[test]
    fn a_request_that_cannot_be_signed_is_left_alone() {
        let signer = Signer::new(TENANCY, USER, None, PKCS8).unwrap();
        let mut request = Request::new(Bytes::new());
        assert_eq!(signer.sign(&mut request, now()), Err(SignError::NoHost));
        assert!(request.headers().is_empty());
        let mut request = Request::post("http://h/p")
            .header("content-type", "a/b")
            .header("content-type", "c/d")
            .body(Bytes::new())
            .unwrap();
        assert_eq!(signer.sign(&mut request, now()), Err(SignError::Several));
        assert_eq!(header(&request, "authorization"), None);
    }

    #[test]
    fn a_signer_names_its_key_and_does_not_print_it() {
        let signer = Signer::new(TENANCY, USER, None, PKCS8).unwrap();
        assert_eq!(
            format!("{signer:?}"),
            format!("Signer {{ key_id: {:?}, .. }}", signer.key_id())
        );
        let given = |text: &str| Signer::new(TENANCY, USER, Some(text.parse().unwrap()), PKCS8);
        assert!(given("E2:5E:E0:03:58:1E:17:14:BC:F8:A8:44:5D:34:44:C2").is_ok());
        let other = given("00:5e:e0:03:58:1e:17:14:bc:f8:a8:44:5d:34:44:c2").unwrap_err();
        assert!(other.to_string().contains("e2:5e:e0:"), "{other}");
        let owner = Signer::new("a\"b", USER, None, PKCS8).unwrap_err();
        assert_eq!(owner, KeyError::Owner("a\"b".to_owned()));
    }
}
