//! The settings in the words of the parts they are for.

use std::sync::Arc;

use opgate_bus::{Backend, Backoff, Options as BusOptions, Route, Router};
use opgate_edge::HttpLimits;
use opgate_longrunning::{DoorSettings, Settings as GrpcSettings};
use opgate_native::Showcase;
use opgate_store::Options as StoreOptions;

use super::{BackendKind, Http, Settings};
use crate::StartError;

impl Settings {
    pub(crate) fn store(&self) -> StoreOptions {
        let data = &self.data;
        StoreOptions {
            dir: data.dir.clone(),
            durability: data.durability,
            max_bytes: Some(data.max_bytes),
            resident_operations: data.resident_operations,
            body_bytes: data.body_bytes,
            live_operations: data.live_operations,
            queue: data.queue,
        }
    }

    pub(crate) fn bus(&self) -> BusOptions {
        let retry = self.retry;
        let backoff =
            Backoff { first: retry.first, longest: retry.longest, attempts: retry.attempts };
        BusOptions {
            waits: self.wait.open,
            watches: self.watches,
            backoff,
            ..BusOptions::default()
        }
    }

    /// The routes, with their backends made.
    pub(crate) fn router(&self) -> Result<Router, StartError> {
        let mut builder = Router::builder();
        for (name, backend) in &self.backends {
            let carrier: Arc<dyn Backend> = match backend.kind {
                BackendKind::Showcase => Arc::new(Showcase),
            };
            builder = builder.backend(name.as_str(), carrier, backend.concurrency);
        }
        for (name, route) in &self.routes {
            builder = builder.route(Route {
                name: name.as_str().into(),
                kind: route.kind.clone(),
                backend: route.backend.as_str().into(),
                retention: route.retention,
                timeout: route.timeout,
                options: route.options.clone(),
            });
        }
        builder.build().map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            StartError::Configuration(problems.join("; "))
        })
    }

    /// The gRPC face: its doors, and their types.
    pub(crate) fn grpc(&self) -> GrpcSettings {
        let door = |(name, route): (&String, &super::Route)| {
            let grpc = route.grpc.clone()?;
            Some(DoorSettings {
                method: grpc.method,
                route: name.clone(),
                request_type: grpc.request_type,
                response_type: grpc.response_type,
                metadata_type: grpc.metadata_type,
                parent: grpc.parent,
                request_id: grpc.request_id,
                input: grpc.input,
                stream: grpc.stream,
                http: route.http.clone(),
            })
        };
        GrpcSettings {
            doors: self.routes.iter().filter_map(door).collect(),
            descriptor_sets: self.descriptors.clone(),
            buildgrid: self.buildgrid.clone(),
            request_bytes: self.http.body_bytes,
            request_timeout: self.http.body_timeout,
            wait_limit: self.wait.max,
        }
    }
}

impl Http {
    pub(crate) fn limits(&self) -> HttpLimits {
        HttpLimits {
            connections: self.connections,
            streams: self.streams,
            head_bytes: self.head_bytes,
            head_timeout: self.head_timeout,
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            stall_timeout: self.stall_timeout,
            stream_window_bytes: self.stream_window_bytes,
            connection_window_bytes: self.connection_window_bytes,
            connection_age: self.connection_age,
        }
    }
}
