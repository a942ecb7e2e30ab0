//! Requests that are made in this process: they say whose they are, and no request over a connection can.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use opgate_bus::core::Tenant;
use opgate_bus::{Caller, WorksOn};
use opgate_edge::{Body, Frontend, Peer, RequestBody};
use serde_json::{Value, json};

use crate::gateway::Gateway;

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
async fn where_no_signature_is_asked_for_an_operation_is_its_callers() {
    let (gateway, _dir) = Gateway::start().await;
    let compartment = "/20160918/compartments/ocid1.compartment.oc1..c";
    let (status, _) = asked(&gateway.oci, "acme", ("DELETE", compartment), "").await;
    assert_eq!(status, 202);
    let list = "/20160918/workRequests?compartmentId=ocid1.compartment.oc1..c";
    let (status, own) = asked(&gateway.oci, "acme", ("GET", list), "").await;
    assert_eq!(status, 200, "{own}");
    let path = format!("/20160918/workRequests/{}", own[0]["id"].as_str().unwrap());
    assert_eq!(asked(&gateway.oci, "acme", ("GET", &path), "").await.0, 200);
    assert_eq!(asked(&gateway.oci, "other", ("GET", &path), "").await.0, 404);
    assert_eq!(asked(&gateway.oci, "other", ("GET", list), "").await.1, json!([]));
    assert_eq!(gateway.get(&path).await.status, 404);
    gateway.stop().await;
}
