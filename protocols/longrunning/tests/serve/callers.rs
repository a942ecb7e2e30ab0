//! Requests that are made in this process: they say whose they are, and no request over a connection can.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use opgate_bus::Start;
use opgate_bus::{Caller, WorksOn};
use opgate_core::{Face, Payload, Tenant};
use opgate_edge::{Body, Frontend, Peer, RequestBody};
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::rest::ask;

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
    let gateway = Gateway::start().await;
    let tenant = Tenant::new("acme").unwrap();
    let caller = Caller { tenant, principal: Arc::from("somebody"), works_on: WorksOn::nothing() };
    let start = Start::new(Face::Grpc, "test", "scripted", Payload::json("{}".to_owned()));
    let id = gateway.bus.start(&caller, start).await.unwrap().snapshot.id;
    let path = format!("/v1/operations/{id}");
    let face = &gateway.rest;
    let (status, shown) = asked(face, "acme", ("GET", &path), "").await;
    assert_eq!((status, &shown["name"]), (200, &json!(format!("operations/{id}"))));
    assert_eq!(asked(face, "other", ("GET", &path), "").await.0, 404);
    assert_eq!(ask(&gateway, "GET", &path).await.status, 404);
    let (_, own) = asked(face, "acme", ("GET", "/v1/operations"), "").await;
    assert_eq!(own["operations"].as_array().map_or(0, Vec::len), 1);
    let (_, others) = asked(face, "other", ("GET", "/v1/operations"), "").await;
    assert_eq!(others["operations"].as_array().map_or(0, Vec::len), 0);
    let cancel = format!("{path}:cancel");
    assert_eq!(asked(face, "other", ("POST", &cancel), "{}").await.0, 404);
    assert_eq!(asked(face, "acme", ("POST", &cancel), "{}").await.0, 200);
    gateway.stop().await;
}
