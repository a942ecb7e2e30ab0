//! opgate's side: a bus with the backend, and the listener that completions come to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use opgate_bus::core::{Expects, Face, Kind, OperationId, Payload, Version};
use opgate_bus::{Backoff, Bus, Caller, Durability, Gate, Route, Router, Snapshot, Start, Until};
use opgate_edge::{Drain, DrainTrigger, HttpLimits, HttpListener};
use opgate_egress::{Client, Credentials, Limits, Trust};
use opgate_nexus::backend::{
    Bounds, CallbackBase, Completion, Completions, Endpoint, Settings, Upstream,
};
use opgate_store::{Clock, Store};
use opgate_telemetry::{Listener, Metrics};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::handler::{Handler, LONG};

const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(2), longest: Duration::from_millis(8), attempts: 3 };

/// What a side is built with.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) completion: Completion,
    pub(crate) credentials: Credentials,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) query: &'static str,
    pub(crate) grace: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            completion: Completion::Callback,
            credentials: Credentials::none(),
            options: BTreeMap::new(),
            timeout: LONG,
            request_timeout: LONG,
            query: "",
            grace: LONG,
        }
    }
}

impl Setup {
    pub(crate) fn with(completion: Completion) -> Self {
        Self { completion, ..Self::default() }
    }

    pub(crate) async fn open(&self, dir: &TempDir, handler: &Handler) -> Side {
        let mut store = opgate_store::Options::new(dir.path().join("data"));
        store.durability = Durability::Memory;
        let metrics = Metrics::register(&["up"]);
        let (store, _) = Store::open(&store, Clock::System, &metrics).unwrap();
        let here = CallbackBase::default();
        let url = format!("http://{}/nexus{}", handler.address, self.query);
        let settings = Settings {
            name: "up".into(),
            endpoint: Endpoint::parse(&url).unwrap(),
            credentials: self.credentials.clone(),
            callback: here.clone(),
            completion: self.completion,
            timeout: self.timeout,
            poll_first: Duration::from_millis(2),
            poll_longest: Duration::from_millis(40),
            retry: BACKOFF,
            grace: self.grace,
            gate: Gate::default(),
        };
        let client = Client::new(&opgate_egress::Settings::default()).unwrap();
        let upstream = Upstream::new(settings, client.clone());
        let router = Router::builder()
            .backend("up", Arc::new(upstream.clone()), 64)
            .route(Route {
                name: "route".into(),
                kind: Kind::new("ours", "do").unwrap(),
                backend: "up".into(),
                retention: Duration::from_hours(1),
                timeout: None,
                options: self.options.clone(),
                expects: Expects::default(),
                resources: Vec::new(),
            })
            .build()
            .unwrap();
        let options = opgate_bus::Options { backoff: BACKOFF, ..opgate_bus::Options::default() };
        let listener = HttpListener::bind(
            ([127, 0, 0, 1], 0).into(),
            Listener::Http,
            HttpLimits::default(),
            Arc::clone(&metrics),
        );
        let listener = listener.await.unwrap();
        let address = listener.local_addr().unwrap();
        here.set(&format!("http://{address}"));
        let bus = Bus::open(store, router, options, Arc::clone(&metrics));
        let bounds = Bounds { request_bytes: 1024, request_timeout: self.request_timeout };
        let completions = Completions::new(bus.clone(), bounds, metrics);
        let (trigger, drain) = Drain::new();
        let serving = tokio::spawn(listener.serve(Arc::new(completions), drain));
        Side { bus, upstream, client, address, caller: Caller::anonymous(), trigger, serving }
    }
}

/// opgate's side of a test.
pub(crate) struct Side {
    pub(crate) bus: Bus,
    pub(crate) upstream: Upstream,
    pub(crate) address: SocketAddr,
    pub(crate) caller: Caller,
    client: Client,
    trigger: DrainTrigger,
    serving: JoinHandle<()>,
}

pub(crate) fn start() -> Start {
    Start::new(Face::Native, "test", "route", Payload::json(r#"{ "n": 1e400 }"#))
}

impl Side {
    pub(crate) async fn start(&self) -> OperationId {
        self.started(start()).await
    }

    pub(crate) async fn started(&self, start: Start) -> OperationId {
        self.bus.start(&self.caller, start).await.unwrap().snapshot.id
    }

    pub(crate) async fn get(&self, id: OperationId) -> Arc<Snapshot> {
        self.bus.get(&self.caller, id).await.unwrap()
    }

    pub(crate) async fn cancel(&self, id: OperationId) {
        self.bus.cancel(&self.caller, id, "enough").await.unwrap();
    }

    /// The operation once it has ended.
    pub(crate) async fn ended(&self, id: OperationId) -> Arc<Snapshot> {
        let snapshot = self.bus.wait(&self.caller, id, Until::Done, LONG).await.unwrap();
        assert!(snapshot.is_done(), "{snapshot:?}");
        snapshot
    }

    /// The operation once `holds` is true of it.
    pub(crate) async fn until(
        &self,
        id: OperationId,
        holds: impl Fn(&Snapshot) -> bool,
    ) -> Arc<Snapshot> {
        let mut version = Version(0);
        loop {
            let until = Until::Newer(version);
            let snapshot = self.bus.wait(&self.caller, id, until, LONG).await.unwrap();
            if holds(&snapshot) {
                return snapshot;
            }
            assert!(snapshot.version > version && !snapshot.is_done(), "{snapshot:?}");
            version = snapshot.version;
        }
    }

    /// The operation once its token is durable.
    pub(crate) async fn running(&self, id: OperationId) -> Arc<Snapshot> {
        self.until(id, |now| !now.routed.native_ref.is_empty()).await
    }

    /// What a completion is answered with: the status, the type of the handler error, and whether
    /// it says to come again.
    pub(crate) async fn complete(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> (u16, String, String) {
        let mut request = Request::post(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        told(&self.send(request.body(body.into()).unwrap()).await)
    }

    pub(crate) async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        let limits = Limits { connect: LONG, total: LONG, reply_bytes: 4096 };
        self.client.send(Trust::Configured, request, limits).await.unwrap()
    }

    /// Stops as a daemon does: nothing is lost, and nothing of it goes on.
    pub(crate) async fn stop(self) {
        self.bus.quiesce().await;
        self.trigger.begin(LONG);
        self.serving.await.unwrap();
        self.bus.drain().await;
    }
}

pub(crate) fn told(reply: &Response<Bytes>) -> (u16, String, String) {
    let body: serde_json::Value = serde_json::from_slice(reply.body()).unwrap_or_default();
    let kind = body.pointer("/details/type").and_then(serde_json::Value::as_str);
    let again = reply.headers().get("nexus-request-retryable");
    let again = again.map_or("", |again| again.to_str().unwrap());
    (reply.status().as_u16(), kind.unwrap_or_default().to_owned(), again.to_owned())
}

/// A 200.
pub(crate) fn taken() -> (u16, String, String) {
    (200, String::new(), String::new())
}

pub(crate) fn refused(status: u16, kind: &str) -> (u16, String, String) {
    (status, kind.to_owned(), "false".to_owned())
}
