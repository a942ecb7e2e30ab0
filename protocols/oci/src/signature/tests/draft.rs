//! Requests, signed right or wrong.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use opgate_core::Tenant;
use ring::rand::SystemRandom;
use ring::signature::RSA_PKCS1_SHA256;

use crate::signature::key::private;
use crate::signature::sign::content_sha256;
use crate::signature::{Keyring, Presented, PublicKey, Reason, Signed, Strength};

pub(super) const NOW: &str = "Fri, 20 Nov 2026 11:24:16 GMT";
pub(super) const TENANCY: &str = "ocid1.tenancy.oc1..aaaa";
pub(super) const USER: &str = "ocid1.user.oc1..bbbb";
const FINGERPRINT: &str = "e2:5e:e0:03:58:1e:17:14:bc:f8:a8:44:5d:34:44:c2";

/// [`NOW`].
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_173_856)
}

/// A keyring with one user of one tenancy.
pub(super) fn keyring() -> Keyring {
    serving(&[])
}

/// The same for some hosts only.
pub(super) fn serving(hosts: &[&str]) -> Keyring {
    let tenancies = [(TENANCY.to_owned(), Tenant::new("acme").unwrap())];
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut keyring = Keyring::new(tenancies, crate::signature::CLOCK_SKEW, hosts);
    let pem = include_str!("../../../tests/keys/user.public.pem");
    let key = PublicKey::from_pem(pem, Strength::Strong).unwrap();
    keyring.insert_key(TENANCY, USER, key);
    keyring
}

/// The signature of a text by a key.
pub(super) fn signature(pem: &str, text: &[u8]) -> Vec<u8> {
    let (pair, _) = private(pem).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).unwrap();
    signature
}

/// A request as a client would sign and send it. What a test changes with [`Draft::tamper`] changes
/// after it was signed.
pub(super) struct Draft {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    names: String,
    key: String,
    key_id: String,
    parameters: String,
    tamper: Vec<Tamper>,
}

type Tamper = Box<dyn FnOnce(&mut Sent)>;

/// What arrives.
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Sent {
    /// Asks for another target.
    pub(super) fn go(&mut self, target: &str) {
        self.uri = target.parse().unwrap();
    }

    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        let value = HeaderValue::from_str(value).unwrap();
        self.headers.insert(HeaderName::from_static(name), value);
    }

    pub(super) fn add(&mut self, name: &'static str, value: &str) {
        let value = HeaderValue::from_str(value).unwrap();
        self.headers.append(HeaderName::from_static(name), value);
    }
}

impl Draft {
    /// A request as the Python SDK would sign it.
    pub(super) fn new(method: &str, target: &str, body: &str) -> Self {
        let mut headers = vec![
            ("date".to_owned(), NOW.to_owned()),
            ("host".to_owned(), "h:80".to_owned()),
            ("content-type".to_owned(), "application/json".to_owned()),
            ("content-length".to_owned(), body.len().to_string()),
        ];
        let mut names = "date (request-target) host".to_owned();
        if ["POST", "PUT", "PATCH"].contains(&method) {
            headers.push(("x-content-sha256".to_owned(), content_sha256(body.as_bytes())));
            names.push_str(" content-length content-type x-content-sha256");
        }
        Self {
            method: method.parse().unwrap(),
            target: target.to_owned(),
            headers,
            body: body.to_owned(),
            names,
            key: include_str!("../../../tests/keys/user.pkcs8.pem").to_owned(),
            key_id: format!("{TENANCY}/{USER}/{FINGERPRINT}"),
            parameters: "version=\"1\",algorithm=\"rsa-sha256\"".to_owned(),
            tamper: Vec::new(),
        }
    }

    /// Sets a header, before anything is signed.
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Signs these, in this order.
    pub(super) fn names(mut self, names: &str) -> Self {
        names.clone_into(&mut self.names);
        self
    }

    pub(super) fn key(mut self, pem: &str) -> Self {
        pem.clone_into(&mut self.key);
        self
    }

    pub(super) fn key_id(mut self, key_id: &str) -> Self {
        key_id.clone_into(&mut self.key_id);
        self
    }

    /// What stands in the Authorization beside keyId, headers and signature.
    pub(super) fn parameters(mut self, parameters: &str) -> Self {
        parameters.clone_into(&mut self.parameters);
        self
    }

    pub(super) fn tamper(mut self, tamper: impl FnOnce(&mut Sent) + 'static) -> Self {
        self.tamper.push(Box::new(tamper));
        self
    }

    /// The text that is signed, written anew from the rules of the protocol.
    fn text(&self) -> String {
        let line = |name: &str| {
            let name = name.to_lowercase();
            let value = if name == "(request-target)" {
                format!("{} {}", self.method.as_str().to_lowercase(), self.target)
            } else {
                let value = self.headers.iter().find(|(known, _)| *known == name);
                value.map_or_else(String::new, |(_, value)| value.clone())
            };
            format!("{name}: {value}")
        };
        self.names.split(' ').map(line).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn sent(self) -> Sent {
        let signature = STANDARD.encode(signature(&self.key, self.text().as_bytes()));
        let Self { key_id, names, parameters, .. } = &self;
        let authorization = format!(
            "Signature {parameters},keyId=\"{key_id}\",headers=\"{names}\",signature=\"{signature}\""
        );
        let mut headers = HeaderMap::new();
        for (name, value) in
            self.headers.iter().chain(&[("authorization".to_owned(), authorization)])
        {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let uri = self.target.parse().unwrap();
        let mut sent = Sent { method: self.method, uri, headers, body: self.body };
        for tamper in self.tamper {
            tamper(&mut sent);
        }
        sent
    }

    pub(super) fn verify(self) -> Result<Signed, Reason> {
        self.verify_by(&keyring())
    }

    pub(super) fn verify_by(self, keyring: &Keyring) -> Result<Signed, Reason> {
        self.verify_at(keyring, now())
    }

    pub(super) fn verify_at(self, keyring: &Keyring, now: SystemTime) -> Result<Signed, Reason> {
        let Sent { method, uri, headers, body } = self.sent();
        let body = body.as_bytes();
        let presented = Presented { method: &method, uri: &uri, headers: &headers, body };
        keyring.verify(&presented, now)
    }
}
