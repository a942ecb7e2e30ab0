//! `grpc.health.v1`: the gateway's readiness, for load balancers and clients that ask over gRPC.

use std::pin::Pin;
use std::task::{Context, Poll};

use opgate_edge::{Drain, Readiness, ReadinessReport};
use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status, async_trait};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

/// One answer for every service: they are ready together, or not.
#[derive(Clone, Debug)]
pub(super) struct Health {
    services: Vec<String>,
    readiness: Readiness,
    drain: Drain,
}

impl Health {
    pub(super) const fn new(services: Vec<String>, readiness: Readiness, drain: Drain) -> Self {
        Self { services, readiness, drain }
    }

    /// The empty name is the server as a whole.
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.iter().any(|known| known == service)
    }
}

#[async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found("no such service"));
        }
        let ready = self.readiness.is_ready() && !self.drain.is_draining();
        Ok(Response::new(response(serving(ready))))
    }

    type WatchStream = Watch;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Watch>, Status> {
        let drain = self.drain.clone();
        Ok(Response::new(Watch {
            known: self.knows(&request.get_ref().service),
            readiness: WatchStream::new(self.readiness.subscribe()),
            drained: Some(Box::pin(async move { drain.started().await })),
            last: None,
        }))
    }
}

fn serving(ready: bool) -> ServingStatus {
    if ready { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// Every change of the status, the first one at once. Ends when the gateway drains, as the
/// connection has to.
pub(super) struct Watch {
    known: bool,
    readiness: WatchStream<ReadinessReport>,
    /// None once it has resolved.
    drained: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    last: Option<ServingStatus>,
}

impl Watch {
    /// The status, if it is news.
    fn news(&mut self, ready: bool) -> Option<Result<HealthCheckResponse, Status>> {
        let status = if self.known { serving(ready) } else { ServingStatus::ServiceUnknown };
        (self.last.replace(status) != Some(status)).then(|| Ok(response(status)))
    }
}

impl Stream for Watch {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(drained) = &mut self.drained else { return Poll::Ready(None) };
        if drained.as_mut().poll(cx).is_ready() {
            self.drained = None;
            return Poll::Ready(self.news(false));
        }
        while let Poll::Ready(report) = Pin::new(&mut self.readiness).poll_next(cx) {
            let Some(report) = report else { return Poll::Ready(None) };
            if let Some(news) = self.news(report.is_ready()) {
                return Poll::Ready(Some(news));
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use health_server::Health as _;
    use tokio_stream::StreamExt as _;

    use super::*;

    fn ask(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest { service: service.to_owned() })
    }

    async fn next(watch: &mut Watch) -> Option<ServingStatus> {
        watch.next().await.map(|news| news.unwrap().status())
    }

    #[tokio::test]
    async fn it_follows_readiness_and_ends_with_the_drain() {
        let readiness = Readiness::new();
        let journal = readiness.condition("journal", "opening");
        let (trigger, drain) = Drain::new();
        let health = Health::new(vec!["a.B".to_owned()], readiness, drain);
        let mut watch = health.watch(ask("a.B")).await.unwrap().into_inner();
        let check =
            async |service| health.check(ask(service)).await.map(|it| it.get_ref().status());

        assert_eq!(next(&mut watch).await, Some(ServingStatus::NotServing));
        assert_eq!(check("").await.unwrap(), ServingStatus::NotServing);
        journal.holds();
        assert_eq!(next(&mut watch).await, Some(ServingStatus::Serving));
        assert_eq!(check("a.B").await.unwrap(), ServingStatus::Serving);
        assert_eq!(check("x.Y").await.unwrap_err().code(), tonic::Code::NotFound);
        trigger.begin(Duration::from_secs(1));
        assert_eq!(next(&mut watch).await, Some(ServingStatus::NotServing));
        assert_eq!(check("").await.unwrap(), ServingStatus::NotServing);
        assert_eq!(next(&mut watch).await, None);
    }

    #[tokio::test]
    async fn an_unknown_service_may_be_watched() {
        let (trigger, drain) = Drain::new();
        let health = Health::new(Vec::new(), Readiness::new(), drain);
        let mut watch = health.watch(ask("x.Y")).await.unwrap().into_inner();
        assert_eq!(next(&mut watch).await, Some(ServingStatus::ServiceUnknown));
        trigger.begin(Duration::from_secs(1));
        assert_eq!(next(&mut watch).await, None);
    }
}
