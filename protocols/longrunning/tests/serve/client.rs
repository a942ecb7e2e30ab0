//! A client, and the messages as any client has them.

use std::net::SocketAddr;

use prost::Message;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Operation {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<prost_types::Any>,
    #[prost(bool, tag = "3")]
    pub(crate) done: bool,
    #[prost(message, optional, tag = "4")]
    pub(crate) error: Option<RpcStatus>,
    #[prost(message, optional, tag = "5")]
    pub(crate) response: Option<prost_types::Any>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<prost_types::Any>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Name {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) timeout: Option<prost_types::Duration>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct List {
    #[prost(string, tag = "4")]
    pub(crate) name: String,
    #[prost(string, tag = "1")]
    pub(crate) filter: String,
    #[prost(int32, tag = "2")]
    pub(crate) page_size: i32,
    #[prost(string, tag = "3")]
    pub(crate) page_token: String,
    #[prost(bool, tag = "5")]
    pub(crate) return_partial_success: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Listed {
    #[prost(message, repeated, tag = "1")]
    pub(crate) operations: Vec<Operation>,
    #[prost(string, tag = "2")]
    pub(crate) next_page_token: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) unreachable: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Policy {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) parent: String,
    #[prost(string, tag = "3")]
    pub(crate) title: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ErrorInfo {
    #[prost(string, tag = "1")]
    pub(crate) reason: String,
    #[prost(string, tag = "2")]
    pub(crate) domain: String,
    #[prost(map = "string, string", tag = "3")]
    pub(crate) metadata: std::collections::HashMap<String, String>,
}

/// The `ErrorInfo` in a status.
pub(crate) fn error_info(status: &Status) -> ErrorInfo {
    let status = RpcStatus::decode(status.details()).unwrap();
    let mut details = status.details.iter();
    let detail = details.find(|any| any.type_url.ends_with("/google.rpc.ErrorInfo")).unwrap();
    ErrorInfo::decode(&*detail.value).unwrap()
}

#[derive(Clone)]
pub(crate) struct Client(tonic::client::Grpc<Channel>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        Self(tonic::client::Grpc::new(channel.connect().await.unwrap()))
    }

    /// The same client, compressing what it sends.
    pub(crate) fn zipping(self) -> Self {
        Self(self.0.send_compressed(Gzip).accept_compressed(Gzip))
    }

    /// Calls `package.Service/Method`.
    pub(crate) async fn call<M, N>(
        &self,
        method: &str,
        request: Request<M>,
    ) -> Result<Response<N>, Status>
    where
        M: Message + Send + Sync + 'static,
        N: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.0.clone();
        grpc.ready().await.unwrap();
        let path = format!("/{method}").parse().unwrap();
        grpc.unary(request, path, ProstCodec::<M, N>::default()).await
    }

    /// Calls `package.Service/Method`, which answers with a stream.
    pub(crate) async fn stream<M, N>(
        &self,
        method: &str,
        request: Request<M>,
    ) -> Result<Response<Streaming<N>>, Status>
    where
        M: Message + Send + Sync + 'static,
        N: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.0.clone();
        grpc.ready().await.unwrap();
        let path = format!("/{method}").parse().unwrap();
        grpc.server_streaming(request, path, ProstCodec::<M, N>::default()).await
    }

    /// Calls a method of `google.longrunning.Operations`.
    pub(crate) async fn operations<M, N>(&self, method: &str, message: M) -> Result<N, Status>
    where
        M: Message + Send + Sync + 'static,
        N: Message + Default + Send + Sync + 'static,
    {
        let method = format!("google.longrunning.Operations/{method}");
        self.call(&method, Request::new(message)).await.map(Response::into_inner)
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Operation, Status> {
        self.operations("GetOperation", named(name)).await
    }

    /// Starts an operation through the opaque door, under `parent`, with a script.
    pub(crate) async fn make(&self, parent: &str, script: &str) -> Operation {
        let request = scripted(Policy::default(), parent, script);
        self.call(super::gateway::MAKE, request).await.unwrap().into_inner()
    }
}

pub(crate) fn named(name: &str) -> Name {
    Name { name: name.to_owned(), timeout: None }
}

pub(crate) fn list(name: &str) -> List {
    List { name: name.to_owned(), ..List::default() }
}

/// A request that starts an operation under `parent` and tells the backend what to do.
pub(crate) fn scripted<M>(message: M, parent: &str, script: &str) -> Request<M> {
    let mut request = Request::new(message);
    let params = format!("parent={}", parent.replace('/', "%2F"));
    request.metadata_mut().insert("x-goog-request-params", params.parse().unwrap());
    request.metadata_mut().insert(super::gateway::SCRIPT, script.parse().unwrap());
    request
}

/// The code a call was refused with.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> Code {
    answer.unwrap_err().code()
}
