//! One daemon as the upstream of another: what Nexus, OCI and AMQP carry, there and back.

mod amqp;
mod longrunning;
mod oci;

use std::net::SocketAddr;
use std::path::Path;

use opgate_native::client::operations_client::OperationsClient;
use opgate_native::client::{
    CancelOperationRequest, GetOperationRequest, ListOperationsRequest, Operation, Payload,
    StartOperationRequest, State, View, WaitOperationRequest, payload,
};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use crate::process::{Daemon, Launch};

/// The daemon at the end, which may call back on this machine.
const UPSTREAM: &str = r#"
[callbacks]
allow = ["127.0.0.1:*"]
plaintext = true
networks = ["127.0.0.0/8"]
"#;

/// A daemon whose operations are the showcase's of another.
fn front(dir: &Path, upstream: SocketAddr, completion: &str) -> Launch {
    Launch::new(dir).config(&format!(
        r#"
[backends.up]
kind = "nexus"
concurrency = 100
endpoint = "http://{upstream}/nexus"
completion = "{completion}"
poll_first = "50ms"
[routes.do]
service = "ours"
operation = "do"
backend = "up"
[routes.do.nexus]
service = "showcase"
operation = "run"
[routes.fail]
service = "ours"
operation = "fail"
backend = "up"
[routes.fail.nexus]
service = "showcase"
"#
    ))
}

/// A client of one daemon.
struct Client(Runtime, OperationsClient<Channel>);

impl Client {
    fn of(daemon: &Daemon) -> Self {
        let runtime = Runtime::new().unwrap();
        let channel = Channel::from_shared(format!("http://{}", daemon.http)).unwrap();
        let channel = runtime.block_on(channel.connect()).unwrap();
        Self(runtime, OperationsClient::new(channel))
    }

    fn start(&mut self, route: &str, input: &str) -> String {
        let body = Some(payload::Body::Data(input.as_bytes().to_vec().into()));
        let input =
            Payload { body, media_type: "application/json".to_owned(), ..Payload::default() };
        let request = StartOperationRequest {
            route: route.to_owned(),
            input: Some(input),
            ..StartOperationRequest::default()
        };
        self.0.block_on(self.1.start_operation(request)).unwrap().into_inner().id
    }

    fn get(&mut self, name: &str) -> Operation {
        let request = GetOperationRequest { name: name.to_owned() };
        self.0.block_on(self.1.get_operation(request)).unwrap().into_inner()
    }

    /// The operation once `holds` is true of it.
    fn until(&mut self, name: &str, holds: impl Fn(&Operation) -> bool) -> Operation {
        let mut now = self.get(name);
        while !holds(&now) {
            assert!(!now.done, "{now:?}");
            let version = now.version;
            let request = WaitOperationRequest {
                name: name.to_owned(),
                version,
                ..WaitOperationRequest::default()
            };
            now = self.0.block_on(self.1.wait_operation(request)).unwrap().into_inner();
        }
        now
    }

    fn ended(&mut self, name: &str) -> Operation {
        self.until(name, |now| now.done)
    }

    fn cancel(&mut self, name: &str) {
        let request =
            CancelOperationRequest { name: name.to_owned(), ..CancelOperationRequest::default() };
        self.0.block_on(self.1.cancel_operation(request)).unwrap();
    }

    fn all(&mut self) -> Vec<Operation> {
        let request = ListOperationsRequest { view: View::Full.into(), ..Default::default() };
        self.0.block_on(self.1.list_operations(request)).unwrap().into_inner().operations
    }
}

fn data(payload: Option<&Payload>) -> String {
    match payload.and_then(|payload| payload.body.clone()) {
        Some(payload::Body::Data(data)) => String::from_utf8(data.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn there_and_back(completion: &str, upstream: &str) {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).config(upstream).start();
    let front = front(dirs[1].path(), back.http, completion).start();
    let (mut client, mut upstream) = (Client::of(&front), Client::of(&back));

    let id = client.start("do", r#"{"duration": "100ms", "result": {"a": [1, "x"]}}"#);
    let ended = client.ended(&id);
    assert_eq!(ended.state(), State::Succeeded, "{ended:?}\n{}", back.log());
    assert_eq!(data(ended.result.as_ref()), r#"{"a":[1,"x"]}"#);
    assert_eq!(ended.native_state, "succeeded");
    let carried = &upstream.all()[0];
    assert_eq!(carried.origin.as_ref().unwrap().request_id, id);
    assert_eq!(carried.deadline, None);

    let id = client
        .start("do", r#"{"duration": "50ms", "outcome": "failed", "code": 5, "message": "m"}"#);
    let ended = client.ended(&id);
    let error = ended.error.unwrap();
    assert_eq!((&*error.code, &*error.message), ("NOT_FOUND", "m"));

    // It ends at once there, and so it does here.
    let id = client.start("fail", r#"{"code": 8, "message": "full"}"#);
    let error = client.ended(&id).error.unwrap();
    assert_eq!((&*error.code, &*error.message), ("RESOURCE_EXHAUSTED", "full"));

    let id = client.start("do", r#"{"hold": true}"#);
    client.until(&id, |now| now.native_state == "running");
    client.cancel(&id);
    assert_eq!(client.ended(&id).state(), State::Canceled);
    let mut states: Vec<State> = upstream.all().iter().map(Operation::state).collect();
    states.sort_unstable();
    assert_eq!(states, [State::Succeeded, State::Failed, State::Failed, State::Canceled]);
    for (daemon, protocol, backend) in [(&front, "native", "up"), (&back, "nexus", "showcase")] {
        let labels = format!("protocol=\"{protocol}\",backend=\"{backend}\"");
        let line = format!("opgate_operations_accepted_total{{{labels}}} 4");
        let metrics = daemon.probe("/metrics").1;
        assert!(metrics.lines().any(|found| found == line), "{metrics}");
    }
}

#[test]
fn by_get_result_all_ends_come_back() {
    there_and_back("poll", "");
}

#[test]
fn by_callback_all_ends_come_back() {
    there_and_back("callback", UPSTREAM);
}

#[test]
fn a_daemon_killed_in_between_starts_nothing_twice_and_loses_nothing() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let back = Launch::new(dirs[0].path()).config(UPSTREAM).start();
    let front = front(dirs[1].path(), back.http, "both").start();
    let mut client = Client::of(&front);
    let ids: Vec<String> = (0..8)
        .map(|index| {
            client.start("do", &format!(r#"{{"duration": "{}ms", "result": {index}}}"#, index * 40))
        })
        .collect();
    client.until(&ids[7], |now| now.native_state == "running" || now.done);
    // It comes back on another port: the callbacks on their way find nobody.
    let front = front.crash();
    let mut client = Client::of(&front);
    for (index, id) in ids.iter().enumerate() {
        let ended = client.ended(id);
        assert_eq!(data(ended.result.as_ref()), index.to_string());
        assert!(ended.conflicts.is_empty());
    }
    let mut started: Vec<String> = Client::of(&back)
        .all()
        .into_iter()
        .map(|carried| carried.origin.unwrap().request_id)
        .collect();
    started.sort_unstable();
    let mut ids = ids;
    ids.sort_unstable();
    assert_eq!(started, ids);
}
