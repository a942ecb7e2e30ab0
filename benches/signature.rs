//! What it costs to verify the signature of an OCI request, beside the hash of its body alone.
//!
//! `cargo bench --bench signature -- --requests 20000`; 5,000 without. Every ratio is of two figures of the
//! same run. How to read them is in `benches/README.md`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and stops at the first failure"
)]

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Request;
use opgate_core::Tenant;
use opgate_oci::signature::{CLOCK_SKEW, Keyring, Presented, PublicKey, Signer, Strength};
use sha2::{Digest as _, Sha256};

const TENANCY: &str = "ocid1.tenancy.oc1..aaaa";
const USER: &str = "ocid1.user.oc1..bbbb";
/// The rounds of which the median counts.
const ROUNDS: u32 = 11;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--requests").skip(1);
    let requests: u32 = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(5_000);
    let each = (requests / ROUNDS).max(1);
    let keys = [
        (
            2048,
            include_str!("../protocols/oci/tests/keys/user.pkcs8.pem"),
            include_str!("../protocols/oci/tests/keys/user.public.pem"),
        ),
        (
            4096,
            include_str!("../protocols/oci/tests/keys/large.pkcs8.pem"),
            include_str!("../protocols/oci/tests/keys/large.public.pem"),
        ),
    ];
    for (what, method, bytes) in
        [("GET", "GET", 0), ("POST of 1 KiB", "POST", 1 << 10), ("POST of 1 MiB", "POST", 1 << 20)]
    {
        let body = Bytes::from(vec![b'x'; bytes]);
        let hash = median(each, || {
            black_box(Sha256::digest(black_box(&body)));
        });
        println!("{what}: {hash:?} for the hash of the body");
        for (bits, private, public) in keys {
            let verified = verify(each, method, &body, private, public);
            let ratio = verified.as_secs_f64() / hash.as_secs_f64();
            println!("{what}, {bits} bits: {verified:?} to verify, {ratio:.1} x the hash");
        }
    }
}

/// The time of one verification.
fn verify(each: u32, method: &str, body: &Bytes, private: &str, public: &str) -> Duration {
    let mut request = Request::builder()
        .method(method)
        .uri("http://127.0.0.1:8080/20160918/workRequests/ocid1.identityworkrequest.oc1..aaaa")
        .body(body.clone())
        .unwrap();
    let now = SystemTime::now();
    Signer::new(TENANCY, USER, None, private).unwrap().sign(&mut request, now).unwrap();
    let tenancies = [(TENANCY.to_owned(), Tenant::anonymous())];
    let mut keyring = Keyring::new(tenancies, CLOCK_SKEW, Vec::new());
    keyring.insert_key(TENANCY, USER, PublicKey::from_pem(public, Strength::Strong).unwrap());
    let (parts, body) = request.into_parts();
    let (method, uri, headers) = (&parts.method, &parts.uri, &parts.headers);
    let presented = Presented { method, uri, headers, body: &body };
    median(each, || {
        black_box(keyring.verify(black_box(&presented), now).unwrap());
    })
}

/// The time of one call: the median of the rounds, of so many calls each.
fn median(each: u32, mut call: impl FnMut()) -> Duration {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..each {
                call();
            }
            began.elapsed() / each
        })
        .collect();
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}
