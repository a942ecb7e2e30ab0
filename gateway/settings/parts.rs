//! The settings in the words of the parts they are for.

use std::sync::Arc;

use opgate_amqp::backend as amqp;
use opgate_amqp::management::{Names as AmqpNames, Settings as ManagementSettings};
use opgate_bus::core::{Expects, Operation};
use opgate_bus::{Backoff, Gate, Notifier, Options as BusOptions};
use opgate_edge::HttpLimits;
use opgate_egress::{Client, Guard};
use opgate_longrunning::backend as longrunning;
use opgate_longrunning::{DoorSettings, Longrunning, Settings as GrpcSettings};
use opgate_native::{Names, Settings as NativeSettings};
use opgate_nexus::Settings as NexusSettings;
use opgate_nexus::backend::{self as nexus, CallbackBase, Completion};
use opgate_nexus::callback::{Callbacks, Settings as CallbackSettings};
use opgate_oci::Settings as OciSettings;
use opgate_oci::backend as oci;
use opgate_store::Options as StoreOptions;

use super::{
    AmqpBackend, BackendKind, DescriptorSet, Http, LongrunningBackend, Nexus, OciBackend, Retry,
    Settings,
};
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

    pub(crate) const fn bus(&self) -> BusOptions {
        BusOptions {
            waits: self.wait.open,
            watches: self.watches,
            // A worker that waits is a wait like any other.
            askers: self.wait.open,
            grace: self.drain.timeout,
            backoff: self.backoff(),
            callbacks: self.callbacks.delivery,
        }
    }

    const fn backoff(&self) -> Backoff {
        let Retry { first, longest, attempts } = self.retry;
        Backoff { first, longest, attempts }
    }

    /// Who tells of completions, and where.
    pub(crate) fn notifier(&self, client: &Client) -> Arc<dyn Notifier> {
        Arc::new(Callbacks::new(client.clone(), self.completions_sent()))
    }

    /// The routes, those first that are as shipped: of two that want the same door it is the later one
    /// that is told.
    fn in_turn(&self) -> impl Iterator<Item = (&String, &super::Route)> {
        let of = |shipped| self.routes.iter().filter(move |(_, route)| route.shipped == shipped);
        of(true).chain(of(false))
    }

    /// The HTTP requests with JSON that start routes in the manner of `google.longrunning`, as
    /// configured or as descriptors say: the route's name, and method with path.
    #[must_use]
    pub fn rest(&self) -> Vec<(String, String)> {
        Longrunning::requests(&self.grpc())
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
        let own = DescriptorSet {
            origin: "opgate.v1".to_owned(),
            bytes: opgate_native::DESCRIPTORS.to_vec(),
        };
        GrpcSettings {
            doors: self.in_turn().filter_map(door).collect(),
            buildgrid: self.buildgrid.clone(),
            descriptor_sets: std::iter::once(own).chain(self.descriptors.iter().cloned()).collect(),
            others: opgate_native::SERVICES.map(str::to_owned).into(),
            request_bytes: self.http.body_bytes,
            request_timeout: self.http.body_timeout,
            wait_limit: self.wait.max,
        }
    }

    /// The Nexus backends whose handlers are told no address to call back at, unless the `http`
    /// listener's is one.
    pub(crate) fn without_callback(&self) -> impl Iterator<Item = &str> {
        self.backends.iter().filter_map(|(name, backend)| match &backend.kind {
            BackendKind::Nexus(nexus) => (nexus.completion != Completion::Poll
                && nexus.callback.is_none())
            .then_some(&**name),
            BackendKind::Showcase
            | BackendKind::Worker(_)
            | BackendKind::Oci(_)
            | BackendKind::Amqp(_)
            | BackendKind::Longrunning(_) => None,
        })
    }

    /// Where callers may have themselves called back.
    pub(crate) fn guard(&self) -> Guard {
        let callbacks = &self.callbacks;
        Guard::new(callbacks.allow.clone(), callbacks.plaintext, callbacks.networks.clone())
    }

    /// How completions go out.
    fn completions_sent(&self) -> CallbackSettings {
        CallbackSettings {
            guard: self.guard(),
            timeout: self.callbacks.timeout,
            receivers: self.callbacks.receivers.clone(),
        }
    }

    /// Where completions of upstream operations come in.
    pub(crate) const fn completions(&self) -> nexus::Bounds {
        nexus::Bounds {
            request_bytes: self.http.body_bytes,
            request_timeout: self.http.body_timeout,
        }
    }

    /// opgate's own API, with the names of operations elsewhere.
    pub(crate) fn native(&self, names: Names) -> NativeSettings {
        NativeSettings {
            names,
            guard: self.guard(),
            request_bytes: self.http.body_bytes,
            request_timeout: self.http.body_timeout,
            wait_limit: self.wait.max,
        }
    }
}

impl OciBackend {
    pub(crate) fn upstream(&self, name: &str, retry: Backoff, gate: Gate) -> oci::Settings {
        oci::Settings {
            name: name.into(),
            endpoint: self.endpoint.clone(),
            signer: self.signer.clone(),
            timeout: self.timeout,
            poll_first: self.poll_first,
            poll_longest: self.poll_longest,
            grace: self.grace,
            retry,
            gate,
        }
    }
}

impl Settings {
    pub(crate) fn amqp_upstream(
        &self,
        name: &str,
        of: &AmqpBackend,
        retry: Backoff,
        gate: Gate,
    ) -> Result<amqp::Settings, StartError> {
        let authorities = self.egress.authorities.as_deref();
        let tls = of.endpoint.is_tls().then(|| opgate_egress::tls(authorities, of.shown.as_ref()));
        let tls = tls.transpose().map_err(|error| StartError::Configuration(error.to_string()))?;
        Ok(amqp::Settings {
            name: name.into(),
            endpoint: of.endpoint.clone(),
            tls: tls.map(Arc::new),
            sasl: of.sasl.clone(),
            node: of.node.as_str().into(),
            reply: of.reply,
            timeout: of.timeout,
            idle: of.idle,
            in_flight: of.in_flight,
            poll_first: of.poll_first,
            poll_longest: of.poll_longest,
            grace: of.grace,
            retry,
            gate,
        })
    }
}

impl Settings {
    pub(crate) fn longrunning_upstream(
        &self,
        name: &str,
        of: &LongrunningBackend,
        retry: Backoff,
        gate: Gate,
    ) -> Result<longrunning::Settings, StartError> {
        let authorities = self.egress.authorities.as_deref();
        let tls = opgate_egress::tls(authorities, of.shown.as_ref())
            .map_err(|error| StartError::Configuration(error.to_string()))?;
        Ok(longrunning::Settings {
            name: name.into(),
            endpoint: of.endpoint.clone(),
            tls,
            credentials: of.credentials.clone(),
            timeout: of.timeout,
            poll_first: of.poll_first,
            poll_longest: of.poll_longest,
            grace: of.grace,
            waits: of.waits,
            retry,
            gate,
        })
    }
}

impl super::Route {
    /// The types of a route that no gRPC method declares any for. What an OCI call starts has JSON for an
    /// input and a result, and is to be followed over google.longrunning too.
    pub(crate) fn undeclared(&self) -> Expects {
        let json: Option<Arc<str>> = self.oci.is_some().then(|| "google.protobuf.Struct".into());
        Expects { response_type: json.clone(), metadata_type: json }
    }
}

impl Nexus {
    pub(crate) fn upstream(
        &self,
        name: &str,
        here: &CallbackBase,
        retry: Backoff,
        gate: Gate,
    ) -> nexus::Settings {
        nexus::Settings {
            name: name.into(),
            endpoint: self.endpoint.clone(),
            credentials: self.credentials.clone(),
            callback: self.callback.as_ref().unwrap_or(here).clone(),
            completion: self.completion,
            timeout: self.timeout,
            poll_first: self.poll_first,
            poll_longest: self.poll_longest,
            grace: self.grace,
            retry,
            gate,
        }
    }
}

impl Settings {
    /// The face of Nexus.
    pub(crate) fn nexus(&self) -> NexusSettings {
        let guard = self.guard();
        let admit =
            move |url: &str| guard.admit(url).map(drop).map_err(|refusal| refusal.to_string());
        NexusSettings {
            request_bytes: self.http.body_bytes,
            request_timeout: self.http.body_timeout,
            wait_limit: self.wait.max,
            admit: Arc::new(admit),
        }
    }
}

impl Settings {
    /// The face of OCI work requests, but for who may call.
    pub(crate) fn oci(&self) -> OciSettings {
        OciSettings {
            ocids: self.oci.ocids.clone(),
            services: self.oci.services.clone(),
            doors: self.calls().cloned().collect(),
            tenancies: self.oci.keys.tenancies.clone(),
            compartments: self.oci.compartments.clone(),
            request_bytes: self.http.body_bytes,
            request_timeout: self.http.body_timeout,
            ..OciSettings::default()
        }
    }

    /// The calls of OCI's that start routes, but for those of services that are switched off.
    fn calls(&self) -> impl Iterator<Item = &opgate_oci::DoorSettings> {
        let calls = self.in_turn().filter_map(|(_, route)| route.oci.as_ref());
        calls.filter(|call| {
            let is_beneath = |path: &String| {
                let behind = call.request.split_once(' ').and_then(|(_, to)| to.strip_prefix(path));
                behind.is_some_and(|behind| behind.starts_with('/'))
            };
            let open = self.oci.services.iter().any(|service| is_beneath(&service.path));
            open || !self.oci.closed.iter().any(is_beneath)
        })
    }
}

impl Settings {
    /// The largest answer of HTTP's over AMQP.
    pub(crate) fn amqp_answer_bytes(&self) -> usize {
        usize::try_from(self.amqp.limits.message_bytes).unwrap_or(usize::MAX)
    }

    /// The requests that start routes over AMQP.
    pub(crate) fn amqp_doors(&self) -> Vec<opgate_amqp::management::DoorSettings> {
        self.in_turn().filter_map(|(_, route)| route.amqp.clone()).collect()
    }

    /// AMQP's management nodes, with the full names of operations, and their names elsewhere.
    pub(crate) fn management(
        &self,
        full: impl Fn(&Operation) -> String + Send + Sync + 'static,
        names: Names,
    ) -> ManagementSettings {
        let (given, reading) = (names.clone(), names);
        let guard = self.guard();
        ManagementSettings {
            doors: self.amqp_doors(),
            wait_limit: self.wait.max,
            names: AmqpNames {
                name: Arc::new(full),
                all: Arc::new(move |operation| given.of(operation).collect()),
                read: Arc::new(move |caller, name| reading.read(caller, name)),
            },
            admit: Arc::new(move |url| {
                guard.admit(url).map(drop).map_err(|refusal| refusal.to_string())
            }),
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
