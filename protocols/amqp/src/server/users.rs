//! Who may come, and how they prove it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use fe2o3_amqp_types::definitions::{AmqpError, Error};
use opgate_bus::Caller;
use ring::hmac;
use tokio::sync::watch;

use super::refuse::error;
use super::sasl::{Identity, Origin};
use super::settings::{Anonymous, User};

/// The users of the listener. Can be replaced while it serves: connections that are open stay who they are, but those
/// of a user that is there no longer, or has another tenant, are closed. A password counts only when a connection is
/// opened.
#[derive(Debug)]
pub struct Users {
    known: watch::Sender<Arc<Known>>,
}

#[derive(Debug)]
pub(super) struct Known {
    anonymous: Anonymous,
    users: BTreeMap<String, User>,
}

impl Users {
    /// These.
    pub fn new(anonymous: Anonymous, users: BTreeMap<String, User>) -> Self {
        Self { known: watch::Sender::new(Arc::new(Known { anonymous, users })) }
    }

    /// These from now on.
    pub fn replace(&self, anonymous: Anonymous, users: BTreeMap<String, User>) {
        self.known.send_replace(Arc::new(Known { anonymous, users }));
    }

    /// Tells when they are replaced, from now on.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Known>> {
        self.known.subscribe()
    }

    /// Whether a peer that came as this one may stay.
    pub(super) fn welcome(&self, origin: &Origin, identity: &Identity) -> bool {
        let known = self.known();
        match identity {
            Identity::Unproven => known.has_passwords(),
            Identity::Known(known_as) => {
                let name = &known_as.principal;
                known.users.get(&**name).is_some_and(|user| caller(name, user) == *known_as)
                    || known.anonymous(origin).as_ref() == Some(identity)
            }
        }
    }

    /// Whether there is a password that somebody could guess.
    pub(super) fn has_passwords(&self) -> bool {
        self.known().has_passwords()
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.borrow())
    }

    /// What that peer may choose from, best first.
    pub(super) fn mechanisms(&self, origin: &Origin) -> Vec<&'static str> {
        let known = self.known();
        let mut mechanisms = Vec::new();
        if known.by_certificate(origin, &[]).is_some() {
            mechanisms.push("EXTERNAL");
        }
        if known.has_passwords() {
            mechanisms.push("PLAIN");
        }
        if known.anonymous(origin).is_some() {
            mechanisms.extend(["ANONYMOUS", "MSSBCBS"]);
        }
        mechanisms
    }

    /// A peer that says nothing of itself.
    pub(super) fn anonymous(&self, origin: &Origin) -> Option<Identity> {
        self.known().anonymous(origin)
    }

    /// A peer with a name and a password. The time it takes tells nothing of either.
    pub(super) fn plain(&self, name: &str, password: &[u8]) -> Option<Identity> {
        let known = self.known();
        let user = known.users.get(name);
        let expected = user.and_then(|user| user.password.as_deref());
        // Compared under a key of no meaning, so that neither length nor a common beginning shows.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"opgate");
        let tag = hmac::sign(&key, expected.unwrap_or_default().as_bytes());
        let same = hmac::verify(&key, password, tag.as_ref()).is_ok();
        (same && expected.is_some())
            .then(|| user.map(|user| Identity::Known(caller(name, user))))?
    }

    /// A peer whose certificate says who it is. Where that may be several, it is the one that it names, or else the
    /// first by name.
    pub(super) fn external(&self, origin: &Origin, named: &[u8]) -> Option<Identity> {
        let known = self.known();
        known.by_certificate(origin, named).map(|(name, user)| Identity::Known(caller(name, user)))
    }

    /// The user of that name, and its password: for tokens signed with it.
    pub(super) fn signer(&self, name: &str) -> Option<(Caller, Arc<str>)> {
        let known = self.known();
        let user = known.users.get(name)?;
        Some((caller(name, user), user.password.clone()?))
    }
}

impl Known {
    fn has_passwords(&self) -> bool {
        self.users.values().any(|user| user.password.is_some())
    }

    fn anonymous(&self, origin: &Origin) -> Option<Identity> {
        let welcome = match self.anonymous {
            Anonymous::Auto => self.users.is_empty(),
            Anonymous::Loopback => true,
            Anonymous::Off => false,
        };
        if welcome && is_loopback(origin.address) {
            return Some(Identity::anonymous());
        }
        // A token may follow.
        self.has_passwords().then_some(Identity::Unproven)
    }

    fn by_certificate(&self, origin: &Origin, named: &[u8]) -> Option<(&str, &User)> {
        let certificate = origin.certificate.as_ref()?;
        let meant = |name: &str| named.is_empty() || named == name.as_bytes();
        let proven =
            |user: &User| user.certificate_names.iter().any(|name| certificate.is_for(name));
        let mut users = self.users.iter().map(|(name, user)| (name.as_str(), user));
        users.find(|(name, user)| meant(name) && proven(user))
    }
}

fn caller(name: &str, user: &User) -> Caller {
    let (tenant, works_on) = (user.tenant.clone(), user.works_on.clone());
    Caller { tenant, principal: Arc::from(name), works_on }
}

/// Whether a caller may work on a queue.
///
/// # Errors
/// `amqp:unauthorized-access`: it may not.
pub(super) fn may_work_on(caller: &Caller, queue: &str) -> Result<(), Error> {
    caller
        .may_work_on(queue)
        .map_err(|refused| error(AmqpError::UnauthorizedAccess, refused.message.clone()))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use opgate_core::Tenant;
    use opgate_edge::ClientCertificate;

    use super::*;

    #[test]
    fn a_certificate_of_several_users_is_the_one_that_is_named() {
        let user = |name: &str| User {
            password: None,
            tenant: Tenant::new("acme").unwrap(),
            works_on: opgate_bus::WorksOn::nothing(),
            certificate_names: vec![name.to_owned()],
        };
        let users = [("ada", "a.example"), ("bob", "a.example"), ("eve", "e.example")];
        let users = users.map(|(name, certificate)| (name.to_owned(), user(certificate)));
        let users = Users::new(Anonymous::Off, users.into());
        let certificate = ClientCertificate { dns: vec!["a.example".into()], uris: Vec::new() };
        let origin = Origin {
            peer: None,
            address: Ipv4Addr::LOCALHOST.into(),
            certificate: Some(certificate),
        };
        for (named, who) in
            [("", Some("ada")), ("ada", Some("ada")), ("bob", Some("bob")), ("eve", None)]
        {
            let external = users.external(&origin, named.as_bytes());
            let name = match external {
                Some(Identity::Known(caller)) => Some(caller.principal.to_string()),
                Some(Identity::Unproven) | None => None,
            };
            assert_eq!(name.as_deref(), who, "{named:?}");
        }
    }
}
