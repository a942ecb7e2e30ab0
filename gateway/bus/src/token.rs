//! What is handed to clients and comes back: sealed so that it cannot be read, altered or used
//! elsewhere. A page token says where a page ended, by its position or by a cursor of the frontend
//! that orders the list, a lease token which lease its bearer holds.

use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use opgate_core::{Epoch, Error, ErrorKind, OperationId, Parent, Seq, Tenant};
use sha2::{Digest, Sha256};

/// Long enough to be drawn at random for every token a gateway will ever make.
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// The format of either token, so that a later one can tell it apart.
const FORMAT: u8 = 1;
/// The format, and the position.
const PAGE_BYTES: usize = 1 + 8;
/// The format, the operation, the epoch, and the length in milliseconds.
const LEASE_BYTES: usize = 1 + 16 + 4 + 4;
/// The format, and the operation.
const HANDLE_BYTES: usize = 1 + 16;
/// The longest cursor.
const CURSOR_BYTES_MAX: usize = 4096;
/// What binds a lease token to its purpose. No page token has it: theirs go on.
const LEASE: &[u8] = b"opgate lease token";
const PAGE: &[u8] = b"opgate page token";
const CURSOR: &[u8] = b"opgate cursor token";
const HANDLE: &[u8] = b"opgate handle";

/// The listing a token belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) scope: &'a Parent,
    pub(crate) filter: &'a str,
}

impl Bound<'_> {
    /// Every part behind its length, so that no two listings read the same.
    fn text(self, purpose: &[u8]) -> Vec<u8> {
        let mut text = purpose.to_vec();
        for part in [self.tenant.as_str(), self.scope.as_str(), self.filter] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        text
    }
}

/// Which lease the bearer of a token holds, and its usual length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) id: OperationId,
    pub(crate) epoch: Epoch,
    pub(crate) length: Duration,
}

/// Why a text is no token.
enum Unsealed {
    /// It never was one.
    Malformed,
    /// Its seal does not hold.
    Foreign,
}

impl Unsealed {
    /// What is told of a page token.
    fn page_token(self) -> Error {
        let problem = match self {
            Self::Malformed => "is not a page token: it was cut short or altered",
            Self::Foreign => {
                "does not belong to this listing: it was altered, or came with another parent or filter; begin again without one"
            }
        };
        Error::invalid("page_token", problem)
    }
}

/// Makes and opens tokens.
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
    /// What the nonces of handles are drawn with.
    nonces: [u8; 32],
}

impl Sealer {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        let mut nonces = Sha256::new_with_prefix(secret);
        nonces.update(HANDLE);
        Self { cipher: XChaCha20Poly1305::new(&secret.into()), nonces: nonces.finalize().into() }
    }

    /// The token of a page that ended at `last`. 66 characters.
    pub(crate) fn seal(&self, bound: Bound<'_>, last: Seq) -> Result<String, Error> {
        let mut plain = [FORMAT; PAGE_BYTES];
        plain[1..].copy_from_slice(&last.0.to_be_bytes());
        self.sealed(&bound.text(PAGE), &plain)
    }

    /// Where the page that a token came with ended.
    pub(crate) fn open(&self, bound: Bound<'_>, token: &str) -> Result<Seq, Error> {
        let opened = self.opened::<PAGE_BYTES>(&bound.text(PAGE), token);
        let plain = opened.map_err(Unsealed::page_token)?;
        let [_, seq @ ..] = plain;
        Ok(Seq(u64::from_be_bytes(seq)))
    }

    /// The token of a page that ended at a cursor of the frontend's.
    pub(crate) fn seal_cursor(&self, bound: Bound<'_>, cursor: &[u8]) -> Result<String, Error> {
        self.sealed(&bound.text(CURSOR), &[&[FORMAT], cursor].concat())
    }

    /// The cursor in the token of a page.
    pub(crate) fn open_cursor(&self, bound: Bound<'_>, token: &str) -> Result<Vec<u8>, Error> {
        let opened = self.unsealed(&bound.text(CURSOR), token, 1..=1 + CURSOR_BYTES_MAX);
        Ok(opened.map_err(Unsealed::page_token)?.split_off(1))
    }

    /// The token of a lease. 87 characters.
    pub(crate) fn seal_lease(&self, grant: Grant) -> Result<String, Error> {
        let mut plain = [FORMAT; LEASE_BYTES];
        plain[1..17].copy_from_slice(&grant.id.to_bits().to_be_bytes());
        plain[17..21].copy_from_slice(&grant.epoch.0.to_be_bytes());
        let millis = u32::try_from(grant.length.as_millis()).unwrap_or(u32::MAX);
        plain[21..].copy_from_slice(&millis.to_be_bytes());
        self.sealed(LEASE, &plain)
    }

    /// The lease a token was made for.
    pub(crate) fn open_lease(&self, token: &str) -> Result<Grant, Error> {
        let malformed =
            || Error::invalid("lease", "is not a lease token of this gateway, or was altered");
        let plain = self.opened::<LEASE_BYTES>(LEASE, token).map_err(|_| malformed())?;
        let part = |range| plain.get(range).unwrap_or_default();
        let id = part(1..17).try_into().map_err(|_| malformed())?;
        let epoch = part(17..21).try_into().map_err(|_| malformed())?;
        let millis = part(21..25).try_into().map_err(|_| malformed())?;
        Ok(Grant {
            id: OperationId::from_bits(u128::from_be_bytes(id)),
            epoch: Epoch(u32::from_be_bytes(epoch)),
            length: Duration::from_millis(u32::from_be_bytes(millis).into()),
        })
    }

    /// The handle of an operation. 76 characters, the same each time.
    pub(crate) fn seal_handle(
        &self,
        purpose: &str,
        bound: &[&str],
        id: OperationId,
    ) -> Result<String, Error> {
        let mut plain = [FORMAT; HANDLE_BYTES];
        plain[1..].copy_from_slice(&id.to_bits().to_be_bytes());
        let aad = handle_text(purpose, bound);
        // Drawn from what is sealed: two different handles never share one, and one is always alike.
        let mut hash = Sha256::new_with_prefix(self.nonces);
        hash.update((aad.len() as u64).to_be_bytes());
        hash.update(&aad);
        hash.update(plain);
        let nonce = hash.finalize().get(..NONCE_BYTES).unwrap_or_default().to_vec();
        self.sealed_under(nonce, &aad, &plain)
    }

    /// The operation a handle was made for.
    pub(crate) fn open_handle(
        &self,
        purpose: &str,
        bound: &[&str],
        handle: &str,
    ) -> Result<OperationId, Error> {
        let aad = handle_text(purpose, bound);
        let opened = self.opened::<HANDLE_BYTES>(&aad, handle).map_err(|_| Error::not_found())?;
        let [_, id @ ..] = opened;
        Ok(OperationId::from_bits(u128::from_be_bytes(id)))
    }

    fn sealed(&self, aad: &[u8], plain: &[u8]) -> Result<String, Error> {
        let mut nonce = [0; NONCE_BYTES].to_vec();
        getrandom::fill(&mut nonce)
            .map_err(|error| unsealed(chacha20poly1305::Error).with_source(error))?;
        self.sealed_under(nonce, aad, plain)
    }

    fn sealed_under(&self, mut sealed: Vec<u8>, aad: &[u8], plain: &[u8]) -> Result<String, Error> {
        // So that the token begins with a letter: command lines take what begins with a dash for an option.
        if let Some(first) = sealed.first_mut() {
            *first &= 0x7f;
        }
        let payload = Payload { msg: plain, aad };
        let nonce = nonce(&sealed).ok_or(chacha20poly1305::Error).map_err(unsealed)?;
        let body = self.cipher.encrypt(&nonce, payload).map_err(unsealed)?;
        sealed.extend(body);
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    fn opened<const BYTES: usize>(&self, aad: &[u8], token: &str) -> Result<[u8; BYTES], Unsealed> {
        let plain = self.unsealed(aad, token, BYTES..=BYTES)?;
        <[u8; BYTES]>::try_from(plain).map_err(|_| Unsealed::Malformed)
    }

    /// What is in a token, its format first, of so many bytes.
    fn unsealed(
        &self,
        aad: &[u8],
        token: &str,
        bytes: RangeInclusive<usize>,
    ) -> Result<Vec<u8>, Unsealed> {
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| Unsealed::Malformed)?;
        let plain_bytes = sealed.len().checked_sub(NONCE_BYTES + TAG_BYTES);
        if !plain_bytes.is_some_and(|length| bytes.contains(&length)) {
            return Err(Unsealed::Malformed);
        }
        let (head, body) = sealed.split_at(NONCE_BYTES);
        let nonce = nonce(head).ok_or(Unsealed::Malformed)?;
        let payload = Payload { msg: body, aad };
        let plain = self.cipher.decrypt(&nonce, payload).map_err(|_| Unsealed::Foreign)?;
        if plain.first() == Some(&FORMAT) { Ok(plain) } else { Err(Unsealed::Malformed) }
    }
}

fn unsealed(_: chacha20poly1305::Error) -> Error {
    Error::new(ErrorKind::Internal, "a token could not be made")
}

/// Every part behind its length, as for [`Bound`].
fn handle_text(purpose: &str, bound: &[&str]) -> Vec<u8> {
    let mut text = HANDLE.to_vec();
    for part in std::iter::once(&purpose).chain(bound) {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    text
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

    #[test]
    fn a_token_begins_with_a_letter() {
        let (sealer, tenant, scope) = (Sealer::new([7; 32]), Tenant::anonymous(), Parent::root());
        for number in 0..500 {
            let page = sealer.seal(bound(&tenant, &scope, ""), Seq(number)).unwrap();
            let id = OperationId::from_bits(number.into());
            let handle = sealer.seal_handle("test", &[], id).unwrap();
            for token in [page, handle] {
                assert!(token.starts_with(|first: char| first.is_ascii_alphabetic()), "{token}");
            }
        }
    }

    #[test]
    fn fuzz_what_was_not_sealed_here_never_opens() {
        let (sealer, tenant, scope) = (Sealer::new([7; 32]), Tenant::anonymous(), Parent::root());
        let here = bound(&tenant, &scope, "");
        let genuine = sealer.seal(here, Seq(9)).unwrap();
        let genuine = URL_SAFE_NO_PAD.decode(genuine).unwrap();
        bolero::check!().for_each(|bytes: &[u8]| {
            // Text as it came, bytes in the right clothes, and a genuine token with some of them over it.
            let mixed = genuine.iter().zip(bytes.iter().chain(std::iter::repeat(&0)));
            let mixed: Vec<u8> = mixed.map(|(a, b)| a ^ b).collect();
            let altered = mixed != genuine;
            let texts =
                [String::from_utf8_lossy(bytes).into_owned(), URL_SAFE_NO_PAD.encode(bytes)];
            for text in texts.into_iter().chain(altered.then(|| URL_SAFE_NO_PAD.encode(mixed))) {
                assert!(sealer.open(here, &text).is_err());
                assert!(sealer.open_cursor(here, &text).is_err());
                assert!(sealer.open_lease(&text).is_err());
            }
        });
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
                let same = there.text(PAGE) == here.text(PAGE);
                prop_assert_eq!(sealer.open(there, &token).is_ok(), same);
            }
            prop_assert_eq!(Sealer::new(other).open(here, &token).is_ok(), other == secret);
        }

        #[test]
        fn a_cursor_comes_back_and_is_no_position(
            cursor in proptest::collection::vec(any::<u8>(), 0..200), seq: u64,
        ) {
            let (sealer, tenant, scope) = (Sealer::new([7; 32]), Tenant::anonymous(), Parent::root());
            let here = bound(&tenant, &scope, "f");
            let token = sealer.seal_cursor(here, &cursor).unwrap();
            prop_assert_eq!(&sealer.open_cursor(here, &token).unwrap(), &cursor);
            prop_assert!(sealer.open_cursor(bound(&tenant, &scope, "g"), &token).is_err());
            prop_assert!(sealer.open(here, &token).is_err());
            prop_assert!(sealer.open_cursor(here, &sealer.seal(here, Seq(seq)).unwrap()).is_err());
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
        fn a_lease_token_says_what_it_was_made_of_to_its_maker_only(
            secret: [u8; 32], other: [u8; 32], id: u128, epoch: u32, millis: u32,
        ) {
            let length = Duration::from_millis(millis.into());
            let grant = Grant { id: OperationId::from_bits(id), epoch: Epoch(epoch), length };
            let token = Sealer::new(secret).seal_lease(grant).unwrap();
            prop_assert_eq!(token.len(), 87);
            prop_assert_eq!(Sealer::new(secret).open_lease(&token).unwrap(), grant);
            prop_assert_eq!(Sealer::new(other).open_lease(&token).is_ok(), other == secret);
        }

        #[test]
        fn an_altered_lease_token_is_refused_by_name(at in 0..87_usize, with in "[A-Za-z0-9_-]", cut in 0..87_usize) {
            let sealer = Sealer::new([7; 32]);
            let length = Duration::from_secs(30);
            let grant = Grant { id: OperationId::from_bits(5), epoch: Epoch(1), length };
            let mut token = sealer.seal_lease(grant).unwrap();
            let mut altered = token.clone();
            altered.replace_range(at..=at, &with);
            if altered != token {
                let error = sealer.open_lease(&altered).unwrap_err();
                prop_assert_eq!(error.kind, ErrorKind::InvalidArgument);
                prop_assert_eq!(error.field.unwrap().field, "lease");
            }
            token.truncate(cut);
            prop_assert!(sealer.open_lease(&token).is_err());
        }

        #[test]
        fn a_handle_is_always_alike_and_good_for_what_it_was_made_for_only(
            secret: [u8; 32], other: [u8; 32], id: u128, another: u128,
            bound in "[a-z]{0,4}", elsewhere in "[a-z]{0,4}", cut in 0..76_usize,
        ) {
            let (sealer, id) = (Sealer::new(secret), OperationId::from_bits(id));
            let handle = sealer.seal_handle("p", &[&bound, "x"], id).unwrap();
            prop_assert_eq!(handle.len(), 76);
            prop_assert_eq!(&sealer.seal_handle("p", &[&bound, "x"], id).unwrap(), &handle);
            let another = OperationId::from_bits(another);
            let differs = sealer.seal_handle("p", &[&bound, "x"], another).unwrap() != handle;
            prop_assert_eq!(differs, another != id);
            prop_assert_eq!(sealer.open_handle("p", &[&bound, "x"], &handle).unwrap(), id);
            let there = sealer.open_handle("p", &[&elsewhere, "x"], &handle);
            prop_assert_eq!(there.is_ok(), bound == elsewhere);
            prop_assert!(sealer.open_handle("q", &[&bound, "x"], &handle).is_err());
            let joined = format!("{bound}x");
            prop_assert!(sealer.open_handle("p", &[&joined], &handle).is_err());
            prop_assert_eq!(
                Sealer::new(other).open_handle("p", &[&bound, "x"], &handle).is_ok(),
                other == secret
            );
            let cut = handle.get(..cut).unwrap();
            prop_assert_eq!(
                sealer.open_handle("p", &[&bound, "x"], cut).unwrap_err().kind,
                ErrorKind::NotFound
            );
        }

        #[test]
        fn neither_token_is_the_other(seq: u64, id: u128) {
            let (sealer, tenant, scope) = (Sealer::new([7; 32]), Tenant::anonymous(), Parent::root());
            let page = sealer.seal(bound(&tenant, &scope, ""), Seq(seq)).unwrap();
            prop_assert!(sealer.open_lease(&page).is_err());
            let grant = Grant { id: OperationId::from_bits(id), epoch: Epoch(1), length: Duration::from_secs(1) };
            let lease = sealer.seal_lease(grant).unwrap();
            prop_assert!(sealer.open(bound(&tenant, &scope, ""), &lease).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let (tenant, scope) = (Tenant::anonymous(), Parent::root());
            prop_assert!(Sealer::new([7; 32]).open(bound(&tenant, &scope, ""), &text).is_err());
            prop_assert!(Sealer::new([7; 32]).open_lease(&text).is_err());
        }
    }
}
