//! What the state machine promises, for any sequence of commands.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

use opgate_core::arbitrary::{accept, outcome, submission};
use opgate_core::machine::{Decision, apply, decide};
use opgate_core::{
    Change, Command, ErrorKind, Finish, Operation, OperationId, Outcome, Seq, State, Submission,
    Tenant, Timestamp, Version,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn at(n: u64) -> Timestamp {
    Timestamp::from_nanos(i64::try_from(n).unwrap() * 1_000_000)
}

fn by_default_tenant(command: Command) -> Submission {
    Submission {
        tenant: Tenant::anonymous(),
        target: OperationId::from_bits(1),
        expect: None,
        command,
    }
}

/// Runs commands on one operation; returns it and the changes that made it.
fn run(commands: Vec<Submission>) -> (Option<Operation>, Vec<Change>) {
    let (mut operation, mut changes) = (None, Vec::new());
    for (n, submission) in (1..).zip(commands) {
        let events = match decide(operation.as_ref(), submission) {
            Decision::Change(events) => events,
            Decision::Refused { record: Some(event), .. } => vec![event],
            Decision::Same | Decision::Refused { record: None, .. } => continue,
        };
        let change = Change { seq: Seq(n), at: at(n), events };
        operation = apply(operation, &change);
        changes.push(change);
    }
    (operation, changes)
}

fn ended(accept: opgate_core::Accept, outcome: &Outcome) -> Operation {
    let finish = Finish { epoch: None, outcome: outcome.clone() };
    let accept = opgate_core::Accept { outcome: None, ..accept };
    let (operation, _) = run(vec![
        by_default_tenant(Command::Accept(Box::new(accept))),
        by_default_tenant(Command::Finish(Box::new(finish))),
    ]);
    operation.expect("an accepted operation exists")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn replaying_the_changes_gives_the_same_operation(commands in vec(submission(1), 0..40)) {
        let (live, changes) = run(commands);
        let replayed = changes.iter().fold(None, apply_owned);
        prop_assert_eq!(live, replayed);
    }

    #[test]
    fn versions_go_up_by_one_and_positions_never_go_back(commands in vec(submission(1), 0..40)) {
        let (_, changes) = run(commands);
        let mut operation: Option<Operation> = None;
        for change in &changes {
            let before = operation.as_ref().map_or(Version(0), |operation| operation.version);
            operation = apply(operation, change);
            let after = operation.as_ref().expect("a change leaves an operation");
            prop_assert_eq!(after.version, Version(before.0 + 1));
            prop_assert_eq!(after.changed, change.seq);
            prop_assert!(after.seq <= after.changed);
        }
    }

    #[test]
    fn a_terminal_state_absorbs(commands in vec(submission(1), 0..60)) {
        let (_, changes) = run(commands);
        let mut operation: Option<Operation> = None;
        for change in &changes {
            let before = operation.clone();
            operation = apply(operation, change);
            let (Some(before), Some(after)) = (before, &operation) else { continue };
            if before.is_done() {
                prop_assert_eq!(before.state, after.state);
                prop_assert_eq!(before.outcome, after.outcome.clone());
                prop_assert_eq!(before.times.closed, after.times.closed);
            }
        }
    }

    #[test]
    fn an_operation_has_an_outcome_exactly_when_it_has_ended(commands in vec(submission(1), 0..40)) {
        if let (Some(operation), _) = run(commands) {
            prop_assert_eq!(operation.outcome.as_ref().map_or(operation.state, Outcome::state), operation.state);
            prop_assert_eq!(operation.outcome.is_some(), operation.is_done());
            prop_assert_eq!(operation.times.closed.is_some(), operation.is_done());
            prop_assert_eq!(operation.purge_at().is_some(), operation.is_done());
        }
    }

    #[test]
    fn a_second_end_is_acknowledged_when_it_is_the_same_and_refused_when_not(
        accept in accept(), first in outcome(), second in outcome(),
    ) {
        let operation = ended(accept, &first);
        let again = |outcome: &Outcome| decide(
            Some(&operation),
            by_default_tenant(Command::Finish(Box::new(Finish { epoch: None, outcome: outcome.clone() }))),
        );
        prop_assert!(matches!(again(&first), Decision::Same));
        match again(&second) {
            Decision::Same => prop_assert_eq!(first, second),
            Decision::Refused { error, record } => {
                prop_assert_ne!(first, second);
                prop_assert_eq!(error.kind, ErrorKind::Conflict);
                prop_assert!(record.is_some(), "the contradiction is worth a record");
            }
            Decision::Change(_) => prop_assert!(false, "a second end took effect"),
        }
    }

    #[test]
    fn a_refused_command_of_another_tenant_tells_nothing(commands in vec(submission(1), 1..20), last in submission(1)) {
        if let (Some(operation), _) = run(commands) {
            let stranger = Submission { tenant: Tenant::new("stranger").unwrap(), ..last };
            match decide(Some(&operation), stranger) {
                Decision::Refused { error, record } => {
                    prop_assert_eq!(error.kind, ErrorKind::NotFound);
                    prop_assert!(record.is_none());
                }
                Decision::Same | Decision::Change(_) => prop_assert!(false, "a stranger was served"),
            }
        }
    }
}

fn apply_owned(operation: Option<Operation>, change: &Change) -> Option<Operation> {
    apply(operation, change)
}

fn cancel() -> Command {
    Command::Cancel { by: "someone".into(), reason: "enough".into() }
}

fn start(epoch: u32) -> Command {
    Command::Start { epoch: opgate_core::Epoch(epoch) }
}

proptest! {
    #[test]
    fn a_cancel_ends_what_no_backend_has_and_only_asks_where_one_has(accept in accept()) {
        let accept = opgate_core::Accept { outcome: None, ..accept };
        let accept = by_default_tenant(Command::Accept(Box::new(accept)));
        let (unseen, _) = run(vec![accept.clone(), by_default_tenant(cancel())]);
        prop_assert_eq!(unseen.map(|operation| operation.state), Some(State::Canceled));
        let (running, _) = run(vec![accept, by_default_tenant(start(1)), by_default_tenant(cancel())]);
        let running = running.expect("it exists");
        prop_assert_eq!(running.state, State::Running);
        prop_assert!(running.is_canceling());
        prop_assert!(matches!(decide(Some(&running), by_default_tenant(cancel())), Decision::Same));
    }

    #[test]
    fn a_lease_that_is_over_can_neither_report_nor_finish(accept in accept(), outcome in outcome()) {
        let accept = opgate_core::Accept { outcome: None, ..accept };
        let (operation, _) = run(vec![
            by_default_tenant(Command::Accept(Box::new(accept))),
            by_default_tenant(start(1)),
            by_default_tenant(start(2)),
        ]);
        let operation = operation.expect("it exists");
        let stale = opgate_core::Epoch(1);
        let finish = Command::Finish(Box::new(Finish { epoch: Some(stale), outcome }));
        let report = Command::Report(Box::new(opgate_core::Report { epoch: stale, ..Default::default() }));
        for command in [finish, report, start(2)] {
            match decide(Some(&operation), by_default_tenant(command)) {
                Decision::Refused { error, .. } => prop_assert_eq!(error.kind, ErrorKind::Conflict),
                Decision::Same | Decision::Change(_) => prop_assert!(false, "a stale lease was served"),
            }
        }
    }
}
