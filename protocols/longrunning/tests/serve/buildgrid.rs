//! Instances of remote execution, as BuildGrid's client has them.

mod lists;
mod streams;

use opgate_longrunning::{DoorSettings, Settings};
use prost::Message as _;
use tonic::{Code, Request};

use super::client::{Client, Name, Operation, RpcStatus, named, refused};
use super::gateway::{Gateway, door, settings};

const EXECUTE: &str = "build.bazel.remote.execution.v2.Execution/Execute";
const PACKAGE: &str = "type.googleapis.com/build.bazel.remote.execution.v2";

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Metadata {
    #[prost(int32, tag = "1")]
    pub(crate) stage: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Response {
    #[prost(message, optional, tag = "3")]
    pub(crate) status: Option<RpcStatus>,
}

/// The stage in an operation's metadata.
pub(crate) fn stage(operation: &Operation) -> i32 {
    let metadata = operation.metadata.as_ref().unwrap();
    assert_eq!(metadata.type_url, format!("{PACKAGE}.ExecuteOperationMetadata"));
    Metadata::decode(&*metadata.value).unwrap().stage
}

/// The code in an ended operation's response; 0 is a success.
pub(crate) fn code(operation: &Operation) -> i32 {
    assert!(operation.done && operation.error.is_none(), "{operation:?}");
    assert_eq!(stage(operation), 4);
    let response = operation.response.as_ref().unwrap();
    assert_eq!(response.type_url, format!("{PACKAGE}.ExecuteResponse"));
    Response::decode(&*response.value).unwrap().status.map_or(0, |status| status.code)
}

/// A gateway with the instances `main`, `a/b` and the empty one.
pub(crate) async fn start() -> (Gateway, Client) {
    start_with(|_| ()).await
}

/// The same, with other settings.
pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> (Gateway, Client) {
    let mut settings = settings();
    settings.buildgrid = ["main", "a/b", ""].map(str::to_owned).to_vec();
    let parent = Some("{instance_name}".to_owned());
    settings.doors.push(DoorSettings { parent, ..door(EXECUTE) });
    change(&mut settings);
    let gateway = Gateway::with(&settings).await;
    let client = Client::connect(gateway.address).await;
    (gateway, client)
}

/// The last segment of a name.
pub(crate) fn id(name: &str) -> &str {
    name.rsplit('/').next().unwrap()
}

#[tokio::test]
async fn names_are_the_instance_and_the_id() {
    let (gateway, client) = start().await;
    for (parent, before, others) in [
        ("main", "main/", &["main/operations/"][..]),
        ("a/b", "a/b/", &["a/b/operations/"]),
        ("", "/", &["", "operations/"]),
    ] {
        let made = client.make(parent, "").await;
        let id = id(&made.name);
        assert_eq!(made.name, format!("{before}{id}"));
        for before in others {
            // Whatever it is asked by, it is named as it is listed.
            assert_eq!(client.get(&format!("{before}{id}")).await.unwrap().name, made.name);
        }
        for elsewhere in ["main", "a/b", "a", "nowhere", "projects/p"] {
            if elsewhere != parent {
                for name in [format!("{elsewhere}/{id}"), format!("{elsewhere}/operations/{id}")] {
                    assert_eq!(refused(client.get(&name).await), Code::NotFound, "{name}");
                }
            }
        }
    }
    // Other parents keep Google's names, and have no others.
    let made = client.make("projects/p", "").await;
    let id = id(&made.name);
    assert_eq!(made.name, format!("projects/p/operations/{id}"));
    assert_eq!(refused(client.get(&format!("projects/p/{id}")).await), Code::NotFound);
    assert_eq!(refused(client.get(&format!("/{id}")).await), Code::NotFound);
    gateway.stop().await;
}

#[tokio::test]
async fn every_method_takes_the_name() {
    let (gateway, client) = start().await;
    for parent in ["main", "a/b", ""] {
        let name = client.make(parent, "").await.name;
        let timeout = Some(prost_types::Duration { seconds: 0, nanos: 1 });
        let wait = Name { name: name.clone(), timeout };
        let waited: Operation = client.operations("WaitOperation", wait).await.unwrap();
        assert!(!waited.done && (2..=3).contains(&stage(&waited)), "{waited:?}");
        for _ in 0..2 {
            let _: () = client.operations("CancelOperation", named(&name)).await.unwrap();
        }
        let ended: Operation = client.operations("WaitOperation", named(&name)).await.unwrap();
        assert_eq!(code(&ended), 1);
        // A cancel of what has ended is no error either.
        let _: () = client.operations("CancelOperation", named(&name)).await.unwrap();
        let _: () = client.operations("DeleteOperation", named(&name)).await.unwrap();
        assert_eq!(refused(client.get(&name).await), Code::NotFound);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_end_is_a_status_within_the_response() {
    let (gateway, client) = start().await;
    for (script, expected) in [("nothing ", 0), ("fail no such blob", 5)] {
        let ended = client.make("main", script).await;
        assert_eq!(code(&ended), expected, "{script}");
        assert_eq!(client.get(&ended.name).await.unwrap(), ended);
    }
    // Where the parent is no instance, an error is one.
    let failed = client.make("projects/p", "fail no such blob").await;
    assert_eq!(failed.error.unwrap().code, 5);
    gateway.stop().await;
}

#[tokio::test]
async fn errors_are_googles_as_the_client_tells_none_from_another() {
    // `bgd operation` shows the message of whatever error there is, and ends with -1.
    let (gateway, client) = start().await;
    let unknown = "00000000000000000000000007";
    for (name, code) in [
        (format!("main/{unknown}"), Code::NotFound),
        (format!("nowhere/{unknown}"), Code::NotFound),
        (unknown.to_owned(), Code::NotFound),
        (format!("/{unknown}"), Code::NotFound),
        ("main".to_owned(), Code::NotFound),
        (String::new(), Code::InvalidArgument),
    ] {
        for method in ["GetOperation", "CancelOperation", "DeleteOperation", "WaitOperation"] {
            let answer = client
                .call::<_, Operation>(
                    &format!("google.longrunning.Operations/{method}"),
                    Request::new(named(&name)),
                )
                .await;
            assert_eq!(refused(answer), code, "{method} {name}");
        }
    }
    gateway.stop().await;
}
