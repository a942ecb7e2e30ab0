//! The stored form of an operation.
//!
//! A record is `format byte, CRC-32 of the rest (4 bytes, little-endian), protobuf`. It is a full
//! after-image: the last one written wins, and reading it twice changes nothing. Field numbers are
//! pinned; a number that goes is never used again.
//!
//! Payloads above [`INLINE_BYTES`] are stored beside the record, once: a progress report on an
//! operation with a large input then writes the small record only.

mod wire;

use std::time::Duration;

use bytes::Bytes;
use opgate_core as core;
use prost::Message;

const FORMAT: u8 = 1;
const FRAME_BYTES: usize = 5;
/// Largest payload kept inside the record.
pub(crate) const INLINE_BYTES: usize = 2048;

/// A stored record does not read back as what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged record: {0}")]
pub(crate) struct Damaged(pub(crate) &'static str);

/// Which payload of an operation is stored beside its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Input = 0,
    Output = 1,
}

/// The payload to store beside the record, where it is too large for the record.
pub(crate) fn detached(operation: &core::Operation, slot: Slot) -> Option<Bytes> {
    let payload = match slot {
        Slot::Input => Some(&operation.input),
        Slot::Output => match &operation.outcome {
            Some(core::Outcome::Succeeded(payload)) => payload.as_ref(),
            Some(core::Outcome::Failed(_) | core::Outcome::Canceled(_)) | None => None,
        },
    };
    payload.filter(|payload| is_beside(payload)).map(stored)
}

fn is_beside(payload: &core::Payload) -> bool {
    payload.weight() > INLINE_BYTES
}

/// The bytes of a payload, with those of its other form behind them.
fn stored(payload: &core::Payload) -> Bytes {
    match &payload.encoded {
        Some(encoded) if !encoded.is_empty() => [&*payload.bytes, encoded].concat().into(),
        Some(_) | None => payload.bytes.clone(),
    }
}

/// Encodes the record of an operation.
pub(crate) fn encode(operation: &core::Operation) -> Vec<u8> {
    let record = wire::Record::from(operation);
    let mut bytes = Vec::with_capacity(FRAME_BYTES + record.encoded_len());
    bytes.push(FORMAT);
    bytes.extend_from_slice(&[0; 4]);
    // Encoding into a Vec never runs out of room.
    let _infallible = record.encode(&mut bytes);
    let (frame, body) = bytes.split_at_mut(FRAME_BYTES);
    frame[1..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    bytes
}

/// A record that was read, but for the payloads stored beside it.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Payloads stored beside the record have no bytes.
    pub(crate) operation: core::Operation,
    /// Which those are.
    absent: [(Slot, Option<Beside>); 2],
}

/// What a record knows of a payload that is stored beside it.
#[derive(Clone, Copy, Debug)]
struct Beside {
    /// CRC-32 of its content.
    checksum: u32,
    /// How many bytes its other form has, which follow, and their CRC-32.
    encoded: Option<(u32, u32)>,
}

impl Beside {
    /// Fills in what was [`stored`].
    fn fill(self, payload: &mut core::Payload, mut bytes: Bytes) -> Result<(), Damaged> {
        const WRONG: Damaged = Damaged("checksum mismatch in a payload");
        if let Some((length, checksum)) = self.encoded {
            let length = usize::try_from(length).ok();
            let at = length.and_then(|length| bytes.len().checked_sub(length)).ok_or(WRONG)?;
            let encoded = bytes.split_off(at);
            if crc32fast::hash(&encoded) != checksum {
                return Err(WRONG);
            }
            payload.encoded = Some(encoded);
        }
        if crc32fast::hash(&bytes) != self.checksum {
            return Err(WRONG);
        }
        payload.bytes = bytes;
        Ok(())
    }
}

impl Opened {
    /// With the payloads stored beside it, which `fetch` reads.
    pub(crate) fn complete<E: From<Damaged>>(
        mut self,
        mut fetch: impl FnMut(Slot) -> Result<Bytes, E>,
    ) -> Result<core::Operation, E> {
        for (slot, beside) in self.absent {
            let Some(beside) = beside else { continue };
            let bytes = fetch(slot)?;
            let payload = match (slot, &mut self.operation.outcome) {
                (Slot::Input, _) => &mut self.operation.input,
                (Slot::Output, Some(core::Outcome::Succeeded(Some(output)))) => output,
                (Slot::Output, _) => return Err(Damaged("an output without a success").into()),
            };
            beside.fill(payload, bytes)?;
        }
        Ok(self.operation)
    }
}

/// Decodes a record.
pub(crate) fn open(bytes: &[u8]) -> Result<Opened, Damaged> {
    let (frame, body) =
        bytes.split_at_checked(FRAME_BYTES).ok_or(Damaged("shorter than its frame"))?;
    if frame[0] != FORMAT {
        return Err(Damaged("unknown record format"));
    }
    if frame[1..] != crc32fast::hash(body).to_le_bytes() {
        return Err(Damaged("checksum mismatch"));
    }
    wire::Record::decode(body).map_err(|_| Damaged("not a record"))?.open()
}

fn duration(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opgate_core::arbitrary::submission;
    use opgate_core::machine::{Decision, apply, decide};
    use opgate_core::{Change, Operation, Seq, Timestamp};
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn operation() -> impl Strategy<Value = Option<Operation>> {
        vec(submission(1), 1..20).prop_map(|commands| {
            (1..).zip(commands).fold(None, |operation, (n, submission)| {
                match decide(operation.as_ref(), submission) {
                    Decision::Change(events) => {
                        let at = Timestamp::from_nanos(n * 1_000);
                        apply(operation, &Change { seq: Seq(n.unsigned_abs()), at, events })
                    }
                    Decision::Same | Decision::Refused { .. } => operation,
                }
            })
        })
    }

    fn read_back(bytes: &[u8], of: &Operation) -> Result<Operation, Damaged> {
        open(bytes)?.complete(|slot| detached(of, slot).ok_or(Damaged("not stored")))
    }

    #[test]
    fn an_opgate_that_does_not_know_of_the_other_form_does_not_take_it_for_content() {
        let encoded = Some(Bytes::from_static(b"more"));
        let payload = core::Payload { encoded, ..core::Payload::json("1") };
        let checksum = crc32fast::hash(b"1");
        let fill = |encoded| {
            let mut filled = core::Payload::json("");
            Beside { checksum, encoded }.fill(&mut filled, stored(&payload)).map(|()| filled)
        };
        assert_eq!(fill(Some((4, crc32fast::hash(b"more")))), Ok(payload.clone()));
        for wrong in [None, Some((4, 7)), Some((3, crc32fast::hash(b"ore"))), Some((9, 0))] {
            assert!(fill(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_it_was_written(operation in operation()) {
            if let Some(operation) = operation {
                prop_assert_eq!(read_back(&encode(&operation), &operation), Ok(operation));
            }
        }

        #[test]
        fn all_but_the_payloads_beside_it_is_read_without_them(operation in operation()) {
            if let Some(mut operation) = operation {
                let opened = open(&encode(&operation)).unwrap().operation;
                let beside = [Slot::Input, Slot::Output].map(|slot| detached(&operation, slot).is_some());
                if beside[0] {
                    (operation.input.bytes, operation.input.encoded) = (Bytes::new(), None);
                }
                if let (true, Some(core::Outcome::Succeeded(Some(output)))) = (beside[1], &mut operation.outcome) {
                    (output.bytes, output.encoded) = (Bytes::new(), None);
                }
                prop_assert_eq!(opened, operation);
            }
        }

        #[test]
        fn a_changed_byte_is_noticed(operation in operation(), at: proptest::sample::Index, flip in 1_u8..) {
            if let Some(operation) = operation {
                let mut bytes = encode(&operation);
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
                prop_assert!(read_back(&bytes, &operation).is_err());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
            drop(open(&bytes));
        }
    }
}
