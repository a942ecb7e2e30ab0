//! `grpc.reflection` v1 and v1alpha over every known type.
//!
//! The messages are tonic-reflection's. Its server is not used: it ends the stream at the first
//! symbol it does not know, where clients (grpcio-reflection among them) expect an error response
//! within the stream and ask on.

use std::pin::Pin;
use std::sync::Arc;

use prost::Message;
use prost_reflect::{DescriptorPool, ExtensionDescriptor, FileDescriptor};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request, Response, Status, Streaming, async_trait};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::{v1, v1alpha};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What is told to those who ask. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Reflection(Arc<Known>);

#[derive(Debug)]
struct Known {
    pool: DescriptorPool,
    services: Vec<String>,
}

impl Reflection {
    /// Reflection over the files of `pool`, listing these `services`.
    pub(super) fn new(pool: DescriptorPool, services: Vec<String>) -> Self {
        Self(Arc::new(Known { pool, services }))
    }
}

impl Known {
    fn answer(&self, request: v1::ServerReflectionRequest) -> v1::ServerReflectionResponse {
        let answer = match &request.message_request {
            Some(MessageRequest::FileByFilename(name)) => {
                found(self.pool.get_file_by_name(name), name)
            }
            Some(MessageRequest::FileContainingSymbol(symbol)) => {
                found(self.file_of(symbol), symbol)
            }
            Some(MessageRequest::FileContainingExtension(extension)) => {
                let name = &extension.containing_type;
                let of = self.extensions(name).and_then(|mut known| {
                    known.find(|known| {
                        i32::try_from(known.number()) == Ok(extension.extension_number)
                    })
                });
                found(of.map(|extension| extension.parent_file()), name)
            }
            Some(MessageRequest::AllExtensionNumbersOfType(name)) => match self.extensions(name) {
                Some(known) => {
                    let number = |known: ExtensionDescriptor| i32::try_from(known.number()).ok();
                    MessageResponse::AllExtensionNumbersResponse(v1::ExtensionNumberResponse {
                        base_type_name: name.clone(),
                        extension_number: known.filter_map(number).collect(),
                    })
                }
                None => found(None, name),
            },
            Some(MessageRequest::ListServices(_)) => {
                let service = |name: &String| v1::ServiceResponse { name: name.clone() };
                MessageResponse::ListServicesResponse(v1::ListServiceResponse {
                    service: self.services.iter().map(service).collect(),
                })
            }
            None => error(Code::InvalidArgument, "the request asks for nothing"),
        };
        v1::ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(answer),
        }
    }

    fn extensions(&self, message: &str) -> Option<impl Iterator<Item = ExtensionDescriptor>> {
        let message = self.pool.get_message_by_name(message)?;
        Some(message.extensions().collect::<Vec<_>>().into_iter())
    }

    /// The file that defines a symbol: a type, a service, an extension, or a member of one.
    fn file_of(&self, symbol: &str) -> Option<FileDescriptor> {
        let pool = &self.pool;
        let whole = |name: &str| {
            (pool.get_message_by_name(name).map(|known| known.parent_file()))
                .or_else(|| pool.get_enum_by_name(name).map(|known| known.parent_file()))
                .or_else(|| pool.get_service_by_name(name).map(|known| known.parent_file()))
                .or_else(|| pool.get_extension_by_name(name).map(|known| known.parent_file()))
        };
        let member = || {
            let (parent, name) = symbol.rsplit_once('.')?;
            let is_member = if let Some(message) = pool.get_message_by_name(parent) {
                message.get_field_by_name(name).is_some()
                    || message.oneofs().any(|oneof| oneof.name() == name)
            } else if let Some(service) = pool.get_service_by_name(parent) {
                service.methods().any(|method| method.name() == name)
            } else {
                pool.get_enum_by_name(parent)?.get_value_by_name(name).is_some()
            };
            whole(parent).filter(|_| is_member)
        };
        whole(symbol).or_else(member)
    }
}

fn found(file: Option<FileDescriptor>, name: &str) -> MessageResponse {
    let Some(file) = file else {
        let name = name.get(..name.floor_char_boundary(256)).unwrap_or_default();
        return error(Code::NotFound, &format!("{name} is not known here"));
    };
    MessageResponse::FileDescriptorResponse(v1::FileDescriptorResponse {
        file_descriptor_proto: vec![file.encode_to_vec()],
    })
}

fn error(code: Code, message: &str) -> MessageResponse {
    MessageResponse::ErrorResponse(v1::ErrorResponse {
        error_code: code.into(),
        error_message: message.to_owned(),
    })
}

/// v1alpha and v1 have the same messages under different names.
fn recoded<A: Message, B: Message + Default>(message: &A) -> B {
    B::decode(&*message.encode_to_vec()).unwrap_or_default()
}

#[async_trait]
impl v1::server_reflection_server::ServerReflection for Reflection {
    type ServerReflectionInfoStream = Answers<v1::ServerReflectionResponse>;

    async fn server_reflection_info(
        &self,
        requests: Request<Streaming<v1::ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let known = Arc::clone(&self.0);
        let answer = move |request: Result<_, _>| request.map(|request| known.answer(request));
        Ok(Response::new(Box::pin(requests.into_inner().map(answer))))
    }
}

#[async_trait]
impl v1alpha::server_reflection_server::ServerReflection for Reflection {
    type ServerReflectionInfoStream = Answers<v1alpha::ServerReflectionResponse>;

    async fn server_reflection_info(
        &self,
        requests: Request<Streaming<v1alpha::ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let known = Arc::clone(&self.0);
        let answer = move |request: Result<v1alpha::ServerReflectionRequest, _>| {
            request.map(|request| recoded(&known.answer(recoded(&request))))
        };
        Ok(Response::new(Box::pin(requests.into_inner().map(answer))))
    }
}
