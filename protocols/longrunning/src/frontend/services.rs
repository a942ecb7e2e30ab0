//! Services that tonic serves: health and reflection. They are asked rarely, and stream.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;

use http::{Request, Response};
use opgate_edge::{Drain, Readiness};
use opgate_telemetry::Code;
use prost_reflect::DescriptorError;
use tonic::body::Body as TonicBody;
use tonic::codec::CompressionEncoding::Gzip;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::pb::{v1, v1alpha};
use tower_service::Service;

use super::health::Health;
use super::reflection::Reflection;
use crate::types::Types;

const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

type Answer = Pin<Box<dyn Future<Output = Response<TonicBody>> + Send>>;
/// One service: takes its requests, never fails but in its answers.
pub(super) type Mounted = Box<dyn Fn(Request<TonicBody>) -> Answer + Send + Sync>;

/// The services by name.
pub(super) struct Services([(&'static str, Mounted); 3]);

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Services {
    /// Health of these `services`, and reflection over every known type.
    pub(super) fn new(
        types: &Types,
        services: Vec<String>,
        readiness: Readiness,
        drain: Drain,
    ) -> Result<Self, DescriptorError> {
        let mut pool = types.pool().clone();
        for set in [
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            v1::FILE_DESCRIPTOR_SET,
            v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            pool.decode_file_descriptor_set(set)?;
        }
        let described = services.iter().filter(|service| types.has_service(service)).cloned();
        let own = [HEALTH, REFLECTION, REFLECTION_ALPHA].map(str::to_owned);
        let reflection = Reflection::new(pool, described.chain(own).collect());
        let alpha =
            v1alpha::server_reflection_server::ServerReflectionServer::new(reflection.clone());
        let alpha = alpha.accept_compressed(Gzip).send_compressed(Gzip);
        let reflection = v1::server_reflection_server::ServerReflectionServer::new(reflection);
        let reflection = reflection.accept_compressed(Gzip).send_compressed(Gzip);
        let health = HealthServer::new(Health::new(services, readiness, drain));
        let health = health.accept_compressed(Gzip).send_compressed(Gzip);
        Ok(Self([
            (HEALTH, mounted(health)),
            (REFLECTION, mounted(reflection)),
            (REFLECTION_ALPHA, mounted(alpha)),
        ]))
    }

    /// The service a path leads to.
    pub(super) fn find(&self, path: &str) -> Option<&Mounted> {
        let (service, _method) = path.strip_prefix('/')?.split_once('/')?;
        self.0.iter().find(|(name, _)| *name == service).map(|(_, mounted)| mounted)
    }
}

fn mounted<S>(service: S) -> Mounted
where
    S: Service<Request<TonicBody>, Response = Response<TonicBody>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    Box::new(move |request| {
        // Ready whenever asked, as all of tonic's services.
        let answer = service.clone().call(request);
        Box::pin(async move {
            match answer.await {
                Ok(response) => response,
            }
        })
    })
}

/// The code of a response: in the head if it was refused, else the call has begun well.
pub(super) fn code(response: &Response<TonicBody>) -> Code {
    let status = response.headers().get("grpc-status").and_then(|value| value.to_str().ok());
    status.map_or(Code::Ok, |status| Code::from_number(status.parse().unwrap_or(-1)))
}
