//! An upstream that goes and comes back, of each kind: it is left alone while it is away, what waits for it waits and
//! holds up nothing else, and all of it is carried out once.
//!
//! The upstream is another daemon, behind a door that the test opens and shuts.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::faces::{JSON, raw};
use crate::process::{Daemon, Launch};

/// What calls come through. While it is shut whoever comes is cut off, and whoever was there is.
struct Door {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    open: bool,
    over: bool,
    through: Vec<TcpStream>,
}

impl Door {
    /// A shut one to an address.
    fn to(inner: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let thread = std::thread::spawn({
            let state = Arc::clone(&state);
            move || Self::serve(&listener, inner, &state)
        });
        Self { address, state, thread: Some(thread) }
    }

    fn serve(listener: &TcpListener, inner: SocketAddr, state: &Mutex<State>) {
        let mut pipes = Vec::new();
        loop {
            let (outside, _) = listener.accept().unwrap();
            let mut state = state.lock().unwrap();
            if state.over {
                break;
            }
            if !state.open {
                continue;
            }
            let Ok(inside) = TcpStream::connect(inner) else { continue };
            for (from, to) in [(&outside, &inside), (&inside, &outside)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                pipes.push(std::thread::spawn(move || pipe(from, to)));
            }
            state.through.extend([outside, inside]);
        }
        for pipe in pipes {
            pipe.join().unwrap();
        }
    }

    fn set(&self, open: bool) {
        let mut state = self.state.lock().unwrap();
        state.open = open;
        if !open {
            // One that has gone by itself cannot be shut any more.
            state
                .through
                .drain(..)
                .for_each(|end| end.shutdown(Shutdown::Both).unwrap_or_default());
        }
    }
}

/// Carries bytes until either side has gone.
fn pipe(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    for end in [from, to] {
        end.shutdown(Shutdown::Both).unwrap_or_default();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.set(false);
        self.state.lock().unwrap().over = true;
        // One more, for which it is over.
        drop(TcpStream::connect(self.address).unwrap());
        self.thread.take().map(JoinHandle::join).unwrap().unwrap();
    }
}

/// A kind of backend.
struct Kind {
    /// Its name.
    name: &'static str,
    /// The scheme of its endpoint, and the path.
    endpoint: (&'static str, &'static str),
    /// What it needs beside.
    keys: &'static str,
    /// How its routes ask the showcase behind the door to play what their input says.
    call: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "longrunning",
        endpoint: ("http", ""),
        keys: "",
        call: "[routes.ROUTE.longrunning_call]\nmethod = \"opgate.showcase.v1.Showcase/Run\"\n\
               idempotent = true",
    },
    Kind {
        name: "nexus",
        endpoint: ("http", "/nexus"),
        keys: "completion = \"poll\"",
        call: "[routes.ROUTE.nexus]\nservice = \"showcase\"\noperation = \"run\"",
    },
    Kind {
        name: "amqp",
        endpoint: ("amqp", ""),
        keys: "",
        call: "[routes.ROUTE.amqp_call]\noperation = \"CREATE\"\ntype = \"org.opgate.operation\"\n\
               body = { service = \"showcase\", operation = \"run\", input = \"${}\" }\n\
               completion = \"poll\"\nidempotent = true",
    },
    Kind {
        name: "oci",
        endpoint: ("http", ""),
        keys: "signing = \"none\"",
        call: "[routes.ROUTE.oci]\nrequest = \"POST /20160918/plays\"\nbody = \"${}\"\n\
               dialect = \"identity\"\nwork_requests = \"/20160918/workRequests\"",
    },
];

/// A door of OCI's to what the others ask for by its name.
const BACK: &str = r#"
[routes.showcase-run.http]
request = "POST /20160918/plays"
reply = "oci"
input = "${/body}"
"#;

impl Kind {
    /// A backend and a route to it, both of this name.
    fn to(&self, name: &str, upstream: SocketAddr) -> String {
        let Self { name: kind, endpoint: (scheme, path), keys, call } = self;
        let call = call.replace("ROUTE", name);
        format!(
            r#"
[backends.{name}]
kind = "{kind}"
concurrency = 100
endpoint = "{scheme}://{upstream}{path}"
breaker = 3
breaker_pause = "20ms"
breaker_longest = "100ms"
retry_first = "10ms"
retry_longest = "50ms"
retry_attempts = 3
poll_first = "20ms"
poll_longest = "50ms"
{keys}
[routes.{name}]
service = "ours"
operation = "{name}"
backend = "{name}"
{call}
"#
        )
    }
}

fn start(daemon: &Daemon, route: &str, play: &Value) -> String {
    let body = json!({"route": route, "input": {"json": play}}).to_string();
    let reply = raw(daemon.http, "POST", "/opgate/v1/operations", &[JSON], body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn shown(daemon: &Daemon, path: &str) -> Value {
    let reply = raw(daemon.http, "GET", &format!("/opgate/v1/operations{path}"), &[], b"");
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json()
}

fn succeeded(daemon: &Daemon, id: &str) {
    let ended = shown(daemon, &format!("/{id}:wait?timeout=60s"));
    assert_eq!(ended["state"], "SUCCEEDED", "{ended}\n{}", daemon.log());
}

fn carried(back: &Daemon) -> Vec<Value> {
    shown(back, "?pageSize=1000")["operations"].as_array().unwrap().clone()
}

fn none_has_ended(daemon: &Daemon, ids: &[String]) {
    for id in ids {
        let now = shown(daemon, &format!("/{id}"));
        assert_ne!(now["done"], true, "{now}");
    }
}

/// The operations of a kind, from the outage to their end: started while the upstream is away, and running there when
/// it goes.
fn goes_and_comes_back(kind: &Kind, dirs: &[&Path; 2]) {
    const OPERATIONS: usize = 12;
    let back = Launch::new(dirs[0]).config(BACK).start();
    let inner = if kind.name == "amqp" { back.amqp } else { back.http };
    let door = Door::to(inner);
    let config = [kind.to("up", door.address), kind.to("well", inner)].concat();
    let front = Launch::new(dirs[1]).config(&config).start();
    let opened = |times: u32| {
        let line = format!("opgate_backend_breaker_opened_total{{backend=\"up\"}} {times}");
        front.await_metric(&line);
    };
    let others = |times: usize| {
        for _ in 0..times {
            succeeded(&front, &start(&front, "well", &json!({"duration": "1ms"})));
        }
    };

    // It is not there when they are started.
    let play = json!({"duration": "10ms", "result": {"a": 1}});
    let ids: Vec<String> = (0..OPERATIONS).map(|_| start(&front, "up", &play)).collect();
    opened(1);
    others(5);
    none_has_ended(&front, &ids);
    door.set(true);
    front.await_metric("opgate_backend_breaker{backend=\"up\"} 0");
    for id in &ids {
        succeeded(&front, id);
    }

    // It goes while they are under way there.
    let play = json!({"hold": true});
    let ids: Vec<String> = (0..OPERATIONS).map(|_| start(&front, "up", &play)).collect();
    for id in &ids {
        let mut now = shown(&front, &format!("/{id}"));
        while now["nativeState"].as_str().unwrap_or_default().is_empty() {
            assert_ne!(now["done"], true, "{now}");
            let version = now["version"].as_str().unwrap();
            now = shown(&front, &format!("/{id}:wait?timeout=60s&version={version}"));
        }
    }
    door.set(false);
    opened(2);
    others(5);
    none_has_ended(&front, &ids);
    // What ends meanwhile is heard of later.
    for held in carried(&back).iter().filter(|one| one["state"] == "RUNNING") {
        let path = format!("/opgate/v1/operations/{}:complete", held["id"].as_str().unwrap());
        let ended = br#"{"outcome": {"succeeded": {"json": {}}}}"#;
        assert_eq!(raw(back.http, "POST", &path, &[JSON], ended).status, 200);
    }
    none_has_ended(&front, &ids);
    door.set(true);
    for id in &ids {
        succeeded(&front, id);
    }
    front.await_metric("opgate_backend_breaker{backend=\"up\"} 0");

    let carried = carried(&back);
    assert_eq!(carried.len(), 2 * OPERATIONS + 10, "each is started once");
    assert!(carried.iter().all(|one| one["state"] == "SUCCEEDED"), "{carried:?}");
    assert_eq!(front.terminate().code(), Some(0));
}

#[test]
fn an_upstream_of_any_kind_that_was_away_is_found_back_and_nothing_is_lost_or_done_twice() {
    std::thread::scope(|scope| {
        for kind in &KINDS {
            scope.spawn(move || {
                let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
                goes_and_comes_back(kind, &[dirs[0].path(), dirs[1].path()]);
            });
        }
    });
}
