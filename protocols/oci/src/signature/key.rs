//! RSA keys: as files have them, and what they can be asked.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use md5::{Digest as _, Md5};
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::{
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
};

use super::{der, pem};

/// How large a public key may be, in bits.
const BITS: RangeInclusive<usize> = 2048..=8192;

/// Which keys are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strength {
    /// 2048 to 8192 bits.
    #[default]
    Strong,
    /// From 1024 bits on: for published samples, never for a gateway.
    Sample,
}

/// A key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM block, or one with bytes missing.
    #[error("holds no whole PEM block (-----BEGIN … to -----END …)")]
    NoPem,
    /// A private key under a pass phrase.
    #[error(
        "is encrypted, and opgate asks nobody for a pass phrase: give it a decrypted one, such as \
         `openssl rsa -in KEY -out DECRYPTED` writes"
    )]
    Encrypted,
    /// Another kind of block.
    #[error("is a {found:?}, where {allowed} is expected")]
    Label {
        /// The label of the block.
        found: String,
        /// Those that are read.
        allowed: &'static str,
    },
    /// The block's bytes are no RSA key.
    #[error("holds no RSA key{0}")]
    NotRsa(String),
    /// Too weak, or slower than is of use.
    #[error("is an RSA key of {0} bits: must be 2048 to 8192")]
    Bits(usize),
    /// An exponent that no RSA key has.
    #[error("has a public exponent that is not odd, below 3 or above 33 bits")]
    Exponent,
    /// What is given as a tenancy or user is none.
    #[error("{0:?} must be an OCID: letters, digits, '.', '_' and '-'")]
    Owner(String),
    /// The fingerprint beside the key is another one's.
    #[error("has the fingerprint {0}, not the one that is given")]
    Fingerprint(Fingerprint),
}

/// What OCI names a key by: MD5 over its DER `SubjectPublicKeyInfo`. It identifies a key of one user,
/// and protects nothing. Prints as 16 pairs of lower-case hex digits with colons between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    fn of(modulus: &[u8], exponent: &[u8]) -> Self {
        Self(Md5::digest(der::write_spki(modulus, exponent)).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            let colon = if position == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

/// A text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 16 pairs of hex digits with colons between, such as 73:61:a2:…")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let pair = |pair: &str| match pair.as_bytes() {
            [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                u8::from_str_radix(pair, 16).ok()
            }
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.split(':').take(17).map(pair).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(FingerprintError)
    }
}

/// The public half of an RSA key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Without zeros in front, as is the exponent.
    modulus: Box<[u8]>,
    exponent: Box<[u8]>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl PublicKey {
    /// Reads a PEM file: `PUBLIC KEY` or `RSA PUBLIC KEY`.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn from_pem(text: &str, strength: Strength) -> Result<Self, KeyError> {
        let (label, bytes) = pem::first(text).ok_or(KeyError::NoPem)?;
        let numbers = match label {
            "PUBLIC KEY" => der::spki(&bytes),
            "RSA PUBLIC KEY" => der::pkcs1(&bytes),
            _ => {
                let allowed = "\"PUBLIC KEY\" or \"RSA PUBLIC KEY\"";
                return Err(KeyError::Label { found: label.to_owned(), allowed });
            }
        };
        let (modulus, exponent) = numbers.ok_or(KeyError::NotRsa(String::new()))?;
        Self::from_numbers(modulus, exponent, strength)
    }

    /// A key of its numbers, big-endian, without zeros in front.
    ///
    /// # Errors
    /// They make no key that is believed.
    pub(super) fn from_numbers(
        modulus: &[u8],
        exponent: &[u8],
        strength: Strength,
    ) -> Result<Self, KeyError> {
        let bits = match strength {
            Strength::Strong => BITS,
            Strength::Sample => 1024..=*BITS.end(),
        };
        let length = length(modulus);
        if !bits.contains(&length) {
            return Err(KeyError::Bits(length));
        }
        let odd = exponent.last().is_some_and(|last| last % 2 == 1);
        let sound = odd && exponent != [1] && (1..=33).contains(&self::length(exponent));
        if !sound {
            return Err(KeyError::Exponent);
        }
        Ok(Self { modulus: modulus.into(), exponent: exponent.into() })
    }

    /// What OCI names it by.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.modulus, &self.exponent)
    }

    /// Whether it signed `text`, by RSASSA-PKCS1-v1_5 with SHA-256.
    pub fn signed(&self, text: &[u8], signature: &[u8]) -> bool {
        // Whether a key is strong enough was decided when it was read.
        let weak = length(&self.modulus) < *BITS.start();
        let parameters: &RsaParameters = if weak {
            &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
        } else {
            &RSA_PKCS1_2048_8192_SHA256
        };
        let numbers = PublicKeyComponents { n: &*self.modulus, e: &*self.exponent };
        numbers.verify(parameters, text, signature).is_ok()
    }
}

/// The bits of a number without zeros in front; 0 of one with them.
fn length(digits: &[u8]) -> usize {
    match digits.first() {
        None | Some(0) => 0,
        Some(first) => digits.len() * 8 - first.leading_zeros() as usize,
    }
}

/// Reads a PEM file with a private key: `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1).
pub(super) fn private(text: &str) -> Result<(KeyPair, Fingerprint), KeyError> {
    // A PKCS#1 block says so in a header line of its own.
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(KeyError::Encrypted);
    }
    let (label, bytes) = pem::first(text).ok_or(KeyError::NoPem)?;
    let pair = match label {
        "PRIVATE KEY" => KeyPair::from_pkcs8(&bytes),
        "RSA PRIVATE KEY" => KeyPair::from_der(&bytes),
        _ => {
            let allowed = "\"PRIVATE KEY\" or \"RSA PRIVATE KEY\"";
            return Err(KeyError::Label { found: label.to_owned(), allowed });
        }
    };
    let pair = pair.map_err(|problem| {
        KeyError::NotRsa(format!(" of 2048 to 4096 bits that can sign: {problem}"))
    })?;
    let PublicKeyComponents::<Vec<u8>> { n, e } = pair.public().into();
    let fingerprint = Fingerprint::of(&n, &e);
    Ok((pair, fingerprint))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = include_str!("../../tests/keys/user.public.pem");
    /// The public key of OCI's documentation on request signatures: 1024 bits.
    const DOCUMENTED: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCFENGw33yGihy92pDjZQhl0C3
6rPJj+CvfSC8+q28hxA161QFNUd13wuCTUcq0Qd2qsBe/2hFyc2DCJJg0h1L78+6
Z4UMR7EOcpfdUE9Hf3m/hs+FUR45uBJeDK1HSFHD8bHKD6kv8FPGfJTotc+2xjJw
oYi+1hqp1fIekaxsyQIDAQAB
-----END PUBLIC KEY-----
";

    #[test]
    fn a_fingerprint_is_that_of_the_documentation() {
        let key = PublicKey::from_pem(DOCUMENTED, Strength::Sample).unwrap();
        let shown = "73:61:a2:21:67:e0:df:be:7e:4b:93:1e:15:98:a5:b7";
        assert_eq!(key.fingerprint().to_string(), shown);
        assert_eq!(shown.parse(), Ok(key.fingerprint()));
        assert_eq!(shown.to_uppercase().parse(), Ok(key.fingerprint()));
        for text in ["", "73", "73:61:a2:21:67:e0:df:be:7e:4b:93:1e:15:98:a5", "+3:61"] {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError), "{text}");
        }
        assert!(format!("{shown}:00").parse::<Fingerprint>().is_err());
        assert!(shown.replace("73", "+3").parse::<Fingerprint>().is_err());
    }

    #[test]
    fn both_forms_of_a_key_are_the_same_key() {
        let spki = PublicKey::from_pem(USER, Strength::Strong).unwrap();
        let pkcs1 = include_str!("../../tests/keys/user.public.pkcs1.pem");
        assert_eq!(PublicKey::from_pem(pkcs1, Strength::Strong).unwrap(), spki);
        let (_, fingerprint) = private(include_str!("../../tests/keys/user.pkcs8.pem")).unwrap();
        assert_eq!(fingerprint, spki.fingerprint());
        // As OpenSSL and `oci setup keys` name it.
        let shown = "e2:5e:e0:03:58:1e:17:14:bc:f8:a8:44:5d:34:44:c2";
        assert_eq!(fingerprint.to_string(), shown);
        // `oci setup keys` puts a line of its own behind a key.
        let labelled = format!("\r\n{}OCI_API_KEY\n", USER.replace('\n', "\r\n"));
        assert_eq!(PublicKey::from_pem(&labelled, Strength::Strong).unwrap(), spki);
    }

    #[test]
    fn every_public_key_that_is_no_good_says_why() {
        let weak = include_str!("../../tests/keys/weak.public.pem");
        let curve = include_str!("../../tests/keys/curve.public.pem");
        let secret = include_str!("../../tests/keys/user.pkcs8.pem");
        for (pem, problem) in [
            (weak, "is an RSA key of 1024 bits: must be 2048 to 8192"),
            (curve, "holds no RSA key"),
            (
                secret,
                "is a \"PRIVATE KEY\", where \"PUBLIC KEY\" or \"RSA PUBLIC KEY\" is expected",
            ),
            ("", "holds no whole PEM block (-----BEGIN … to -----END …)"),
            (USER.get(..200).unwrap(), "holds no whole PEM block (-----BEGIN … to -----END …)"),
            (
                &USER.replacen("MII", "MI", 1),
                "holds no whole PEM block (-----BEGIN … to -----END …)",
            ),
            (&USER.replacen("MIIB", "MIIC", 1), "holds no RSA key"),
        ] {
            let error = PublicKey::from_pem(pem, Strength::Strong).unwrap_err();
            assert_eq!(error.to_string(), problem);
        }
        assert!(PublicKey::from_pem(weak, Strength::Sample).is_ok());
    }

    #[test]
    fn an_exponent_is_odd_and_not_one() {
        let modulus = [0xff; 256];
        let key = |e: &[u8]| PublicKey::from_numbers(&modulus, e, Strength::Strong);
        for exponent in [&[3][..], &[17], &[1, 0, 1], &[1, 0xff, 0xff, 0xff, 0xff]] {
            assert!(key(exponent).is_ok(), "{exponent:?}");
        }
        for exponent in [&[][..], &[0], &[1], &[2], &[4], &[1, 0], &[0, 3], &[2, 0, 0, 0, 1]] {
            assert_eq!(key(exponent), Err(KeyError::Exponent), "{exponent:?}");
        }
        let bits = |modulus: &[u8]| PublicKey::from_numbers(modulus, &[3], Strength::Strong);
        assert_eq!(bits(&[0x7f; 256]), Err(KeyError::Bits(2047)));
        assert_eq!(bits(&[0; 256]), Err(KeyError::Bits(0)));
        assert_eq!(bits(&[0xff; 1025]), Err(KeyError::Bits(8200)));
        assert!(bits(&[0xff; 1024]).is_ok());
    }

    #[test]
    fn every_private_key_that_is_no_good_says_why() {
        let problem = |pem: &str| private(pem).unwrap_err().to_string();
        for encrypted in [
            include_str!("../../tests/keys/encrypted.pkcs8.pem"),
            include_str!("../../tests/keys/encrypted.pkcs1.pem"),
        ] {
            assert!(problem(encrypted).starts_with("is encrypted, and opgate asks nobody"));
        }
        assert!(problem(USER).starts_with("is a \"PUBLIC KEY\", where \"PRIVATE KEY\""));
        let sign = "holds no RSA key of 2048 to 4096 bits that can sign: ";
        let weak = include_str!("../../tests/keys/weak.pkcs8.pem");
        assert_eq!(problem(weak), format!("{sign}TooSmall"));
        let curve = include_str!("../../tests/keys/curve.pkcs8.pem");
        assert_eq!(problem(curve), format!("{sign}WrongAlgorithm"));
        assert!(problem("KEY").starts_with("holds no whole PEM block"));
    }
}
