//! An operation to try filters on.

use std::time::Duration;

use bytes::Bytes;
use opgate_core::machine::{Decision, apply, decide};
use opgate_core::{
    Accept, Change, Code, Command, Epoch, Expects, Face, Failure, Finish, Kind, Operation,
    OperationId, Origin, Outcome, Parent, Payload, Progress, Report, Routed, Seq, Submission,
    Tenant, Timestamp,
};

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

fn change(operation: Option<Operation>, second: i64, command: Command) -> Operation {
    let submission = Submission {
        tenant: Tenant::anonymous(),
        target: OperationId::from_bits(7),
        expect: None,
        command,
    };
    match decide(operation.as_ref(), submission) {
        Decision::Change(events) => {
            let seq = Seq(second.unsigned_abs());
            apply(operation, &Change { seq, at: at(second), events }).unwrap()
        }
        Decision::Same | Decision::Refused { .. } => panic!("refused"),
    }
}

/// Accepted at second 1 of the epoch; its deadline is second 100.
pub(crate) fn accepted() -> Operation {
    let accept = Accept {
        parent: Parent::new("projects/p").unwrap(),
        kind: Kind::new("workflows", "create").unwrap(),
        origin: Origin {
            face: Face::Grpc,
            endpoint: "x".into(),
            principal: "anna".into(),
            request_id: None,
        },
        routed: Routed {
            route: "create-workflow".into(),
            backend: "showcase".into(),
            native_ref: Bytes::new(),
        },
        expects: Expects::default(),
        input: Payload::json("{}"),
        resources: Vec::new(),
        deadline: Some(at(100)),
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
    change(None, 1, Command::Accept(Box::new(accept)))
}

/// Taken at second 2, at 66.6 percent since second 3.
pub(crate) fn running() -> Operation {
    let started = change(Some(accepted()), 2, Command::Start { epoch: Epoch(1), backend: None });
    let report = Report {
        epoch: Epoch(1),
        progress: Some(Progress {
            percent: Some(66.6),
            done: Some(2),
            total: Some(3),
            message: "two of three".into(),
        }),
        log: Vec::new(),
        resources: Vec::new(),
        links: Vec::new(),
        native_ref: None,
        native_state: Some("CRUNCHING".into()),
        waiting: None,
        cancel: None,
        lost: opgate_core::Losses::NONE,
        kept: opgate_core::Losses::NONE,
    };
    change(Some(started), 3, Command::Report(Box::new(report)))
}

/// Failed at second 9.
pub(crate) fn failed() -> Operation {
    let mut failure = Failure::new(Code::NotFound, "no such disk");
    failure.reason = Some("disk-missing".to_owned());
    let finish =
        Finish { epoch: Some(Epoch(1)), by: None, outcome: Outcome::Failed(failure), report: None };
    change(Some(running()), 9, Command::Finish(Box::new(finish)))
}
