//! `opgate routes`: by which request of each protocol a route is started, and what carries it out.

use opgate::settings::{Route, Settings};
use opgate_amqp::management::{DoorSettings, ReplyWhen};
use opgate_bus::QUEUE;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::table;

/// What stands for itself in a segment of a path (RFC 3986, 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const HEADING: [&str; 4] = ["ROUTE", "BACKEND", "DOOR", "REQUEST"];
/// The widest each column may grow; the last takes what is left.
const MOST: [usize; 4] = [40, 40, 6, usize::MAX];

/// A request that starts a route's operations.
struct Door {
    /// The protocol.
    of: &'static str,
    request: String,
}

/// Every route with its doors: a line for each, or one JSON array with an object for each route.
pub(crate) fn show(settings: &Settings, as_json: bool) -> String {
    let rest = settings.rest();
    let routes = settings.routes.iter().map(|(name, route)| {
        let rest = rest.iter().filter(|(of, _)| of == name).map(|(_, request)| request.clone());
        (name, route, doors(route, rest))
    });
    if as_json {
        let routes: Vec<_> = routes.map(|(name, route, doors)| {
            let doors: Vec<_> = doors.iter().map(|door| json!({"door": door.of, "request": door.request})).collect();
            json!({
                "route": name,
                "service": route.kind.service(),
                "operation": route.kind.operation(),
                "backend": route.backend,
                "kind": settings.backends.get(&route.backend).map(|backend| backend.kind.word()),
                "queue": route.options.get(QUEUE),
                "doors": doors,
            })
        }).collect();
        return format!("{:#}\n", serde_json::Value::Array(routes));
    }
    let lines = routes.flat_map(|(name, route, doors)| {
        let backend = backend(settings, route);
        doors
            .into_iter()
            .map(move |door| [name.clone(), backend.clone(), door.of.to_owned(), door.request])
    });
    let rows: Vec<_> = std::iter::once(HEADING.map(str::to_owned)).chain(lines).collect();
    table::lines(&rows, [0; 4], MOST)
}

/// The name of a route's backend, and what it is: `workers (worker, queue paint)`.
fn backend(settings: &Settings, route: &Route) -> String {
    let name = &route.backend;
    let kind = settings.backends.get(name).map_or("", |backend| backend.kind.word());
    let queue = route.options.get(QUEUE).map(|queue| format!("queue {queue}"));
    let more: Vec<String> =
        (kind != name).then(|| kind.to_owned()).into_iter().chain(queue).collect();
    if more.is_empty() { name.clone() } else { format!("{name} ({})", more.join(", ")) }
}

fn doors(route: &Route, rest: impl Iterator<Item = String>) -> Vec<Door> {
    let door = |of, request| Door { of, request };
    let (service, operation) = (route.kind.service(), route.kind.operation());
    let segment = |text| utf8_percent_encode(text, SEGMENT);
    let mut doors = Vec::new();
    doors.extend(route.grpc.as_ref().map(|grpc| door("grpc", format!("/{}", grpc.method))));
    doors.extend(rest.map(|request| door("rest", request)));
    doors.extend(route.oci.as_ref().map(|oci| door("oci", oci.request.clone())));
    doors.push(door("nexus", format!("POST /nexus/{}/{}", segment(service), segment(operation))));
    doors.extend(route.amqp.as_ref().map(|amqp| door("amqp", management(amqp))));
    doors.push(door("native", format!("POST /opgate/v1/operations {service}/{operation}")));
    doors
}

/// What a management request must have.
fn management(door: &DoorSettings) -> String {
    let node = door.node.as_deref().unwrap_or("any $management");
    let of_type = door.entity_type.as_ref().map(|word| format!(" type={word}")).unwrap_or_default();
    let when = match door.reply {
        ReplyWhen::Accepted => "accepted",
        ReplyWhen::Completed => "completed",
    };
    format!("{node} operation={}{of_type}, reply when {when}", door.operation)
}
