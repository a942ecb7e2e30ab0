//! `[routes.NAME.http]`: the HTTP request that starts a route, and in whose manner it is answered.

use opgate_longrunning::HttpForm;
use opgate_oci::DoorSettings;

use super::section::Section;
use super::text;

/// In whose manner a start is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reply {
    Longrunning,
    Oci,
}

const REPLIES: [(&str, Reply); 2] = [("longrunning", Reply::Longrunning), ("oci", Reply::Oci)];
/// The keys that only one of them has.
const KEYS: [(&str, Reply); 4] = [
    ("body", Reply::Longrunning),
    ("input", Reply::Oci),
    ("compartment", Reply::Oci),
    ("required", Reply::Oci),
];

/// A request that starts operations.
pub(super) enum Form {
    /// Another form of the route's gRPC method.
    Longrunning(HttpForm),
    /// A call of OCI's.
    Oci(DoorSettings),
}

/// Reads the section of a route; none where it has none. Whether a form fits its method is told when
/// the descriptors are known, and whether a door lies beneath a service when those are.
pub(super) fn form(name: &str, route: &Section<'_>) -> Option<Form> {
    let section = route.section("http");
    let request = section.optional("request", Section::text).unwrap_or_default();
    let reply = section
        .optional("reply", |section, key| section.choice(key, &REPLIES))
        .unwrap_or(Reply::Longrunning);
    let body = section.optional("body", Section::text);
    let door = DoorSettings {
        route: name.to_owned(),
        request: request.clone(),
        input: section.value("input").map(text::json),
        compartment: section.optional("compartment", Section::text),
        required: section.optional("required", Section::texts).unwrap_or_default(),
    };
    section.finish();
    if !route.has("http") || section.is_refused("reply") {
        return None;
    }
    for (key, of) in KEYS {
        if of != reply && section.has(key) {
            let word = REPLIES.iter().find(|(_, reply)| *reply == of).map_or("", |(word, _)| word);
            section.refuse(key, format!("has no effect: it is for reply = {word:?}"));
        }
    }
    if reply == Reply::Oci {
        return Some(Form::Oci(door));
    }
    if let Err(problem) = HttpForm::check(&request)
        && !section.is_refused("request")
    {
        section.refuse("request", problem);
    }
    if !route.has("grpc") {
        let reason = "needs a grpc section: it is another form of that method, unless it has \
                      reply = \"oci\"";
        route.refuse("http", reason);
    }
    Some(Form::Longrunning(HttpForm { request, body }))
}
