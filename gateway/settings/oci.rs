//! `[oci]`: work requests of OCI, whose services are at paths of the operator's choice.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use opgate_core::Parent;
use opgate_oci::wire::dialect::Dialect;
use opgate_oci::wire::ocid::{self, Ocids};
use opgate_oci::{Compartment, Service};

use super::oci_keys::{self, OciKeys};
use super::section::Section;

/// `[oci]`.
#[derive(Clone, Debug)]
pub struct Oci {
    /// How OCIDs look.
    pub ocids: Ocids,
    /// The services, by name.
    pub services: Vec<Service>,
    /// The paths of those that are switched off: no call beneath them starts anything.
    pub closed: Vec<String>,
    /// Compartments that stand for parents of other names.
    pub compartments: Vec<Compartment>,
    /// Who may call.
    pub keys: OciKeys,
}

/// How the paths begin that belong to others.
const TAKEN: [&str; 2] = ["nexus", "opgate"];

/// Reads `[oci]`. Requests come to `http`.
pub(super) fn oci(section: &Section<'_>, http: SocketAddr) -> Oci {
    let part = |key| {
        let word = section.text_or_empty(key);
        if let Err(problem) = ocid::check_part(&word)
            && !section.is_refused(key)
        {
            section.refuse(key, problem);
        }
        word
    };
    let (services, closed) = services(&section.named("services"));
    let oci = Oci {
        ocids: Ocids { realm: part("realm"), region: part("region") },
        services,
        closed,
        compartments: compartments(&section.named("compartments")),
        keys: oci_keys::keys(section, http),
    };
    section.finish();
    oci
}

/// The services, and the paths of those that are switched off.
fn services(sections: &BTreeMap<String, Section<'_>>) -> (Vec<Service>, Vec<String>) {
    let (mut services, mut closed): (Vec<Service>, _) = (Vec::new(), Vec::new());
    for (name, section) in sections {
        let enabled = section.optional("enabled", Section::flag).unwrap_or(true);
        let shows = section.optional("shows", Section::texts);
        let service = Service {
            name: name.clone(),
            path: section.text("path"),
            dialect: section
                .choice("dialect", &Dialect::ALL.map(|dialect| (dialect.name(), dialect))),
            shows: shows.map(|shows| shows.into_iter().collect()),
        };
        section.finish();
        if !enabled {
            closed.push(service.path);
            continue;
        }
        if section.is_refused("path") {
            continue;
        }
        if let Err(problem) = check_path(&service.path, &services) {
            section.refuse("path", problem);
        }
        services.push(service);
    }
    (services, closed)
}

fn check_path(path: &str, others: &[Service]) -> Result<(), String> {
    Service::check_path(path)?;
    let first = path.split('/').nth(1).unwrap_or_default();
    if TAKEN.contains(&first) {
        return Err(format!("begins with /{first}, which another protocol has"));
    }
    if is_version(first) {
        return Err(format!("begins with /{first}, which Google's REST has"));
    }
    match others.iter().find(|other| other.path == path) {
        Some(other) => Err(format!("is the path of service {} already", other.name)),
        None => Ok(()),
    }
}

/// Whether a segment is a version as Google's paths begin with one, such as `v1` or `v1beta2`.
fn is_version(segment: &str) -> bool {
    let Some(rest) = segment.strip_prefix('v') else { return false };
    rest.starts_with(|digit: char| digit.is_ascii_digit())
}

fn compartments(sections: &BTreeMap<String, Section<'_>>) -> Vec<Compartment> {
    let mut compartments: Vec<Compartment> = Vec::new();
    for section in sections.values() {
        let (id, name) = (section.text("id"), section.text_or_empty("parent"));
        section.finish();
        if !id.starts_with("ocid1.") || ocid::is_tenancy(&id) {
            if !section.is_refused("id") {
                section.refuse("id", "must be the OCID of a compartment, ocid1.compartment....");
            }
        } else if compartments.iter().any(|other| other.id == id) {
            section.refuse("id", "is the OCID of another compartment already");
        }
        match Parent::new(&name) {
            Ok(parent) => compartments.push(Compartment { id, parent }),
            Err(error) => section.refuse("parent", error.problem),
        }
    }
    compartments
}
