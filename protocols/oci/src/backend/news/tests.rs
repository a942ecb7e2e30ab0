use std::collections::BTreeSet;
use std::time::Duration;

use opgate_bus::Lines;
use opgate_core::machine::{Decision, apply, decide};
use opgate_core::{
    Accept, Change, Command, Epoch, Expects, Face, Kind, OperationId, Origin, Parent, Payload,
    Resource, Routed, Seq, Submission, Tenant, Timestamp, limits,
};
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);

/// An operation that a backend has, as the state machine makes it.
struct Record {
    operation: Operation,
}

impl Record {
    fn new() -> Self {
        let accept = Accept {
            parent: Parent::root(),
            kind: Kind::new("s", "o").unwrap(),
            origin: Origin {
                face: Face::Native,
                endpoint: "t".into(),
                principal: "t".into(),
                request_id: None,
            },
            routed: Routed {
                route: "r".into(),
                backend: "b".into(),
                native_ref: bytes::Bytes::new(),
            },
            expects: Expects::default(),
            input: Payload::json("{}"),
            resources: vec![Resource { becomes: "DELETED".into(), ..resource("c", "IN_PROGRESS") }],
            deadline: None,
            retention: Duration::from_hours(1),
            links_in: Vec::new(),
            callbacks: Vec::new(),
            headers: Vec::new(),
            trace: None,
            dedupe: None,
            lost: opgate_core::Losses::NONE,
            share: None,
            share_key: None,
            outcome: None,
        };
        let operation = changed(None, Command::Accept(Box::new(accept)));
        let epoch = Epoch(1);
        Self { operation: changed(Some(operation), Command::Start { epoch, backend: None }) }
    }

    fn told(&mut self, report: Option<Report>) {
        let Some(report) = report else { return };
        let command = Command::Report(Box::new(Report { epoch: Epoch(1), ..report }));
        self.operation = changed(Some(self.operation.clone()), command);
    }

    fn messages(&self) -> Vec<&str> {
        self.operation.log.iter().map(|entry| &*entry.message).collect()
    }
}

fn changed(operation: Option<Operation>, command: Command) -> Operation {
    let target = OperationId::from_bits(1);
    let submission = Submission { tenant: Tenant::anonymous(), target, expect: None, command };
    let Decision::Change(events) = decide(operation.as_ref(), submission) else { panic!() };
    apply(operation, &Change { seq: Seq(1), at: NOW, events }).unwrap()
}

fn resource(identifier: &str, action: &str) -> Resource {
    Resource {
        entity_type: "compartment".into(),
        action: action.into(),
        becomes: Box::default(),
        identifier: identifier.into(),
        uri: Box::default(),
    }
}

fn seen(body: &str) -> WorkRequest {
    WorkRequest::read(body.as_bytes()).unwrap()
}

fn line(at: Option<i64>, message: &str) -> Line {
    let at = at.map(|at| Timestamp::from_nanos(at * 1_000_000));
    Line { at, error: false, code: String::new(), message: message.to_owned() }
}

const RUNNING: &str = r#"{"status":"IN_PROGRESS"}"#;

#[test]
fn what_was_told_is_not_told_again() {
    let mut record = Record::new();
    let body = r#"{"status":"WAITING","percentComplete":20,"message":"so","resources":
        [{"entityType":"compartment","actionType":"IN_PROGRESS","identifier":"c"},
         {"entityType":"bucket","actionType":"CREATED","identifier":"b","entityUri":"/b"}]}"#;
    record.told(report(&record.operation, &seen(body), Vec::new()));
    let now = &record.operation;
    assert_eq!((&*now.native_state, &*now.waiting), ("WAITING", "WAITING"));
    let progress = now.progress.as_deref().unwrap();
    assert_eq!((progress.percent, &*progress.message), (Some(20.0), "so"));
    // What it will have been was said by the route.
    assert_eq!(&*now.resources[0].becomes, "DELETED");
    assert_eq!((&*now.resources[1].action, &*now.resources[1].uri), ("CREATED", "/b"));
    assert_eq!(report(now, &seen(body), Vec::new()), None);

    // What is left out stays as it was; that it waits no longer is said.
    let next = report(now, &seen(RUNNING), Vec::new()).unwrap();
    assert_eq!(next.native_state.as_deref(), Some("IN_PROGRESS"));
    assert_eq!((next.waiting.as_deref(), next.progress), (Some(""), None));
    assert_eq!(next.resources, []);
}

#[test]
fn of_a_resource_that_is_there_twice_the_last_counts() {
    let mut record = Record::new();
    let body = r#"{"status":"X","resources":[
        {"entityType":"compartment","actionType":"RELATED","identifier":"c"},
        {"entityType":"t","actionType":"RELATED","identifier":"x"},
        {"entityType":"compartment","actionType":"DELETED","identifier":"c"},
        {"entityType":"t","actionType":"UPDATED","identifier":"x"}]}"#;
    record.told(report(&record.operation, &seen(body), Vec::new()));
    let shown: Vec<(&str, &str)> = record
        .operation
        .resources
        .iter()
        .map(|resource| (&*resource.identifier, &*resource.action))
        .collect();
    assert_eq!(shown, [("c", "DELETED"), ("x", "UPDATED")]);
    assert_eq!(report(&record.operation, &seen(body), Vec::new()), None);
}

#[test]
fn a_record_takes_no_more_resources_than_it_has_room_for() {
    let mut record = Record::new();
    let many: Vec<String> = (0..300)
        .map(|n| format!(r#"{{"entityType":"t","actionType":"CREATED","identifier":"{n}"}}"#))
        .collect();
    let body = format!(r#"{{"status":"X","resources":[{}]}}"#, many.join(","));
    record.told(report(&record.operation, &seen(&body), Vec::new()));
    assert_eq!(record.operation.resources.len(), limits::RESOURCES);
    // Those that are there still change.
    let body = r#"{"status":"X","resources":[
        {"entityType":"t","actionType":"FAILED","identifier":"7"},
        {"entityType":"t","actionType":"CREATED","identifier":"new"}]}"#;
    let next = report(&record.operation, &seen(body), Vec::new()).unwrap();
    assert_eq!(next.resources.len(), 1);
    record.told(Some(next));
}

#[test]
fn lines_come_in_the_order_of_their_times() {
    let mut lines = Lines::of(&Record::new().operation);
    let given = [line(None, "c"), line(Some(2), "b"), line(Some(1), "a"), line(Some(2), "b")];
    let fresh = lines.fresh(&given, true, NOW);
    let messages: Vec<&str> = fresh.iter().map(|entry| &*entry.message).collect();
    assert_eq!(messages, ["a", "b", "c"]);
    assert_eq!(fresh[2].at, NOW);
    assert_eq!(lines.fresh(&given, true, NOW), []);
}

#[test]
fn of_very_many_lines_the_newest_are_told() {
    let mut lines = Lines::of(&Record::new().operation);
    let given: Vec<Line> = (0..1000).map(|n| line(Some(n), &n.to_string())).collect();
    let fresh = lines.fresh(&given, true, NOW);
    assert_eq!((fresh.len(), &*fresh[0].message), (limits::LOG_ENTRIES, "744"));
}

#[test]
fn what_a_look_could_not_read_is_not_forgotten() {
    let mut lines = Lines::of(&Record::new().operation);
    let (error, log) = (line(Some(1), "error"), line(Some(2), "log"));
    assert_eq!(lines.fresh(&[error.clone(), log.clone()], true, NOW).len(), 2);
    assert_eq!(lines.fresh(std::slice::from_ref(&error), false, NOW), []);
    assert_eq!(lines.fresh(&[error, log], true, NOW), []);
}

proptest! {
    /// However a log grows, and however often the gateway is started anew in between, its newest
    /// lines are in the operation once each, as many as it keeps.
    #[test]
    fn every_line_is_told_once(
        steps in proptest::collection::vec((1..200_usize, any::<bool>(), any::<bool>()), 1..8),
        timeless in 0..4_i64,
    ) {
        let mut record = Record::new();
        let mut lines = Lines::of(&record.operation);
        let mut upstream: Vec<Line> = Vec::new();
        for (more, restart, newest_first) in steps {
            let from = upstream.len();
            for n in from..from + more {
                let n = i64::try_from(n).unwrap();
                let at = (timeless == 0 || n % timeless != 1).then_some(n);
                upstream.push(line(at, &n.to_string()));
            }
            // Only what has a time can be told from what left the log before a restart.
            if restart && (timeless < 2 || record.operation.log_dropped == 0) {
                lines = Lines::of(&record.operation);
            }
            let mut listed = upstream.clone();
            if newest_first {
                listed.reverse();
            }
            let fresh = lines.fresh(&listed, true, NOW);
            let next = report(&record.operation, &seen(RUNNING), fresh);
            record.told(next);
            let told = record.messages();
            let once: BTreeSet<&str> = told.iter().copied().collect();
            prop_assert_eq!(once.len(), told.len(), "{:?}", told);
            prop_assert_eq!(told.len(), upstream.len().min(limits::LOG_ENTRIES));
        }
    }
}
