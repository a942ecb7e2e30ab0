//! Requests that are made in this process: they say whose they are, and no request over a connection can.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use opgate_bus::core::Tenant;
use opgate_bus::{Caller, WorksOn};
use opgate_edge::{Body, Frontend, Peer, RequestBody};
use serde_json::{Value, json};

use crate::gateway::{Gateway, named};

/// Asks as that tenant; the status, and the JSON.
async fn asked(
    face: &impl Frontend,
    tenant: &str,
    request: (&str, &str),
    body: &str,
) -> (u16, Value) {
    let (method, path) = request;
    let tenant = Tenant::new(tenant).unwrap();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .extension(Caller {
            tenant,
            principal: Arc::from("somebody"),
            works_on: WorksOn::nothing(),
        })
        .body(RequestBody::whole(body.to_owned()))
        .unwrap();
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let response: Response<Body> =
        face.call(request, &Arc::new(Peer::plain(nowhere, nowhere))).await;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn an_operation_is_its_callers_and_nobody_elses() {
    let mut gateway = Gateway::start().await;
    let face = gateway.native.clone();
    let start = json!({"route": "run", "input": {"json": {}}}).to_string();
    let (status, started) = asked(&face, "acme", ("POST", "/opgate/v1/operations"), &start).await;
    assert_eq!(status, 200, "{started}");
    let id = started["id"].as_str().unwrap();
    let path = format!("/opgate/v1/operations/{id}");
    assert_eq!(asked(&face, "acme", ("GET", &path), "").await.0, 200);
    let list = "/opgate/v1/operations";
    let (_, own) = asked(&face, "acme", ("GET", list), "").await;
    assert_eq!(own["operations"][0]["id"], id);
    assert_eq!(asked(&face, "other", ("GET", &path), "").await.0, 404);
    let (_, others) = asked(&face, "other", ("GET", list), "").await;
    assert_eq!(others["operations"].as_array().map_or(0, Vec::len), 0);
    let refused = gateway.operations.get_operation(named(id)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    gateway.stop().await;
}

#[tokio::test]
async fn only_who_may_work_on_a_queue_leases_its_operations() {
    let gateway = Gateway::start().await;
    let face = gateway.native.clone();
    let lease = ("POST", "/opgate/v1/queues/builds:lease");
    let (status, refused) = asked(&face, "acme", lease, r#"{"worker": "w"}"#).await;
    assert_eq!(status, 403, "{refused}");
    // Whoever comes over a connection of HTTP's is nobody in particular, and may.
    let body = json!({"worker": "w"});
    let leased = crate::json::call(gateway.address, "POST", "queues/builds:lease", body).await;
    assert_eq!(leased, json!({}));
    gateway.stop().await;
}
