//! Who asks, and for what.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use opgate_core::{
    Callback, Error, ErrorKind, Expects, Face, Fingerprint, Header, KeySpace, Link, Losses, Parent,
    Payload, Tenant, Trace,
};

/// Who calls, as authentication found.
///
/// A request of HTTP's that one protocol of this process makes for another has it among its extensions, where
/// faces look for it; what comes over a connection has none there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose operations the caller may see.
    pub tenant: Tenant,
    /// Who it is, for the record.
    pub principal: Arc<str>,
    /// Whose operations it may carry out.
    pub works_on: WorksOn,
}

/// Which queues somebody may work on. Who does sees operations of all tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorksOn {
    /// Every one.
    All,
    /// Those of these names.
    Named(Arc<BTreeSet<String>>),
}

impl WorksOn {
    /// No queue.
    pub fn nothing() -> Self {
        Self::Named(Arc::default())
    }
}

impl Caller {
    /// A caller nobody authenticated.
    pub fn anonymous() -> Self {
        Self {
            tenant: Tenant::anonymous(),
            principal: Arc::from("anonymous"),
            works_on: WorksOn::All,
        }
    }

    /// Whether it may lease operations of that queue.
    ///
    /// # Errors
    /// `PermissionDenied`: it may not.
    pub fn may_work_on(&self, queue: &str) -> Result<(), Error> {
        let may = match &self.works_on {
            WorksOn::All => true,
            WorksOn::Named(names) => names.contains(queue),
        };
        if may {
            return Ok(());
        }
        let text = format!("{} may not work on the queue {queue:?}", self.principal);
        Err(Error::new(ErrorKind::PermissionDenied, text))
    }
}

/// What a frontend knows of a start.
#[derive(Clone, Debug)]
pub struct Start {
    /// Through which protocol.
    pub face: Face,
    /// Which endpoint of it: a gRPC method, a path, a node address.
    pub endpoint: Arc<str>,
    /// The name of the route that takes it.
    pub route: Arc<str>,
    /// In which scope it is listed.
    pub parent: Parent,
    /// What to work on.
    pub input: Payload,
    /// The types the face promised its caller.
    pub expects: Expects,
    /// The caller's own id for the request, where it sent one. For the record: not a dedupe key.
    pub request_id: Option<Box<str>>,
    /// By what a repeat is known to be the same operation.
    pub dedupe: Option<RepeatKey>,
    /// How long it may take from now; the route's own limit applies where it is shorter.
    pub deadline: Option<Duration>,
    /// Headers to keep with it, as the route allows.
    pub headers: Vec<Header>,
    /// Links the caller gave.
    pub links: Vec<Link>,
    /// Where to tell of the completion.
    pub callbacks: Vec<Callback>,
    /// Whether the reply itself tells of an end that comes with the acceptance: no callback is owed
    /// then.
    pub tells_end: bool,
    /// The caller's trace.
    pub trace: Option<Box<Trace>>,
    /// What the face could not carry into this.
    pub lost: Losses,
}

/// By what a repeat of a start is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatKey {
    /// The family the key belongs to.
    pub space: KeySpace,
    /// The key, 1 to [`DEDUPE_KEY_BYTES`] bytes.
    pub key: String,
    /// What of it the caller chose: it is the key where a route has one space for all faces. None where
    /// nobody chose one.
    pub own: Option<Box<str>>,
    /// What must be alike in a repeat. Left out: kind, input and callback.
    pub fingerprint: Option<Fingerprint>,
    /// Whether it is honoured only while the operation runs, rather than for a day and for as long
    /// as the operation is readable.
    pub while_live: bool,
}

impl RepeatKey {
    /// A caller's own key: what it is for must be the same in a repeat.
    pub fn new(space: KeySpace, key: impl Into<String>) -> Self {
        let key = key.into();
        let own = Some(key.as_str().into());
        Self { space, key, own, fingerprint: None, while_live: false }
    }
}

/// Longest dedupe key, in bytes. The longest a protocol allows is 64 (OCI) or a UUID (the others).
pub const DEDUPE_KEY_BYTES: usize = 256;

impl Start {
    /// A start with nothing but what every one has.
    pub fn new(
        face: Face,
        endpoint: impl Into<Arc<str>>,
        route: impl Into<Arc<str>>,
        input: Payload,
    ) -> Self {
        Self {
            face,
            endpoint: endpoint.into(),
            route: route.into(),
            parent: Parent::root(),
            input,
            expects: Expects::default(),
            request_id: None,
            dedupe: None,
            deadline: None,
            headers: Vec::new(),
            links: Vec::new(),
            callbacks: Vec::new(),
            tells_end: false,
            trace: None,
            lost: Losses::NONE,
        }
    }
}
