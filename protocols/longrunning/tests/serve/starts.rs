//! Starts through doors, and what comes out in the end.

use prost::Message as _;
use tonic::{Code, Request};

use super::client::{Client, Operation, Policy, error_info, refused, scripted};
use super::gateway::{CREATE_POLICY, CREATE_WORKFLOW, ECHO, Gateway, MAKE};

fn policy(title: &str) -> Policy {
    Policy { parent: "organizations/1".to_owned(), title: title.to_owned(), ..Policy::default() }
}

#[tokio::test]
async fn a_typed_method_is_answered_in_its_own_types() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let request = scripted(policy("t"), "", r#"json {"title":"made"}"#);
    let response = client.call::<_, Operation>(CREATE_POLICY, request).await.unwrap();
    assert_eq!(response.metadata().get("opgate-durability").unwrap(), "memory");
    let operation = response.into_inner();
    assert!(operation.name.starts_with("operations/"), "{}", operation.name);
    let made = operation.response.unwrap();
    assert!(made.type_url.ends_with("/google.identity.accesscontextmanager.v1.AccessPolicy"));
    assert_eq!(Policy::decode(&*made.value).unwrap().title, "made");
    let metadata = operation.metadata.unwrap();
    assert!(metadata.type_url.ends_with(".AccessContextManagerOperationMetadata"));
    assert!(metadata.value.is_empty());

    let echoed = client
        .call::<_, Operation>(CREATE_POLICY, scripted(policy("t"), "", "echo "))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(Policy::decode(&*echoed.response.unwrap().value).unwrap(), policy("t"));
    gateway.stop().await;
}

#[tokio::test]
async fn results_and_failures_have_their_forms() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let nothing = client.make("", "nothing ").await;
    assert!(nothing.done);
    assert_eq!(nothing.response.unwrap().type_url, "type.googleapis.com/google.protobuf.Empty");

    let json = client.make("", "json [1]").await;
    assert_eq!(json.response.unwrap().type_url, "type.googleapis.com/google.api.HttpBody");

    let failed = client.make("", "fail no such disk").await;
    assert!(failed.done && failed.response.is_none());
    let error = failed.error.unwrap();
    assert_eq!((error.code, &*error.message), (5, "no such disk"));
    assert_eq!(error.details.len(), 1);

    let request = scripted(Policy::default(), "", "refuse no more room");
    let status = client.call::<_, Operation>(MAKE, request).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "no more room"));
    assert_eq!(error_info(&status).reason, "QUOTA_EXCEEDED");
    gateway.stop().await;
}

#[tokio::test]
async fn json_in_and_json_out_are_a_struct_to_the_caller() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let text = |text: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(text.to_owned())),
    };
    let sent = prost_types::Struct { fields: [("say".to_owned(), text("hello"))].into() };
    let request = scripted(sent.clone(), "", "echo ");
    let echoed = client.call::<_, Operation>(ECHO, request).await.unwrap().into_inner();
    let response = echoed.response.unwrap();
    assert_eq!(response.type_url, "type.googleapis.com/google.protobuf.Struct");
    assert_eq!(prost_types::Struct::decode(&*response.value).unwrap(), sent);
    let metadata = prost_types::Struct::decode(&*echoed.metadata.unwrap().value).unwrap();
    assert_eq!(metadata.fields["state"], text("SUCCEEDED"));
    gateway.stop().await;
}

#[tokio::test]
async fn the_same_key_is_the_same_operation() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let keyed = |title: &str| {
        let mut request = scripted(policy(title), "", "");
        request.metadata_mut().insert("idempotency-key", "k".parse().unwrap());
        request
    };
    let first = client.call::<_, Operation>(MAKE, keyed("t")).await.unwrap().into_inner();
    let again = client.call::<_, Operation>(MAKE, keyed("t")).await.unwrap().into_inner();
    assert_eq!(first.name, again.name);
    let other = client.call::<_, Operation>(MAKE, keyed("u")).await;
    assert_eq!(refused(other), Code::AlreadyExists);
    let unkeyed = client.make("", "").await;
    assert_ne!(unkeyed.name, first.name);
    gateway.stop().await;
}

#[tokio::test]
async fn what_no_door_takes_is_not_implemented_and_what_does_not_fit_is_invalid() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    for method in [
        "acme.Things/Break",
        "acme.Others/Make",
        "google.longrunning.Operations/StartOperation",
        "google.cloud.workflows.v1.Workflows/GetWorkflow",
    ] {
        let answer = client.call::<_, Operation>(method, Request::new(policy("t"))).await;
        assert_eq!(refused(answer), Code::Unimplemented, "{method}");
    }
    // Field 2 of the request is a message; text that is no message does not fit.
    let odd = policy("t");
    let answer = client.call::<_, Operation>(CREATE_WORKFLOW, Request::new(odd)).await;
    assert_eq!(refused(answer), Code::InvalidArgument);
    gateway.stop().await;
}
