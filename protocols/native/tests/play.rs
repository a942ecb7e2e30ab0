//! Runs of the showcase, carried out by a real bus over a real journal.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use opgate_bus::core::{
    CancelDelivery, Expects, Face, Kind, OperationId, Outcome, Payload, State, Version,
};
use opgate_bus::{Bus, CONCURRENCY, Caller, Options, Route, Router, Snapshot, Start, Until};
use opgate_native::Showcase;
use opgate_store::{Clock, Durability, Store};
use opgate_telemetry::Metrics;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct Gateway {
    bus: Bus,
    caller: Caller,
}

impl Gateway {
    /// A bus over `dir` with one route, to the showcase's `run`.
    fn open(dir: &Path) -> Self {
        let metrics = Metrics::register(&["showcase"]);
        let mut options = opgate_store::Options::new(dir);
        options.durability = Durability::Memory;
        let (store, _) = Store::open(&options, Clock::System, &metrics).unwrap();
        let route = Route {
            name: "run".into(),
            kind: Kind::new("showcase", "run").unwrap(),
            backend: "showcase".into(),
            retention: Duration::from_hours(1),
            timeout: None,
            options: BTreeMap::new(),
            expects: Expects::default(),
            resources: Vec::new(),
        };
        let router = Router::builder()
            .backend("showcase", Arc::new(Showcase), CONCURRENCY)
            .route(route)
            .build()
            .unwrap();
        let bus = Bus::open(store, router, Options::default(), metrics);
        Self { bus, caller: Caller::anonymous() }
    }

    async fn start(&self, instruction: Value) -> OperationId {
        let input = Payload::json(instruction.to_string());
        let start = Start::new(Face::Native, "test", "run", input);
        self.bus.start(&self.caller, start).await.unwrap().snapshot.id
    }

    async fn end(&self, id: OperationId) -> Arc<Snapshot> {
        let ended = self.bus.wait(&self.caller, id, Until::Done, PATIENCE).await.unwrap();
        assert!(ended.is_done(), "{ended:?}");
        ended
    }

    /// Waits for the operation to be as wanted; it must not end before that.
    async fn until(&self, id: OperationId, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut seen = self.bus.get(&self.caller, id).await.unwrap();
        while !wanted(&seen) {
            assert!(!seen.is_done(), "{seen:?}");
            let newer = Until::Newer(seen.version);
            let now = self.bus.wait(&self.caller, id, newer, PATIENCE).await.unwrap();
            assert!(now.version > seen.version, "nothing more happens: {now:?}");
            seen = now;
        }
        seen
    }
}

fn open() -> (TempDir, Gateway) {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(dir.path());
    (dir, gateway)
}

fn steps_logged(operation: &Snapshot) -> Vec<String> {
    operation.log.iter().map(|entry| entry.message.to_string()).collect()
}

fn done(operation: &Snapshot) -> u64 {
    operation.progress.as_ref().and_then(|progress| progress.done).unwrap_or(0)
}

#[tokio::test]
async fn a_run_takes_its_time_reports_its_steps_and_ends_as_told() {
    let (_dir, gateway) = open();
    let result = json!({"id": "${id}", "said": "${/result/said}"});
    let id = gateway.start(json!({"duration": "300ms", "steps": 3, "result": result})).await;
    let ended = gateway.end(id).await;
    let took = ended.times.closed.unwrap().since(ended.times.started.unwrap());
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert_eq!(steps_logged(&ended), ["step 1 of 3", "step 2 of 3", "step 3 of 3"]);
    let progress = ended.progress.as_ref().unwrap();
    assert_eq!((progress.percent, progress.done, progress.total), (Some(100.0), Some(3), Some(3)));
    let Some(Outcome::Succeeded(Some(result))) = &ended.outcome else { panic!("{ended:?}") };
    let result: Value = serde_json::from_slice(&result.bytes).unwrap();
    assert_eq!(result, json!({"id": id.to_string(), "said": "${/result/said}"}));
}

#[tokio::test]
async fn links_are_given_out_when_it_begins() {
    let (_dir, gateway) = open();
    let links = json!([{"url": "http://a/b", "kind": "c.D"}]);
    let id = gateway.start(json!({"hold": true, "links": links})).await;
    let running = gateway.until(id, |seen| !seen.links_out.is_empty()).await;
    assert_eq!((&*running.links_out[0].url, &*running.links_out[0].kind), ("http://a/b", "c.D"));
}

#[tokio::test]
async fn many_steps_in_a_short_time_are_reported_together() {
    let (_dir, gateway) = open();
    let id = gateway.start(json!({"duration": "200ms", "steps": 10_000})).await;
    let ended = gateway.end(id).await;
    assert_eq!(done(&ended), 10_000);
    // Accepted, started, finished, and a report every 50 ms.
    assert!(ended.version <= Version(3 + 5), "{:?}", ended.version);
}

#[tokio::test]
async fn a_held_run_ends_when_it_is_canceled() {
    let (_dir, gateway) = open();
    let id = gateway.start(json!({"hold": true})).await;
    gateway.until(id, |now| now.state == State::Running).await;
    gateway.bus.cancel(&gateway.caller, id, "enough").await.unwrap();
    let ended = gateway.end(id).await;
    assert_eq!(ended.outcome, Some(Outcome::Canceled(None)));
    assert_eq!(ended.cancel.as_ref().unwrap().delivery, CancelDelivery::Acked);
}

#[tokio::test]
async fn a_cancel_that_is_not_honoured_is_refused_and_the_run_goes_on() {
    let (_dir, gateway) = open();
    let id =
        gateway.start(json!({"duration": "2s", "honor_cancel": false, "outcome": "failed"})).await;
    gateway.until(id, |now| now.state == State::Running).await;
    gateway.bus.cancel(&gateway.caller, id, "please").await.unwrap();
    let refused = |now: &Snapshot| {
        now.cancel.as_ref().is_some_and(|cancel| cancel.delivery == CancelDelivery::Refused)
    };
    gateway.until(id, refused).await;
    let ended = gateway.end(id).await;
    assert_eq!(ended.state, State::Failed);
    assert!(refused(&ended));
}

#[tokio::test]
async fn a_held_run_can_be_finished_by_hand() {
    let (_dir, gateway) = open();
    let id = gateway.start(json!({"hold": true, "honor_cancel": false})).await;
    gateway.until(id, |now| now.state == State::Running).await;
    let outcome = Outcome::Succeeded(Some(Payload::json("1")));
    gateway.bus.finish(&gateway.caller, id, outcome.clone()).await.unwrap();
    assert_eq!(gateway.end(id).await.outcome, Some(outcome));
}

#[tokio::test]
async fn after_a_restart_a_run_goes_on_and_does_not_begin_again() {
    let (dir, gateway) = open();
    let id = gateway.start(json!({"duration": "3s", "steps": 9})).await;
    let before = gateway.until(id, |now| done(now) >= 3).await;
    gateway.bus.drain().await;
    drop(gateway);

    let gateway = Gateway::open(dir.path());
    let ended = gateway.end(id).await;
    assert!(ended.epoch > before.epoch);
    assert_eq!(ended.times.started, before.times.started);
    let steps: Vec<String> = (1..=9).map(|step| format!("step {step} of 9")).collect();
    assert_eq!(steps_logged(&ended), steps);
}

#[tokio::test]
async fn a_cancel_is_not_lost_to_a_restart() {
    let (dir, gateway) = open();
    let id = gateway.start(json!({"duration": "100ms", "steps": 2, "hold": true})).await;
    gateway.until(id, |now| done(now) == 2).await;
    gateway.bus.cancel(&gateway.caller, id, "enough").await.unwrap();
    gateway.bus.drain().await;
    drop(gateway);
    let gateway = Gateway::open(dir.path());
    assert_eq!(gateway.end(id).await.state, State::Canceled);
}
