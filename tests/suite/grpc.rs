//! A plain gRPC client for the tests that kill the daemon: one connection, no retries, every answer
//! taken as it came.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message as _;
use prost_types::{Any, Struct, value::Kind};
use serde_json::Value;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// Ends at once with its input as the result.
pub(crate) const ECHO: &str = "/opgate.showcase.v1.Showcase/Echo";
/// Fails at once.
pub(crate) const FAIL: &str = "/opgate.showcase.v1.Showcase/Fail";
/// Does as its input says.
pub(crate) const RUN: &str = "/opgate.showcase.v1.Showcase/Run";

/// `google.longrunning.Operation`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Operation {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<Any>,
    #[prost(bool, tag = "3")]
    pub(crate) done: bool,
    #[prost(message, optional, tag = "4")]
    pub(crate) error: Option<Failure>,
    #[prost(message, optional, tag = "5")]
    pub(crate) response: Option<Any>,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Failure {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

/// Whether a refusal says that it may be repeated: `true`, `false`, or `with-the-same-request-id`
/// where it may have taken effect.
pub(crate) fn retryable(refusal: &Status) -> String {
    let status = Failure::decode(refusal.details()).unwrap();
    let is_info = |detail: &&Any| detail.type_url == "type.googleapis.com/google.rpc.ErrorInfo";
    let info = status.details.iter().find(is_info).unwrap();
    ErrorInfo::decode(&*info.value).unwrap().metadata["retryable"].clone()
}

#[derive(Clone, PartialEq, prost::Message)]
struct NameRequest {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    timeout: Option<prost_types::Duration>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListRequest {
    #[prost(int32, tag = "2")]
    page_size: i32,
    #[prost(string, tag = "3")]
    page_token: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListResponse {
    #[prost(message, repeated, tag = "1")]
    operations: Vec<Operation>,
    #[prost(string, tag = "2")]
    next_page_token: String,
}

impl Operation {
    /// The metadata, where it is a Struct, as JSON.
    pub(crate) fn metadata(&self) -> Value {
        let metadata = self.metadata.as_ref().map_or(&[][..], |any| &any.value);
        from_struct(Struct::decode(metadata).unwrap())
    }
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Client(Grpc<Channel>);

impl Client {
    /// Connects; the address must be listened on.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self(Grpc::new(endpoint.connect().await.unwrap()))
    }

    async fn call<Q, A>(&self, path: &'static str, request: Request<Q>) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.answer(path, request).await.map(Response::into_inner)
    }

    async fn answer<Q, A>(
        &self,
        path: &'static str,
        request: Request<Q>,
    ) -> Result<Response<A>, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.0.clone();
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<Q, A>::default();
        grpc.unary(request, PathAndQuery::from_static(path), codec).await
    }

    /// Reads one, and what its answer says beside it.
    pub(crate) async fn get_with_metadata(
        &self,
        name: &str,
    ) -> Result<(Operation, MetadataMap), Status> {
        let request = NameRequest { name: name.to_owned(), timeout: None };
        let path = "/google.longrunning.Operations/GetOperation";
        let (metadata, operation, _) = self.answer(path, Request::new(request)).await?.into_parts();
        Ok((operation, metadata))
    }

    /// Starts an operation of the showcase, under a dedupe key.
    pub(crate) async fn start(
        &self,
        method: &'static str,
        instruction: &Value,
        key: &str,
    ) -> Result<Operation, Status> {
        self.start_with(method, instruction, "idempotency-key", key).await
    }

    /// Starts an operation of the showcase beneath a parent.
    pub(crate) async fn start_beneath(
        &self,
        parent: &str,
        method: &'static str,
        instruction: &Value,
    ) -> Result<Operation, Status> {
        let said = format!("parent={}", parent.replace('/', "%2F"));
        self.start_with(method, instruction, "x-goog-request-params", &said).await
    }

    async fn start_with(
        &self,
        method: &'static str,
        instruction: &Value,
        name: &'static str,
        value: &str,
    ) -> Result<Operation, Status> {
        let mut metadata = MetadataMap::new();
        metadata.insert(name, value.parse().unwrap());
        let request =
            Request::from_parts(metadata, tonic::Extensions::new(), to_struct(instruction));
        self.call(method, request).await
    }

    /// Reads one.
    pub(crate) async fn get(&self, name: &str) -> Result<Operation, Status> {
        self.named("/google.longrunning.Operations/GetOperation", name, None).await
    }

    /// Waits for one.
    pub(crate) async fn wait(&self, name: &str, limit: Duration) -> Result<Operation, Status> {
        self.named("/google.longrunning.Operations/WaitOperation", name, Some(limit)).await
    }

    /// Asks for its cancellation.
    pub(crate) async fn cancel(&self, name: &str) -> Result<(), Status> {
        self.named("/google.longrunning.Operations/CancelOperation", name, None).await
    }

    /// Deletes one.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Status> {
        self.named("/google.longrunning.Operations/DeleteOperation", name, None).await
    }

    /// Every operation there is, page by page.
    pub(crate) async fn list(&self) -> Result<Vec<Operation>, Status> {
        let mut request = ListRequest { page_size: 1000, page_token: String::new() };
        let mut all = Vec::new();
        loop {
            let path = "/google.longrunning.Operations/ListOperations";
            let page: ListResponse = self.call(path, Request::new(request.clone())).await?;
            all.extend(page.operations);
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn named<A>(
        &self,
        path: &'static str,
        name: &str,
        limit: Option<Duration>,
    ) -> Result<A, Status>
    where
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let timeout = limit.map(|limit| limit.try_into().unwrap());
        self.call(path, Request::new(NameRequest { name: name.to_owned(), timeout })).await
    }
}

fn to_struct(value: &Value) -> Struct {
    let fields = value.as_object().unwrap().iter();
    Struct { fields: fields.map(|(name, value)| (name.clone(), to_value(value))).collect() }
}

fn to_value(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap()),
        Value::String(value) => Kind::StringValue(value.clone()),
        Value::Array(values) => Kind::ListValue(prost_types::ListValue {
            values: values.iter().map(to_value).collect(),
        }),
        Value::Object(_) => Kind::StructValue(to_struct(value)),
    };
    prost_types::Value { kind: Some(kind) }
}

fn from_struct(fields: Struct) -> Value {
    fields.fields.into_iter().map(|(name, value)| (name, from_value(value))).collect()
}

fn from_value(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::NumberValue(value)) => value.into(),
        Some(Kind::StringValue(value)) => value.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(from_value).collect(),
        Some(Kind::StructValue(fields)) => from_struct(fields),
    }
}
