//! The admin pages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use opgate_edge::{
    Admin, Body, Drain, DrainTrigger, Exporter, Frontend, Peer, Readiness, RequestBody,
    ResponseFuture,
};
use opgate_telemetry::{CATALOGUE, Code, Method as Verb, Protocol};
use tokio::task::JoinHandle;

use crate::fixture::{FOREVER, assert_line, http1, http2};

struct Console {
    address: SocketAddr,
    exporter: Exporter,
    readiness: Readiness,
    beats: Arc<AtomicBool>,
    trigger: DrainTrigger,
    serving: JoinHandle<()>,
}

async fn console() -> Console {
    let exporter = Exporter::new(&["billing"]).unwrap();
    let readiness = Readiness::new();
    let beats = Arc::new(AtomicBool::new(true));
    let beat = Arc::clone(&beats);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let beat = Box::new(move || beat.load(Relaxed));
    let admin = Admin::bind(any, exporter.clone(), readiness.clone(), beat).await.unwrap();
    let address = admin.local_addr().unwrap();
    let (trigger, drain) = Drain::new();
    let serving = tokio::spawn(admin.serve(drain));
    Console { address, exporter, readiness, beats, trigger, serving }
}

async fn call(console: &Console, method: Method, path: &str) -> Response<String> {
    let (mut client, _) = http1(console.address).await;
    let response = client.send(Request::builder().method(method).uri(path)).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(console: &Console, path: &str) -> Response<String> {
    call(console, Method::GET, path).await
}

#[tokio::test]
async fn metrics_show_the_whole_catalogue_and_no_summary() {
    let console = console().await;
    let metrics = console.exporter.metrics();
    metrics.requests.begin(Protocol::Grpc, Verb::Get).finish(Code::NotFound);
    let response = get(&console, "/metrics").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = response.body();
    for spec in CATALOGUE {
        assert!(text.contains(&format!("\n# TYPE {} ", spec.name)) || text.starts_with("# "));
        assert!(text.contains(&format!("# HELP {} {}\n", spec.name, spec.help)), "{}", spec.name);
    }
    assert!(!text.lines().any(|line| line.starts_with("# TYPE") && line.ends_with("summary")));
    assert_line(text, r#"opgate_requests_total{protocol="grpc",method="get",code="NOT_FOUND"} 1"#);
    assert_line(text, r#"opgate_connections{listener="admin"} 1"#);
    assert_line(text, "opgate_ready 1");
}

#[tokio::test]
async fn readyz_lists_each_condition_and_follows_it() {
    let console = console().await;
    let journal = console.readiness.condition("journal", "replaying");
    let response = get(&console, "/readyz").await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.body(), "not ready\njournal: replaying\n");
    assert_line(get(&console, "/metrics").await.body(), "opgate_ready 0");
    journal.holds();
    let response = get(&console, "/readyz").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.body(), "ready\njournal: ok\n");
    journal.fails("draining");
    assert_eq!(get(&console, "/readyz").await.status(), 503);
}

#[tokio::test]
async fn livez_follows_the_beat_and_nothing_else() {
    let console = console().await;
    let _failing = console.readiness.condition("journal", "replaying");
    assert_eq!(get(&console, "/livez").await.status(), 200);
    console.beats.store(false, Relaxed);
    assert_eq!(get(&console, "/livez").await.status(), 503);
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let console = console().await;
    assert_eq!(get(&console, "/").await.status(), 404);
    assert_eq!(call(&console, Method::POST, "/nothing").await.status(), 404);
    let refused = call(&console, Method::POST, "/metrics").await;
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.headers()["allow"], "GET, HEAD");
    assert_eq!(call(&console, Method::OPTIONS, "/readyz").await.status(), 405);
}

#[tokio::test]
async fn head_is_answered_like_get_without_the_content() {
    let console = console().await;
    console.readiness.condition("journal", "replaying").fails("replaying");
    let (mut first, _) = http1(console.address).await;
    let (mut second, _) = http2(console.address).await;
    for path in ["/livez", "/readyz", "/metrics", "/nothing"] {
        let got = get(&console, path).await;
        for client in [&mut first, &mut second] {
            client.ready().await.unwrap();
            let response = client.send(Request::head(path)).await.unwrap();
            assert_eq!(response.status(), got.status(), "{path}");
            assert_eq!(response.headers()["content-type"], got.headers()["content-type"]);
            let length: usize =
                response.headers()["content-length"].to_str().unwrap().parse().unwrap();
            // What the metrics show changes from one moment to the next.
            assert!(length == got.body().len() || path == "/metrics", "{path}: {length}");
            assert!(length > 0, "{path}");
            assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty(), "{path}");
        }
    }
}

#[tokio::test]
async fn it_ends_with_its_own_drain() {
    let console = console().await;
    assert_eq!(get(&console, "/livez").await.status(), 200);
    console.trigger.begin(FOREVER);
    console.serving.await.unwrap();
}

/// Says where it was asked.
struct Mounted;

impl Frontend for Mounted {
    fn call(&self, request: Request<RequestBody>, _: &Arc<Peer>) -> ResponseFuture {
        let said = format!("{} {}", request.method(), request.uri().path());
        Box::pin(async { Response::new(Body::full(said)) })
    }
}

#[tokio::test]
async fn a_face_of_its_own_has_its_path_and_what_is_beneath() {
    let exporter = Exporter::new(&[]).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let admin = Admin::bind(any, exporter, Readiness::new(), Box::new(|| true)).await.unwrap();
    let address = admin.local_addr().unwrap();
    let (trigger, drain) = Drain::new();
    let serving = tokio::spawn(admin.mount("/mounted", Arc::new(Mounted)).serve(drain));
    let (mut client, _) = http1(address).await;
    for (method, path, expected) in [
        ("GET", "/mounted", "GET /mounted"),
        ("POST", "/mounted/a/b", "POST /mounted/a/b"),
        ("GET", "/mountedelse", "not found\n"),
        ("GET", "/livez", "alive\n"),
    ] {
        client.ready().await.unwrap();
        let response = client.send(Request::builder().method(method).uri(path)).await.unwrap();
        let said = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(said, expected, "{method} {path}");
    }
    drop(client);
    trigger.begin(FOREVER);
    serving.await.unwrap();
}
