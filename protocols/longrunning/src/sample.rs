//! Operations and types for tests.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use opgate_core::{
    Cancel, CancelDelivery, Epoch, Expects, Face, Kind, LogEntry, Operation, OperationId, Origin,
    Outcome, Parent, Payload, Progress, Resource, Routed, Seq, State, Tenant, Times, Timestamp,
    Version,
};

use crate::types::Types;

pub(crate) const WORKFLOW_METADATA: &str = "google.cloud.workflows.v1.OperationMetadata";
pub(crate) const POLICY: &str = "google.identity.accesscontextmanager.v1.AccessPolicy";

pub(crate) fn types() -> &'static Types {
    static TYPES: LazyLock<Types> = LazyLock::new(|| {
        let (types, problems) = Types::new(&[]);
        assert!(problems.is_empty(), "{problems:?}");
        types
    });
    &TYPES
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

/// An operation that was accepted at second 1.
pub(crate) fn operation(response_type: Option<&str>, metadata_type: Option<&str>) -> Operation {
    let expects = Expects {
        response_type: response_type.map(Arc::from),
        metadata_type: metadata_type.map(Arc::from),
    };
    Operation {
        id: OperationId::from_bits(7),
        seq: Seq(1),
        changed: Seq(1),
        version: Version(1),
        tenant: Tenant::anonymous(),
        parent: Parent::new("projects/p").unwrap(),
        kind: Kind::new("workflows", "create").unwrap(),
        origin: Origin {
            face: Face::Grpc,
            endpoint: "google.cloud.workflows.v1.Workflows/CreateWorkflow".into(),
            principal: "anonymous".into(),
            request_id: None,
        },
        routed: Routed {
            route: "create-workflow".into(),
            backend: "showcase".into(),
            native_ref: "".into(),
        },
        expects,
        state: State::Accepted,
        native_state: "".into(),
        waiting: "".into(),
        cancel: None,
        times: Times {
            accepted: at(1),
            started: None,
            updated: at(1),
            closed: None,
            expires: None,
        },
        deadline: None,
        retention: Duration::from_hours(1),
        epoch: Epoch(0),
        progress: None,
        log: Vec::new(),
        log_dropped: 0,
        resources: Vec::new(),
        input: Payload::json("{}"),
        outcome: None,
        links_in: Vec::new(),
        links_out: Vec::new(),
        callbacks: Vec::new(),
        headers: Vec::new(),
        trace: None,
        dedupe: None,
        conflicts: Vec::new(),
        removed: None,
        lost: opgate_core::Losses::NONE,
        share: None,
    }
}

/// The operation, ended at second 9.
pub(crate) fn ended(mut operation: Operation, outcome: Outcome) -> Operation {
    operation.state = outcome.state();
    operation.outcome = Some(outcome);
    operation.times.started = Some(at(2));
    operation.times.updated = at(9);
    operation.times.closed = Some(at(9));
    operation
}

/// An operation at work, with everything that can be known of it, changed last at second 3.
pub(crate) fn busy(metadata_type: &str) -> Operation {
    let mut operation = operation(None, Some(metadata_type));
    operation.state = State::Running;
    operation.version = Version(4);
    operation.native_state = "CRUNCHING".into();
    operation.times.started = Some(at(2));
    operation.times.updated = at(3);
    operation.progress = Some(Box::new(Progress {
        percent: Some(66.6),
        done: Some(2),
        total: Some(3),
        message: "two of three".into(),
    }));
    operation.cancel = Some(Box::new(Cancel {
        requested: at(3),
        by: "anna".into(),
        reason: "late".into(),
        delivery: CancelDelivery::Queued,
        changed: at(3),
        attempts: 0,
        problem: "".into(),
    }));
    operation.log.push(LogEntry {
        at: at(2),
        error: true,
        code: "E1".into(),
        message: "slow".into(),
    });
    operation.log_dropped = 3;
    operation.resources.push(Resource {
        entity_type: "workflow".into(),
        action: "CREATED".into(),
        becomes: "".into(),
        identifier: "projects/p/workflows/w".into(),
        uri: "".into(),
    });
    operation
}
