//! `[routes.NAME.http]` and `[[routes.NAME.resources]]`: what starts a route, and what it works on.

use serde_json::json;

use super::{file, load, problem, problems};

/// A route with these keys.
fn route(keys: &str) -> String {
    format!(
        "[routes.r]\nservice = \"s\"\noperation = \"o\"\nbackend = \"showcase\"\n{keys}\n\
         [routes.r.showcase]\nduration = \"1s\"\n"
    )
}

fn http(keys: &str) -> String {
    route(&format!("[routes.r.http]\n{keys}"))
}

const DOOR: &str = "reply = \"oci\"\nrequest = \"POST /20160918/things/{thingId}\"\n";

#[test]
fn a_call_of_oci_starts_a_route_without_a_grpc_method() {
    let (_file, sources) = file(&http(&format!(
        "{DOOR}input = {{ thing = \"${{/path/thingId}}\", all = \"${{/body}}\" }}\n\
         compartment = \"${{/all/compartmentId}}\"\nrequired = [\"thing\", \"all\"]"
    )));
    let (settings, _) = load(&sources);
    let route = &settings.routes["r"];
    assert!(route.grpc.is_none() && route.http.is_none());
    let door = route.oci.as_ref().unwrap();
    assert_eq!((&*door.route, &*door.request), ("r", "POST /20160918/things/{thingId}"));
    let input = json!({"thing": "${/path/thingId}", "all": "${/body}"});
    assert_eq!(door.input.as_ref(), Some(&input));
    assert_eq!(door.compartment.as_deref(), Some("${/all/compartmentId}"));
    assert_eq!(door.required, ["thing", "all"]);
}

#[test]
fn a_route_shares_jobs_by_what_is_in_the_input() {
    let (_file, sources) = file(&route("share = \"${/project}/${/digest}\""));
    let (settings, _) = load(&sources);
    assert_eq!(settings.routes["r"].share.as_deref(), Some("${/project}/${/digest}"));
    for (share, about) in [("all", "must refer to the input"), ("${x}", ""), ("", "")] {
        let (_file, sources) = file(&route(&format!("share = \"{share}\"")));
        let problem = problem(&sources);
        assert_eq!(problem.key, "routes.r.share");
        assert!(problem.reason.contains(about), "{problem}");
    }
}

#[test]
fn an_input_may_be_one_placeholder() {
    let (_file, sources) = file(&http(&format!("{DOOR}input = \"${{/body}}\"")));
    let (settings, _) = load(&sources);
    let door = settings.routes["r"].oci.as_ref().unwrap();
    assert_eq!(door.input, Some(json!("${/body}")));
}

#[test]
fn what_cannot_start_anything_is_told_by_its_key() {
    for (keys, key, about) in [
        ("reply = \"soap\"", "http.reply", "one of \"longrunning\", \"oci\""),
        ("reply = \"oci\"", "http.request", "must be a method and a path"),
        (
            "reply = \"oci\"\nrequest = \"POST /20160919/x\"",
            "http.request",
            "lies beneath no OCI service; they are at /20160918",
        ),
        ("reply = \"oci\"\nrequest = \"GET /20160918/x\"", "http.request", "\"GET\""),
        (
            "reply = \"oci\"\nrequest = \"DELETE /20160918/workRequests/{id}\"",
            "http.request",
            "where work requests are read",
        ),
        (
            "reply = \"oci\"\nrequest = \"DELETE /20160918/compartments/{id}\"",
            "http.request",
            "takes the same requests as route delete-compartment",
        ),
        (&format!("{DOOR}body = \"*\""), "http.body", "is for reply = \"longrunning\""),
        (&format!("{DOOR}input = \"${{/path/x}}\""), "http.input", "the path has no {x}"),
        (&format!("{DOOR}input = \"${{/x}}\""), "http.input", "there are only ${/path/...}"),
        (&format!("{DOOR}compartment = \"${{id}}\""), "http.compartment", "there is none before"),
        (&format!("{DOOR}compartment = 1"), "http.compartment", "a text"),
        (&format!("{DOOR}required = \"a\""), "http.required", "a list of texts"),
        (&format!("{DOOR}requierd = [\"a\"]"), "http.requierd", "is not known"),
    ] {
        let (_file, sources) = file(&http(keys));
        let problem = problem(&sources);
        assert_eq!(problem.key, format!("routes.r.{key}"), "{keys}");
        assert!(problem.reason.contains(about), "{keys}: {problem}");
    }
}

#[test]
fn a_service_that_is_off_or_elsewhere_leaves_its_calls_without_a_door() {
    let off = "[oci.services.identity]\nenabled = false\n";
    let (_file, sources) = file(&format!("{off}{}", http(DOOR)));
    assert!(load(&sources).0.routes["r"].oci.is_some());
    // That somebody has moved a service is no reason to drop calls silently.
    let (_file, sources) = file("[oci.services.identity]\npath = \"/oci/20160918\"\n");
    let found: Vec<String> = problems(&sources).into_iter().map(|found| found.key).collect();
    let expected =
        ["delete-compartment", "delete-tag-definition"].map(|r| format!("routes.{r}.http.request"));
    assert_eq!(found, expected);
}

#[test]
fn what_is_ocis_alone_has_no_effect_elsewhere() {
    let grpc =
        "[routes.r.grpc]\nmethod = \"acme.v1.S/M\"\nrequest_type = \"google.protobuf.Struct\"";
    let form = "[routes.r.http]\nrequest = \"POST /v1/things\"\nbody = \"*\"";
    for key in ["input = {}", "compartment = \"c\"", "required = [\"a\"]"] {
        let (_file, sources) = file(&route(&format!("{grpc}\n{form}\n{key}")));
        let problem = problem(&sources);
        let name = key.split(' ').next().unwrap();
        assert_eq!(problem.key, format!("routes.r.http.{name}"));
        assert!(problem.reason.contains("is for reply = \"oci\""), "{problem}");
    }
}

fn resource(keys: &str) -> String {
    route(&format!("[[routes.r.resources]]\n{keys}"))
}

#[test]
fn a_route_says_what_it_works_on() {
    let (_file, sources) = file(&resource(
        "entity_type = \"cluster\"\naction = \"CREATED\"\nidentifier = \"c.${id}\"\n\
         [[routes.r.resources]]\nentity_type = \"${/type}\"\naction = \"RELATED\"\n\
         identifier = \"${/id}\"\nuri = \"/x/${/id}\"",
    ));
    let (settings, effective) = load(&sources);
    let [first, second] = &*settings.routes["r"].resources else { panic!("two rules") };
    assert_eq!((&*first.entity_type, &*first.uri), ("cluster", ""));
    assert_eq!((&*second.action, &*second.uri), ("RELATED", "/x/${/id}"));
    // What is shown can be read back.
    let (_file, sources) = file(&effective.to_string());
    assert_eq!(load(&sources).0.routes["r"].resources, settings.routes["r"].resources);
}

#[test]
fn a_resource_that_cannot_be_is_told_with_its_place() {
    const GOOD: &str = "entity_type = \"t\"\naction = \"DELETED\"\nidentifier = \"i\"\n";
    for (keys, key, about) in [
        (GOOD.replace("DELETED", "deleted"), "action", "such as CREATED"),
        (GOOD.replace("DELETED", "IN_PROGRESS"), "action", "such as CREATED"),
        (GOOD.replace("\"i\"", "\"${i}\""), "identifier", "a placeholder is one of"),
        (GOOD.replace("\"t\"", "\"${/t\""), "entity_type", "ends with `}`"),
        (GOOD.replace("\"t\"", "\"${/a/*}\""), "entity_type", "the identifier does not"),
        (GOOD.replace("identifier", "id"), "id", "is not known"),
        (format!("{GOOD}uri = 1"), "uri", "a text"),
    ] {
        let (_file, sources) = file(&resource(&keys));
        let found = problems(&sources);
        let path = format!("routes.r.resources[0].{key}");
        let problem = found.iter().find(|problem| problem.key == path);
        let problem = problem.unwrap_or_else(|| panic!("{keys}: {found:?}"));
        assert!(problem.reason.contains(about), "{problem}");
    }
    let (_file, sources) = file(&route("resources = 1"));
    assert_eq!(problem(&sources).key, "routes.r.resources");
}

#[test]
fn a_shipped_call_is_given_another_backend() {
    let (_file, sources) = file(
        "[backends.own]\nkind = \"worker\"\nconcurrency = 1\n[routes.delete-compartment]\nbackend = \"own\"\n",
    );
    assert_eq!(load(&sources).0.routes["delete-compartment"].backend, "own");
    // What an operator says for another kind of backend is a mistake all the same.
    let (_file, sources) = file(
        "[backends.own]\nkind = \"worker\"\nconcurrency = 1\n[routes.delete-compartment]\nbackend = \"own\"\n\
         [routes.delete-compartment.showcase]\nduration = \"1s\"\n",
    );
    assert!(problems(&sources).iter().any(|problem| problem.key.ends_with("showcase")));
}
