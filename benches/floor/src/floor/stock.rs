//! Bare tonic as its users run it: generated-style service, tonic's own transport, defaults untouched.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::operation::{Named, Operation, Release, WaitRequest};

pub(crate) async fn serve(listener: TcpListener, operation: Operation) -> anyhow::Result<()> {
    let operations = Operations(Arc::new(Constant { operation, release: Release::default() }));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Ok(Server::builder().add_service(operations).serve_with_incoming(incoming).await?)
}

struct Constant {
    operation: Operation,
    release: Release,
}

#[derive(Clone)]
struct Operations(Arc<Constant>);

impl NamedService for Operations {
    const NAME: &'static str = "google.longrunning.Operations";
}

impl<B> Service<http::Request<B>> for Operations
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let constant = Arc::clone(&self.0);
        match request.uri().path() {
            "/google.longrunning.Operations/GetOperation" => Box::pin(async move {
                Ok(Grpc::new(ProstCodec::default()).unary(Get(constant), request).await)
            }),
            "/google.longrunning.Operations/WaitOperation" => Box::pin(async move {
                Ok(Grpc::new(ProstCodec::default()).unary(Wait(constant), request).await)
            }),
            "/google.longrunning.Operations/CancelOperation" => Box::pin(async move {
                Ok(Grpc::new(ProstCodec::default()).unary(Cancel(constant), request).await)
            }),
            _ => Box::pin(async { Ok(Status::unimplemented("not part of the floor").into_http()) }),
        }
    }
}

struct Get(Arc<Constant>);

impl UnaryService<Named> for Get {
    type Response = Operation;
    type Future = BoxFuture<Response<Operation>, Status>;

    fn call(&mut self, _: Request<Named>) -> Self::Future {
        let constant = Arc::clone(&self.0);
        Box::pin(async move { Ok(Response::new(constant.operation.clone())) })
    }
}

struct Wait(Arc<Constant>);

impl UnaryService<WaitRequest> for Wait {
    type Response = Operation;
    type Future = BoxFuture<Response<Operation>, Status>;

    fn call(&mut self, request: Request<WaitRequest>) -> Self::Future {
        let constant = Arc::clone(&self.0);
        Box::pin(async move {
            constant.release.wait(request.get_ref()).await;
            Ok(Response::new(constant.operation.clone()))
        })
    }
}

/// Cancel is the trigger that answers every waiter.
struct Cancel(Arc<Constant>);

impl UnaryService<Named> for Cancel {
    type Response = ();
    type Future = BoxFuture<Response<()>, Status>;

    fn call(&mut self, _: Request<Named>) -> Self::Future {
        self.0.release.trigger();
        Box::pin(async { Ok(Response::new(())) })
    }
}
