//! What is believed, and every way to be wrong.

mod draft;
mod hosts;
mod session;
mod vectors;
mod wire;
mod wrong;

use draft::{Draft, NOW, TENANCY, USER, keyring};

/// What the three official signers cover, with and without a body, in their own order and case.
const OFFICIAL: [(&str, &str); 3] = [
    ("date (request-target) host", "content-length content-type x-content-sha256"),
    ("x-date (request-target) host", "Content-Type Content-Length x-content-sha256"),
    // Names are as good in any order, and more may be signed than has to be.
    ("Host opc-request-id (request-target) DATE", "x-content-sha256 content-type content-length"),
];

#[test]
fn a_request_signed_as_official_clients_sign_it_is_its_users() {
    for (head, body) in OFFICIAL {
        for method in ["GET", "HEAD", "DELETE"] {
            let signed = Draft::new(method, "/20160918/workRequests?a=b%2Fc+d", "")
                .names(head)
                .header("opc-request-id", "r")
                .header("x-date", NOW)
                .verify()
                .unwrap();
            assert_eq!(&*signed.caller.principal, USER);
            assert_eq!(signed.caller.tenant.as_str(), "acme");
            assert_eq!(&*signed.tenancy, TENANCY);
        }
        for method in ["POST", "PUT", "PATCH"] {
            for text in ["", "{\"a\": 1}"] {
                Draft::new(method, "/20160918/x", text)
                    .names(&format!("{head} {body}"))
                    .header("opc-request-id", "r")
                    .header("x-date", NOW)
                    .verify()
                    .unwrap();
            }
        }
    }
}

#[test]
fn a_delete_with_what_the_python_sdk_sends_unsigned_is_taken() {
    Draft::new("DELETE", "/20160918/compartments/c", "").verify().unwrap();
    let draft = Draft::new("DELETE", "/20160918/compartments/c", "");
    draft.header("if-match", "e").header("opc-retry-token", "t").verify().unwrap();
}

#[test]
fn one_user_has_several_keys_while_they_are_replaced() {
    let mut keyring = keyring();
    let large = include_str!("../../tests/keys/large.public.pem");
    let large = super::PublicKey::from_pem(large, super::Strength::Strong).unwrap();
    let key_id = format!("{TENANCY}/{USER}/{}", large.fingerprint());
    keyring.insert_key(TENANCY, USER, large);
    assert_eq!(keyring.keys(), 2);
    Draft::new("GET", "/", "").verify_by(&keyring).unwrap();
    let draft = Draft::new("GET", "/", "").key_id(&key_id);
    let draft = draft.key(include_str!("../../tests/keys/large.pkcs8.pem"));
    draft.verify_by(&keyring).unwrap();
}

#[test]
fn a_key_of_a_tenancy_that_is_not_known_is_nobodys() {
    let mut keyring = super::Keyring::default();
    let key = include_str!("../../tests/keys/user.public.pem");
    let key = super::PublicKey::from_pem(key, super::Strength::Strong).unwrap();
    keyring.insert_key(TENANCY, USER, key);
    assert_eq!(keyring.keys(), 0);
    assert!(Draft::new("GET", "/", "").verify_by(&keyring).is_err());
}

#[test]
fn what_our_own_signer_signs_is_believed() {
    let pem = include_str!("../../tests/keys/user.pkcs1.pem");
    let signer = super::Signer::new(TENANCY, USER, None, pem).unwrap();
    for (method, url) in [
        ("GET", "http://h"),
        ("GET", "https://h:443//a/?"),
        ("DELETE", "http://[::1]:8080/20160918/compartments/c%2F?x=%20+"),
        ("POST", "http://h/20160918/compartments/c/actions/moveCompartment"),
        ("PUT", "http://h?q"),
    ] {
        let mut request =
            http::Request::builder().method(method).uri(url).body("{}".into()).unwrap();
        if !super::text::signs_body(request.method()) {
            *request.body_mut() = bytes::Bytes::new();
        }
        signer.sign(&mut request, draft::now()).unwrap();
        let (parts, body) = request.into_parts();
        // As a server sees it: the target without the host.
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('?') { format!("/{target}") } else { target.to_owned() };
        let presented = super::Presented {
            method: &parts.method,
            uri: &target.parse().unwrap(),
            headers: &parts.headers,
            body: &body,
        };
        assert!(keyring().verify(&presented, draft::now()).is_ok(), "{method} {url}");
    }
}
