//! A gateway of this one face, with a backend that does as a header says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use opgate_bus::{Admission, Backend, Bus, Lease, Offer, Route, Router};
use opgate_core::{Code, Error, ErrorKind, Expects, Failure, Kind, Outcome, Payload};
use opgate_edge::{
    Condition, Drain, DrainTrigger, Exporter, Frontend, HttpLimits, HttpListener, Peer, Readiness,
    RequestBody, ResponseFuture,
};
use opgate_longrunning::{DoorSettings, InputForm, Longrunning, Rest, Settings};
use opgate_store::{Clock, Store};
use opgate_telemetry::Listener;
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub(crate) const MAKE: &str = "acme.Things/Make";
pub(crate) const CREATE_POLICY: &str =
    "google.identity.accesscontextmanager.v1.AccessContextManager/CreateAccessPolicy";
pub(crate) const CREATE_WORKFLOW: &str = "google.cloud.workflows.v1.Workflows/CreateWorkflow";
pub(crate) const ECHO: &str = "opgate.showcase.v1.Showcase/Echo";
/// What the backend is to do with an operation; without it the operation runs until it is canceled.
pub(crate) const SCRIPT: &str = "script";

/// Says what to do by the header [`SCRIPT`].
struct Scripted;

fn script(headers: &[opgate_core::Header]) -> &str {
    let header = headers.iter().find(|header| &*header.name == SCRIPT);
    header.map_or("", |header| std::str::from_utf8(&header.value).unwrap())
}

impl Backend for Scripted {
    fn admit(&self, offer: &Offer<'_>) -> Result<Admission, Error> {
        let outcome = match script(&offer.start.headers).split_once(' ').unwrap_or_default() {
            ("json", text) => Outcome::Succeeded(Some(Payload::json(text.to_owned()))),
            ("zeros", length) => {
                let zeros = vec![0; length.parse().unwrap()];
                Outcome::Succeeded(Some(Payload::new("application/octet-stream", zeros)))
            }
            ("named", full_name) => {
                Outcome::Succeeded(Some(Payload::protobuf(full_name, &b"\x08\x01"[..])))
            }
            ("growing", length) => {
                let values = "0,".repeat((length.parse::<usize>().unwrap() - 9) / 2);
                Outcome::Succeeded(Some(Payload::json(format!("{{\"x\":[{values}0]}}"))))
            }
            ("nothing", _) => Outcome::Succeeded(None),
            ("fail", text) => Outcome::Failed(Failure::new(Code::NotFound, text)),
            ("echo", _) => Outcome::Succeeded(Some(offer.start.input.clone())),
            ("refuse", text) => {
                return Err(Error::new(ErrorKind::QuotaExceeded, text.to_owned()));
            }
            _ => return Ok(Admission::Accept),
        };
        Ok(Admission::Done(outcome))
    }

    fn run(&self, lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        Box::pin(async move {
            lease.canceled().await;
            Ok(Outcome::Canceled(None))
        })
    }
}

/// Both faces on one port, told apart as the daemon does.
struct Faces {
    grpc: Longrunning,
    rest: Rest,
}

impl Frontend for Faces {
    fn call(&self, request: Request<RequestBody>, peer: &Arc<Peer>) -> ResponseFuture {
        if Longrunning::takes(request.headers()) {
            self.grpc.call(request, peer)
        } else {
            self.rest.call(request, peer)
        }
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) bus: Bus,
    pub(crate) rest: Rest,
    pub(crate) ready: Condition,
    pub(crate) exporter: Exporter,
    trigger: DrainTrigger,
    serving: JoinHandle<()>,
    _dir: TempDir,
}

pub(crate) fn door(method: &str) -> DoorSettings {
    DoorSettings {
        method: method.to_owned(),
        route: "scripted".to_owned(),
        ..DoorSettings::default()
    }
}

/// The doors of every gateway here.
pub(crate) fn settings() -> Settings {
    let policy = DoorSettings { parent: Some(String::new()), ..door(CREATE_POLICY) };
    let echo = DoorSettings { input: InputForm::Json, ..door(ECHO) };
    let doors = vec![door(MAKE), policy, door(CREATE_WORKFLOW), echo];
    Settings { doors, request_bytes: 64 * 1024, ..Settings::default() }
}

fn bus(store: &Store, exporter: &Exporter) -> Bus {
    let route = Route {
        name: "scripted".into(),
        kind: Kind::new("things", "make").unwrap(),
        backend: "scripted".into(),
        retention: Duration::from_hours(1),
        timeout: None,
        options: BTreeMap::new(),
        expects: Expects::default(),
        resources: Vec::new(),
    };
    let router = Router::builder().backend("scripted", Arc::new(Scripted), 64).route(route);
    let router = router.build().unwrap();
    Bus::open(store.clone(), router, opgate_bus::Options::default(), exporter.metrics())
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::with(&settings()).await
    }

    /// With these settings.
    pub(crate) async fn with(settings: &Settings) -> Self {
        let dir = TempDir::new().unwrap();
        let exporter = Exporter::new(&["scripted"]).unwrap();
        let options = opgate_store::Options {
            durability: opgate_store::Durability::Memory,
            ..opgate_store::Options::new(dir.path())
        };
        let (store, _) = Store::open(&options, Clock::System, &exporter.metrics()).unwrap();
        let bus = bus(&store, &exporter);
        let readiness = Readiness::new();
        let ready = readiness.condition("journal", "opening");
        ready.holds();
        let (trigger, drain) = Drain::new();
        let face =
            Longrunning::new(settings, bus.clone(), readiness, drain.clone(), exporter.metrics());
        let listener = HttpListener::bind(
            ([127, 0, 0, 1], 0).into(),
            Listener::Http,
            HttpLimits::default(),
            exporter.metrics(),
        );
        let listener = listener.await.unwrap();
        let address = listener.local_addr().unwrap();
        let grpc = face.unwrap();
        let rest = grpc.rest();
        let faces = Faces { rest: grpc.rest(), grpc };
        let serving = tokio::spawn(listener.serve(Arc::new(faces), drain));
        Self { address, bus, rest, ready, exporter, trigger, serving, _dir: dir }
    }

    pub(crate) async fn stop(self) {
        self.bus.quiesce().await;
        self.trigger.begin(Duration::from_secs(10));
        self.serving.await.unwrap();
        self.bus.drain().await;
    }
}

#[tokio::test]
async fn every_problem_of_the_settings_is_reported() {
    let dir = TempDir::new().unwrap();
    let exporter = Exporter::new(&[]).unwrap();
    let options = opgate_store::Options::new(dir.path());
    let (store, _) = Store::open(&options, Clock::System, &exporter.metrics()).unwrap();
    let bus = bus(&store, &exporter);
    let broken = opgate_longrunning::DescriptorSet { origin: "x.bin".to_owned(), bytes: vec![15] };
    let odd = DoorSettings { parent: Some("a//b".to_owned()), ..door("acme.Other/Make") };
    let nowhere = DoorSettings { route: "nowhere".to_owned(), ..door(MAKE) };
    let settings = Settings {
        doors: vec![nowhere, door("non\nsense"), odd],
        descriptor_sets: vec![broken],
        ..Settings::default()
    };
    let (_trigger, drain) = Drain::new();
    let has_route = |route: &str| bus.route(route).is_some();
    let checked = Longrunning::check(&settings, has_route).unwrap_err();
    let problems =
        Longrunning::new(&settings, bus, Readiness::new(), drain, exporter.metrics()).unwrap_err();
    assert_eq!(problems, checked);
    let expected = [
        "descriptor set x.bin: not a FileDescriptorSet: a field has an unknown wire type",
        "grpc method acme.Things/Make: there is no route `nowhere`",
        "grpc method non sense: `package.Service/Method` or `package.Service/*` is expected",
        "grpc method acme.Other/Make: parent: has an empty segment",
    ];
    assert_eq!(problems, expected);
    store.close().await;
}
