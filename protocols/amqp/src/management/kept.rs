//! The attributes of operations that were read last, as they were written: who waits for an operation by reading it
//! again and again reads the same until something has changed.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use opgate_bus::Snapshot;
use opgate_core::Losses;

use super::Names;
use super::attributes::Attributes;
use crate::node::Content;

/// Operations of which a thread keeps what it has written. Each has one place, whatever was there before.
const PLACES: usize = 256;
/// Bytes that one whose attributes are kept may have, as [`Attributes::bytes`] guesses before it is written, which is
/// twice as many as it has as a rule. With the records that are kept, too, it is some 2 MiB a thread at most.
const BYTES: usize = 8 * 1024;

/// What was written of a state of an operation. It keeps that state, so that no other has its address.
struct Kept {
    of: Arc<Snapshot>,
    names: u64,
    written: Bytes,
    lost: Losses,
}

thread_local! {
    static KEPT: RefCell<Vec<Option<Kept>>> = const { RefCell::new(Vec::new()) };
}

/// The attributes of an operation, and what they do not say of it. `names` were made for `by`.
pub(super) fn content(of: Arc<Snapshot>, names: &Names, by: u64) -> (Content, Losses) {
    // Snapshots are larger than what is shifted out.
    let place = (Arc::as_ptr(&of).addr() >> 6) % PLACES;
    let known = KEPT.with_borrow(|kept| {
        let kept = kept.get(place)?.as_ref()?;
        let same = Arc::ptr_eq(&kept.of, &of) && kept.names == by;
        same.then(|| (Content::Written(kept.written.clone()), kept.lost))
    });
    known.unwrap_or_else(|| {
        let attributes = Attributes::new(Arc::clone(&of), names.clone());
        let lost = attributes.lost();
        if attributes.bytes() > BYTES {
            return (Content::Operation(attributes), lost);
        }
        let written = Bytes::from(attributes.written());
        let kept = Kept { of, names: by, written: written.clone(), lost };
        KEPT.with_borrow_mut(|all| {
            if all.is_empty() {
                all.resize_with(PLACES, || None);
            }
            if let Some(there) = all.get_mut(place) {
                *there = Some(kept);
            }
        });
        (Content::Written(written), lost)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::template;

    fn read(of: &Arc<Snapshot>, by: u64) -> Bytes {
        match content(Arc::clone(of), &Names::default(), by).0 {
            Content::Written(written) => written,
            other @ (Content::Value(_) | Content::Operation(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_state_that_is_read_again_is_not_written_again() {
        let first = Arc::new(Snapshot::new(opgate_core::Operation::clone(&template())));
        let written = read(&first, 1);
        assert_eq!(read(&first, 1).as_ptr(), written.as_ptr());
        // Another node has other names for it.
        assert_ne!(read(&first, 2).as_ptr(), written.as_ptr());
        let mut changed = opgate_core::Operation::clone(&template());
        changed.waiting = "for a while".into();
        assert_ne!(read(&Arc::new(Snapshot::new(changed)), 1), written);
    }

    #[test]
    fn what_is_long_is_written_when_it_is_sent() {
        let mut long = opgate_core::Operation::clone(&template());
        long.input = opgate_core::Payload::json(format!("\"{}\"", "x".repeat(BYTES)));
        let (content, _) = content(Arc::new(Snapshot::new(long)), &Names::default(), 1);
        assert!(matches!(content, Content::Operation(_)));
    }
}
