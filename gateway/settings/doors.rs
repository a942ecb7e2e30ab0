//! What only other settings tell: whether types and fields that routes name are in the descriptors, and
//! whether paths lie beneath services.

use std::collections::BTreeMap;

use opgate_longrunning::{DoorSettings, Longrunning, Types};
use opgate_native::Native;
use opgate_nexus::Nexus;
use opgate_nexus::backend::Completions;
use opgate_oci::Oci;

use super::section::Section;
use super::{BackendKind, Settings};

/// Keys of a door whose problem may be about them.
const KEYS: [&str; 7] =
    ["request_type", "response_type", "metadata_type", "parent", "request_id", "input", "stream"];
/// What a problem of the door's HTTP request begins with.
const HTTP: &str = "http: ";
/// Those that are about the request, and wrong for sure where its type is.
const OF_THE_REQUEST: [&str; 3] = ["parent", "request_id", "input"];

/// Notes what is wrong with the calls of OCI's that start routes, and which others they would hide.
pub(super) fn check_calls(settings: &Settings, routes: &BTreeMap<String, Section<'_>>) {
    for (name, route) in &settings.routes {
        let path = route.http.as_ref().and_then(|form| form.request.split_once(' '));
        let taken = path.and_then(|(_, path)| {
            let others = [Completions::PATH, Nexus::PATH].into_iter().chain(Native::PATHS);
            others.into_iter().find(|other| path.trim_start().starts_with(other))
        });
        if let (Some(taken), Some(section)) = (taken, routes.get(name)) {
            let reason = format!("lies beneath {taken}, where opgate itself answers");
            section.section("http").refuse("request", reason);
        }
        let service = path
            .and_then(|(_, path)| settings.oci.services.iter().find(|service| service.has(path)));
        if let (Some(service), Some(section)) = (service, routes.get(name)) {
            let reason = format!(
                "lies beneath the path of the OCI service {}, which takes all such requests; with \
                 reply = \"oci\" it is a call of that service",
                service.name
            );
            section.section("http").refuse("request", reason);
        }
    }
    for problem in Oci::check(&settings.oci()).err().into_iter().flatten() {
        let Some(route) = routes.get(&problem.route) else { continue };
        let section = route.section("http");
        // A value that cannot even be read is noted already.
        if !section.is_refused(problem.key) {
            section.refuse(problem.key, problem.text);
        }
    }
}

/// Notes every problem of the doors and the descriptors, each with the key it is about.
pub(super) fn check(
    settings: &Settings,
    root: &Section<'_>,
    routes: &BTreeMap<String, Section<'_>>,
) {
    let mut grpc = settings.grpc();
    let section = |door: &DoorSettings| Some(routes.get(&door.route)?.section("grpc"));
    // A method that is none, or is another door's, is noted already.
    grpc.doors.retain(|door| section(door).is_some_and(|door| !door.is_refused("method")));
    let has_route = |name: &str| settings.routes.contains_key(name);
    let Err(problems) = Longrunning::check(&grpc, has_route) else { return };
    let mut blamed = Vec::new();
    for problem in &problems {
        if let Some((form, problem)) = of_http(&grpc.doors, routes, problem) {
            let named = problem.split_once(": ").filter(|(key, _)| *key == "body");
            let (key, problem) = named.unwrap_or(("request", problem));
            if !form.is_refused(key) {
                form.refuse(key, problem);
            }
            continue;
        }
        let door = grpc.doors.iter().find_map(|door| {
            let problem = problem.strip_prefix("grpc method ")?.strip_prefix(&*door.method)?;
            Some((section(door)?, problem.strip_prefix(": ")?))
        });
        if let Some(problem) = problem.strip_prefix("buildgrid instance ") {
            root.section("buildgrid").refuse("instances", problem);
            continue;
        }
        let Some((door, problem)) = door else {
            let problem = problem.strip_prefix("descriptor set ").unwrap_or(problem);
            root.section("descriptors").refuse("files", problem);
            continue;
        };
        let named = problem.split_once(": ").filter(|(key, _)| KEYS.contains(key));
        let (key, problem) = named.unwrap_or(("method", problem));
        // A value that cannot even be read is noted already.
        if !door.is_refused(key) {
            blamed.push((door, key, problem));
        }
    }
    for (door, key, problem) in blamed {
        if !(OF_THE_REQUEST.contains(&key) && door.is_refused("request_type")) {
            door.refuse(key, problem);
        }
    }
}

/// Notes where a route makes something of its input's fields, and the requests of its gRPC method have no such fields.
pub(super) fn check_templates(settings: &Settings, routes: &BTreeMap<String, Section<'_>>) {
    let grpc = settings.grpc();
    let types = Types::of(&grpc.descriptor_sets);
    for door in &grpc.doors {
        let (Some(route), Some(section)) =
            (settings.routes.get(&door.route), routes.get(&door.route))
        else {
            continue;
        };
        // Whoever starts it otherwise may well give these fields.
        if route.amqp.is_some() || route.oci.is_some() {
            continue;
        }
        let Some(table) = settings.backends.get(&route.backend).map(|known| known.kind.table())
        else {
            continue;
        };
        for (key, template) in &route.options {
            let Some(problem) = types.missing_field(door, template) else { continue };
            // What a showcase is told is one table.
            if table == BackendKind::Showcase.table() {
                section.refuse(table, problem);
            } else {
                section.section(table).refuse(key, problem);
            }
        }
    }
}

/// The section that a problem of a door's HTTP request is about, where there is one, and the problem.
fn of_http<'a, 'p>(
    doors: &[DoorSettings],
    routes: &BTreeMap<String, Section<'a>>,
    problem: &'p str,
) -> Option<(Section<'a>, &'p str)> {
    doors.iter().filter(|door| door.http.is_some()).find_map(|door| {
        let problem = problem.strip_prefix("grpc method ")?.strip_prefix(&*door.method)?;
        let problem = problem.strip_prefix(": ")?.strip_prefix(HTTP)?;
        Some((routes.get(&door.route)?.section("http"), problem))
    })
}
