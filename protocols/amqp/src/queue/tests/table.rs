//! The table of open deliveries.

use std::sync::Arc;

use opgate_core::{Error, ErrorKind, Losses, Payload};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::queue::open::{Entry, Open, Told};

const LIMIT: usize = 20;

#[derive(Clone, Debug)]
enum Step {
    Add(usize),
    Tell(usize, usize),
    Refuse(usize),
    Take(usize),
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..4_usize;
    prop_oneof![
        which.clone().prop_map(Step::Add),
        (which.clone(), 0..15_usize).prop_map(|(n, bytes)| Step::Tell(n, bytes)),
        which.clone().prop_map(Step::Refuse),
        which.clone().prop_map(Step::Take),
        which.prop_map(Step::End),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Nothing,
    Bytes(usize),
    Refused,
}

proptest! {
    /// Each delivery has what was last sent for it, nothing else is kept, and no more than allowed.
    #[test]
    fn what_is_kept_is_what_was_sent_last(steps in vec(step(), 0..60)) {
        let open = Arc::new(Open::new(LIMIT));
        let mut entries: [Option<(Entry, Kept)>; 4] = Default::default();
        for step in steps {
            let held: usize = entries
                .iter()
                .flatten()
                .map(|(_, kept)| if let Kept::Bytes(bytes) = kept { *bytes } else { 0 })
                .sum();
            match step {
                Step::Add(n) => {
                    if entries[n].is_none() {
                        entries[n] = Some((open.add(&n.to_string()), Kept::Nothing));
                    }
                }
                Step::Tell(n, bytes) => {
                    let told = open.tell(&n.to_string(), Ok((Payload::new("", vec![0; bytes]), Losses::NONE)));
                    match &mut entries[n] {
                        None => {
                            prop_assert_eq!(told.unwrap_err().kind, ErrorKind::FailedPrecondition);
                        }
                        Some((_, kept)) => {
                            let before = if let Kept::Bytes(bytes) = kept { *bytes } else { 0 };
                            let fits = held - before + bytes <= LIMIT;
                            prop_assert_eq!(told.is_ok(), fits);
                            *kept = if fits { Kept::Bytes(bytes) } else { Kept::Refused };
                        }
                    }
                }
                Step::Refuse(n) => {
                    let error = Error::new(ErrorKind::PayloadTooLarge, "");
                    prop_assert!(open.tell(&n.to_string(), Err(error)).is_err());
                    if let Some((_, kept)) = &mut entries[n] {
                        *kept = Kept::Refused;
                    }
                }
                Step::Take(n) => {
                    if let Some((entry, kept)) = &mut entries[n] {
                        let told = match entry.told() {
                            Told::Nothing => Kept::Nothing,
                            Told::Result(result, _) => Kept::Bytes(result.bytes.len()),
                            Told::Refused(_) => Kept::Refused,
                        };
                        prop_assert_eq!(&told, &*kept);
                        *kept = Kept::Nothing;
                    }
                }
                Step::End(n) => entries[n] = None,
            }
            let live = entries.iter().flatten();
            let held = live.clone().map(|(_, kept)| match kept {
                Kept::Bytes(bytes) => *bytes,
                Kept::Nothing | Kept::Refused => 0,
            });
            prop_assert_eq!(open.counts(), (live.clone().count(), held.sum()));
        }
    }
}
