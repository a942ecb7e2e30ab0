//! What of `[oci]` decides who may call: tenancies, users and their keys, issuers of session tokens.
//!
//! All of it can be read again while the gateway serves: see [`RELOADED`].

use std::collections::BTreeMap;
use std::net::SocketAddr;

use opgate_core::Tenant;
use opgate_oci::Tenancy;
use opgate_oci::signature::{Issuer, Keyring, PublicKey, Strength};

use super::nexus::{from_file, is_loopback};
use super::section::Section;
use super::{HOUR, SECOND};

/// How the keys begin whose values hold as soon as the settings were read again.
pub(super) const RELOADED: [&str; 5] =
    ["oci.clock_skew", "oci.hosts", "oci.tenancies", "oci.users", "oci.issuers"];
/// Most keys of one user, or of one issuer: each is tried where a token does not say which it is.
const KEYS: usize = 16;

/// Who may call.
#[derive(Clone, Debug)]
pub struct OciKeys {
    /// Whether requests must be signed. If not, everybody is the anonymous tenant's anonymous caller.
    pub required: bool,
    /// The tenancies, by name.
    pub tenancies: Vec<Tenancy>,
    /// The keys, and how requests are judged by them.
    pub keyring: Keyring,
}

/// `oci.signatures`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signatures {
    Auto,
    Required,
    Off,
}

/// Reads its part of `[oci]`. Requests come to `http`.
pub(super) fn keys(section: &Section<'_>, http: SocketAddr) -> OciKeys {
    let signatures = section.choice(
        "signatures",
        &[("auto", Signatures::Auto), ("required", Signatures::Required), ("off", Signatures::Off)],
    );
    if signatures == Signatures::Off && !is_loopback(http) {
        let reason = format!(
            "leaves everybody in who reaches http.listen, {http}: on an address other than \
             loopback it must be \"auto\" or \"required\""
        );
        section.refuse("signatures", reason);
    }
    let skew = section.duration("clock_skew", SECOND..=HOUR);
    let hosts = hosts(section);
    let tenancies = tenancies(&section.named("tenancies"));
    let known = tenancies.values().flatten();
    let known = known.map(|tenancy| (tenancy.id.clone(), tenancy.tenant.clone()));
    let mut keyring = Keyring::new(known, skew, hosts);
    users(&section.named("users"), &tenancies, &mut keyring);
    for section in section.named("issuers").values() {
        keyring.insert_issuer(issuer(section));
    }
    let tenancies = tenancies.into_values().flatten().collect();
    let required = match signatures {
        // Who configures keys means them to be asked for.
        Signatures::Auto => !is_loopback(http) || !keyring.is_empty(),
        Signatures::Required => true,
        Signatures::Off => false,
    };
    OciKeys { required, tenancies, keyring }
}

fn hosts(section: &Section<'_>) -> Vec<String> {
    let hosts = section.texts("hosts");
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte);
    let odd = hosts.iter().find(|host| host.is_empty() || !host.bytes().all(known));
    if let Some(odd) = odd {
        let reason =
            format!("{odd:?} is no host: write it as clients send it, \"name\" or \"name:port\"");
        section.refuse("hosts", reason);
    }
    hosts
}

/// An OCID of one type.
fn ocid(section: &Section<'_>, kind: &str) -> String {
    let id = section.text("id");
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let begins = format!("ocid1.{kind}.");
    let is_one = id.starts_with(&begins) && id.len() <= 255 && id.bytes().all(known);
    if !is_one && !section.is_refused("id") {
        let article = if kind == "user" { "a user" } else { "a tenancy" };
        section.refuse("id", format!("must be the OCID of {article}, {begins}..."));
    }
    id
}

/// The tenancies by the name an operator gave each; none for one that something is wrong with.
fn tenancies(sections: &BTreeMap<String, Section<'_>>) -> BTreeMap<String, Option<Tenancy>> {
    let mut tenancies: BTreeMap<String, Option<Tenancy>> = BTreeMap::new();
    for (name, section) in sections {
        let (id, tenant) = (ocid(section, "tenancy"), section.text("tenant"));
        section.finish();
        if tenancies.values().flatten().any(|other| other.id == id) {
            section.refuse("id", "is the OCID of another tenancy already");
        }
        let tenancy = match Tenant::new(&tenant) {
            Ok(tenant) => Some(Tenancy { id, tenant }),
            Err(error) => {
                if !section.is_refused("tenant") {
                    section.refuse("tenant", error.problem);
                }
                None
            }
        };
        tenancies.insert(name.clone(), tenancy);
    }
    tenancies
}

fn users(
    sections: &BTreeMap<String, Section<'_>>,
    tenancies: &BTreeMap<String, Option<Tenancy>>,
    keyring: &mut Keyring,
) {
    let mut known: Vec<(String, String)> = Vec::new();
    for section in sections.values() {
        let (id, tenancy) = (ocid(section, "user"), section.text("tenancy"));
        let keys = key_files(section);
        section.finish();
        if let Some(Some(tenancy)) = tenancies.get(&tenancy) {
            for key in keys {
                keyring.insert_key(&tenancy.id, &id, key);
            }
        } else if !tenancies.contains_key(&tenancy) && !section.is_refused("tenancy") {
            let names: Vec<&str> = tenancies.keys().map(String::as_str).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            section.refuse("tenancy", format!("is no name in [oci.tenancies]: there is {names}"));
        }
        let user = (tenancy, id);
        if known.contains(&user) {
            section.refuse("id", "is the OCID of another user already: one may have several keys");
        }
        known.push(user);
    }
}

fn issuer(section: &Section<'_>) -> Issuer {
    let issuer = Issuer {
        issuer: section.text("issuer"),
        audience: section.text("audience"),
        keys: key_files(section),
    };
    section.finish();
    issuer
}

/// The public keys in the files that are named.
fn key_files(section: &Section<'_>) -> Vec<PublicKey> {
    const KEY: &str = "key_files";
    let mut keys: Vec<PublicKey> = Vec::new();
    let mut problems = Vec::new();
    let files = section.texts(KEY);
    for path in &files {
        let key = from_file(path).and_then(|pem| {
            let key = PublicKey::from_pem(&pem, Strength::Strong);
            key.map_err(|problem| format!("{path}: {problem}"))
        });
        match key {
            Ok(key) if keys.contains(&key) => {
                problems.push(format!("{path}: holds the key of another file"));
            }
            Ok(key) => keys.push(key),
            Err(problem) => problems.push(problem),
        }
    }
    if section.is_refused(KEY) {
        return keys;
    }
    if files.is_empty() || files.len() > KEYS {
        problems.push(format!("must be 1 to {KEYS} files, each with a public key in PEM"));
    }
    for problem in problems {
        section.refuse(KEY, problem);
    }
    keys
}
