//! Which step is due when.

use std::time::Duration;

use opgate_bus::core::Timestamp;

/// Steps spread evenly over a duration, counted from when the operation was first started: a lease
/// after a restart goes on where the time is, it does not begin again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) started: Timestamp,
    pub(super) duration: Duration,
    pub(super) steps: u32,
}

impl Schedule {
    /// When it is over.
    pub(super) fn end(&self) -> Timestamp {
        self.started.plus(self.duration)
    }

    /// When `step`, counted from 1, is due.
    pub(super) fn due(&self, step: u32) -> Timestamp {
        let nanos = self.duration.as_nanos() * u128::from(step) / u128::from(self.steps.max(1));
        self.started.plus(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// How many steps are due at `now`.
    pub(super) fn reached(&self, now: Timestamp) -> u32 {
        if now >= self.end() {
            return self.steps;
        }
        let passed = now.since(self.started).as_nanos() * u128::from(self.steps);
        let reached = passed / self.duration.as_nanos().max(1);
        u32::try_from(reached).unwrap_or(u32::MAX).min(self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn steps_are_spread_evenly() {
        let schedule = Schedule { started: at(1000), duration: Duration::from_secs(2), steps: 4 };
        assert_eq!(schedule.reached(at(999)), 0);
        assert_eq!(schedule.reached(at(1499)), 0);
        assert_eq!(schedule.reached(at(1500)), 1);
        assert_eq!(schedule.reached(at(2999)), 3);
        assert_eq!(schedule.reached(at(3000)), 4);
        assert_eq!(schedule.due(1), at(1500));
        assert_eq!(schedule.due(4), schedule.end());
    }

    #[test]
    fn a_step_that_is_due_is_reached_however_the_division_goes() {
        for (millis, steps) in [(1000, 3), (1, 7), (86_400_000, 10_000), (0, 5)] {
            let duration = Duration::from_millis(millis);
            let schedule = Schedule { started: at(5), duration, steps };
            for step in 1..=steps.min(50) {
                // Due times are rounded down to the nanosecond.
                let due = schedule.due(step).plus(Duration::from_nanos(1));
                assert!(schedule.reached(due) >= step, "step {step} of {steps} in {millis} ms");
            }
        }
    }

    #[test]
    fn without_steps_there_is_only_the_end() {
        let schedule = Schedule { started: at(0), duration: Duration::from_secs(1), steps: 0 };
        assert_eq!(schedule.reached(at(10_000)), 0);
        assert_eq!(schedule.end(), at(1000));
    }
}
