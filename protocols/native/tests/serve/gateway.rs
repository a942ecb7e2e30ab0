//! A gateway of this one face, with a showcase and a backend of workers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use opgate_bus::core::{Callback, Expects, Kind};
use opgate_bus::{Bus, Notice, Notifier, Pull, QUEUE, Route, Router, Told};
use opgate_edge::{Drain, DrainTrigger, Exporter, HttpLimits, HttpListener};
use opgate_egress::Guard;
use opgate_native::client::operations_client::OperationsClient;
use opgate_native::client::workers_client::WorkersClient;
use opgate_native::client::{self as proto, Operation, Payload, StartOperationRequest};
use opgate_native::{Names, Native, Settings, Showcase};
use opgate_store::{Clock, Store};
use opgate_telemetry::Listener;
use prost_types::value::Kind as Json;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// The queue of the route `build`.
pub(crate) const BUILDS: &str = "builds";

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) bus: Bus,
    pub(crate) native: Native,
    pub(crate) operations: OperationsClient<Channel>,
    pub(crate) workers: WorkersClient<Channel>,
    trigger: DrainTrigger,
    serving: JoinHandle<()>,
    _dir: TempDir,
}

fn route(name: &str, service: &str, operation: &str, backend: &str) -> Route {
    Route {
        name: name.into(),
        kind: Kind::new(service, operation).unwrap(),
        backend: backend.into(),
        retention: Duration::from_hours(1),
        timeout: None,
        options: BTreeMap::new(),
        expects: Expects::default(),
        resources: Vec::new(),
    }
}

/// Receivers that say at once what the last part of their URL tells.
struct Receivers;

impl Notifier for Receivers {
    fn destination(&self, callback: &Callback) -> Arc<str> {
        callback.url.as_ref().into()
    }

    fn notify(&self, notice: Notice) -> Pin<Box<dyn Future<Output = Told> + Send>> {
        let url = notice.target().map_or("", |callback| &callback.url);
        let told = match url.rsplit('/').next() {
            Some("taken") => Told::Taken,
            Some("busy") => Told::Later { problem: "busy".to_owned(), after: None },
            _ => Told::Refused { problem: "404 Not Found".to_owned() },
        };
        Box::pin(std::future::ready(told))
    }
}

fn router() -> Router {
    let mut build = route("build", "shop", "build", "shop");
    build.options = BTreeMap::from([(QUEUE.into(), BUILDS.into())]);
    Router::builder()
        .notifier(Arc::new(Receivers))
        .backend("showcase", Arc::new(Showcase), 64)
        .worker("shop", Pull::default())
        .route(route("echo", "showcase", "echo", "showcase"))
        .route(route("run", "showcase", "run", "showcase"))
        .route(route("inspect", "showcase", "inspect", "showcase"))
        .route(route("sleep-a", "showcase", "sleep", "showcase"))
        .route(route("sleep-b", "showcase", "sleep", "showcase"))
        .route(build)
        .build()
        .unwrap()
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let exporter = Exporter::new(&["showcase", "shop"]).unwrap();
        let options = opgate_store::Options {
            durability: opgate_store::Durability::Memory,
            ..opgate_store::Options::new(dir.path())
        };
        let (store, _) = Store::open(&options, Clock::System, &exporter.metrics()).unwrap();
        let bus = Bus::open(store, router(), opgate_bus::Options::default(), exporter.metrics());
        let settings = Settings {
            names: Names::default()
                .with("other", |known| Some(format!("other/{}", known.id)))
                .reading(|_caller, name| name.strip_suffix("-sealed")?.parse().ok()),
            guard: Guard::new(vec!["*".parse().unwrap()], true, Vec::new()),
            ..Settings::default()
        };
        let native = Native::new(settings, bus.clone(), exporter.metrics()).unwrap();
        let listener = HttpListener::bind(
            ([127, 0, 0, 1], 0).into(),
            Listener::Http,
            HttpLimits::default(),
            exporter.metrics(),
        );
        let listener = listener.await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, drain) = Drain::new();
        let serving = tokio::spawn(listener.serve(Arc::new(native.clone()), drain));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        let channel = channel.connect().await.unwrap();
        let operations = OperationsClient::new(channel.clone());
        let workers = WorkersClient::new(channel);
        Self { address, bus, native, operations, workers, trigger, serving, _dir: dir }
    }

    pub(crate) async fn stop(self) {
        let Self { bus, operations, workers, trigger, serving, .. } = self;
        bus.quiesce().await;
        drop((operations, workers));
        trigger.begin(Duration::from_secs(10));
        serving.await.unwrap();
        bus.drain().await;
    }

    /// Starts an operation through a route, with JSON.
    pub(crate) async fn begin(&mut self, route: &str, input: &str) -> Operation {
        let request = start(route, input);
        self.operations.start_operation(request).await.unwrap().into_inner()
    }

    pub(crate) async fn get(&mut self, name: &str) -> Operation {
        self.operations.get_operation(named(name)).await.unwrap().into_inner()
    }
}

pub(crate) fn named(name: &str) -> proto::GetOperationRequest {
    proto::GetOperationRequest { name: name.to_owned() }
}

/// A start through a route, with JSON as its bytes.
pub(crate) fn start(route: &str, input: &str) -> StartOperationRequest {
    StartOperationRequest {
        route: route.to_owned(),
        input: Some(json(input)),
        ..StartOperationRequest::default()
    }
}

pub(crate) fn json(text: &str) -> Payload {
    payload("application/json", text.as_bytes())
}

pub(crate) fn payload(media_type: &str, data: &[u8]) -> Payload {
    Payload {
        media_type: media_type.to_owned(),
        body: Some(proto::payload::Body::Data(data.to_vec().into())),
        ..Payload::default()
    }
}

pub(crate) fn number(number: f64) -> prost_types::Value {
    prost_types::Value { kind: Some(Json::NumberValue(number)) }
}

/// The bytes of a payload.
pub(crate) fn data(payload: Option<&Payload>) -> (&str, &[u8]) {
    let payload = payload.unwrap();
    let Some(proto::payload::Body::Data(data)) = &payload.body else { panic!("{payload:?}") };
    (&payload.media_type, data)
}

/// The code and the field a call was refused with.
pub(crate) fn refused<T: std::fmt::Debug>(
    answer: Result<tonic::Response<T>, tonic::Status>,
) -> (tonic::Code, String) {
    use opgate_rpc::proto::{BadRequest, Status};
    use prost::Message as _;
    let refused = answer.unwrap_err();
    let status = Status::decode(refused.details()).unwrap();
    let details = status.details.iter();
    let mut requests = details.filter(|detail| detail.is(BadRequest::NAME));
    let request = requests.next().map(|detail| BadRequest::decode(&*detail.value).unwrap());
    let violation = request.and_then(|request| request.field_violations.into_iter().next());
    (refused.code(), violation.map_or_else(String::new, |violation| violation.field))
}
