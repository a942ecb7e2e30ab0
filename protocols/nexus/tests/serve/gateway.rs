//! A gateway of this one face, with a showcase, and a client that sends what it is told to.

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
    Error, ErrorKind, Expects, Failure, Kind, Link, OperationId, Outcome, Payload, Report, Tenant,
};
use opgate_bus::{Admission, Backend, Bus, Caller, Lease, List, Offer, Route, Router};
use opgate_edge::{Drain, DrainTrigger, Exporter, HttpLimits, HttpListener};
use opgate_nexus::{Nexus, Settings};
use opgate_store::{Clock, Store};
use opgate_telemetry::Listener;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Does what the operation's name says.
struct Scripted;

impl Backend for Scripted {
    fn admit(&self, offer: &Offer<'_>) -> Result<Admission, Error> {
        let start = offer.start;
        Ok(match offer.route.kind.operation() {
            "echo" | "esc v1%" => {
                let input = Some(&start.input).filter(|input| !input.is_nothing());
                Admission::Done(Outcome::Succeeded(input.cloned()))
            }
            "fails" => Admission::Done(Outcome::Failed(Failure::new(
                opgate_bus::core::Code::NotFound,
                "no such scene",
            ))),
            "refuses" => return Err(Error::new(ErrorKind::QuotaExceeded, "used up")),
            _ => Admission::Accept,
        })
    }

    fn run(
        &self,
        lease: Lease,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        Box::pin(async move {
            let link = Link { url: "http://h/a,b".into(), kind: "test.Link".into() };
            lease.report(Report { links: vec![link], ..Report::default() }).await?;
            lease.canceled().await;
            Ok(Outcome::Canceled(None))
        })
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) bus: Bus,
    nexus: Nexus,
    exporter: Exporter,
    serving: Vec<(DrainTrigger, JoinHandle<()>)>,
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

    /// The token of a 201.
    pub(crate) fn token(&self) -> String {
        assert_eq!(self.status, StatusCode::CREATED, "{self:?}");
        let body = self.json();
        assert_eq!(body["state"], "running");
        assert_eq!(body["id"], body["token"]);
        body["token"].as_str().unwrap().to_owned()
    }

    /// The status, the type, whether to retry, and the field at fault, of a handler error.
    pub(crate) fn handler_error(&self) -> (u16, String, bool, String) {
        let body = self.json();
        assert_eq!(body["metadata"]["type"], "nexus.HandlerError", "{body}");
        let retry = body["details"]["retryableOverride"].as_bool().unwrap();
        assert_eq!(self.header("nexus-request-retryable"), Some(&*retry.to_string()));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let details = &body["details"];
        (self.status.as_u16(), text(&details["type"]), retry, text(&details["field"]))
    }
}

fn route(name: &str, service: &str, operation: &str) -> Route {
    Route {
        name: name.into(),
        kind: Kind::new(service, operation).unwrap(),
        backend: "scripted".into(),
        retention: Duration::from_hours(1),
        timeout: None,
        options: BTreeMap::new(),
        expects: Expects::default(),
        resources: Vec::new(),
    }
}

impl Gateway {
    pub(crate) async fn start() -> (Self, TempDir) {
        let dir = TempDir::new().unwrap();
        (Self::over(dir.path(), Settings::default()).await, dir)
    }

    /// With these bounds; completions may go to `https://taken.example/…`.
    pub(crate) async fn over(dir: &Path, settings: Settings) -> Self {
        let exporter = Exporter::new(&["scripted"]).unwrap();
        let (store, _) =
            Store::open(&opgate_store::Options::new(dir), Clock::System, &exporter.metrics())
                .unwrap();
        let router = Router::builder()
            .backend("scripted", Arc::new(Scripted), 64)
            .route(route("echo", "s", "echo"))
            .route(route("run", "s", "run"))
            .route(route("other", "s", "other"))
            .route(route("fails", "s", "fails"))
            .route(route("refuses", "s", "refuses"))
            .route(route("esc", "accept/esc", "esc v1%"))
            .route(route("two-a", "s", "two"))
            .route(route("two-b", "s", "two"))
            .build()
            .unwrap();
        let bus = Bus::open(store, router, opgate_bus::Options::default(), exporter.metrics());
        let admit = |url: &str| {
            let taken = url.starts_with("https://taken.example/");
            if taken { Ok(()) } else { Err("is not allowed here".to_owned()) }
        };
        let settings = Settings { admit: Arc::new(admit), ..settings };
        let nexus = Nexus::new(settings, bus.clone(), exporter.metrics());
        let mut gateway =
            Self { address: ([127, 0, 0, 1], 0).into(), bus, nexus, exporter, serving: Vec::new() };
        gateway.address = gateway.serve(None).await;
        gateway
    }

    /// One more listener, where everybody is of this tenant.
    pub(crate) async fn serve(&mut self, tenant: Option<&str>) -> SocketAddr {
        let nexus = match tenant {
            Some(tenant) => {
                let tenant = Tenant::new(tenant).unwrap();
                self.nexus.for_caller(Caller { tenant, ..Caller::anonymous() })
            }
            None => self.nexus.clone(),
        };
        let listener = HttpListener::bind(
            ([127, 0, 0, 1], 0).into(),
            Listener::Http,
            HttpLimits::default(),
            self.exporter.metrics(),
        );
        let listener = listener.await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, drain) = Drain::new();
        self.serving.push((trigger, tokio::spawn(listener.serve(Arc::new(nexus), drain))));
        address
    }

    pub(crate) async fn stop(self) {
        self.bus.quiesce().await;
        for (trigger, serving) in self.serving {
            trigger.begin(Duration::from_secs(10));
            serving.await.unwrap();
        }
        self.bus.drain().await;
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        send(self.address, "POST", path, headers, body.as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        send(self.address, "GET", path, headers, b"").await
    }

    /// Starts `s/run`, which runs until it is ended.
    pub(crate) async fn run(&self, headers: &[(&str, &str)]) -> String {
        self.post("/nexus/s/run", headers, "").await.token()
    }

    /// Every operation there is.
    pub(crate) async fn operations(&self) -> Vec<Arc<opgate_bus::Snapshot>> {
        let list = List {
            scope: opgate_bus::core::Parent::root(),
            page_size: 100,
            page_token: String::new(),
            filter: None,
        };
        self.bus.list(&Caller::anonymous(), list).await.unwrap().items
    }

    /// The operation of a token, as stored.
    pub(crate) async fn stored(&self, token: &str) -> Arc<opgate_bus::Snapshot> {
        let caller = Caller::anonymous();
        let id = opgate_nexus::token::open(&self.bus, &caller, token).unwrap();
        self.bus.get(&caller, id).await.unwrap()
    }

    /// Ends an operation by hand.
    pub(crate) async fn finish(&self, token: &str, outcome: Outcome) -> Arc<opgate_bus::Snapshot> {
        let caller = Caller::anonymous();
        let id: OperationId = opgate_nexus::token::open(&self.bus, &caller, token).unwrap();
        let done = self.bus.finish(&caller, id, outcome).await.unwrap();
        done.snapshot
    }
}

pub(crate) fn succeeded(json: &'static str) -> Outcome {
    Outcome::Succeeded(Some(Payload::json(json)))
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
