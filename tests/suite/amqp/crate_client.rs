//! The client of the crate `fe2o3-amqp-management`, which numbers its requests and takes replies in turn.

use std::net::SocketAddr;

use fe2o3_amqp::{Connection, Session};
use fe2o3_amqp_management::MgmtClient;
use fe2o3_amqp_management::error::Error;
use fe2o3_amqp_management::operations::{
    DeleteRequest, GetTypesRequest, QueryRequest, ReadRequest,
};
use serde_amqp::Value;
use serde_json::json;

use crate::faces::{JSON, raw};
use crate::process::Launch;

const OPERATION: &str = "org.opgate.operation";

/// Starts an operation over HTTP, and waits until it has ended: its identity.
fn done(http: SocketAddr) -> String {
    let body = json!({"route": "showcase-run"}).to_string();
    let started = raw(http, "POST", "/opgate/v1/operations", &[JSON], body.as_bytes()).json();
    let id = started["id"].as_str().unwrap();
    let path = format!("/opgate/v1/operations/{id}:wait?timeout=20s");
    assert_eq!(raw(http, "GET", &path, &[], &[]).json()["state"], "SUCCEEDED");
    id.to_owned()
}

#[tokio::test]
async fn the_crates_client_reads_lists_and_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let (first, second) = (done(daemon.http), done(daemon.http));
    let url = format!("amqp://{}", daemon.amqp);
    let mut connection = Connection::open("crate-client", &*url).await.unwrap();
    let mut session = Session::begin(&mut connection).await.unwrap();
    let mut client = MgmtClient::attach(&mut session, "crate-client-replies").await.unwrap();

    let types = client.call(GetTypesRequest::new(None, OPERATION, None::<&str>)).await.unwrap();
    assert!(types.types.get(OPERATION).is_some(), "{types:?}");

    for identity in [&first, &second] {
        let read = client.call(ReadRequest::identity(&**identity, OPERATION, None)).await.unwrap();
        let shown = read.entity_attributes.get("identity");
        assert_eq!(shown, Some(&Value::String(identity.clone())));
    }

    let query = QueryRequest::new(Some(OPERATION.into()), 0, 10, ["identity"], OPERATION, None);
    let listed = client.call(query).await.unwrap();
    assert_eq!(listed.count, 2);
    let column = listed.attribute_names.iter().position(|name| name == "identity").unwrap();
    let mut identities: Vec<_> = listed.results.iter().map(|row| row[column].clone()).collect();
    identities.sort_by_key(|identity| format!("{identity:?}"));
    assert_eq!(identities, [Value::String(first.clone()), Value::String(second)]);

    client.call(DeleteRequest::identity(&*first, OPERATION, None)).await.unwrap();
    let absent = client.call(ReadRequest::identity(&*first, OPERATION, None)).await.unwrap_err();
    let Error::Status(refused) = absent else { panic!("{absent:?}") };
    assert_eq!(refused.code.0.get(), 404);
    assert!(refused.description.is_some());

    client.close().await.unwrap();
    session.end().await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(daemon.terminate().code(), Some(0));
}
