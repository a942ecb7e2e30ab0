//! When to ask again.
//!
//! `retry-after` is about as long as the work is expected to take still, in whole seconds from 1 to 30:
//!
//! - by its progress, where that is known: `elapsed * (100 - percent) / percent`;
//! - by how long such operations have lately taken, where that is known: `typical - elapsed`;
//! - the less of the two, where both are; `elapsed / 2` where neither is;
//! - `elapsed / 4` where it has taken longer than such operations do.

use std::time::{Duration, SystemTime};

use opgate_core::{Operation, Timestamp};

use crate::wire::work_request::percent;

const SHORTEST: u64 = 1;
const LONGEST: u64 = 30;

/// The seconds after which to ask for an operation again, which has not ended.
pub(super) fn seconds(typical: Option<Duration>, elapsed: Duration, percent: f64) -> u64 {
    let elapsed = elapsed.as_secs_f64();
    let by_progress = (percent > 0.0).then(|| elapsed * (100.0 - percent) / percent);
    let by_others = typical.map(|typical| match typical.as_secs_f64() - elapsed {
        left if left > 0.0 => left,
        _ => elapsed / 4.0,
    });
    let left = match (by_progress, by_others) {
        (Some(one), Some(other)) => one.min(other),
        (Some(left), None) | (None, Some(left)) => left,
        (None, None) => elapsed / 2.0,
    };
    // The last number that is not beyond what is left: no cast that could be wrong.
    (SHORTEST..LONGEST)
        .find(|seconds| Duration::from_secs(*seconds).as_secs_f64() >= left)
        .unwrap_or(LONGEST)
}

/// The same for an operation now.
pub(super) fn of(operation: &Operation, typical: Option<Duration>) -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::default().plus(since);
    seconds(typical, now.since(operation.times.accepted), percent(operation))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_as_long_as_the_work_is_expected_to_take() {
        let s = Duration::from_secs_f64;
        for (typical, elapsed, percent, expected) in [
            // Nothing is known: longer, the longer it has taken.
            (None, 0.0, 0.0, 1),
            (None, 10.0, 0.0, 5),
            (None, 1e9, 0.0, 30),
            // How long such operations take.
            (Some(20.0), 0.0, 0.0, 20),
            (Some(20.0), 12.5, 0.0, 8),
            (Some(20.0), 19.9, 0.0, 1),
            (Some(3600.0), 0.0, 0.0, 30),
            // Overdue.
            (Some(4.0), 40.0, 0.0, 10),
            // How far it is.
            (None, 10.0, 50.0, 10),
            (None, 30.0, 75.0, 10),
            (None, 1.0, 1.0, 30),
            // Both.
            (Some(30.0), 10.0, 50.0, 10),
            (Some(12.0), 10.0, 50.0, 2),
            (None, 10.0, 99.0, 1),
        ] {
            let found = seconds(typical.map(s), s(elapsed), percent);
            assert_eq!(found, expected, "{typical:?} {elapsed} {percent}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_whole_number_within_its_bounds(
            typical in proptest::option::of(any::<u64>()), elapsed: u64, percent in 0.0..=100.0,
        ) {
            let typical = typical.map(Duration::from_millis);
            let found = seconds(typical, Duration::from_millis(elapsed), percent);
            prop_assert!((1..=30).contains(&found));
        }
    }
}
