//! Session tokens: `keyId="ST$<JWT>"`, of instances, resources and people who logged in.
//!
//! The JWT (RFC 7519) is signed by an issuer that the configuration names, always with RS256, and
//! holds the public key that signed the request. Tokens cannot be recalled: each is good until it
//! expires.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::key::{PublicKey, Strength};
use super::reason::Reason;

/// How the keyId of a session begins.
pub(super) const PREFIX: &str = "ST$";
/// Longest token, in bytes.
pub(super) const TOKEN_BYTES: usize = 12 * 1024;

/// Who signs session tokens.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What it calls itself: the claim `iss`, word for word.
    pub issuer: String,
    /// Whom its tokens must be for: the claim `aud`, or one of its list.
    pub audience: String,
    /// Its keys; more than one while they are replaced.
    pub keys: Vec<PublicKey>,
}

/// What a token says that is believed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// The OCID of the tenancy.
    pub(super) tenancy: String,
    /// Whose session it is.
    pub(super) subject: String,
    /// The key of the session, which signs its requests.
    pub(super) key: PublicKey,
}

/// What is read of the token's header. A member that stands there twice is an error, in both.
#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<IgnoredAny>,
}

/// What is read of the token's payload.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    exp: u64,
    nbf: Option<u64>,
    iat: Option<u64>,
    tenant: Option<String>,
    res_tenant: Option<String>,
    /// A text with JSON in it.
    jwk: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// What is read of the session's key (RFC 7517, 7518).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    n: String,
    e: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
}

impl Session {
    /// Believes a token, or not.
    pub(super) fn open(
        token: &str,
        issuers: &[Issuer],
        now: SystemTime,
        skew: Duration,
    ) -> Result<Self, Reason> {
        if token.len() > TOKEN_BYTES {
            return Err(Reason::Token("is longer than 12 KiB"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(NO_JWT)?;
        let (header, payload) = signed.split_once('.').ok_or(NO_JWT)?;
        // Not of the token's choice: what would be verified otherwise, or not at all, is refused.
        let header: Header = part(header)?;
        if header.alg != "RS256" || header.crit.is_some() {
            return Err(Reason::Token("is not signed with RS256"));
        }
        let claims: Claims = part(payload)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| NO_JWT)?;
        let mut known = issuers.iter().filter(|issuer| issuer.issuer == claims.iss);
        let issuer = known
            .find(|issuer| issuer.keys.iter().any(|key| key.signed(signed.as_bytes(), &signature)));
        let issuer = issuer.ok_or(Reason::Issuer)?;
        let is_for_us = match &claims.aud {
            Audience::One(audience) => *audience == issuer.audience,
            Audience::Many(all) => all.contains(&issuer.audience),
        };
        if !is_for_us {
            return Err(Reason::Claims("is for another audience"));
        }
        in_time(&claims, now, skew)?;
        let tenancy = match (claims.tenant, claims.res_tenant) {
            (Some(tenancy), None) | (None, Some(tenancy)) => tenancy,
            (Some(tenancy), Some(same)) if tenancy == same => tenancy,
            (Some(_), Some(_)) => return Err(Reason::Claims("is of two tenancies")),
            (None, None) => return Err(Reason::Claims("is of no tenancy")),
        };
        if claims.sub.is_empty() {
            return Err(Reason::Claims("is nobody's"));
        }
        Ok(Self { tenancy, subject: claims.sub, key: key(&claims.jwk)? })
    }
}

const NO_JWT: Reason = Reason::Token("is no JWT");

/// One part of a token.
fn part<T: DeserializeOwned>(text: &str) -> Result<T, Reason> {
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| NO_JWT)?;
    serde_json::from_slice(&json).map_err(|_| Reason::Token("lacks what a session token has"))
}

/// Whether a token is valid now, as far as clocks agree.
fn in_time(claims: &Claims, now: SystemTime, skew: Duration) -> Result<(), Reason> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let skew = skew.as_secs();
    if claims.exp.saturating_add(skew) <= now {
        return Err(Reason::Expired("has expired"));
    }
    let begins = claims.nbf.into_iter().chain(claims.iat).max().unwrap_or(0);
    if begins > now.saturating_add(skew) {
        return Err(Reason::Expired("is not valid yet"));
    }
    Ok(())
}

/// The key of the session.
fn key(jwk: &str) -> Result<PublicKey, Reason> {
    let broken = || Reason::Claims("has a jwk that is no RSA key for signatures");
    let jwk: Jwk = serde_json::from_str(jwk).map_err(|_| broken())?;
    let fits = |said: &Option<String>, one: &str| said.as_deref().is_none_or(|said| said == one);
    if jwk.kty != "RSA" || !fits(&jwk.alg, "RS256") || !fits(&jwk.usage, "sig") {
        return Err(broken());
    }
    let number = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| broken());
    let (modulus, exponent) = (number(&jwk.n)?, number(&jwk.e)?);
    // Some writers keep the sign's zero.
    let digits = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        number.get(zeros..).unwrap_or_default().to_vec()
    };
    let key = PublicKey::from_numbers(&digits(&modulus), &digits(&exponent), Strength::Strong);
    key.map_err(Reason::SessionKey)
}
