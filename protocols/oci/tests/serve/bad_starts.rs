//! Starts that cannot be served: each is refused by the name of what is wrong, and leaves nothing.

use opgate_bus::core::Tenant;
use opgate_oci::Tenancy;
use tempfile::TempDir;

use crate::gateway::{Gateway, JSON, send, settings};

const MOVE: &str = "/20160918/compartments/c/actions/moveCompartment";
const BODY: &str = r#"{"targetCompartmentId": "t"}"#;

#[tokio::test]
async fn a_wrong_start_is_refused_and_nothing_is_stored() {
    let (gateway, _dir) = Gateway::start().await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let long = "x".repeat(65);
    let token = |token| [JSON[0], ("opc-retry-token", token)];
    let (empty, long) = (token(""), token(&*long));
    let clusters = "/oke/20180222/clusters";
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    for (method, path, headers, body, status, code, about) in [
        ("POST", MOVE, &JSON[..], "", 400, "MissingParameter", "targetCompartmentId: "),
        ("POST", MOVE, &JSON, "{}", 400, "MissingParameter", "targetCompartmentId: "),
        ("POST", MOVE, &JSON, "{", 400, "CannotParseRequest", "body: "),
        ("POST", MOVE, &JSON, "\u{e9}", 400, "CannotParseRequest", "body: "),
        ("POST", MOVE, &JSON, "[]", 400, "CannotParseRequest", "body: "),
        ("POST", MOVE, &JSON, &large, 413, "RequestEntityTooLarge", "body: "),
        ("POST", MOVE, &[], BODY, 400, "MissingParameter", "content-type: "),
        ("POST", MOVE, &[], "", 400, "MissingParameter", "content-type: "),
        ("POST", MOVE, &form, BODY, 400, "InvalidParameter", "content-type: "),
        ("POST", MOVE, &empty, BODY, 400, "InvalidParameter", "opc-retry-token: "),
        ("POST", MOVE, &long, BODY, 400, "InvalidParameter", "opc-retry-token: "),
        ("POST", clusters, &JSON, "{}", 400, "MissingParameter", "compartmentId: "),
        (
            "POST",
            clusters,
            &JSON,
            r#"{"compartmentId": 1}"#,
            400,
            "InvalidParameter",
            "compartmentId: ",
        ),
        (
            "POST",
            clusters,
            &JSON,
            r#"{"compartmentId": "a\nb"}"#,
            400,
            "InvalidParameter",
            "compartmentId: ",
        ),
        ("DELETE", "/20160918/compartments/%ff", &[], "", 400, "InvalidParameter", "path: "),
        ("DELETE", "/20160918/compartments/%2e%2e", &[], "", 400, "InvalidParameter", "id: "),
        ("DELETE", "/20160918/compartments/a%00", &[], "", 400, "InvalidParameter", "id: "),
        ("DELETE", "/20160918/compartments/c?a=%", &[], "", 400, "InvalidParameter", "a: "),
        ("DELETE", "/20160918/compartments/", &[], "", 404, "NotFound", ""),
        ("DELETE", "/20160918/compartments", &[], "", 404, "NotFound", ""),
        ("POST", "/20160918/compartments/c", &JSON, "{}", 405, "MethodNotAllowed", "POST"),
        ("GET", "/20160918/compartments/c", &[], "", 405, "MethodNotAllowed", "GET"),
        ("GET", "/20160918/compartments", &[], "", 404, "NotFound", ""),
        ("POST", "/20260325/refuse", &JSON, "", 400, "QuotaExceeded", "used up"),
    ] {
        let reply = send(gateway.address, method, path, headers, body.as_bytes()).await;
        let (said_status, said_code, message) = reply.refusal();
        let name = format!("{method} {path} {headers:?} {message}");
        assert_eq!((said_status, &*said_code), (status, code), "{name}");
        assert!(message.starts_with(about), "{name}");
        assert_eq!(reply.header("opc-work-request-id"), None, "{name}");
        assert!(reply.header("opc-request-id").is_some(), "{name}");
        if status == 405 {
            assert_eq!(reply.header("allow"), Some("DELETE"));
        }
    }
    assert!(gateway.operations().await.is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn a_compartment_of_others_is_as_one_that_is_not_there() {
    let dir = TempDir::new().unwrap();
    let tenancy = |id: &str, tenant| Tenancy { id: id.to_owned(), tenant };
    let (own, other) = ("ocid1.tenancy.oc1..own", "ocid1.tenancy.oc1..other");
    let tenancies =
        vec![tenancy(own, Tenant::anonymous()), tenancy(other, Tenant::new("other").unwrap())];
    let gateway = Gateway::over(dir.path(), opgate_oci::Settings { tenancies, ..settings() }).await;
    let create = async |compartment: &str| {
        let body = format!("{{\"compartmentId\": \"{compartment}\"}}");
        send(gateway.address, "POST", "/oke/20180222/clusters", &JSON, body.as_bytes()).await
    };
    let refusal = create(other).await.refusal();
    assert_eq!((refusal.0, &*refusal.1), (400, "RelatedResourceNotAuthorizedOrNotFound"));
    let path = format!("/20160918/compartments/{other}/actions/inCompartment");
    let refusal = send(gateway.address, "POST", &path, &JSON, b"").await.refusal();
    assert_eq!((refusal.0, &*refusal.1), (404, "NotAuthorizedOrNotFound"));
    assert!(gateway.operations().await.is_empty());
    assert_eq!(create(own).await.status.as_u16(), 202);
    assert_eq!(gateway.operations().await[0].parent.as_str(), "");
    gateway.stop().await;
}
