//! What the state machine promises, for any sequence of commands.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

use opgate_core::arbitrary::{accept, outcome, submission};
use opgate_core::machine::{Decision, apply, decide, repeat};
use opgate_core::{
    Accept, Callback, Change, Code, Command, Dedupe, DedupeKey, DeliveryState, Epoch, ErrorKind,
    Event, Failure, Fingerprint, Finish, Header, KeySpace, Link, LogEntry, Native, Operation,
    OperationId, Origin, Outcome, Payload, Report, Resource, Seq, State, Submission, Tenant,
    Timestamp, Trace, Version, limits,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

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

fn ended(accept: Accept, outcome: &Outcome) -> Operation {
    let finish = Finish { epoch: None, by: None, outcome: outcome.clone(), report: None };
    let accept = Accept { outcome: None, ..accept };
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
    fn times_never_go_back_whatever_the_clock_does(
        commands in vec(submission(1), 0..40), clock in vec(any::<i64>(), 40),
    ) {
        let (_, mut changes) = run(commands);
        for (change, nanos) in changes.iter_mut().zip(clock) {
            change.at = Timestamp::from_nanos(nanos);
        }
        let mut operation: Option<Operation> = None;
        for change in &changes {
            let before = operation.as_ref().map(|operation| operation.times.updated);
            operation = apply(operation, change);
            let times = operation.as_ref().expect("a change leaves an operation").times;
            prop_assert!(before.is_none_or(|before| before <= times.updated));
            prop_assert!(times.accepted <= times.updated);
            prop_assert!(times.started.is_none_or(|started| times.accepted <= started));
            prop_assert!(times.closed.is_none_or(|closed| times.started.unwrap_or(times.accepted) <= closed));
        }
        prop_assert_eq!(operation, changes.iter().fold(None, apply_owned));
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
            let settled = operation.is_done() && !operation.owes_callbacks();
            prop_assert_eq!(operation.purge_at().is_some(), settled);
        }
    }

    #[test]
    fn a_callback_is_told_of_only_after_the_end_and_only_while_it_is_owed(
        accept in accept(), end in outcome(), commands in vec(submission(1), 0..60),
    ) {
        let accept = Accept {
            callbacks: vec![Callback::new("http://a", Vec::new()), Callback::new("http://b", Vec::new())],
            ..accept
        };
        let mut first = vec![by_default_tenant(Command::Accept(Box::new(accept)))];
        let (early, late) = commands.split_at(commands.len() / 4);
        let finish = Command::Finish(Box::new(Finish::new(end)));
        first.extend(early.iter().cloned());
        first.push(by_default_tenant(finish));
        first.extend(late.iter().cloned());
        let (_, changes) = run(first);
        let mut operation: Option<Operation> = None;
        for change in &changes {
            let before = operation.clone();
            operation = apply(operation, change);
            let (Some(before), Some(after)) = (before, &operation) else { continue };
            let redriven = change.events.contains(&Event::Redriven);
            for (old, new) in before.callbacks.iter().zip(&after.callbacks) {
                prop_assert_eq!((&old.url, &old.headers), (&new.url, &new.headers));
                let (old, new) = (&old.delivery, &new.delivery);
                if old == new {
                    continue;
                }
                prop_assert!(before.is_done(), "told of before the end");
                match old.state {
                    DeliveryState::Delivered => prop_assert!(false, "told of twice"),
                    DeliveryState::Dead => {
                        prop_assert!(redriven);
                        let owed = (DeliveryState::Pending, 0, None, Some(after.times.updated));
                        prop_assert_eq!((new.state, new.attempts, new.next, new.redriven), owed);
                    }
                    DeliveryState::Pending => {
                        let made = new.attempts - old.attempts;
                        let given_up = made == 0 && new.state == DeliveryState::Dead;
                        prop_assert!(made == 1 || given_up);
                        prop_assert_eq!(new.next.is_some(), new.state == DeliveryState::Pending);
                        prop_assert_eq!(new.redriven, old.redriven);
                    }
                }
            }
            let owed = after.callbacks.iter().filter(|it| it.delivery.state == DeliveryState::Pending);
            let expected = if after.is_done() { owed.count() } else { 0 };
            prop_assert_eq!(after.owed().count(), expected);
        }
    }

    #[test]
    fn a_second_end_is_acknowledged_when_it_is_the_same_and_refused_when_not(
        accept in accept(), first in outcome(), second in outcome(),
    ) {
        let operation = ended(accept, &first);
        let again = |outcome: &Outcome| decide(
            Some(&operation),
            by_default_tenant(Command::Finish(Box::new(Finish { epoch: None, by: None, outcome: outcome.clone(), report: None }))),
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
    Command::Start { epoch: Epoch(epoch), backend: None }
}

proptest! {
    #[test]
    fn a_cancel_ends_what_no_backend_has_and_only_asks_where_one_has(accept in accept()) {
        let accept = Accept { outcome: None, ..accept };
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
        let accept = Accept { outcome: None, ..accept };
        let (operation, _) = run(vec![
            by_default_tenant(Command::Accept(Box::new(accept))),
            by_default_tenant(start(1)),
            by_default_tenant(start(2)),
        ]);
        let operation = operation.expect("it exists");
        let stale = Epoch(1);
        let finish = Command::Finish(Box::new(Finish { epoch: Some(stale), by: None, outcome, report: None }));
        let report = Command::Report(Box::new(Report { epoch: stale, ..Default::default() }));
        for command in [finish, report, start(2)] {
            match decide(Some(&operation), by_default_tenant(command)) {
                Decision::Refused { error, .. } => prop_assert_eq!(error.kind, ErrorKind::Conflict),
                Decision::Same | Decision::Change(_) => prop_assert!(false, "a stale lease was served"),
            }
        }
    }
}

/// Any new operation that has not ended at once.
fn any_accept() -> Accept {
    let mut runner = TestRunner::deterministic();
    let tree = accept().new_tree(&mut runner).unwrap();
    Accept { outcome: None, ..tree.current() }
}

/// An operation under its first lease, after these reports.
fn reported(reports: Vec<Report>) -> Operation {
    let mut commands = vec![
        by_default_tenant(Command::Accept(Box::new(Accept {
            resources: Vec::new(),
            ..any_accept()
        }))),
        by_default_tenant(start(1)),
    ];
    let reports = reports.into_iter().map(|report| Report { epoch: Epoch(1), ..report });
    commands.extend(reports.map(|report| by_default_tenant(Command::Report(Box::new(report)))));
    run(commands).0.unwrap()
}

fn resource(n: usize, action: &str) -> Resource {
    Resource {
        entity_type: "disk".into(),
        action: action.into(),
        becomes: "".into(),
        identifier: n.to_string().into(),
        uri: "".into(),
    }
}

fn link(n: usize) -> Link {
    Link { url: format!("https://example.org/{n}").into(), kind: "log".into() }
}

#[test]
fn what_is_there_already_takes_no_further_place() {
    let resources =
        |action| (0..limits::RESOURCES).map(|n| resource(n, action)).collect::<Vec<_>>();
    let full = Report {
        resources: resources("CREATED"),
        links: (0..limits::LINKS).map(link).collect(),
        ..Report::default()
    };
    let again = Report { resources: resources("DELETED"), ..full.clone() };
    let beyond = Report {
        resources: vec![resource(limits::RESOURCES, "CREATED")],
        links: vec![link(limits::LINKS)],
        ..Report::default()
    };
    let operation = reported(vec![full.clone(), again.clone()]);
    assert_eq!(operation.resources, again.resources);
    assert_eq!(operation.links_out, full.links);
    let beyond = [
        ("resources", Report { links: Vec::new(), ..beyond.clone() }),
        ("links", Report { resources: Vec::new(), ..beyond }),
    ];
    for (field, report) in beyond {
        let report = Report { epoch: Epoch(1), ..report };
        let command = by_default_tenant(Command::Report(Box::new(report)));
        assert_eq!(refused(Some(&operation), command), field);
    }
}

/// The field a command is refused for.
fn refused(operation: Option<&Operation>, command: Submission) -> String {
    let Decision::Refused { error, record: None } = decide(operation, command) else {
        return "not refused".to_owned();
    };
    error.field.unwrap().field.into_owned()
}

#[test]
fn a_text_that_is_worth_nothing_when_cut_is_refused_by_name_when_it_is_too_long() {
    let long = || "x".repeat(limits::TEXT_BYTES + 1);
    let accept = any_accept();
    let url = Link { url: long().into(), ..link(1) };
    let kind = Link { kind: long().into(), ..link(1) };
    let callback = Callback::new(long(), Vec::new());
    for (field, accept) in [
        ("links.url", Accept { links_in: vec![url.clone()], ..accept.clone() }),
        ("links.kind", Accept { links_in: vec![kind.clone()], ..accept.clone() }),
        ("callbacks.url", Accept { callbacks: vec![callback], ..accept }),
    ] {
        let command = by_default_tenant(Command::Accept(Box::new(accept)));
        assert_eq!(refused(None, command), field);
    }

    let running = reported(Vec::new());
    let of = |resource| Report { resources: vec![resource], ..Report::default() };
    let known = || resource(1, "CREATED");
    for (field, report) in [
        ("links.url", Report { links: vec![url], ..Report::default() }),
        ("links.kind", Report { links: vec![kind], ..Report::default() }),
        ("resources.entity_type", of(Resource { entity_type: long().into(), ..known() })),
        ("resources.action", of(Resource { action: long().into(), ..known() })),
        ("resources.identifier", of(Resource { identifier: long().into(), ..known() })),
        ("resources.uri", of(Resource { uri: long().into(), ..known() })),
    ] {
        let report = Report { epoch: Epoch(1), ..report };
        let command = by_default_tenant(Command::Report(Box::new(report)));
        assert_eq!(refused(Some(&running), command), field);
    }

    let failure = || Failure::new(Code::Internal, "");
    let native = Native {
        protocol: "nexus".to_owned(),
        code: "X".to_owned(),
        http: None,
        bytes: bytes::Bytes::new(),
        encoded: None,
    };
    let natively = |native| Failure { native: Some(Box::new(native)), ..failure() };
    for (field, cause) in [
        ("failure.reason", Failure { reason: Some(long()), ..failure() }),
        ("failure.native.protocol", natively(Native { protocol: long(), ..native.clone() })),
        ("failure.native.code", natively(Native { code: long(), ..native })),
    ] {
        let outcome = Outcome::Failed(Failure { cause: Some(Box::new(cause)), ..failure() });
        let finish = Command::Finish(Box::new(Finish {
            epoch: Some(Epoch(1)),
            by: None,
            outcome,
            report: None,
        }));
        assert_eq!(refused(Some(&running), by_default_tenant(finish)), field);
    }
}

#[test]
fn every_part_of_a_start_has_its_bound() {
    let accept = any_accept();
    let long = |bytes: usize| "x".repeat(bytes + 1);
    let header = |bytes: usize| Header { name: "h".into(), value: vec![b'v'; bytes].into() };
    let callback = |headers| Callback::new("https://example.org", headers);
    let trace = |parent: String, state: String| {
        Some(Box::new(Trace { parent: parent.into(), state: state.into() }))
    };
    let origin = accept.origin.clone();
    let input = |input: Payload| Accept { input, ..accept.clone() };
    let plain = || Payload::json("{}");
    for (field, accept) in [
        (
            "callbacks.headers",
            Accept {
                callbacks: vec![callback(vec![header(1); limits::HEADERS + 1])],
                ..accept.clone()
            },
        ),
        (
            "callbacks.headers",
            // Together they are too many bytes.
            Accept {
                callbacks: vec![callback(vec![header(limits::HEADER_BYTES / 2)]); 2],
                ..accept.clone()
            },
        ),
        (
            "traceparent",
            Accept {
                trace: trace(long(limits::TRACE_PARENT_BYTES), String::new()),
                ..accept.clone()
            },
        ),
        (
            "tracestate",
            Accept {
                trace: trace(String::new(), long(limits::TRACE_STATE_BYTES)),
                ..accept.clone()
            },
        ),
        (
            "endpoint",
            Accept {
                origin: Origin { endpoint: long(limits::NAME_BYTES).into(), ..origin.clone() },
                ..accept.clone()
            },
        ),
        (
            "principal",
            Accept {
                origin: Origin { principal: long(limits::TEXT_BYTES).into(), ..origin.clone() },
                ..accept.clone()
            },
        ),
        (
            "request_id",
            Accept {
                origin: Origin { request_id: Some(long(limits::NAME_BYTES).into()), ..origin },
                ..accept.clone()
            },
        ),
        ("input.media_type", input(Payload::new(long(limits::MEDIA_TYPE_BYTES), ""))),
        (
            "input.encoding",
            input(Payload { encoding: Some(long(limits::MEDIA_TYPE_BYTES).into()), ..plain() }),
        ),
        ("input.sections", input(Payload { sections: vec![0; limits::SECTIONS + 1], ..plain() })),
    ] {
        let command = by_default_tenant(Command::Accept(Box::new(accept)));
        assert_eq!(refused(None, command), field);
    }

    let running = reported(Vec::new());
    let output = Payload { sections: vec![0; limits::SECTIONS + 1], ..plain() };
    let outcome = Outcome::Succeeded(Some(output));
    let finish = Finish { epoch: Some(Epoch(1)), by: None, outcome, report: None };
    let command = by_default_tenant(Command::Finish(Box::new(finish)));
    assert_eq!(refused(Some(&running), command), "output.sections");
}

#[test]
fn the_entries_of_one_report_are_bounded() {
    let entry = LogEntry { at: at(1), error: false, code: "".into(), message: "m".into() };
    let running = reported(Vec::new());
    let same = |count: usize, field| match field {
        "log" => Report { log: vec![entry.clone(); count], ..Report::default() },
        "resources" => {
            Report { resources: vec![resource(1, "CREATED"); count], ..Report::default() }
        }
        _ => Report { links: vec![link(1); count], ..Report::default() },
    };
    for (field, most) in
        [("log", limits::LOG_ENTRIES), ("resources", limits::RESOURCES), ("links", limits::LINKS)]
    {
        let told = |count| {
            let report = Report { epoch: Epoch(1), ..same(count, field) };
            refused(Some(&running), by_default_tenant(Command::Report(Box::new(report))))
        };
        assert_eq!(told(most), "not refused");
        assert_eq!(told(most + 1), field);
    }
}

#[test]
fn who_ended_it_by_hand_is_in_the_log() {
    let by_hand = |outcome| {
        let by = Some("ann".into());
        let finish = Command::Finish(Box::new(Finish { epoch: None, by, outcome, report: None }));
        let accept = Command::Accept(Box::new(any_accept()));
        let (operation, _) = run(vec![by_default_tenant(accept), by_default_tenant(finish)]);
        operation.unwrap().log
    };
    let lines = |log: Vec<LogEntry>| -> Vec<(bool, String, String)> {
        log.into_iter().map(|line| (line.error, line.code.into(), line.message.into())).collect()
    };
    let failed = Failure::new(Code::Unavailable, "no power");
    assert_eq!(
        lines(by_hand(Outcome::Failed(failed))),
        [(true, String::new(), "completed by hand as FAILED by ann: no power".to_owned())]
    );
    assert_eq!(
        lines(by_hand(Outcome::Succeeded(None))),
        [(false, String::new(), "completed by hand as SUCCEEDED by ann".to_owned())]
    );
    // Neither a lease nor a deadline is somebody.
    assert!(ended(any_accept(), &Outcome::Succeeded(None)).log.is_empty());
    // The log has no more lines for it than for any other.
    let entry = LogEntry { at: at(1), error: false, code: "".into(), message: "m".into() };
    let full =
        Report { log: vec![entry; limits::LOG_ENTRIES], epoch: Epoch(1), ..Report::default() };
    let by = Some("x".repeat(2 * limits::TEXT_BYTES).into());
    let finish = Finish { epoch: None, by, outcome: Outcome::Succeeded(None), report: None };
    let (operation, _) = run(vec![
        by_default_tenant(Command::Accept(Box::new(any_accept()))),
        by_default_tenant(start(1)),
        by_default_tenant(Command::Report(Box::new(full))),
        by_default_tenant(Command::Finish(Box::new(finish))),
    ]);
    let operation = operation.unwrap();
    assert_eq!((operation.log.len(), operation.log_dropped), (limits::LOG_ENTRIES, 1));
    assert_eq!(operation.log.last().unwrap().message.len(), limits::TEXT_BYTES);
}

#[test]
fn a_start_that_expects_a_version_is_for_a_repeat_only() {
    let accept = Command::Accept(Box::new(any_accept()));
    let submission = Submission { expect: Some(Version(0)), ..by_default_tenant(accept) };
    let decided = decide(None, submission);
    assert!(
        matches!(
            &decided,
            Decision::Refused { error, record: None } if error.kind == ErrorKind::Conflict
        ),
        "{decided:?}"
    );
}

#[test]
fn what_was_to_become_of_a_resource_is_told_by_the_end() {
    let told = || Resource { becomes: "DELETED".into(), ..resource(1, "IN_PROGRESS") };
    let accept = |outcome| {
        let accept = Accept { resources: vec![told()], outcome, ..any_accept() };
        run(vec![by_default_tenant(Command::Accept(Box::new(accept)))]).0.unwrap().resources
    };
    assert_eq!(accept(None), [told()]);
    assert_eq!(accept(Some(Outcome::Succeeded(None))), [resource(1, "DELETED")]);
    let failure = Failure::new(Code::Internal, "no");
    let failed = Resource { action: "FAILED".into(), ..told() };
    assert_eq!(accept(Some(Outcome::Failed(failure))), std::slice::from_ref(&failed));
    assert_eq!(accept(Some(Outcome::Canceled(None))), [failed]);
}

#[test]
fn a_key_that_lives_with_its_operation_is_free_once_that_has_ended() {
    let dedupe = Dedupe {
        space: KeySpace::new("test"),
        key: DedupeKey(1),
        fingerprint: Fingerprint([0; 32]),
        until: Timestamp::from_nanos(0),
        live: true,
    };
    let accepted = |outcome| {
        let accept = Accept { dedupe: Some(Box::new(dedupe.clone())), outcome, ..any_accept() };
        run(vec![by_default_tenant(Command::Accept(Box::new(accept)))]).0.unwrap()
    };
    let later = Timestamp::from_nanos(1_000_000);
    let running = accepted(None);
    assert!(matches!(repeat(&running, &dedupe, later), Some(Decision::Same)));
    assert!(repeat(&accepted(Some(Outcome::Succeeded(None))), &dedupe, later).is_none());
    let remove = Command::Remove { keep: std::time::Duration::ZERO };
    let mut removed = running.clone();
    let Decision::Change(events) = decide(Some(&removed), by_default_tenant(remove)) else {
        panic!("not removed")
    };
    let change = Change { seq: Seq(9), at: later, events };
    removed = apply(Some(removed), &change).unwrap();
    assert!(repeat(&removed, &dedupe, later).is_none());
}
