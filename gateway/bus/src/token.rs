//! Page tokens: where a page ended, sealed so that it cannot be read, altered or used elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use opgate_core::{Error, ErrorKind, Parent, Seq, Tenant};

/// Long enough to be drawn at random for every token a gateway will ever make.
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// The token's own format, so that a later one can tell it apart.
const FORMAT: u8 = 1;
const PLAIN_BYTES: usize = 9;
const SEALED_BYTES: usize = NONCE_BYTES + PLAIN_BYTES + TAG_BYTES;

/// The listing a token belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) scope: &'a Parent,
    pub(crate) filter: &'a str,
}

impl Bound<'_> {
    /// Every part behind its length, so that no two listings read the same.
    fn text(self) -> Vec<u8> {
        let mut text = b"opgate page token".to_vec();
        for part in [self.tenant.as_str(), self.scope.as_str(), self.filter] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        text
    }
}

/// Makes and opens tokens.
pub(crate) struct Sealer(XChaCha20Poly1305);

impl Sealer {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&secret.into()))
    }

    /// The token of a page that ended at `last`. 66 characters.
    pub(crate) fn seal(&self, bound: Bound<'_>, last: Seq) -> Result<String, Error> {
        let unsealed = |_| Error::new(ErrorKind::Internal, "a page token could not be made");
        let mut sealed = [0; NONCE_BYTES].to_vec();
        getrandom::fill(&mut sealed)
            .map_err(|error| unsealed(chacha20poly1305::Error).with_source(error))?;
        let mut plain = [FORMAT; PLAIN_BYTES];
        plain[1..].copy_from_slice(&last.0.to_be_bytes());
        let payload = Payload { msg: &plain, aad: &bound.text() };
        let nonce = nonce(&sealed).ok_or(chacha20poly1305::Error).map_err(unsealed)?;
        let body = self.0.encrypt(&nonce, payload).map_err(unsealed)?;
        sealed.extend(body);
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Where the page that a token came with ended.
    pub(crate) fn open(&self, bound: Bound<'_>, token: &str) -> Result<Seq, Error> {
        let malformed =
            || Error::invalid("page_token", "is not a page token: it was cut short or altered");
        let foreign = || {
            Error::invalid(
                "page_token",
                "does not belong to this listing: it was altered, or came with another parent or filter; begin again without one",
            )
        };
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| malformed())?;
        if sealed.len() != SEALED_BYTES {
            return Err(malformed());
        }
        let (head, body) = sealed.split_at(NONCE_BYTES);
        let payload = Payload { msg: body, aad: &bound.text() };
        let nonce = nonce(head).ok_or_else(malformed)?;
        let plain = self.0.decrypt(&nonce, payload).map_err(|_| foreign())?;
        match *plain {
            [FORMAT, ref seq @ ..] => {
                Ok(Seq(u64::from_be_bytes(seq.try_into().map_err(|_| malformed())?)))
            }
            _ => Err(malformed()),
        }
    }
}

fn nonce(bytes: &[u8]) -> Option<XNonce> {
    <[u8; NONCE_BYTES]>::try_from(bytes).ok().map(XNonce::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bound<'a>(tenant: &'a Tenant, scope: &'a Parent, filter: &'a str) -> Bound<'a> {
        Bound { tenant, scope, filter }
    }

    proptest! {
        #[test]
        fn a_token_opens_for_the_listing_it_was_made_for_only(
            secret: [u8; 32], other: [u8; 32], seq: u64,
            scope in "[a-z/]{0,8}", elsewhere in "[a-z/]{0,8}", filter in "[a-z=]{0,4}", otherwise in "[a-z=]{0,4}",
        ) {
            let (sealer, tenant) = (Sealer::new(secret), Tenant::anonymous());
            let stranger = Tenant::new("stranger").unwrap();
            let (scope, elsewhere) = (Parent::new(&scope).unwrap(), Parent::new(&elsewhere).unwrap());
            let here = bound(&tenant, &scope, &filter);
            let token = sealer.seal(here, Seq(seq)).unwrap();
            prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert_eq!(sealer.open(here, &token).unwrap(), Seq(seq));
            for there in [
                bound(&stranger, &scope, &filter),
                bound(&tenant, &elsewhere, &filter),
                bound(&tenant, &scope, &otherwise),
            ] {
                let same = there.text() == here.text();
                prop_assert_eq!(sealer.open(there, &token).is_ok(), same);
            }
            prop_assert_eq!(Sealer::new(other).open(here, &token).is_ok(), other == secret);
        }

        #[test]
        fn an_altered_token_is_refused_by_name(seq: u64, at in 0..66_usize, with in "[A-Za-z0-9_-]", cut in 0..66_usize) {
            let (sealer, tenant, scope) = (Sealer::new([7; 32]), Tenant::anonymous(), Parent::root());
            let here = bound(&tenant, &scope, "");
            let mut token = sealer.seal(here, Seq(seq)).unwrap();
            prop_assert_eq!(token.len(), 66);
            let mut altered = token.clone();
            altered.replace_range(at..=at, &with);
            if altered != token {
                let error = sealer.open(here, &altered).unwrap_err();
                prop_assert_eq!(error.kind, ErrorKind::InvalidArgument);
                prop_assert_eq!(error.field.unwrap().field, "page_token");
            }
            token.truncate(cut);
            prop_assert!(sealer.open(here, &token).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let (tenant, scope) = (Tenant::anonymous(), Parent::root());
            prop_assert!(Sealer::new([7; 32]).open(bound(&tenant, &scope, ""), &text).is_err());
        }
    }
}
