//! Workers: leasing, reporting, finishing, giving back.

use opgate_native::client::{
    CancelOperationRequest, FinishLeaseRequest, Lease, LeaseOperationsRequest, Link, LogEntry,
    Outcome, Progress, ReleaseLeaseRequest, ReportLeaseRequest, Resource, State, TraceContext,
    outcome::Outcome as How,
};
use tonic::Code::{FailedPrecondition, InvalidArgument, NotFound};

use crate::gateway::{BUILDS, Gateway, data, json, payload, refused, start};

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn ask() -> LeaseOperationsRequest {
    LeaseOperationsRequest {
        queue: BUILDS.to_owned(),
        wait: Some(seconds(20)),
        worker: "w".to_owned(),
        ..LeaseOperationsRequest::default()
    }
}

async fn lease(gateway: &mut Gateway) -> Lease {
    let answer = gateway.workers.lease_operations(ask()).await.unwrap().into_inner();
    let [lease] = <[Lease; 1]>::try_from(answer.leases).unwrap();
    lease
}

fn report(lease: &str) -> ReportLeaseRequest {
    ReportLeaseRequest { lease: lease.to_owned(), ..ReportLeaseRequest::default() }
}

fn finish(lease: &str, how: How) -> FinishLeaseRequest {
    FinishLeaseRequest { lease: lease.to_owned(), outcome: Some(Outcome { outcome: Some(how) }) }
}

#[tokio::test]
async fn a_worker_is_told_of_the_trace_of_the_start() {
    let mut gateway = Gateway::start().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (said, kept) in [(Some("a=1,b=2"), "a=1,b=2"), (Some("a=1,a=2"), ""), (None, "")] {
        let mut request = tonic::Request::new(start("build", "{}"));
        request.metadata_mut().insert("traceparent", parent.parse().unwrap());
        if let Some(state) = said {
            request.metadata_mut().insert("tracestate", state.parse().unwrap());
        }
        let started = gateway.operations.start_operation(request).await.unwrap().into_inner();
        let Lease { lease: token, operation, .. } = lease(&mut gateway).await;
        let (traceparent, tracestate) = (parent.to_owned(), kept.to_owned());
        let trace = Some(TraceContext { traceparent, tracestate });
        assert_eq!(operation.unwrap().trace, trace);
        assert_eq!((&started.trace, &gateway.get(&started.id).await.trace), (&trace, &trace));
        let done = How::Succeeded(json("1"));
        gateway.workers.finish_lease(finish(&token, done)).await.unwrap();
    }
    // Of none there is none.
    assert_eq!(gateway.begin("build", "{}").await.trace, None);
    gateway.stop().await;
}

#[tokio::test]
async fn an_operation_is_leased_reported_on_and_finished() {
    let mut gateway = Gateway::start().await;
    // A worker that waits is served as soon as there is something.
    let mut workers = gateway.workers.clone();
    let waiting = tokio::spawn(async move { workers.lease_operations(ask()).await });
    let started = gateway.begin("build", r#"{"target": "all"}"#).await;
    assert_eq!(started.state(), State::Accepted);
    let leases = waiting.await.unwrap().unwrap().into_inner().leases;
    let Lease { lease, operation, expire_time } = leases.into_iter().next().unwrap();
    let operation = operation.unwrap();
    assert_eq!(
        (&operation.id, operation.state(), operation.epoch),
        (&started.id, State::Running, 1)
    );
    assert_eq!(data(operation.input.as_ref()).1, br#"{"target": "all"}"#);
    assert!(expire_time.is_some());

    let told = ReportLeaseRequest {
        progress: Some(Progress {
            percent: Some(50.0),
            done: Some(1),
            total: Some(2),
            message: "half".to_owned(),
        }),
        log: vec![LogEntry { message: "begun".to_owned(), ..LogEntry::default() }],
        resources: vec![Resource {
            entity_type: "image".to_owned(),
            action: "CREATED".to_owned(),
            identifier: "i".to_owned(),
            uri: "https://h/i".to_owned(),
        }],
        links: vec![Link { url: "https://h/l".to_owned(), r#type: "log".to_owned() }],
        native_state: Some("BUILDING".to_owned()),
        waiting: Some("approval".to_owned()),
        ..report(&lease)
    };
    let held = gateway.workers.report_lease(told.clone()).await.unwrap().into_inner();
    assert!(!held.cancel_requested && held.expire_time.is_some());
    let shown = gateway.get(&started.id).await;
    assert_eq!(shown.version, held.version);
    assert_eq!((shown.progress, shown.resources), (told.progress, told.resources));
    assert_eq!((&*shown.native_state, &*shown.waiting), ("BUILDING", "approval"));
    assert_eq!((&shown.links_out, &*shown.log[0].message), (&told.links, "begun"));
    assert!(shown.log[0].time.is_some());

    let cancel = CancelOperationRequest {
        name: started.id.clone(),
        reason: "enough".to_owned(),
        ..Default::default()
    };
    gateway.operations.cancel_operation(cancel).await.unwrap();
    let agreed = ReportLeaseRequest { accept_cancel: Some(true), ..report(&lease) };
    let held = gateway.workers.report_lease(agreed).await.unwrap().into_inner();
    assert_eq!((held.cancel_requested, &*held.cancel_reason), (true, "enough"));
    assert_eq!(gateway.get(&started.id).await.cancel.unwrap().delivery, "acked");

    let done = finish(&lease, How::Succeeded(json("[1]")));
    let ended = gateway.workers.finish_lease(done.clone()).await.unwrap().into_inner();
    assert_eq!((ended.state(), ended.version), (State::Succeeded, held.version + 1));
    assert_eq!(data(ended.result.as_ref()).1, b"[1]");
    // A worker that lost the answer may finish again; what it says later is refused.
    let again = gateway.workers.finish_lease(done).await.unwrap().into_inner();
    assert_eq!(again.version, ended.version);
    let late = gateway.workers.report_lease(report(&lease)).await;
    assert_eq!(late.unwrap_err().code(), FailedPrecondition);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_given_back_is_leased_again_under_the_next_epoch() {
    let mut gateway = Gateway::start().await;
    let started = gateway.begin("build", "1").await;
    let first = lease(&mut gateway).await;
    let release = ReleaseLeaseRequest {
        lease: first.lease.clone(),
        message: "not here".to_owned(),
        delay: None,
    };
    gateway.workers.release_lease(release).await.unwrap();
    let second = lease(&mut gateway).await;
    let operation = second.operation.unwrap();
    assert_eq!((&operation.id, operation.epoch), (&started.id, 2));
    assert!(operation.log[0].message.contains("not here"), "{:?}", operation.log);
    let stale = finish(&first.lease, How::Succeeded(json("1")));
    assert!(gateway.workers.finish_lease(stale).await.is_err());
    gateway.workers.finish_lease(finish(&second.lease, How::Succeeded(json("1")))).await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn an_empty_queue_answers_with_nothing() {
    let mut gateway = Gateway::start().await;
    for wait in [None, Some(prost_types::Duration { seconds: 0, nanos: 20_000_000 })] {
        let request = LeaseOperationsRequest { wait, ..ask() };
        let answer = gateway.workers.lease_operations(request).await.unwrap().into_inner();
        assert!(answer.leases.is_empty());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_client_would_not_take_in_one_message_goes_back() {
    let mut gateway = Gateway::start().await;
    let large = vec![0; 3 * 1024 * 1024];
    for _ in 0..2 {
        let mut request = start("build", "");
        request.input = Some(payload("a/b", &large));
        gateway.operations.start_operation(request).await.unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..2 {
        let request = LeaseOperationsRequest { max: 10, ..ask() };
        let answer = gateway.workers.lease_operations(request).await.unwrap().into_inner();
        assert_eq!(answer.leases.len(), 1);
        let operation = answer.leases[0].operation.clone().unwrap();
        assert_eq!(data(operation.input.as_ref()).1.len(), large.len());
        seen.push(operation.id);
    }
    assert_ne!(seen[0], seen[1]);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_call_of_a_worker_is_named() {
    let mut gateway = Gateway::start().await;
    for (request, code, field) in [
        (LeaseOperationsRequest { queue: "x".to_owned(), ..ask() }, NotFound, ""),
        (LeaseOperationsRequest { max: -1, ..ask() }, InvalidArgument, "max"),
        (LeaseOperationsRequest { max: 101, ..ask() }, InvalidArgument, "max"),
        (LeaseOperationsRequest { wait: Some(seconds(-1)), ..ask() }, InvalidArgument, "wait"),
        (LeaseOperationsRequest { lease: Some(seconds(0)), ..ask() }, InvalidArgument, "lease"),
        (LeaseOperationsRequest { lease: Some(seconds(3601)), ..ask() }, InvalidArgument, "lease"),
        (LeaseOperationsRequest { worker: "w".repeat(257), ..ask() }, InvalidArgument, "worker"),
    ] {
        let answer = refused(gateway.workers.lease_operations(request).await);
        assert_eq!(answer, (code, field.to_owned()));
    }
    gateway.begin("build", "1").await;
    let lease = lease(&mut gateway).await.lease;
    let percent = |percent| ReportLeaseRequest {
        progress: Some(Progress { percent: Some(percent), ..Progress::default() }),
        ..report(&lease)
    };
    let time = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    let entry = LogEntry { time, ..LogEntry::default() };
    let link = Link { url: String::new(), r#type: String::new() };
    for (request, field) in [
        (report("nonsense"), "lease"),
        (percent(100.5), "progress.percent"),
        (percent(f64::NAN), "progress.percent"),
        (ReportLeaseRequest { log: vec![entry], ..report(&lease) }, "log.time"),
        (ReportLeaseRequest { links: vec![link], ..report(&lease) }, "links"),
        (ReportLeaseRequest { extend: Some(seconds(0)), ..report(&lease) }, "extend"),
        (ReportLeaseRequest { extend: Some(seconds(-1)), ..report(&lease) }, "extend"),
    ] {
        let answer = refused(gateway.workers.report_lease(request).await);
        assert_eq!(answer, (InvalidArgument, field.to_owned()));
    }
    let nothing = FinishLeaseRequest { lease: lease.clone(), outcome: None };
    let answer = refused(gateway.workers.finish_lease(nothing).await);
    assert_eq!(answer, (InvalidArgument, "outcome".to_owned()));
    for (delay, field) in [(3601, "delay"), (-1, "delay")] {
        let delay = Some(seconds(delay));
        let release = ReleaseLeaseRequest { lease: lease.clone(), delay, ..Default::default() };
        let answer = refused(gateway.workers.release_lease(release).await);
        assert_eq!(answer, (InvalidArgument, field.to_owned()));
    }
    // It still holds.
    gateway.workers.finish_lease(finish(&lease, How::Succeeded(json("1")))).await.unwrap();
    gateway.stop().await;
}
