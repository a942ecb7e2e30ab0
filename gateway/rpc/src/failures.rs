//! Which refused calls an operator gets to see in the log, and how often.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opgate_core::{Error, ErrorKind};
use opgate_telemetry::{Label as _, Method, Protocol};

/// At most one line in this time: callers can repeat what fails.
const INTERVAL: Duration = Duration::from_secs(10);

/// Writes the failures of calls to the log, folded: a line says how many there were since the last.
#[derive(Debug)]
pub struct Failures {
    began: Instant,
    /// From when on the next line may be written, in milliseconds since it began.
    next: AtomicU64,
    folded: AtomicU64,
}

impl Default for Failures {
    fn default() -> Self {
        Self { began: Instant::now(), next: AtomicU64::new(0), folded: AtomicU64::new(0) }
    }
}

impl Failures {
    /// Refusals are counted by the metrics; only what an operator must see is logged.
    pub fn note(&self, protocol: Protocol, method: Method, error: &Error) {
        if is_own(method, error)
            && let Some(folded) = self.admit(self.began.elapsed())
        {
            let source = error.source.as_deref().map(tracing::field::display);
            let protocol = protocol.text();
            tracing::error!(%error, source, folded, protocol, "a request failed");
        }
    }

    /// Whether a line may be written now, and then how many failures had none since the last one.
    fn admit(&self, now: Duration) -> Option<u64> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Ordering::Relaxed);
        let later = millis(now.saturating_add(INTERVAL));
        let first = next <= millis(now)
            && self
                .next
                .compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if first {
            Some(self.folded.swap(0, Ordering::Relaxed))
        } else {
            self.folded.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// Whether an error is opgate's own. A backend may refuse a start with any kind and text, so there
/// the source tells: only what happens within the process has one.
fn is_own(method: Method, error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Internal | ErrorKind::DataLoss)
        && (error.source.is_some() || method != Method::Start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_backend_says_of_a_start_is_not_logged() {
        for kind in ErrorKind::ALL {
            let plain = || Error::new(kind, "as the caller told it");
            let severe = matches!(kind, ErrorKind::Internal | ErrorKind::DataLoss);
            assert!(!is_own(Method::Start, &plain()), "{kind:?}");
            assert_eq!(is_own(Method::Start, &plain().with_source("io")), severe, "{kind:?}");
            assert_eq!(is_own(Method::Get, &plain()), severe, "{kind:?}");
        }
    }

    #[test]
    fn lines_are_folded_and_counted() {
        let failures = Failures::default();
        let at = |millis| failures.admit(Duration::from_millis(millis));
        assert_eq!(at(0), Some(0));
        assert_eq!((at(0), at(1), at(9_999)), (None, None, None));
        assert_eq!(at(10_000), Some(3));
        assert_eq!(at(19_999), None);
        assert_eq!(at(60_000), Some(1));
        assert_eq!(at(60_000), None);
    }

    #[test]
    fn of_many_at_once_one_is_written() {
        let failures = Failures::default();
        let written = std::thread::scope(|scope| {
            let each = || (0..1000).filter(|_| failures.admit(INTERVAL).is_some()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(each)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(written, 1);
        assert_eq!(failures.folded.load(Ordering::Relaxed), 3999);
    }
}
