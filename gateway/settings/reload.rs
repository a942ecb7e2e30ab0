//! What holds as soon as the settings were read again, and what takes a restart.

use std::collections::{BTreeMap, BTreeSet};

use super::text::{Effective, flat};
use super::{Backend, BackendKind, Settings, amqp, manner, oci_keys, tls};

/// How the keys begin of the bounds that hold as soon as they were read again.
const BOUNDS: [&str; 24] = [
    "amqp.connections",
    "amqp.credit",
    "amqp.frame_size",
    "amqp.handshake_timeout",
    "amqp.idle_timeout",
    "amqp.links",
    "amqp.message_size",
    "amqp.properties",
    "amqp.sessions",
    "amqp.work",
    "drain",
    "http.body_size",
    "http.body_timeout",
    "http.connection_age",
    "http.connection_window",
    "http.connections",
    "http.head_size",
    "http.head_timeout",
    "http.ping_interval",
    "http.ping_timeout",
    "http.stall_timeout",
    "http.stream_window",
    "http.streams",
    "wait",
];
/// And of what else does: the routes, and what faces make of them.
const OTHERS: [&str; 15] = [
    "buildgrid",
    "callbacks.allow",
    "callbacks.networks",
    "callbacks.plaintext",
    "callbacks.receivers",
    "callbacks.timeout",
    "data.retention",
    "descriptors",
    "log.level",
    "oci.compartments",
    "oci.realm",
    "oci.region",
    "oci.services",
    "routes",
    "watch",
];
/// The keys of a backend that hold as soon as they were read again, beside those of [`manner::RELOADED`].
const OF_BACKENDS: [&str; 4] = ["attempts", "backlog", "concurrency", "lease"];
/// And those that say who calls, as long as it is the same upstream that is called: another one must not learn them.
const CREDENTIALS: [&str; 10] = [
    "basic",
    "basic_file",
    "bearer",
    "bearer_file",
    "fingerprint",
    "headers",
    "password_file",
    "sasl",
    "tenancy",
    "user",
];

/// The values in force, by their keys.
#[derive(Debug)]
pub struct InForce(BTreeMap<String, String>);

impl InForce {
    /// Those that a gateway is started with.
    #[must_use]
    pub fn new(effective: &Effective) -> Self {
        let mut values = BTreeMap::new();
        flat(&effective.0, "", &mut values);
        Self(values)
    }

    /// Takes over what holds as soon as it was read again, and returns the keys of what takes a restart, in order. What
    /// lies beneath those of `waiting` is left as it is, and not told of again.
    pub fn take(&mut self, read: &Effective, waiting: &[String]) -> Vec<String> {
        let Self(read) = Self::new(read);
        let keys: BTreeSet<&String> = self.0.keys().chain(read.keys()).collect();
        let waits = |key: &str| {
            let behind = |waiting: &String| key.strip_prefix(waiting.as_str());
            waiting.iter().filter_map(behind).any(|rest| rest.starts_with('.'))
        };
        let differ = keys.into_iter().filter(|key| self.0.get(*key) != read.get(*key));
        let differ = differ.filter(|key| !waits(key));
        let (now, later): (Vec<_>, Vec<_>) =
            differ.cloned().partition(|key| self.is_taken(key, &read));
        for key in now {
            match read.get(&key) {
                Some(value) => self.0.insert(key, value.clone()),
                None => self.0.remove(&key),
            };
        }
        later
    }

    /// Whether the value of a key holds as soon as it was read again.
    fn is_taken(&self, key: &str, read: &BTreeMap<String, String>) -> bool {
        let Some((name, own)) = of_backend(key) else { return Settings::is_reloaded(key) };
        let of = format!("backends.{name}.");
        let known = self.0.range(of.clone()..).next().is_some_and(|(key, _)| key.starts_with(&of));
        let same = |own| {
            let key = format!("{of}{own}");
            self.0.get(&key) == read.get(&key)
        };
        // The key of an OCI user is one that proves who calls, those of others are of certificates.
        let of_oci = self.0.get(&format!("{of}kind")).is_some_and(|kind| kind == "\"oci\"");
        let proves = is_credential(own) || (own == "key_file" && of_oci);
        let proves_there = proves && same("endpoint") && same("signing");
        !known || (same("kind") && (proves_there || (!proves && Settings::is_reloaded(key))))
    }
}

fn is_credential(own: &str) -> bool {
    CREDENTIALS.contains(&own.split('.').next().unwrap_or_default())
}

/// The name of the backend that a key is of, and the rest of it.
fn of_backend(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix("backends.")?.split_once('.')
}

impl Effective {
    /// The keys whose values are not the same in another configuration, in order, without those that
    /// hold as soon as they were read again.
    pub fn restarts(&self, other: &Self) -> Vec<String> {
        InForce::new(self).take(other, &[])
    }
}

impl Settings {
    /// Whether the value of a key, of a backend that there is if it is one of a backend's, holds as soon as it was read
    /// again.
    #[must_use]
    pub fn is_reloaded(key: &str) -> bool {
        if let Some((_, own)) = of_backend(key) {
            let is_reloaded = manner::RELOADED.contains(&own) || OF_BACKENDS.contains(&own);
            return is_reloaded || is_credential(own);
        }
        let mut reloaded = (oci_keys::RELOADED.iter())
            .chain(&tls::RELOADED)
            .chain(&amqp::RELOADED)
            .chain(&BOUNDS)
            .chain(&OTHERS);
        let rest = reloaded.find_map(|reloaded| key.strip_prefix(reloaded));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// What holds once other settings were read: all of them, but for what takes a restart, which stays. Of backends
    /// that are new those are taken that `admit` has room for. A route waits for the restart with its backend, where
    /// that is not taken or is to be of another kind: until then it is as it was. Also returned is what waits so.
    pub(crate) fn taken_over(
        &self,
        read: &Self,
        admit: impl Fn(&str) -> bool,
    ) -> (Self, Vec<String>) {
        let (mut next, mut waiting) = (read.clone(), Vec::new());
        next.data = self.data.clone();
        next.http.listen = self.http.listen;
        next.amqp.listen = self.amqp.listen;
        next.admin.listen = self.admin.listen;
        next.console.clone_from(&self.console);
        next.retry = self.retry;
        next.callbacks.delivery = self.callbacks.delivery;
        next.egress = self.egress.clone();
        next.audit = self.audit.clone();
        next.log.format = self.log.format;
        next.oci.keys.required = self.oci.keys.required;
        next.backends = self.backends.clone();
        for (name, backend) in &read.backends {
            if let Some(own) = next.backends.get_mut(name) {
                own.take(backend);
            } else if admit(name) {
                next.backends.insert(name.clone(), backend.clone());
            } else {
                waiting.push(format!("backends.{name}"));
            }
        }
        for (name, route) in &read.routes {
            let there = next.backends.get(&route.backend).map(|backend| backend.kind.word());
            let meant = read.backends.get(&route.backend).map(|backend| backend.kind.word());
            if there != meant {
                next.routes.remove(name);
                if let Some(own) = self.routes.get(name) {
                    next.routes.insert(name.clone(), own.clone());
                }
                waiting.push(format!("routes.{name}"));
            }
        }
        (next, waiting)
    }
}

impl Backend {
    /// Takes over what holds as soon as it was read again, of a backend of the same kind.
    fn take(&mut self, read: &Self) {
        if self.kind.word() != read.kind.word() {
            return;
        }
        self.concurrency = read.concurrency;
        (self.manner.rate, self.manner.breaking) = (read.manner.rate, read.manner.breaking);
        if let (BackendKind::Worker(own), BackendKind::Worker(read)) = (&mut self.kind, &read.kind)
        {
            *own = *read;
        }
    }

    /// Calls as whom another one says that is of the same kind and calls the same upstream.
    pub(crate) fn renew(&self, read: &Self) {
        if self.kind.address() != read.kind.address() {
            return;
        }
        match (&self.kind, &read.kind) {
            (BackendKind::Nexus(own), BackendKind::Nexus(read)) => {
                own.credentials.renew(&read.credentials);
            }
            (BackendKind::Longrunning(own), BackendKind::Longrunning(read)) => {
                own.credentials.renew(&read.credentials);
            }
            (BackendKind::Oci(own), BackendKind::Oci(read)) => {
                if let (Some(own), Some(read)) = (&own.signer, &read.signer) {
                    own.renew(read);
                }
            }
            (BackendKind::Amqp(own), BackendKind::Amqp(read)) => own.sasl.renew(&read.sasl),
            (
                BackendKind::Showcase
                | BackendKind::Worker(_)
                | BackendKind::Nexus(_)
                | BackendKind::Oci(_)
                | BackendKind::Amqp(_)
                | BackendKind::Longrunning(_),
                _,
            ) => {}
        }
    }
}
