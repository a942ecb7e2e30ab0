//! Readiness: named conditions that must all hold.

use std::borrow::Cow;
use std::fmt;

use tokio::sync::watch;

/// One named condition as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionState {
    /// Name, such as `journal`.
    pub name: &'static str,
    /// Why it does not hold; none if it does.
    pub reason: Option<Cow<'static, str>>,
}

/// All conditions as they stand, in the order they were named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadinessReport(Vec<ConditionState>);

impl ReadinessReport {
    /// Whether every condition holds.
    pub fn is_ready(&self) -> bool {
        self.0.iter().all(|condition| condition.reason.is_none())
    }

    /// The conditions.
    pub fn conditions(&self) -> &[ConditionState] {
        &self.0
    }
}

impl fmt::Display for ReadinessReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", if self.is_ready() { "ready" } else { "not ready" })?;
        for ConditionState { name, reason } in &self.0 {
            writeln!(f, "{name}: {}", reason.as_deref().unwrap_or("ok"))?;
        }
        Ok(())
    }
}

/// The set of conditions. Clones share it.
///
/// Unlike a latch, a condition may fail again: a drain, or a journal that no longer takes writes, must turn traffic
/// away.
#[derive(Clone, Debug, Default)]
pub struct Readiness(watch::Sender<ReadinessReport>);

impl Readiness {
    /// Ready, until the first condition is named.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names a condition, which does not hold yet, for the `reason` given. Name all before any may hold, or the
    /// gateway is ready for a moment.
    pub fn condition(&self, name: &'static str, reason: impl Into<Cow<'static, str>>) -> Condition {
        let mut position = 0;
        self.0.send_modify(|report| {
            position = report.0.len();
            report.0.push(ConditionState { name, reason: Some(reason.into()) });
        });
        Condition { report: self.0.clone(), position }
    }

    /// Everything as it stands.
    pub fn report(&self) -> ReadinessReport {
        self.0.borrow().clone()
    }

    /// Whether every condition holds.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().is_ready()
    }

    /// Follows the changes.
    pub fn subscribe(&self) -> watch::Receiver<ReadinessReport> {
        self.0.subscribe()
    }
}

/// The right to say whether one condition holds.
#[derive(Clone, Debug)]
pub struct Condition {
    report: watch::Sender<ReadinessReport>,
    position: usize,
}

impl Condition {
    /// It holds.
    pub fn holds(&self) {
        self.set(None);
    }

    /// It does not hold, for a reason an operator can read.
    pub fn fails(&self, reason: impl Into<Cow<'static, str>>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, reason: Option<Cow<'static, str>>) {
        self.report.send_if_modified(|report| {
            let condition = &mut report.0[self.position];
            let changed = condition.reason != reason;
            condition.reason = reason;
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_while_every_condition_holds() {
        let readiness = Readiness::new();
        let journal = readiness.condition("journal", "opening");
        let listeners = readiness.condition("listeners", "not bound");
        assert_eq!(
            readiness.report().to_string(),
            "not ready\njournal: opening\nlisteners: not bound\n"
        );
        journal.holds();
        assert!(!readiness.is_ready());
        listeners.holds();
        assert_eq!(readiness.report().to_string(), "ready\njournal: ok\nlisteners: ok\n");
        journal.fails(format!("disk full: {} bytes left", 0));
        assert!(!readiness.is_ready());
    }

    #[test]
    fn a_follower_hears_changes_and_only_changes() {
        let readiness = Readiness::new();
        let journal = readiness.condition("journal", "opening");
        let mut follower = readiness.subscribe();
        journal.fails("opening");
        assert!(!follower.has_changed().unwrap());
        journal.holds();
        assert!(follower.has_changed().unwrap());
        assert!(follower.borrow_and_update().is_ready());
    }
}
