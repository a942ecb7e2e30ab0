//! Health and reflection.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_reflect::DescriptorPool;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::gateway::Gateway;

async fn channel(gateway: &Gateway) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", gateway.address)).unwrap();
    endpoint.connect().await.unwrap()
}

fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn health_follows_readiness_for_every_service_and_ends_with_the_drain() {
    let gateway = Gateway::start().await;
    let mut client = HealthClient::new(channel(&gateway).await);
    for service in
        ["", "google.longrunning.Operations", "acme.Things", "opgate.showcase.v1.Showcase"]
    {
        let health = client.check(ask(service)).await.unwrap();
        assert_eq!(health.get_ref().status(), ServingStatus::Serving, "{service}");
    }
    assert_eq!(client.check(ask("x.Y")).await.unwrap_err().code(), tonic::Code::NotFound);
    let mut watch = client.watch(ask("")).await.unwrap().into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    gateway.ready.fails("disk full");
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let health = client.check(ask("")).await.unwrap();
    assert_eq!(health.get_ref().status(), ServingStatus::NotServing);
    // Would wait for the watch, if that did not end by itself.
    gateway.stop().await;
    assert!(watch.next().await.is_none());
}

macro_rules! reflection {
    ($name:ident, $version:ident) => {
        #[tokio::test]
        async fn $name() {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            let gateway = Gateway::start().await;
            let mut client = ServerReflectionClient::new(channel(&gateway).await);
            let mut answer = async |request| {
                let request =
                    ServerReflectionRequest { host: String::new(), message_request: Some(request) };
                let requests = tokio_stream::iter([request]);
                let mut answers =
                    client.server_reflection_info(requests).await.unwrap().into_inner();
                answers.next().await.unwrap().unwrap().message_response.unwrap()
            };
            let MessageResponse::ListServicesResponse(list) =
                answer(MessageRequest::ListServices(String::new())).await
            else {
                panic!("a list of services was expected")
            };
            let names: BTreeSet<_> =
                list.service.iter().map(|service| service.name.as_str()).collect();
            assert_eq!(
                names,
                BTreeSet::from([
                    "google.cloud.workflows.v1.Workflows",
                    "google.identity.accesscontextmanager.v1.AccessContextManager",
                    "google.longrunning.Operations",
                    "grpc.health.v1.Health",
                    "grpc.reflection.v1.ServerReflection",
                    "grpc.reflection.v1alpha.ServerReflection",
                    "opgate.showcase.v1.Showcase",
                ])
            );
            // A client loads a service with all that it needs, file by file.
            let mut set = prost_types::FileDescriptorSet::default();
            let mut wanted = vec![MessageRequest::FileContainingSymbol(
                "opgate.showcase.v1.Showcase".to_owned(),
            )];
            while let Some(request) = wanted.pop() {
                let MessageResponse::FileDescriptorResponse(files) = answer(request).await else {
                    panic!("a file was expected")
                };
                for file in files.file_descriptor_proto {
                    let file = prost_types::FileDescriptorProto::decode(&*file).unwrap();
                    wanted.extend(
                        file.dependency.iter().cloned().map(MessageRequest::FileByFilename),
                    );
                    if !set.file.contains(&file) {
                        set.file.push(file);
                    }
                }
            }
            let pool = DescriptorPool::from_file_descriptor_set(set).unwrap();
            let service = pool.get_service_by_name("opgate.showcase.v1.Showcase").unwrap();
            assert_eq!(service.methods().len(), 7);
            for symbol in names.into_iter().chain([
                "opgate.showcase.v1.Showcase.Run",
                "google.longrunning.Operation.done",
                "google.longrunning.operation_info",
            ]) {
                let symbol = MessageRequest::FileContainingSymbol(symbol.to_owned());
                let file = answer(symbol).await;
                assert!(matches!(file, MessageResponse::FileDescriptorResponse(_)));
            }
            // What is not known is an answer within the stream.
            for unknown in ["no.such.Thing", "opgate.showcase.v1.Showcase.Walk", ""] {
                let symbol = MessageRequest::FileContainingSymbol(unknown.to_owned());
                let MessageResponse::ErrorResponse(error) = answer(symbol).await else {
                    panic!("{unknown} is known")
                };
                assert_eq!(error.error_code, i32::from(tonic::Code::NotFound));
            }
            gateway.stop().await;
        }
    };
}

reflection!(reflection_v1_describes_every_service, v1);
reflection!(reflection_v1alpha_describes_every_service, v1alpha);
