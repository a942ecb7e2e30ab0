//! Who may call, and by which keys: what of the configuration decides about signatures.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opgate_bus::{Caller, WorksOn};
use opgate_core::Tenant;

use super::key::PublicKey;
use super::session::Issuer;

/// How far the signed date may be from now where nothing else is configured, as OCI has it.
pub const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// Who may call, by which keys, and how.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// By the whole keyId, so that one look-up decides: which part of it is unknown makes no
    /// difference, in time either.
    keys: HashMap<Box<str>, Known>,
    /// Whose operations a tenancy sees, by its OCID.
    tenancies: HashMap<Arc<str>, Tenant>,
    issuers: Vec<Issuer>,
    skew: Duration,
    hosts: Vec<String>,
}

/// One key.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) key: PublicKey,
    pub(super) signed: Signed,
}

/// Who signed a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Whose operations may be seen, and who it is: the user's OCID or the session's subject.
    pub caller: Caller,
    /// The OCID of the tenancy.
    pub tenancy: Arc<str>,
}

impl Default for Keyring {
    /// Nobody's.
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
            tenancies: HashMap::new(),
            issuers: Vec::new(),
            skew: CLOCK_SKEW,
            hosts: Vec::new(),
        }
    }
}

impl Keyring {
    /// A keyring of tenancies, each by its OCID with the tenant whose operations it sees.
    ///
    /// The signed date may be `skew` from now. With `hosts`, requests for others are refused: a name
    /// alone goes for every port, and a name with a port for that one.
    pub fn new(
        tenancies: impl IntoIterator<Item = (String, Tenant)>,
        skew: Duration,
        hosts: Vec<String>,
    ) -> Self {
        let tenancies = tenancies.into_iter().map(|(id, tenant)| (Arc::from(id), tenant)).collect();
        Self { tenancies, skew, hosts, ..Self::default() }
    }

    /// Adds a key of a user. It is left out if the tenancy is not known.
    pub fn insert_key(&mut self, tenancy: &str, user: &str, key: PublicKey) {
        if let Some(signed) = self.of_tenancy(tenancy, user) {
            let key_id = format!("{tenancy}/{user}/{}", key.fingerprint());
            self.keys.insert(key_id.into(), Known { key, signed });
        }
    }

    /// Adds an issuer of session tokens, for users of every tenancy of the keyring.
    pub fn insert_issuer(&mut self, issuer: Issuer) {
        self.issuers.push(issuer);
    }

    /// How many users' keys there are.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Whether it lets nobody in.
    pub fn is_empty(&self) -> bool {
        self.tenancies.is_empty() || (self.keys.is_empty() && self.issuers.is_empty())
    }

    pub(super) fn key(&self, key_id: &str) -> Option<&Known> {
        self.keys.get(key_id)
    }

    /// Who signs session tokens.
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    pub(super) const fn skew(&self) -> Duration {
        self.skew
    }

    /// Whether requests for a host are served: the value of `Host`, with the port where it has one.
    pub(super) fn serves(&self, host: &[u8]) -> bool {
        let name = match host.iter().rposition(|byte| *byte == b':') {
            Some(colon) if host[colon..].iter().skip(1).all(u8::is_ascii_digit) => &host[..colon],
            Some(_) | None => host,
        };
        let is = |known: &String| {
            [host, name].iter().any(|it| it.eq_ignore_ascii_case(known.as_bytes()))
        };
        self.hosts.is_empty() || self.hosts.iter().any(is)
    }

    /// Somebody of a tenancy, if that is known.
    pub(super) fn of_tenancy(&self, tenancy: &str, principal: &str) -> Option<Signed> {
        let (id, tenant) = self.tenancies.get_key_value(tenancy)?;
        let caller = Caller {
            tenant: tenant.clone(),
            principal: principal.into(),
            works_on: WorksOn::nothing(),
        };
        Some(Signed { caller, tenancy: Arc::clone(id) })
    }
}
