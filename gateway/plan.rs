//! What the settings amount to, before anything is opened.

use std::sync::Arc;

use opgate_bus::{Backend, Route, Router};
use opgate_longrunning::{DescriptorSet, DoorSettings};
use opgate_native::Showcase;

use crate::StartError;
use crate::settings::{BackendKind, Settings};

/// Parts that need nothing but settings.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) router: Router,
    pub(crate) grpc: opgate_longrunning::Settings,
}

impl Plan {
    /// Makes them, or says everything that keeps them from being made.
    pub(crate) fn new(settings: &Settings) -> Result<Self, StartError> {
        let mut problems = Vec::new();
        let router = router(settings).map_err(|found| problems.extend(found));
        let grpc = grpc(settings, &mut problems);
        match router {
            Ok(router) if problems.is_empty() => Ok(Self { router, grpc }),
            Ok(_) | Err(()) => Err(StartError::Configuration(problems.join("\n"))),
        }
    }
}

fn router(settings: &Settings) -> Result<Router, Vec<String>> {
    let mut builder = Router::builder();
    for (name, backend) in &settings.backends {
        let carrier: Arc<dyn Backend> = match backend.kind {
            BackendKind::Showcase => Arc::new(Showcase),
        };
        builder = builder.backend(name.as_str(), carrier, backend.concurrency);
    }
    for (name, route) in &settings.routes {
        builder = builder.route(Route {
            name: name.as_str().into(),
            kind: route.kind.clone(),
            backend: route.backend.as_str().into(),
            retention: route.retention,
            timeout: route.timeout,
            options: route.options.clone(),
        });
    }
    builder.build().map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// The gRPC face: its doors, and the files with their types.
fn grpc(settings: &Settings, problems: &mut Vec<String>) -> opgate_longrunning::Settings {
    let mut descriptor_sets = Vec::new();
    for path in &settings.descriptors {
        let origin = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => descriptor_sets.push(DescriptorSet { origin, bytes }),
            Err(error) => problems.push(format!("descriptors.files: {origin}: {error}")),
        }
    }
    let door = |(name, route): (&String, &crate::settings::Route)| {
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
        })
    };
    opgate_longrunning::Settings {
        doors: settings.routes.iter().filter_map(door).collect(),
        descriptor_sets,
        request_bytes: settings.http.body_bytes,
        request_timeout: settings.http.body_timeout,
        wait_limit: settings.wait.max,
    }
}
