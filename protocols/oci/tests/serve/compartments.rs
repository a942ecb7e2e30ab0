//! Tenancies and compartments.

use std::sync::Arc;

use opgate_bus::core::{Parent, Tenant};
use opgate_oci::signature::{Head, Reason};
use opgate_oci::{Authenticator, Caller, Compartment, Settings, Tenancy};
use serde_json::json;
use tempfile::TempDir;

use crate::gateway::{Gateway, settings};

const OURS: &str = "ocid1.tenancy.oc1..ours";
const OTHERS: &str = "ocid1.tenancy.oc1..others";

/// Knows callers by a header.
struct ByHeader;

impl Authenticator for ByHeader {
    fn authenticate(&self, presented: &Head<'_>) -> Result<Caller, Reason> {
        let mut caller = Caller::anonymous();
        match presented.headers.get("x-who").map(|who| who.to_str().unwrap()) {
            Some("ours") => caller.tenancy = Some(Arc::from(OURS)),
            Some("others") => {
                caller.caller.tenant = Tenant::new("others").unwrap();
                caller.tenancy = Some(Arc::from(OTHERS));
            }
            _ => return Err(Reason::Unsigned),
        }
        Ok(caller)
    }

    fn check_body(&self, _: &Head<'_>, _: &[u8]) -> Result<(), Reason> {
        Ok(())
    }
}

fn with_tenancies() -> Settings {
    let tenancy = |id: &str, tenant: &str| Tenancy {
        id: id.to_owned(),
        tenant: Tenant::new(tenant).unwrap(),
    };
    let compartment = |id: &str, parent: &str| Compartment {
        id: id.to_owned(),
        parent: Parent::new(parent).unwrap(),
    };
    Settings {
        tenancies: vec![tenancy(OURS, "default"), tenancy(OTHERS, "others")],
        compartments: vec![
            compartment("ocid1.compartment.oc1..p", "projects/p"),
            compartment("ocid1.compartment.oc1..l", "projects/p/locations/l"),
        ],
        authenticator: Arc::new(ByHeader),
        ..settings()
    }
}

#[tokio::test]
async fn who_is_not_known_is_told_so_before_anything_else() {
    let dir = TempDir::new().unwrap();
    let gateway = Gateway::over(dir.path(), with_tenancies()).await;
    let running = gateway.run("cluster", "c", &json!({"id": "x"})).await;
    let id = gateway.oci.name(&running);
    for (method, path) in [
        ("GET", format!("/20160918/workRequests/{id}")),
        ("GET", "/20160918/workRequests/x".to_owned()),
        ("GET", "/20160918/workRequests?limit=x".to_owned()),
        ("GET", "/20160918/nowhere".to_owned()),
        ("PUT", format!("/20160918/workRequests/{id}")),
        ("DELETE", format!("/oke/20180222/workRequests/{id}")),
    ] {
        let reply = gateway.send(method, &path, &[]).await;
        let refusal = reply.refusal();
        assert_eq!((refusal.0, &*refusal.1), (401, "NotAuthenticated"), "{method} {path}");
        assert!(reply.header("opc-request-id").is_some());
    }
    assert!(!gateway.stored(running.id).await.is_canceling());
    gateway.stop().await;
}

#[tokio::test]
async fn another_tenancys_are_as_if_they_were_not_there() {
    let dir = TempDir::new().unwrap();
    let gateway = Gateway::over(dir.path(), with_tenancies()).await;
    let running = gateway.run("cluster", "c", &json!({"id": "x"})).await;
    let id = gateway.oci.name(&running);
    let (ours, others) = ([("x-who", "ours")], [("x-who", "others")]);
    let path = format!("/20160918/workRequests/{id}");
    assert_eq!(gateway.send("GET", &path, &ours).await.object()["id"], *id);
    let absent = "/20160918/workRequests/x";
    let hidden = gateway.send("GET", &path, &others).await.refusal();
    assert_eq!(hidden, gateway.send("GET", absent, &others).await.refusal());
    assert_eq!((hidden.0, &*hidden.1), (404, "NotAuthorizedOrNotFound"));
    for (tenancy, who, expected) in
        [(OURS, &ours, Some(1)), (OTHERS, &others, Some(0)), (OURS, &others, None)]
    {
        let path = format!("/20160918/workRequests?compartmentId={tenancy}");
        let reply = gateway.send("GET", &path, who).await;
        match expected {
            Some(count) => assert_eq!(reply.object().as_array().unwrap().len(), count),
            None => assert_eq!(reply.refusal(), hidden),
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_compartment_may_be_called_otherwise_elsewhere() {
    let dir = TempDir::new().unwrap();
    let gateway = Gateway::over(dir.path(), with_tenancies()).await;
    let ours = [("x-who", "ours")];
    for (parent, expected) in [
        ("projects/p", "ocid1.compartment.oc1..p"),
        ("projects/p/locations/l", "ocid1.compartment.oc1..l"),
        ("projects/p/locations/m", "ocid1.compartment.oc1..p"),
        ("projects/q", "projects/q"),
        ("ocid1.compartment.oc1..x", "ocid1.compartment.oc1..x"),
        ("", OURS),
    ] {
        let running = gateway.run("cluster", parent, &json!({"id": "x"})).await;
        let path = format!("/20160918/workRequests/{}", gateway.oci.name(&running));
        let object = gateway.send("GET", &path, &ours).await.object();
        assert_eq!(object["compartmentId"], *expected, "{parent}");
    }
    for (compartment, count) in [
        ("ocid1.compartment.oc1..p", 3),
        ("ocid1.compartment.oc1..l", 1),
        ("projects/q", 1),
        (OURS, 6),
    ] {
        let path = format!("/20160918/workRequests?compartmentId={compartment}");
        let list = gateway.send("GET", &path, &ours).await.object();
        assert_eq!(list.as_array().unwrap().len(), count, "{compartment}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn tenancies_can_be_replaced_while_requests_are_served() {
    let (gateway, _dir) = Gateway::start().await;
    let running = gateway.run("cluster", "", &json!({"id": "x"})).await;
    let paths = ["/20260325", "/20160918"]
        .map(|service| format!("{service}/workRequests/{}", gateway.oci.name(&running)));
    for path in &paths {
        let nobody = gateway.get(path).await.object()["compartmentId"].clone();
        assert_eq!(nobody, "ocid1.tenancy.oc1..opgate");
    }
    for tenancy in [OURS, OTHERS] {
        let one = Tenancy { id: tenancy.to_owned(), tenant: Tenant::anonymous() };
        gateway.oci.replace_tenancies(vec![one]);
        for path in &paths {
            assert_eq!(gateway.get(path).await.object()["compartmentId"], tenancy, "{path}");
        }
    }
    gateway.stop().await;
}
