//! `opc-request-id`: what the caller calls its request, continued by us.
//!
//! An answer's id is the caller's, a slash, 32 upper-case hexadecimal digits for the gateway's
//! process, a slash, and as many for this request. A caller that sends none, or one that is not up
//! to three segments of 1 to 36 (a UUID with its dashes) of the characters `A-Z a-z 0-9 _ : ; -`, is given one.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderValue};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::wire::names::REQUEST_ID;

/// Makes the server's part of ids.
#[derive(Debug)]
pub(super) struct RequestIds {
    process: u128,
    next: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        let mut random = [0; 16];
        // Not a secret: where the system has no randomness, ids of two processes may be alike.
        let _drawn = SystemRandom::new().fill(&mut random);
        Self { process: u128::from_ne_bytes(random), next: AtomicU64::new(0) }
    }
}

impl RequestIds {
    /// The id of the answer to a request with these headers.
    pub(super) fn answer(&self, headers: &HeaderMap) -> HeaderValue {
        let request = u128::from(self.next.fetch_add(1, Ordering::Relaxed));
        let process = self.process;
        // Spread over all digits, so that two ids are not alike at first sight.
        let request = (request.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)) ^ process;
        let id = match given(headers) {
            Some(given) => format!("{given}/{process:032X}/{request:032X}"),
            None => format!("{request:032X}/{process:032X}/{request:032X}"),
        };
        HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

/// The caller's id, where it is one.
pub(super) fn given(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_:;-".contains(&byte);
    let is_segment =
        |segment: &str| (1..=36).contains(&segment.len()) && segment.bytes().all(letter);
    let mut segments = id.split('/');
    (segments.by_ref().take(3).all(is_segment) && segments.next().is_none()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(id: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static(REQUEST_ID),
            HeaderValue::from_static(id),
        )])
    }

    #[test]
    fn the_callers_id_comes_first() {
        let ids = RequestIds::default();
        for id in
            ["5E5AE4896B944FB7A269EFF02750D759", "F455CF20E4D4-11F1-AEAC-25A8A78F15F0", "a/b/c"]
        {
            let answer = ids.answer(&headers(id));
            let answer = answer.to_str().unwrap();
            let own = answer.strip_prefix(id).unwrap();
            assert_eq!(own.len(), 66, "{answer}");
            assert!(own.split('/').skip(1).all(|part| part.len() == 32), "{answer}");
        }
    }

    #[test]
    fn what_is_no_id_is_replaced_and_no_two_answers_are_alike() {
        let ids = RequestIds::default();
        let mut seen = std::collections::BTreeSet::new();
        for id in ["", "a/b/c/d", "a//b", "a b", "x/", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(given(&headers(id)), None, "{id}");
            let answer = ids.answer(&headers(id));
            assert_eq!(answer.len(), 98);
            assert!(seen.insert(answer), "{id}");
        }
    }
}
