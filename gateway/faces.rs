//! The protocols of both listeners. All of them are made anew where settings are read again, and take the place of
//! the old ones at once.

use std::sync::Arc;

use http::Request;
use opgate_amqp::management::Management;
use opgate_amqp::node::{self, Node, Replying};
use opgate_bus::{Bus, Caller, Via};
use opgate_core::Face;
use opgate_edge::{Drain, Frontend, Peer, Readiness, RequestBody, ResponseFuture};
use opgate_longrunning::Longrunning;
use opgate_native::{Names, Native};
use opgate_nexus::Nexus;
use opgate_nexus::backend::Completions;
use opgate_oci::Oci;
use opgate_oci::signature::Verifier;
use opgate_telemetry::Metrics;

use crate::StartError;
use crate::latest::Latest;
use crate::settings::Settings;

/// The faces of now. Clones are of the same.
#[derive(Clone, Debug)]
pub(crate) struct Front(Latest<Faces>);

impl Front {
    pub(crate) fn new(faces: Faces) -> Self {
        Self(Latest::new(faces))
    }

    /// Has other faces for the next request. Each request has the same to its end.
    pub(crate) fn replace(&self, faces: Faces) {
        self.0.replace(faces);
    }

    /// opgate's own API.
    pub(crate) fn native(&self) -> Native {
        self.0.get().native.clone()
    }

    /// AMQP's management nodes.
    pub(crate) fn management(&self) -> Management {
        self.0.get().management.clone()
    }
}

impl Frontend for Front {
    fn call(&self, request: Request<RequestBody>, peer: &Arc<Peer>) -> ResponseFuture {
        self.0.get().call(request, peer)
    }
}

impl Node for Front {
    fn call(&self, request: node::Request) -> Replying {
        self.0.get().management.call(request)
    }
}

/// What faces are made of, whatever the settings.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) bus: Bus,
    pub(crate) readiness: Readiness,
    pub(crate) drain: Drain,
    pub(crate) metrics: Arc<Metrics>,
    /// Who may sign OCI requests; none where nobody has to.
    pub(crate) verifier: Option<Arc<Verifier>>,
    /// Whether somebody keeps who asks for what, and from where.
    pub(crate) audited: bool,
}

/// The protocols, told apart: those of the `http` listener by how the path begins, then gRPC by content type.
pub(crate) struct Faces {
    grpc: Arc<dyn Frontend>,
    /// The first whose text the path begins with takes the request.
    paths: Vec<(&'static str, Face, Arc<dyn Frontend>)>,
    /// Has paths of an operator's choice, none of which begins like one of those.
    oci: Oci,
    /// Takes what nobody else does, and says what is not there.
    rest: Arc<dyn Frontend>,
    management: Management,
    native: Native,
    audited: bool,
}

impl Faces {
    /// Makes all faces, with doors to routes that there are, or are about to be. AMQP's nodes go on from those there
    /// were `before`.
    ///
    /// # Errors
    /// What is wrong with the settings after all: loading them tells all that it can find.
    pub(crate) fn new(
        settings: &Settings,
        parts: &Parts,
        has_route: impl Fn(&str) -> bool,
        before: Option<&Management>,
    ) -> Result<Self, StartError> {
        let Parts { bus, readiness, drain, metrics, verifier, audited } = parts;
        let wrong = |problems: Vec<String>| StartError::Configuration(problems.join("; "));
        let grpc = Longrunning::with(
            &settings.grpc(),
            has_route,
            bus.clone(),
            readiness.clone(),
            drain.clone(),
            Arc::clone(metrics),
        );
        let grpc = grpc.map_err(wrong)?;
        let mut oci = settings.oci();
        if let Some(verifier) = verifier {
            oci.authenticator = Arc::clone(verifier) as _;
        }
        let oci = Oci::new(oci, bus.clone(), Arc::clone(metrics)).map_err(|problems| {
            wrong(problems.into_iter().map(|problem| problem.text).collect())
        })?;
        let names = names(&grpc, &oci, bus);
        let full = grpc.clone();
        let management = settings.management(move |operation| full.name(operation), names.clone());
        let management = match before {
            Some(before) => before.next(management),
            None => Management::new(management, bus.clone(), Arc::clone(metrics)),
        };
        let management = management.map_err(|problems| {
            wrong(problems.into_iter().map(|problem| problem.text).collect())
        })?;
        let native = Native::new(settings.native(names), bus.clone(), Arc::clone(metrics));
        let native = native.map_err(StartError::Internal)?;
        let own: Arc<dyn Frontend> = Arc::new(native.clone());
        let completions =
            Completions::new(bus.clone(), settings.completions(), Arc::clone(metrics));
        let nexus = Nexus::new(settings.nexus(), bus.clone(), Arc::clone(metrics));
        let mut paths: Vec<(&str, Face, Arc<dyn Frontend>)> = vec![
            (Completions::PATH, Face::Nexus, Arc::new(completions)),
            (Nexus::PATH, Face::Nexus, Arc::new(nexus)),
        ];
        paths.extend(Native::PATHS.map(|path| (path, Face::Native, Arc::clone(&own))));
        let rest = Arc::new(grpc.rest());
        let (grpc, audited) = (Arc::new(grpc), *audited);
        Ok(Self { grpc, paths, oci, rest, management, native, audited })
    }
}

/// The names that operations have on each face, and what each cannot show.
fn names(grpc: &Longrunning, oci: &Oci, bus: &Bus) -> Names {
    let (named, losing, work_requests) = (grpc.clone(), grpc.clone(), oci.clone());
    let (sealing, opening) = (bus.clone(), bus.clone());
    Names::default()
        .with("grpc", move |operation| Some(named.name(operation)))
        .with("nexus", move |operation| opgate_nexus::token::of(&sealing, operation).ok())
        .with("oci", move |operation| Some(work_requests.name(operation)))
        .with("amqp", |operation| Some(operation.id.to_string()))
        .losing("grpc", move |operation| losing.lost(operation))
        .losing("nexus", |operation| Nexus::lost(operation))
        .losing("oci", |operation| Oci::lost(operation))
        .losing("amqp", |operation| Management::lost(operation))
        .reading(move |caller, name| opgate_nexus::token::open(&opening, caller, name).ok())
        .reading(|_, name| Oci::read(name))
}

impl Frontend for Faces {
    fn call(&self, request: Request<RequestBody>, peer: &Arc<Peer>) -> ResponseFuture {
        let path = request.uri().path();
        let by_path = self.paths.iter().find(|(prefix, ..)| path.starts_with(prefix));
        let (kind, face): (_, &dyn Frontend) = match by_path {
            Some((_, kind, face)) => (*kind, &**face),
            None if self.oci.takes(path) => (Face::Oci, &self.oci),
            None if Longrunning::takes(request.headers()) => (Face::Grpc, &*self.grpc),
            None => (Face::Rest, &*self.rest),
        };
        if !self.audited {
            return face.call(request, peer);
        }
        // What one protocol of this process asks of another has come as the first one's request did.
        let inner = request.extensions().get::<Caller>().is_some();
        let peer_shown = if inner { Via::current().peer } else { Some(peer.remote) };
        let via = Via { face: Some(kind), peer: peer_shown };
        Box::pin(via.scope(face.call(request, peer)))
    }
}
