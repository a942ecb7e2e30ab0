//! What upstreams are called with, and the table of routes that is made of settings.

use std::sync::{Arc, Mutex, PoisonError};

use opgate_amqp::backend::Upstream as AmqpUpstream;
use opgate_bus::core::Payload;
use opgate_bus::{Pull, Route, Router, RouterBuilder};
use opgate_egress::Client;
use opgate_longrunning::backend::Upstream as LongrunningUpstream;
use opgate_longrunning::{Longrunning, Types};
use opgate_native::Showcase;
use opgate_nexus::backend::{CallbackBase, Upstream as NexusUpstream};
use opgate_oci::Placing;
use opgate_oci::backend::Upstream as OciUpstream;
use opgate_telemetry::Metrics;

use crate::StartError;
use crate::settings::{Backend, BackendKind, Settings, Worker};

/// What upstreams are called with, whatever the settings.
pub(crate) struct Upstreams {
    pub(crate) client: Client,
    /// Where they reach this daemon unless they have an address of their own.
    pub(crate) here: CallbackBase,
    pub(crate) metrics: Arc<Metrics>,
    /// Those that know types.
    pub(crate) typed: Mutex<Vec<LongrunningUpstream>>,
}

/// A table of routes, and those upstreams made for it that know types.
pub(crate) struct Made {
    pub(crate) router: Router,
    pub(crate) typed: Vec<LongrunningUpstream>,
}

/// What comes up while upstreams are made.
#[derive(Default)]
struct Making {
    types: Option<Arc<Types>>,
    typed: Vec<LongrunningUpstream>,
}

fn types_of(settings: &Settings) -> Arc<Types> {
    Arc::new(Types::of(&settings.grpc().descriptor_sets))
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstreams").finish_non_exhaustive()
    }
}

impl Upstreams {
    /// Adds the routes of the settings, and those of their backends that are not there yet.
    ///
    /// # Errors
    /// What is wrong with the settings after all.
    pub(crate) fn router(
        &self,
        settings: &Settings,
        builder: RouterBuilder,
    ) -> Result<Made, StartError> {
        let mut made = Making::default();
        let compartments = Placing::new(&settings.oci());
        let mut builder = builder.placing(Arc::new(move |route: &Route, input: &Payload| {
            compartments.parent(&route.name, input)
        }));
        for (name, backend) in &settings.backends {
            if !builder.has_backend(name) {
                builder = self.backend(settings, builder, (name, backend), &mut made)?;
            }
        }
        let declared = Longrunning::declared(&settings.grpc());
        for (name, route) in &settings.routes {
            if route.unify_keys {
                builder = builder.unify(name.as_str());
            }
            if let Some(template) = &route.share {
                builder = builder.share(name.as_str(), template.as_str());
            }
            builder = builder.route(Route {
                name: name.as_str().into(),
                kind: route.kind.clone(),
                backend: route.backend.as_str().into(),
                retention: route.retention,
                timeout: route.timeout,
                options: route.options.clone(),
                expects: declared.get(name.as_str()).cloned().unwrap_or_else(|| route.undeclared()),
                resources: route.resources.clone(),
            });
        }
        let router = builder.build().map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            StartError::Configuration(problems.join("; "))
        })?;
        Ok(Made { router, typed: made.typed })
    }

    /// Keeps upstreams that were made, and has all that know types know those of the settings.
    pub(crate) fn keep(&self, new: Vec<LongrunningUpstream>, settings: &Settings) {
        let mut typed = self.typed.lock().unwrap_or_else(PoisonError::into_inner);
        typed.extend(new);
        if !typed.is_empty() {
            let types = types_of(settings);
            typed.iter().for_each(|upstream| upstream.learn(Arc::clone(&types)));
        }
    }

    fn backend(
        &self,
        settings: &Settings,
        builder: RouterBuilder,
        (name, backend): (&str, &Backend),
        making: &mut Making,
    ) -> Result<RouterBuilder, StartError> {
        let metrics = self.metrics.dispatch.backend(name);
        let (retry, gate) = (backend.manner.backoff(), || backend.manner.gate(metrics));
        let room = backend.concurrency;
        Ok(match &backend.kind {
            BackendKind::Showcase => builder.backend(name, Arc::new(Showcase), room),
            BackendKind::Worker(worker) => builder.worker(name, worker.pull(room)),
            BackendKind::Oci(oci) => {
                let settings = oci.upstream(name, retry, gate());
                let upstream = OciUpstream::new(settings, self.client.clone());
                builder.backend(name, Arc::new(upstream), room)
            }
            BackendKind::Amqp(amqp) => {
                let strays = metrics.map(|of| of.strays.clone());
                let settings = settings.amqp_upstream(name, amqp, retry, gate())?;
                builder.backend(name, Arc::new(AmqpUpstream::new(settings, strays)), room)
            }
            BackendKind::Longrunning(of) => {
                let own = settings.longrunning_upstream(name, of, retry, gate())?;
                let types = making.types.get_or_insert_with(|| types_of(settings));
                let upstream = LongrunningUpstream::new(own, Arc::clone(types));
                making.typed.push(upstream.clone());
                builder.backend(name, Arc::new(upstream), room)
            }
            BackendKind::Nexus(nexus) => {
                let settings = nexus.upstream(name, &self.here, retry, gate());
                let upstream = NexusUpstream::new(settings, self.client.clone());
                builder.backend(name, Arc::new(upstream), room)
            }
        })
    }
}

impl Worker {
    /// The same in the bus's words.
    pub(crate) fn pull(&self, concurrency: usize) -> Pull {
        let Self { backlog, lease, attempts } = *self;
        Pull { concurrency, backlog, lease, attempts }
    }
}
