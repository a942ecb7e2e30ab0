//! OCIDs: `ocid1.<type>.<realm>.<region>.<unique>`. Clients take them as opaque texts.

use std::fmt;

use opgate_core::OperationId;

/// What stands before the operation's id, so that the unique part has the usual 60 characters.
const PADDING: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// What the type of every work request's OCID ends with.
const TYPE: &str = "workrequest";

/// How the OCIDs of this gateway's work requests look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ocids {
    /// The realm, such as `oc1`.
    pub realm: String,
    /// The region, such as `iad`; empty where there is none.
    pub region: String,
}

impl Ocids {
    /// The OCID of an operation's work request, of the type `{service}workrequest`.
    pub fn of(&self, service: &str, id: OperationId) -> String {
        let Self { realm, region } = self;
        let letters = service.chars().filter(char::is_ascii_alphanumeric);
        let service: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
        format!("ocid1.{service}{TYPE}.{realm}.{region}.{PADDING}{id}")
    }
}

/// The operation that an OCID of ours names, whatever its type, realm and region say: one operation
/// is read under any of its names.
pub fn read(ocid: &str) -> Option<OperationId> {
    let mut parts = ocid.split('.');
    if parts.next() != Some("ocid1") {
        return None;
    }
    let (_type, _realm, _region, unique) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    unique.strip_prefix(PADDING)?.parse().ok()
}

/// Whether a text is the OCID of a tenancy.
pub fn is_tenancy(text: &str) -> bool {
    text.starts_with("ocid1.tenancy.")
}

/// Whether a word can be the realm or the region in an OCID.
///
/// # Errors
/// What is wrong with it, and what is allowed.
pub fn check_part(word: &str) -> Result<(), String> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if word.len() <= 32 && word.bytes().all(letter) {
        Ok(())
    } else {
        Err("must be at most 32 of the characters a-z, 0-9 and -".to_owned())
    }
}

impl fmt::Display for Ocids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ocid1.*.{}.{}.*", self.realm, self.region)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ocids() -> Ocids {
        Ocids { realm: "oc1".to_owned(), region: String::new() }
    }

    #[test]
    fn an_ocid_looks_as_oracles_do() {
        let ocid = ocids().of("identity", OperationId::from_bits(1));
        let unique = ocid.strip_prefix("ocid1.identityworkrequest.oc1..").unwrap();
        assert_eq!(unique.len(), 60);
        assert!(unique.starts_with("aaaa") && unique.ends_with("01"), "{ocid}");
        let phoenix = Ocids { region: "phx".to_owned(), ..ocids() };
        let ocid = phoenix.of("container-engine", OperationId::from_bits(1));
        assert!(ocid.starts_with("ocid1.containerengineworkrequest.oc1.phx.a"), "{ocid}");
    }

    #[test]
    fn what_is_none_of_ours_names_nothing() {
        for text in [
            "",
            "ocid1",
            "ocid1.identityworkrequest.oc1..",
            "ocid1.identityworkrequest.oc1..aaaa",
            "ocid2.identityworkrequest.oc1..aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa00000000000000000000000001",
            "ocid1.identityworkrequest.oc1.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa00000000000000000000000001",
            "ocid1.identityworkrequest.oc1..aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa00000000000000000000000001.",
            "00000000000000000000000001",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_ocid_leads_to_its_operation(
            bits: u128, service in "[a-z-]{0,8}", realm in "[a-z0-9]{1,4}", region in "[a-z]{0,4}",
        ) {
            let id = OperationId::from_bits(bits);
            prop_assert_eq!(read(&Ocids { realm, region }.of(&service, id)), Some(id));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,120}") {
            let _id = read(&text);
        }
    }
}
