//! Where a URL that a caller gave may lead: no further than its giver could reach without opgate.

mod address;
mod pattern;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::Uri;
use ipnet::IpNet;

use crate::destination::{Destination, Host};
use crate::problem::Refusal;

pub use pattern::Pattern;

/// Longest URL, in bytes: what Temporal takes.
pub const URL_BYTES: usize = 1000;

/// The rules; by default nothing is allowed. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Guard(Arc<Rules>);

#[derive(Debug, Default)]
struct Rules {
    allow: Vec<Pattern>,
    plaintext: bool,
    networks: Vec<IpNet>,
}

impl Guard {
    /// Allows what matches one of `allow`, over TLS or, with `plaintext`, also without. Addresses
    /// that are not of the public internet are refused unless one of `networks` has them.
    pub fn new(allow: Vec<Pattern>, plaintext: bool, networks: Vec<IpNet>) -> Self {
        Self(Arc::new(Rules { allow, plaintext, networks }))
    }

    /// Whether a URL may be called, as far as can be told without looking its host up: for the
    /// moment in which a caller gives it. Each call of it is checked anew.
    ///
    /// # Errors
    /// What is wrong, and what is allowed.
    pub fn admit(&self, url: &str) -> Result<Destination, Refusal> {
        if self.0.allow.is_empty() {
            return Err(Refusal::new(
                "is not taken: this gateway calls nobody back (callbacks.allow is empty)",
            ));
        }
        if url.len() > URL_BYTES {
            let problem = format!("is {} bytes long, {URL_BYTES} are allowed", url.len());
            return Err(Refusal::new(problem));
        }
        // A backslash is a slash to some readers; what is no ASCII is several things to several.
        if !url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return Err(Refusal::new("has a character in it that no URL has: encode it with %"));
        }
        if url.contains('#') {
            return Err(Refusal::new("has a fragment (#), which is never sent: leave it out"));
        }
        let url: Uri = url.parse().map_err(|error| Refusal::new(format!("is no URL: {error}")))?;
        self.destination(&url)
    }

    fn destination(&self, url: &Uri) -> Result<Destination, Refusal> {
        let destination = Destination::of(url)?;
        if !destination.tls && !self.0.plaintext {
            return Err(Refusal::new("must be https: calls without TLS are not allowed here"));
        }
        if !self.0.allow.iter().any(|pattern| pattern.takes(&destination)) {
            let allowed: Vec<String> = self.0.allow.iter().map(ToString::to_string).collect();
            let allowed = allowed.join(", ");
            let problem =
                format!("leads to {destination}, which is not allowed here; allowed: {allowed}");
            return Err(Refusal::new(problem));
        }
        if let Host::Address(address) = destination.host {
            self.check(&destination, address)?;
        }
        let here = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        if destination.host.is_localhost() {
            // One of the two will do: which of them the name has is the resolver's to say.
            if let [Err(refusal), Err(_)] = here.map(|address| self.check(&destination, address)) {
                return Err(refusal);
            }
        }
        Ok(destination)
    }

    /// Whether an address that a destination has may be connected to.
    ///
    /// # Errors
    /// Which kind of address it is.
    pub(crate) fn check(&self, destination: &Destination, address: IpAddr) -> Result<(), Refusal> {
        let address = address.to_canonical();
        let Some(kind) = address::not_public(address) else { return Ok(()) };
        if self.0.networks.iter().any(|network| network.contains(&address)) {
            return Ok(());
        }
        let problem =
            format!("{destination} leads to {address}, {kind}, which is not allowed here");
        Err(Refusal::new(problem))
    }
}
