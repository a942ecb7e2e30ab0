//! Routes and backends that are others after a SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value as Amqp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::faces::amqp::Agent;
use crate::faces::{JSON, raw};
use crate::grpc::Client;
use crate::process::{Daemon, Launch, PATIENCE};
use crate::reload::said;

const PAINT: &str = "/acme.Shop/Paint";
pub(super) const OPERATIONS: &str = "/opgate/v1/operations";

/// A daemon with a file of settings that is written anew.
pub(super) struct Bench {
    daemon: Daemon,
    file: PathBuf,
    _dir: TempDir,
}

impl Bench {
    pub(super) fn start(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("opgate.toml");
        std::fs::write(&file, text).unwrap();
        let daemon = Launch::new(dir.path()).config_file(&file).start();
        Self { daemon, file, _dir: dir }
    }

    /// Has other settings read, and returns what they need a restart for.
    pub(super) fn reload(&self, text: &str) -> String {
        reload(&self.daemon, &self.file, text)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let reply = raw(self.daemon.http, "POST", path, &[JSON], body.to_string().as_bytes());
        (reply.status, reply.json())
    }

    /// Starts an operation of a route: its id.
    fn begin(&self, route: &str) -> String {
        let (status, started) = self.post(OPERATIONS, &json!({ "route": route }));
        assert_eq!(status, 200, "{started}");
        started["id"].as_str().unwrap().to_owned()
    }

    fn get(&self, id: &str) -> Value {
        raw(self.daemon.http, "GET", &format!("{OPERATIONS}/{id}"), &[], b"").json()
    }

    /// The lease that a worker is given at once, if there is any.
    fn lease(&self, queue: &str) -> (u16, Value) {
        self.post(&format!("/opgate/v1/queues/{queue}:lease"), &json!({ "wait": "0s" }))
    }

    /// Stops the daemon: its exit code.
    pub(super) fn end(self) -> Option<i32> {
        self.daemon.terminate().code()
    }

    fn metric(&self, line: &str) -> bool {
        self.daemon.probe("/metrics").1.lines().any(|found| found == line)
    }
}

fn reload(daemon: &Daemon, file: &Path, text: &str) -> String {
    std::fs::write(file, text).unwrap();
    daemon.signal("HUP");
    daemon.await_message("settings read again");
    let line = said(daemon, "settings read again").pop().unwrap();
    line["needs_restart"].as_str().unwrap().to_owned()
}

/// One kind of operation with a door of every protocol, by a route of that name whose result tells which it is.
fn painting(route: &str) -> String {
    format!(
        "[routes.{route}]\nservice = \"shop\"\noperation = \"paint\"\nbackend = \"showcase\"\n\
         [routes.{route}.grpc]\nmethod = \"acme.Shop/Paint\"\nrequest_type = \"google.protobuf.Struct\"\n\
         response_type = \"google.protobuf.Struct\"\ninput = \"json\"\n\
         [routes.{route}.http]\nrequest = \"POST /v1/paintings\"\nbody = \"*\"\n\
         [routes.{route}.amqp]\ntype = \"com.acme:painting\"\noperation = \"PAINT\"\nreply = \"completed\"\n\
         [routes.{route}.showcase]\nresult = {{ by = \"{route}\" }}\n"
    )
}

/// Workers of one backend, and one route to a queue of theirs.
fn work(queue: &str) -> String {
    format!(
        "[backends.crew]\nkind = \"worker\"\nconcurrency = 9\n\
         [routes.job]\nservice = \"shop\"\noperation = \"job\"\nbackend = \"crew\"\n\
         [routes.job.worker]\nqueue = \"{queue}\"\n"
    )
}

/// Requests that follow each other until told to stop.
struct Streams {
    over: Arc<AtomicBool>,
    counts: [Arc<AtomicUsize>; 5],
    tasks: tokio::task::JoinSet<()>,
}

impl Streams {
    /// Over gRPC, REST, Nexus, AMQP, and opgate's own API.
    async fn begin(daemon: &Daemon) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let counts: [Arc<AtomicUsize>; 5] = Default::default();
        let mut tasks = tokio::task::JoinSet::new();
        let next = |count: &Arc<AtomicUsize>| {
            let (over, count) = (Arc::clone(&over), Arc::clone(count));
            move || {
                count.fetch_add(1, Ordering::Relaxed);
                !over.load(Ordering::Relaxed)
            }
        };
        let [grpc, rest, nexus, amqp, native] = &counts;
        let (goes_on, client) = (next(grpc), Client::connect(daemon.http).await);
        tasks.spawn(async move {
            while goes_on() {
                let painted = client.start(PAINT, &json!({}), &number().to_string()).await;
                let painted = client.wait(&painted.unwrap().name, PATIENCE).await.unwrap();
                assert!(painted.response.is_some(), "{painted:?}");
            }
        });
        let http = daemon.http;
        let goes_on = next(rest);
        tasks.spawn_blocking(move || {
            while goes_on() {
                let reply = raw(http, "POST", "/v1/paintings", &[JSON], b"{}");
                assert_eq!(reply.status, 200, "{}", reply.head);
            }
        });
        let goes_on = next(nexus);
        tasks.spawn_blocking(move || {
            while goes_on() {
                let reply = raw(http, "POST", "/nexus/shop/paint", &[JSON], b"{}");
                assert!([200, 201].contains(&reply.status), "{}", reply.head);
            }
        });
        let (goes_on, mut agent) = (next(amqp), Agent::connect(daemon, "$management").await);
        tasks.spawn(async move {
            while goes_on() {
                let painted = agent.ask("PAINT", "com.acme:painting", &[], Amqp::Null).await;
                assert_eq!(painted.status, 200, "{painted:?}");
            }
        });
        let goes_on = next(native);
        tasks.spawn_blocking(move || {
            let body = json!({ "service": "shop", "operation": "paint" }).to_string();
            while goes_on() {
                let reply = raw(http, "POST", OPERATIONS, &[JSON], body.as_bytes());
                assert_eq!(reply.status, 200, "{}", reply.head);
            }
        });
        Self { over, counts, tasks }
    }

    fn counts(&self) -> [usize; 5] {
        self.counts.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Waits until each has had some more requests answered.
    async fn advance(&mut self) {
        let (before, ends) = (self.counts(), Instant::now() + PATIENCE);
        while self.counts().iter().zip(before).any(|(now, before)| *now < before + 3) {
            if let Some(ended) = self.tasks.try_join_next() {
                panic!("a stream ended: {ended:?}");
            }
            assert!(Instant::now() < ends, "{before:?} {:?}", self.counts());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
    }
}

fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_routes_take_each_others_place() {
    let bench = Bench::start(&painting("first"));
    let mut streams = Streams::begin(&bench.daemon).await;
    let client = Client::connect(bench.daemon.http).await;
    for round in 0..16 {
        streams.advance().await;
        let route = ["second", "first"][round % 2];
        assert_eq!(bench.reload(&painting(route)), "");
        // Whoever comes from now on, over whichever connection, finds the new one.
        let painted = client.start(PAINT, &json!({}), &format!("round {round}")).await.unwrap();
        let id = painted.name.rsplit('/').next().unwrap();
        assert_eq!(bench.get(id)["route"], route);
    }
    streams.advance().await;
    streams.end().await;
    assert_eq!(bench.daemon.terminate().code(), Some(0));
}

#[tokio::test]
async fn doors_open_and_close_on_every_face() {
    let bench = Bench::start("");
    let client = Client::connect(bench.daemon.http).await;
    let mut agent = Agent::connect(&bench.daemon, "$management").await;
    let mut statuses = async || {
        let grpc = client.start(PAINT, &json!({}), &number().to_string()).await;
        let http = ["/v1/paintings", "/nexus/shop/paint"]
            .map(|path| raw(bench.daemon.http, "POST", path, &[JSON], b"{}").status);
        let amqp = agent.ask("PAINT", "com.acme:painting", &[], Amqp::Null).await;
        let native = json!({ "service": "shop", "operation": "paint" });
        let native = bench.post(OPERATIONS, &native).0;
        let grpc = grpc.map_or_else(|status| status.code(), |_| tonic::Code::Ok);
        (grpc, http[0], http[1], amqp.status, native)
    };
    let closed = (tonic::Code::Unimplemented, 404, 404, 501, 404);
    assert_eq!(statuses().await, closed);
    assert_eq!(bench.reload(&painting("first")), "");
    let open = statuses().await;
    assert_eq!((open.0, open.1, open.3, open.4), (tonic::Code::Ok, 200, 200, 200));
    assert!([200, 201].contains(&open.2), "{open:?}");
    assert_eq!(bench.reload(""), "");
    assert_eq!(statuses().await, closed);
    assert_eq!(bench.daemon.terminate().code(), Some(0));
}

/// The identities of a page of the list of all operations.
async fn page(agent: &mut Agent, offset: u32) -> Vec<String> {
    let asked = [
        ("name", "self".into()),
        ("entityType", "org.opgate.operation".into()),
        ("offset", SimpleValue::Uint(offset)),
        ("count", SimpleValue::Uint(2)),
    ];
    let names = Amqp::List(vec!["identity".into()]);
    let body = Amqp::Map(std::iter::once(("attributeNames".into(), names)).collect());
    let found = agent.ask("QUERY", "org.amqp.management", &asked, body).await;
    let Amqp::List(rows) = found.field("results") else { panic!("{found:?}") };
    let identity = |row: Amqp| {
        let Amqp::List(row) = row else { panic!("{row:?}") };
        let [Amqp::String(identity)] = &row[..] else { panic!("{row:?}") };
        identity.clone()
    };
    rows.into_iter().map(identity).collect()
}

#[tokio::test]
async fn who_reads_a_list_over_amqp_goes_on_where_it_was() {
    let bench = Bench::start("");
    let [first, second, third] = [(); 3].map(|()| bench.begin("showcase-echo"));
    let mut agent = Agent::connect(&bench.daemon, "$management").await;
    assert_eq!(page(&mut agent, 0).await, [third, second]);
    assert_eq!(bench.reload(&painting("first")), "");
    // It would move every row of a list that was begun anew.
    bench.begin("showcase-echo");
    assert_eq!(page(&mut agent, 2).await, [first]);
    assert_eq!(bench.end(), Some(0));
}

#[test]
fn what_is_leased_goes_on_and_what_waits_for_a_route_that_is_gone_waits_until_it_is_back() {
    let bench = Bench::start(&work("paint"));
    let held = bench.begin("job");
    let (_, leases) = bench.lease("paint");
    let lease = leases["leases"][0]["lease"].as_str().unwrap().to_owned();
    let waits = bench.begin("job");

    let gone = work("paint").split("[routes").next().unwrap().to_owned();
    assert_eq!(bench.reload(&gone), "");
    assert_eq!(bench.lease("paint").0, 404);
    assert_eq!(bench.post(OPERATIONS, &json!({ "route": "job" })).0, 404);
    let finished = json!({ "outcome": { "succeeded": { "json": 1 } } });
    let (status, answer) = bench.post(&format!("/opgate/v1/leases/{lease}:finish"), &finished);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(bench.get(&held)["state"], "SUCCEEDED");
    assert_eq!(bench.get(&waits)["state"], "ACCEPTED");

    // To another queue it is back, too.
    assert_eq!(bench.reload(&work("varnish")), "");
    let ends = Instant::now() + PATIENCE;
    loop {
        let (status, leases) = bench.lease("varnish");
        assert_eq!(status, 200, "{leases}");
        if let Some(lease) = leases["leases"].as_array().and_then(|leases| leases.first()) {
            assert_eq!(lease["operation"]["id"], waits);
            break;
        }
        assert!(Instant::now() < ends, "{leases}");
    }
    // A restart has the same table.
    let daemon = bench.daemon.crash();
    let all = raw(daemon.http, "GET", OPERATIONS, &[], b"").json();
    assert_eq!(all["operations"].as_array().unwrap().len(), 2);
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn backends_come_without_a_restart_and_change_or_go_with_one() {
    let bench = Bench::start("[backends.showcase]\nconcurrency = 7\n");
    assert!(bench.metric("opgate_leases_max{backend=\"showcase\"} 7"));
    assert_eq!(bench.lease("paint").0, 404);
    let text = format!("[backends.showcase]\nconcurrency = 8\n{}", work("paint"));
    assert_eq!(bench.reload(&text), "");
    assert!(bench.metric("opgate_leases_max{backend=\"showcase\"} 8"));
    assert!(bench.metric("opgate_leases_max{backend=\"crew\"} 9"));
    let id = bench.begin("job");
    assert!(
        bench.metric("opgate_operations_accepted_total{protocol=\"native\",backend=\"crew\"} 1")
    );
    let page = bench.daemon.probe("/backends").1;
    assert!(
        page.contains("\"kind\":\"worker\"") && page.contains("\"queues\":[\"paint\"]"),
        "{page}"
    );
    let (_, leases) = bench.lease("paint");
    assert_eq!(leases["leases"][0]["operation"]["id"], id);

    // Its bounds are others at once. Of another kind it has to wait, and its routes with it; the rest holds.
    let fewer = work("paint").replace("concurrency = 9", "concurrency = 3\nlease = \"77s\"");
    assert_eq!(bench.reload(&fewer), "");
    assert!(bench.metric("opgate_leases_max{backend=\"crew\"} 3"));
    let other = "[backends.crew]\nkind = \"nexus\"\nconcurrency = 3\nendpoint = \"http://127.0.0.1:1\"\n\
                 [routes.job]\nservice = \"shop\"\noperation = \"job\"\nbackend = \"crew\"\n";
    let restart = bench.reload(&format!("{other}{}", painting("first")));
    let expected =
        ["backends.crew.endpoint", "backends.crew.kind", "backends.crew.lease", "routes.job"];
    assert_eq!(restart, expected.join(", "));
    assert_eq!(bench.lease("paint").0, 200);
    bench.begin("first");
    // One that is gone is there until then, without a route.
    let restart = bench.reload("");
    let expected = ["concurrency", "kind", "lease"].map(|key| format!("backends.crew.{key}"));
    assert_eq!(restart, expected.join(", "));
    assert!(bench.daemon.probe("/backends").1.contains("\"name\":\"crew\""));
    assert_eq!(bench.daemon.terminate().code(), Some(0));
}

#[test]
fn with_one_mistake_nothing_changes() {
    let bench = Bench::start(&painting("first"));
    let text = painting("second").replace("Paint\"", "Paint me\"").replace("result", "resultt");
    let text = format!("{text}[http]\nconnections = 3\n[backends.showcase]\nconcurrency = 3\n");
    std::fs::write(&bench.file, text).unwrap();
    bench.daemon.signal("HUP");
    bench.daemon.await_metric("opgate_config_reloads_total{result=\"refused\"} 1");
    assert_eq!(bench.reload(&painting("first")), "");
    let lines = said(&bench.daemon, "settings not read again");
    let mut keys: Vec<_> = lines.iter().map(|line| line["key"].as_str().unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["routes.second.grpc.method", "routes.second.showcase"]);
    for line in [
        "opgate_connections_max{listener=\"http\"} 10000",
        "opgate_leases_max{backend=\"showcase\"} 10000",
    ] {
        assert!(bench.metric(line), "{line}");
    }
    assert_eq!(bench.post(OPERATIONS, &json!({ "route": "second" })).0, 404);
    assert_eq!(bench.daemon.terminate().code(), Some(0));
}
