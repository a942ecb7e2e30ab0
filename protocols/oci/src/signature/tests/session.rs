//! Session tokens.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use opgate_core::Tenant;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::draft::{Draft, TENANCY, keyring, now, signature};
use crate::signature::{Issuer, KeyError, Keyring, PublicKey, Reason, Strength, der, pem};

const ISSUER: &str = "authService.oracle.com";
const ISSUER_KEY: &str = include_str!("../../../tests/keys/issuer.pkcs8.pem");
const SESSION_KEY: &str = include_str!("../../../tests/keys/session.pkcs8.pem");
const SESSION_PUBLIC: &str = include_str!("../../../tests/keys/session.public.pem");
/// [`now`].
const NOW: u64 = 1_795_173_856;

fn issuing() -> Keyring {
    let mut keyring = keyring();
    let public = |text| PublicKey::from_pem(text, Strength::Strong).unwrap();
    // An issuer's old key comes first, and another issuer has it as well.
    let old = public(include_str!("../../../tests/keys/large.public.pem"));
    let new = public(include_str!("../../../tests/keys/issuer.public.pem"));
    for (issuer, keys) in [("other", vec![old.clone()]), (ISSUER, vec![old, new])] {
        let (issuer, audience) = (issuer.to_owned(), "oci".to_owned());
        keyring.insert_issuer(Issuer { issuer, audience, keys });
    }
    keyring
}

/// Modulus and exponent of the session's key, as a JWK has them.
fn numbers() -> (Vec<u8>, Vec<u8>) {
    let (_, bytes) = pem::first(SESSION_PUBLIC).unwrap();
    let (n, e) = der::spki(&bytes).unwrap();
    (n.to_vec(), e.to_vec())
}

fn jwk() -> Value {
    let (n, e) = numbers();
    json!({
        "kid": "asw", "kty": "RSA", "alg": "RS256", "use": "sig",
        "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e),
    })
}

fn claims() -> Value {
    json!({
        "sub": "ocid1.instance.oc1..iiii", "iss": ISSUER, "aud": "oci", "tenant": TENANCY,
        "ptype": "instance", "ttype": "x509", "fprint": "AA", "opc-tag": "V1",
        "iat": NOW - 60, "exp": NOW + 1140, "jti": "j", "jwk": jwk().to_string(),
    })
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn token(header: &Value, claims: &Value, key: &str) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(signature(key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn rs256() -> Value {
    json!({ "alg": "RS256", "typ": "JWT", "kid": "asw_jsi4q" })
}

/// A request of whoever has this token, and the session's key.
fn request(token: &str) -> Draft {
    Draft::new("GET", "/p", "").key(SESSION_KEY).key_id(&format!("ST${token}"))
}

fn refused(token: &str) -> Reason {
    request(token).verify_by(&issuing()).unwrap_err()
}

/// A token with other claims; `null` takes one away.
fn with(changes: &Value) -> String {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    token(&rs256(), &claims, ISSUER_KEY)
}

#[test]
fn the_key_in_a_token_signs_for_its_subject() {
    let good = token(&rs256(), &claims(), ISSUER_KEY);
    let signed = request(&good).verify_by(&issuing()).unwrap();
    assert_eq!(&*signed.caller.principal, "ocid1.instance.oc1..iiii");
    assert_eq!(signed.caller.tenant.as_str(), "acme");
    assert_eq!(&*signed.tenancy, TENANCY);
    for other in [
        json!({ "tenant": null, "res_tenant": TENANCY, "res_compartment": "c" }),
        json!({ "res_tenant": TENANCY }),
        json!({ "aud": ["x", "oci"] }),
        json!({ "nbf": NOW }),
        json!({ "iat": null }),
    ] {
        assert!(request(&with(&other)).verify_by(&issuing()).is_ok(), "{other}");
    }
}

#[test]
fn a_token_without_its_key_is_worth_nothing() {
    let good = token(&rs256(), &claims(), ISSUER_KEY);
    let stolen = request(&good).key(include_str!("../../../tests/keys/user.pkcs8.pem"));
    assert_eq!(stolen.verify_by(&issuing()), Err(Reason::Signature));
    let changed = request(&good).tamper(|sent| sent.go("/q"));
    assert_eq!(changed.verify_by(&issuing()), Err(Reason::Signature));
}

#[test]
fn only_rs256_is_a_signature() {
    let good = token(&rs256(), &claims(), ISSUER_KEY);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let problem = Reason::Token("is not signed with RS256");
    for alg in ["none", "None", "HS256", "RS512", "PS256", "ES256", "rs256", ""] {
        let header = part(&json!({ "alg": alg }));
        let (_, payload) = signed.split_once('.').unwrap();
        for signature in ["", signature] {
            assert_eq!(refused(&format!("{header}.{payload}.{signature}")), problem, "{alg}");
        }
        assert_eq!(refused(&token(&json!({ "alg": alg }), &claims(), ISSUER_KEY)), problem);
    }
    // The public key as the secret of an HMAC, which everybody could make.
    let header = part(&json!({ "alg": "HS256" }));
    let text = format!("{header}.{}", part(&claims()));
    let secret = ring::hmac::Key::new(
        ring::hmac::HMAC_SHA256,
        include_bytes!("../../../tests/keys/issuer.public.pem"),
    );
    let tag = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&secret, text.as_bytes()));
    assert_eq!(refused(&format!("{text}.{tag}")), problem);
    let critical = json!({ "alg": "RS256", "crit": ["b64"], "b64": false });
    assert_eq!(refused(&token(&critical, &claims(), ISSUER_KEY)), problem);
    // Nor does a key that comes along count.
    let own = json!({ "alg": "RS256", "jwk": jwk() });
    assert_eq!(refused(&token(&own, &claims(), SESSION_KEY)), Reason::Issuer);
}

#[test]
fn only_configured_issuers_are_believed() {
    let large = include_str!("../../../tests/keys/large.pkcs8.pem");
    assert!(request(&token(&rs256(), &claims(), large)).verify_by(&issuing()).is_ok());
    assert_eq!(refused(&token(&rs256(), &claims(), SESSION_KEY)), Reason::Issuer);
    // The key of one issuer is not another's.
    assert_eq!(refused(&with(&json!({ "iss": "other" }))), Reason::Issuer);
    assert_eq!(refused(&with(&json!({ "iss": "nobody" }))), Reason::Issuer);
    let good = token(&rs256(), &claims(), ISSUER_KEY);
    assert_eq!(request(&good).verify(), Err(Reason::Issuer));
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let mut forged = claims();
    forged["sub"] = json!("somebody");
    assert_eq!(refused(&format!("{head}.{}.{signature}", part(&forged))), Reason::Issuer);
}

#[test]
fn a_token_is_good_for_its_time() {
    let skew = 300;
    for (changes, problem) in [
        (json!({ "exp": NOW - skew }), Some("has expired")),
        (json!({ "exp": NOW - skew + 1 }), None),
        (json!({ "nbf": NOW + skew + 1 }), Some("is not valid yet")),
        (json!({ "nbf": NOW + skew }), None),
        (json!({ "iat": NOW + skew + 1 }), Some("is not valid yet")),
        (json!({ "exp": u64::MAX }), None),
        (json!({ "exp": 0 }), Some("has expired")),
    ] {
        let verified = request(&with(&changes)).verify_by(&issuing());
        let problem = problem.map(Reason::Expired);
        assert_eq!(verified.err(), problem, "{changes}");
    }
    let late = now() + Duration::from_mins(1);
    let short = with(&json!({ "exp": NOW - skew + 30 }));
    let verified = request(&short).verify_at(&issuing(), late);
    assert_eq!(verified, Err(Reason::Expired("has expired")));
}

#[test]
fn a_token_says_whose_it_is_and_for_whom() {
    let lacking = Reason::Token("lacks what a session token has");
    for (changes, problem) in [
        (json!({ "exp": null }), lacking.clone()),
        (json!({ "exp": "1795175056" }), lacking.clone()),
        (json!({ "exp": -1 }), lacking.clone()),
        (json!({ "sub": null }), lacking.clone()),
        (json!({ "iss": null }), lacking.clone()),
        (json!({ "aud": null }), lacking.clone()),
        (json!({ "jwk": null }), lacking.clone()),
        (json!({ "jwk": jwk() }), lacking.clone()),
        (json!({ "sub": "" }), Reason::Claims("is nobody's")),
        (json!({ "aud": "other" }), Reason::Claims("is for another audience")),
        (json!({ "aud": [] }), Reason::Claims("is for another audience")),
        (json!({ "aud": ["ocis"] }), Reason::Claims("is for another audience")),
        (json!({ "tenant": null }), Reason::Claims("is of no tenancy")),
        (json!({ "res_tenant": "t" }), Reason::Claims("is of two tenancies")),
        (
            json!({ "tenant": "ocid1.tenancy.oc1..zz" }),
            Reason::Tenancy("ocid1.tenancy.oc1..zz".to_owned()),
        ),
    ] {
        assert_eq!(refused(&with(&changes)), problem, "{changes}");
    }
    // What stands there twice could be read in two ways.
    let text = claims().to_string().replacen("\"sub\"", "\"sub\":\"x\",\"sub\"", 1);
    let signed = format!("{}.{}", part(&rs256()), URL_SAFE_NO_PAD.encode(text));
    let by_issuer = URL_SAFE_NO_PAD.encode(signature(ISSUER_KEY, signed.as_bytes()));
    assert_eq!(refused(&format!("{signed}.{by_issuer}")), lacking);
}

#[test]
fn the_sessions_key_is_a_good_one() {
    let (n, e) = numbers();
    let with_key = |name: &str, value: Value| {
        let mut jwk = jwk();
        jwk[name] = value;
        refused(&with(&json!({ "jwk": jwk.to_string() })))
    };
    let number = |bytes: &[u8]| json!(URL_SAFE_NO_PAD.encode(bytes));
    let small = Reason::SessionKey(KeyError::Bits(1024));
    let exponent = Reason::SessionKey(KeyError::Exponent);
    assert_eq!(with_key("n", number(&n[..128])), small);
    assert_eq!(with_key("n", number(&[])), Reason::SessionKey(KeyError::Bits(0)));
    assert_eq!(with_key("n", number(&n.repeat(5))), Reason::SessionKey(KeyError::Bits(10240)));
    for even in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[4, 0, 0, 0, 1]] {
        assert_eq!(with_key("e", number(even)), exponent, "{even:?}");
    }
    assert_eq!(with_key("e", number(&[3])), Reason::Signature);
    // An even modulus is no product of odd primes: ring does not work with it.
    let mut even = n.clone();
    *even.last_mut().unwrap() &= 0xfe;
    assert_eq!(with_key("n", number(&even)), Reason::Signature);
    let broken = Reason::Claims("has a jwk that is no RSA key for signatures");
    for (name, value) in [
        ("kty", json!("oct")),
        ("kty", json!("EC")),
        ("alg", json!("HS256")),
        ("use", json!("enc")),
        ("n", json!(STANDARD.encode(&n))),
        ("n", json!(7)),
        ("e", json!("!")),
    ] {
        assert_eq!(with_key(name, value.clone()), broken, "{name} {value}");
    }
    for jwk in ["", "{}", "[]", "null"] {
        assert_eq!(refused(&with(&json!({ "jwk": jwk }))), broken, "{jwk}");
    }
    // A zero in front, for the sign, changes nothing.
    let signed = {
        let mut jwk = jwk();
        jwk["n"] = number(&[&[0], &n[..]].concat());
        jwk["e"] = number(&[&[0], &e[..]].concat());
        with(&json!({ "jwk": jwk.to_string() }))
    };
    assert!(request(&signed).verify_by(&issuing()).is_ok());
}

#[test]
fn what_is_no_token_is_refused() {
    let good = token(&rs256(), &claims(), ISSUER_KEY);
    let no_jwt = Reason::Token("is no JWT");
    let (head, rest) = good.split_once('.').unwrap();
    for text in ["", ".", "a.b", &format!("{good}="), &format!("!.{rest}"), &format!("{head}.!.x")]
    {
        assert_eq!(refused(text), no_jwt, "{text}");
    }
    for text in ["..", &format!(".{rest}"), &format!("{good}.x"), &format!("{head}..x")] {
        assert!(matches!(refused(text), Reason::Token(_)), "{text}");
    }
    let long = with(&json!({ "x": "y".repeat(9000) }));
    assert!(long.len() > 12 * 1024 && long.len() < 15 * 1024, "{}", long.len());
    assert_eq!(refused(&long), Reason::Token("is longer than 12 KiB"));
    // The prefix is part of the name: a user's keyId is no token, nor the other way round.
    let bare = request(&good).key_id(&good).verify_by(&issuing()).unwrap_err();
    assert!(matches!(bare, Reason::Key(_)), "{bare}");
}

#[test]
fn tenancies_of_one_gateway_stay_apart() {
    let tenancies =
        [("ta", "a"), ("tb", "b")].map(|(id, name)| (id.to_owned(), Tenant::new(name).unwrap()));
    let mut keyring = Keyring::new(tenancies, crate::signature::CLOCK_SKEW, Vec::new());
    let keys = vec![
        PublicKey::from_pem(
            include_str!("../../../tests/keys/issuer.public.pem"),
            Strength::Strong,
        )
        .unwrap(),
    ];
    keyring.insert_issuer(Issuer { issuer: ISSUER.to_owned(), audience: "oci".to_owned(), keys });
    for (tenancy, tenant) in [("ta", "a"), ("tb", "b")] {
        let signed = request(&with(&json!({ "tenant": tenancy }))).verify_by(&keyring).unwrap();
        assert_eq!((signed.caller.tenant.as_str(), &*signed.tenancy), (tenant, tenancy));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_letter_of_a_token_can_be_changed(at: prop::sample::Index, to in "[A-Za-z0-9_.-]") {
        let good = token(&rs256(), &claims(), ISSUER_KEY);
        let at = at.index(good.len());
        let changed = format!("{}{to}{}", good.get(..at).unwrap(), good.get(at + 1..).unwrap());
        let verified = request(&changed).verify_by(&issuing());
        prop_assert_eq!(verified.is_ok(), changed == good);
    }
}
