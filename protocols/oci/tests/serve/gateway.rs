//! A gateway of this one face, and a client that sends what it is told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opgate_bus::core::{
    Error, ErrorKind, Expects, Face, Kind, LogEntry, OperationId, Outcome, Parent, Payload,
    Progress, Report,
};
use opgate_bus::{
    Admission, Backend, Bus, Caller, Lease, List, Offer, ResourceRule, Route, Router, Snapshot,
    Start, Until,
};
use opgate_edge::{Drain, DrainTrigger, Exporter, HttpLimits, HttpListener};
use opgate_oci::wire::dialect::Dialect;
use opgate_oci::{DoorSettings, Oci, Service, Settings};
use opgate_store::{Clock, Store};
use opgate_telemetry::Listener;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Reports what its input says, and runs until it is canceled or ended.
struct Scripted;

impl Backend for Scripted {
    fn admit(&self, offer: &Offer<'_>) -> Result<Admission, Error> {
        match offer.route.kind.operation() {
            "DONE" => Ok(Admission::Done(Outcome::Succeeded(None))),
            "REFUSED" => Err(Error::new(ErrorKind::QuotaExceeded, "used up")),
            _ => Ok(Admission::Accept),
        }
    }

    fn run(
        &self,
        lease: Lease,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        Box::pin(async move {
            let input: Value = serde_json::from_slice(&lease.operation().input.bytes).unwrap();
            let at = lease.operation().times.accepted;
            let entries = input["log"].as_array().cloned().unwrap_or_default();
            let log = (1..).zip(&entries).map(|(number, entry)| LogEntry {
                at: at.plus(Duration::from_secs(number)),
                error: entry["error"].as_bool().unwrap_or(false),
                code: entry["code"].as_str().unwrap_or_default().into(),
                message: entry["message"].as_str().unwrap_or_default().into(),
            });
            let percent = input["percent"].as_f64();
            let progress = Progress { percent, message: "begun".into(), ..Progress::default() };
            let report =
                Report { progress: Some(progress), log: log.collect(), ..Report::default() };
            lease.report(report).await?;
            lease.canceled().await;
            Ok(Outcome::Canceled(None))
        })
    }
}

/// What every SDK says of its bodies, there or not.
pub(crate) const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) bus: Bus,
    pub(crate) oci: Oci,
    serving: (DrainTrigger, JoinHandle<()>),
    _exporter: Exporter,
}

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The object of a 200.
    pub(crate) fn object(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.json()
    }

    /// Status, code and text of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        assert!(!text("message").is_empty(), "{body}");
        (self.status.as_u16(), text("code"), text("message"))
    }
}

fn route(name: &str, service: &str, operation: &str, resource: &str) -> Route {
    Route {
        name: name.into(),
        kind: Kind::new(service, operation).unwrap(),
        backend: "scripted".into(),
        retention: Duration::from_hours(1),
        timeout: None,
        options: BTreeMap::new(),
        expects: Expects::default(),
        resources: vec![ResourceRule {
            entity_type: resource.to_owned(),
            action: "DELETED".to_owned(),
            identifier: "${/id}".to_owned(),
            uri: String::new(),
        }],
    }
}

/// A door that starts a route.
fn door(route: &str, request: &str) -> DoorSettings {
    DoorSettings { route: route.to_owned(), request: request.to_owned(), ..DoorSettings::default() }
}

fn service(name: &str, path: &str, dialect: Dialect) -> Service {
    Service { name: name.to_owned(), path: path.to_owned(), dialect, shows: None }
}

/// Every dialect at a path of its own.
pub(crate) fn settings() -> Settings {
    let clusters = DoorSettings {
        input: Some(json!({
            "cluster": "${/body/name}",
            "in": "${/body/compartmentId}",
            "note": "by ${/query/why}",
            "kind": "fixed",
        })),
        compartment: Some("${/in}".to_owned()),
        ..door("create-cluster", "POST /oke/20180222/clusters")
    };
    let required = vec!["targetCompartmentId".to_owned()];
    let doors = vec![
        DoorSettings {
            compartment: Some("${/id}".to_owned()),
            ..door("delete-compartment", "DELETE /20160918/compartments/{id}")
        },
        DoorSettings {
            required,
            ..door("move", "POST /20160918/compartments/{id}/actions/moveCompartment")
        },
        DoorSettings {
            compartment: Some("${/id}".to_owned()),
            ..door("in-compartment", "POST /20160918/compartments/{id}/actions/inCompartment")
        },
        door("delete-tag", "DELETE /20160918/tagNamespaces/{ns}/tags/{name}"),
        clusters,
        door("done", "POST /20260325/done"),
        door("refused", "POST /20260325/refuse"),
    ];
    Settings {
        services: vec![
            service("identity", "/20160918", Dialect::Identity),
            service("work-requests", "/iaas/20160918", Dialect::WorkRequests),
            service("clusters", "/oke/20180222", Dialect::ContainerEngine),
            service("functions", "/20260325", Dialect::Modern),
            service("load-balancer", "/20170115", Dialect::LoadBalancer),
        ],
        doors,
        ..Settings::default()
    }
}

impl Gateway {
    pub(crate) async fn start() -> (Self, TempDir) {
        let dir = TempDir::new().unwrap();
        (Self::over(dir.path(), settings()).await, dir)
    }

    pub(crate) async fn over(dir: &Path, settings: Settings) -> Self {
        let exporter = Exporter::new(&["scripted"]).unwrap();
        let (store, _) =
            Store::open(&opgate_store::Options::new(dir), Clock::System, &exporter.metrics())
                .unwrap();
        let router = Router::builder()
            .backend("scripted", Arc::new(Scripted), 64)
            .route(route("delete-compartment", "identity", "DELETE_COMPARTMENT", "compartment"))
            .route(route("delete-tag", "identity", "DELETE_TAG_DEFINITION", "tag"))
            .route(route("cluster", "clusters", "CLUSTER_DELETE", "CLUSTER"))
            .route(route("pool", "clusters", "NODEPOOL_DELETE", "NODE_POOL"))
            .route(route("move", "identity", "MOVE_COMPARTMENT", "compartment"))
            .route(route("in-compartment", "identity", "IN_COMPARTMENT", "compartment"))
            .route(Route {
                resources: vec![ResourceRule {
                    entity_type: "cluster".to_owned(),
                    action: "CREATED".to_owned(),
                    identifier: "ocid1.cluster.oc1..${id}".to_owned(),
                    uri: String::new(),
                }],
                ..route("create-cluster", "clusters", "CLUSTER_CREATE", "cluster")
            })
            .route(route("done", "functions", "DONE", "function"))
            .route(route("refused", "functions", "REFUSED", "function"))
            .build()
            .unwrap();
        let bus = Bus::open(store, router, opgate_bus::Options::default(), exporter.metrics());
        let oci = Oci::new(settings, bus.clone(), exporter.metrics()).unwrap();
        let listener = HttpListener::bind(
            ([127, 0, 0, 1], 0).into(),
            Listener::Http,
            HttpLimits::default(),
            exporter.metrics(),
        );
        let listener = listener.await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, drain) = Drain::new();
        let serving = tokio::spawn(listener.serve(Arc::new(oci.clone()), drain));
        Self { address, bus, oci, serving: (trigger, serving), _exporter: exporter }
    }

    pub(crate) async fn stop(self) {
        self.bus.quiesce().await;
        self.serving.0.begin(Duration::from_secs(10));
        self.serving.1.await.unwrap();
        self.bus.drain().await;
    }

    /// Starts an operation in a compartment, and waits until its backend has reported.
    pub(crate) async fn run(&self, route: &str, parent: &str, input: &Value) -> Arc<Snapshot> {
        let input_given = Payload::json(input.to_string());
        let mut start = Start::new(Face::Oci, "test", route, input_given);
        start.parent = Parent::new(parent).unwrap();
        let caller = Caller::anonymous();
        let mut found = self.bus.start(&caller, start).await.unwrap().snapshot;
        while found.progress.is_none() {
            let changed = Until::Newer(found.version);
            found =
                self.bus.wait(&caller, found.id, changed, Duration::from_secs(10)).await.unwrap();
        }
        found
    }

    /// An operation as stored.
    pub(crate) async fn stored(&self, id: OperationId) -> Arc<Snapshot> {
        self.bus.get(&Caller::anonymous(), id).await.unwrap()
    }

    /// Ends an operation by hand.
    pub(crate) async fn finish(&self, id: OperationId, outcome: Outcome) -> Arc<Snapshot> {
        self.bus.finish(&Caller::anonymous(), id, outcome).await.unwrap().snapshot
    }

    /// Every operation there is.
    pub(crate) async fn operations(&self) -> Vec<Arc<Snapshot>> {
        let list =
            List { scope: Parent::root(), page_size: 100, page_token: String::new(), filter: None };
        self.bus.list(&Caller::anonymous(), list).await.unwrap().items
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        send(self.address, "GET", path, &[], b"").await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        send(self.address, method, path, headers, b"").await
    }
}

/// Sends a request on a connection of its own.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let mut request = Request::builder().method(method).uri(path).header("host", "h");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    drop(sender);
    connection.await.unwrap().unwrap();
    Reply { status: head.status, headers: head.headers, body }
}
