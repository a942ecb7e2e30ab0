//! The web console: what it answers, to whom, and what it tells of changes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opgate_bus::core::Tenant;
use opgate_edge::{Drain, DrainTrigger, Exporter, HttpLimits, HttpListener};
use opgate_native::client::{CancelOperationRequest, DeleteOperationRequest};
use opgate_native::{Console, ConsoleSettings};
use opgate_telemetry::Listener;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::gateway::{Gateway, start};

const LONG: Duration = Duration::from_secs(30);

struct Served {
    gateway: Gateway,
    address: SocketAddr,
    trigger: DrainTrigger,
    serving: JoinHandle<()>,
}

async fn served(settings: ConsoleSettings) -> Served {
    let gateway = Gateway::start().await;
    let native = gateway.native.clone();
    let console = Console::new(settings, move || native.clone()).unwrap();
    let metrics = Exporter::new(&[]).unwrap().metrics();
    let any = ([127, 0, 0, 1], 0).into();
    let listener = HttpListener::bind(any, Listener::Admin, HttpLimits::admin(), metrics);
    let listener = listener.await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, drain) = Drain::new();
    let serving = tokio::spawn(listener.serve(Arc::new(console), drain));
    Served { gateway, address, trigger, serving }
}

impl Served {
    async fn send(
        &self,
        request: (&str, &str),
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut asked = Request::builder().method(request.0).uri(request.1);
        if !headers.iter().any(|(name, _)| *name == "host") {
            asked = asked.header("host", self.address.to_string());
        }
        for (name, value) in headers {
            asked = asked.header(*name, *value);
        }
        let asked = asked.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        sender.send_request(asked).await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        whole(self.send(("GET", path), &[], "").await).await
    }

    async fn act(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        whole(self.send(("POST", path), headers, "{}").await).await
    }

    async fn events(&self, query: &str) -> Events {
        let response = self.send(("GET", &format!("/console/events{query}")), &[], "").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { body: response.into_body(), text: String::new() }
    }

    async fn stop(self) {
        let Self { gateway, trigger, serving, .. } = self;
        gateway.stop().await;
        trigger.begin(Duration::from_secs(1));
        serving.await.unwrap();
    }
}

async fn whole(response: Response<Incoming>) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// A stream of events as a page reads it.
struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    /// The next event; none at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name| event.lines().find_map(|line| line.strip_prefix(name));
                let (kind, data) = (field("event: "), field("data: "));
                let event = kind.map(|kind| (kind.to_owned(), data.unwrap().parse().unwrap()));
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let frame = tokio::time::timeout(LONG, self.body.frame()).await.unwrap()?;
            let data = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The next change that is told of an operation: its row, or nothing where it is not shown.
    async fn of(&mut self, id: &str) -> Option<Value> {
        loop {
            let (kind, data) = self.next().await.unwrap();
            assert_eq!(kind, "changes", "{data}");
            let mut shown = data["operations"].as_array().unwrap().iter();
            if let Some(row) = shown.find(|row| row["id"] == id) {
                return Some(row.clone());
            }
            if data["others"].as_array().unwrap().iter().any(|other| other == id) {
                return None;
            }
        }
    }
}

#[tokio::test]
async fn the_page_may_run_its_own_script_and_nothing_else() {
    let served = served(ConsoleSettings::default()).await;
    let response = served.send(("GET", "/console/"), &[], "").await;
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    let policy = headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    let moved = served.send(("GET", "/console"), &[], "").await;
    assert_eq!(
        (moved.status().as_u16(), &moved.headers()["location"]),
        (308, &"console/".parse().unwrap())
    );
    let api = served.send(("GET", "/console/operations"), &[], "").await;
    assert_eq!(api.headers()["cache-control"], "no-store");
    assert_eq!(api.headers()["x-content-type-options"], "nosniff");
    let refused = served.send(("POST", "/console/"), &[], "").await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["allow"]),
        (405, &"GET, HEAD".parse().unwrap())
    );
    served.stop().await;
}

#[tokio::test]
async fn it_reads_what_the_api_reads_and_starts_nothing() {
    let mut served = served(ConsoleSettings::default()).await;
    let held = served.gateway.begin("run", r#"{"hold": true}"#).await;
    let (status, page) =
        served.get("/console/operations?filter=state%3DRUNNING+OR+done%3Dfalse").await;
    assert_eq!((status, &page["operations"][0]["id"]), (200, &json!(held.id)));
    let (status, shown) = served.get(&format!("/console/operations/other/{}", held.id)).await;
    assert_eq!((status, &shown["input"]["json"]), (200, &json!({ "hold": true })));
    assert_eq!(shown["names"]["other"], format!("other/{}", held.id));
    let (status, about) = served.get("/console/about").await;
    assert_eq!(
        (status, &about["actions"], &about["tenant"]),
        (200, &json!(false), &json!("default"))
    );
    assert_eq!(about["backends"], json!(["showcase", "shop"]));
    let (status, refused) = served.get("/console/operations?filter=colour%3Dred").await;
    assert_eq!(status, 400);
    assert!(refused["error"]["message"].as_str().unwrap().contains("colour"), "{refused}");
    // What it does not need is not there, whatever a request says of itself.
    let ours = ("opgate-console", "1");
    let over = ("x-http-method-override", "DELETE");
    for (method, path) in [
        ("POST", "/console/operations".to_owned()),
        ("DELETE", format!("/console/operations/{}", held.id)),
        ("POST", format!("/console/operations/{}:complete", held.id)),
        ("POST", format!("/console/operations/{}", held.id)),
        ("GET", "/console/operations:watch".to_owned()),
        ("GET", format!("/console/operations/{}:wait", held.id)),
        ("POST", "/console/queues/builds:lease".to_owned()),
        ("GET", "/console/nothing".to_owned()),
    ] {
        let answer = whole(served.send((method, &path), &[ours, over], "{}").await).await;
        assert_eq!(answer.0, 404, "{method} {path}: {answer:?}");
    }
    let same = served.gateway.get(&held.id).await;
    assert!(!same.done && same.cancel.is_none());
    served.stop().await;
}

#[tokio::test]
async fn actions_are_off_unless_they_are_on_and_then_take_a_page_of_ours() {
    let mut served = served(ConsoleSettings::default()).await;
    let held = served.gateway.begin("run", r#"{"hold": true}"#).await;
    let cancel = format!("/console/operations/{}:cancel", held.id);
    let ours = ("opgate-console", "1");
    let (status, refused) = served.act(&cancel, &[ours]).await;
    assert_eq!((status, &refused["error"]["status"]), (403, &json!("PERMISSION_DENIED")));
    assert!(refused["error"]["message"].as_str().unwrap().contains("admin.console.actions"));
    assert!(served.gateway.get(&held.id).await.cancel.is_none());
    served.stop().await;

    let mut served = served_with_actions().await;
    let held = served.gateway.begin("run", r#"{"hold": true}"#).await;
    let cancel = format!("/console/operations/{}:cancel", held.id);
    let here = format!("http://{}", served.address);
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[ours, ("origin", "http://evil.example")],
        &[ours, ("origin", "null")],
        &[ours, ("sec-fetch-site", "cross-site")],
        &[ours, ("sec-fetch-site", "same-site")],
        &[ours, ("host", "evil.example")],
    ] {
        assert_eq!(served.act(&cancel, headers).await.0, 403, "{headers:?}");
    }
    assert!(served.gateway.get(&held.id).await.cancel.is_none());
    let (status, done) =
        served.act(&cancel, &[ours, ("origin", &here), ("sec-fetch-site", "same-origin")]).await;
    assert_eq!((status, &done["cancel"]["by"]), (200, &json!("console")), "{done}");
    served.stop().await;
}

async fn served_with_actions() -> Served {
    served(ConsoleSettings { actions: true, ..ConsoleSettings::default() }).await
}

#[tokio::test]
async fn it_answers_under_its_own_names_and_no_other_origin() {
    let hosts = vec!["ops.example".to_owned()];
    let served = served(ConsoleSettings { hosts, ..ConsoleSettings::default() }).await;
    for (host, status) in [
        ("ops.example:9464", 200),
        ("localhost:1", 200),
        ("[::1]:9464", 200),
        ("evil.example:9464", 403),
        ("ops.example.evil.example", 403),
    ] {
        for path in ["/console/", "/console/about", "/console/operations", "/console/events"] {
            let answer = served.send(("GET", path), &[("host", host)], "").await;
            assert_eq!(answer.status(), status, "{path} as {host}");
        }
    }
    let elsewhere = [("sec-fetch-site", "cross-site")];
    for (path, status) in
        [("/console/", 200), ("/console/operations", 403), ("/console/events", 403)]
    {
        assert_eq!(served.send(("GET", path), &elsewhere, "").await.status(), status, "{path}");
    }
    served.stop().await;
}

#[tokio::test]
async fn a_page_is_told_of_what_changes_and_what_it_does_not_show_any_more() {
    let mut served = served(ConsoleSettings::default()).await;
    let before = served.gateway.begin("echo", "1").await;
    let mut all = served.events("").await;
    let mut live = served.events("?filter=done%3Dfalse&parent=p").await;
    for events in [&mut all, &mut live] {
        assert_eq!(events.next().await, Some(("ready".to_owned(), json!({}))));
    }
    let mut request = start("run", r#"{"hold": true}"#);
    request.parent = "p/q".to_owned();
    let mut operations = served.gateway.operations.clone();
    let held = operations.start_operation(request).await.unwrap().into_inner();
    let row = live.of(&held.id).await.unwrap();
    assert_eq!((&row["parent"], &row["service"]), (&json!("p/q"), &json!("showcase")));
    assert_ne!(row["done"], true);
    assert!(row.get("input").is_none() && row.get("names").is_none(), "{row}");
    let elsewhere = served.gateway.begin("run", r#"{"hold": true}"#).await;
    assert_eq!(live.of(&elsewhere.id).await, None, "it is beneath another parent");
    let cancel = CancelOperationRequest { name: held.id.clone(), ..Default::default() };
    operations.cancel_operation(cancel).await.unwrap();
    // It may be told of in between.
    while let Some(row) = live.of(&held.id).await {
        assert_ne!(row["done"], true);
    }
    let mut last = Value::Null;
    while last["done"] != true {
        last = all.of(&held.id).await.unwrap();
    }
    assert_eq!(last["state"], "CANCELED");
    assert_ne!(last["id"], before.id, "what was there before is not told");
    let delete = DeleteOperationRequest { name: held.id.clone(), version: 0 };
    operations.delete_operation(delete).await.unwrap();
    assert_eq!(all.of(&held.id).await, None, "what is deleted is shown no more");
    // A gateway that stops says so.
    drop(operations);
    let Served { gateway, trigger, serving, .. } = served;
    gateway.bus.quiesce().await;
    assert_eq!(all.next().await, Some(("end".to_owned(), json!({}))));
    assert_eq!(all.next().await, None);
    drop((all, live));
    gateway.stop().await;
    trigger.begin(Duration::from_secs(1));
    serving.await.unwrap();
}

#[tokio::test]
async fn what_changes_together_is_told_one_by_one_only_so_far() {
    let mut served = served(ConsoleSettings { together: 1, ..ConsoleSettings::default() }).await;
    let mut events = served.events("").await;
    events.next().await.unwrap();
    // Two of them fall into one moment, sooner or later.
    let mut kind = String::new();
    while kind != "many" {
        let mut starts = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let mut operations = served.gateway.operations.clone();
            starts.spawn(async move { operations.start_operation(start("echo", "1")).await });
        }
        while let Some(started) = starts.join_next().await {
            started.unwrap().unwrap();
        }
        kind = events.next().await.unwrap().0;
    }
    // It goes on with what comes then: that may be told with what was before, so again until it is alone.
    loop {
        let next = served.gateway.begin("echo", "1").await;
        let (kind, data) = events.next().await.unwrap();
        if kind == "changes" && data["operations"][0]["id"] == next.id {
            break;
        }
    }
    drop(events);
    served.stop().await;
}

#[tokio::test]
async fn streams_are_bounded_and_given_back() {
    let served = served(ConsoleSettings { streams: 1, ..ConsoleSettings::default() }).await;
    let mut only = served.events("").await;
    only.next().await.unwrap();
    let (status, refused) = served.get("/console/events").await;
    assert_eq!(status, 429);
    assert!(refused["error"]["message"].as_str().unwrap().contains("admin.console.streams"));
    let (status, _) = served.get("/console/events?filter=colour%3Dred").await;
    assert_eq!(status, 400, "what is wrong is told first");
    drop(only);
    let until = std::time::Instant::now() + LONG;
    while served.send(("GET", "/console/events"), &[], "").await.status() != 200 {
        assert!(std::time::Instant::now() < until, "the place of a page that has gone is taken");
        tokio::task::yield_now().await;
    }
    served.stop().await;
}

#[tokio::test]
async fn it_shows_one_tenant() {
    let tenant = Tenant::new("other").unwrap();
    let mut served = served(ConsoleSettings { tenant, ..ConsoleSettings::default() }).await;
    let mut events = served.events("").await;
    events.next().await.unwrap();
    let stranger = served.gateway.begin("echo", "1").await;
    assert_eq!(served.get("/console/operations").await.1["operations"], Value::Null);
    assert_eq!(served.get(&format!("/console/operations/{}", stranger.id)).await.0, 404);
    served.gateway.bus.quiesce().await;
    assert_eq!(events.next().await.unwrap().0, "end", "nothing was told before");
    drop(events);
    served.stop().await;
}
