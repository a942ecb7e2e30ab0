//! What the daemon is told: a backend, and routes to it with a door on every face.

use super::cast::Backend;

/// The settings of a daemon in front of this backend, whose upstream is at this address.
pub(super) fn of(backend: &Backend, upstream: &str) -> String {
    let kind = backend.kind.replace("ENDPOINT", upstream);
    let mut config = format!(
        r#"
[callbacks]
allow = ["127.0.0.1:*"]
plaintext = true
networks = ["127.0.0.0/8"]
first = "100ms"
longest = "1s"
# One that was on its way when the daemon was killed is made again soon.
[retry]
first = "100ms"
longest = "1s"
[oci.services.redis]
path = "/20220315"
dialect = "modern"
[oci.services.redis-brief]
path = "/brief/20220315"
dialect = "modern"
[backends.up]
concurrency = 1000
{kind}
"#
    );
    for (name, prefix, timeout) in [("work", "", "10m"), ("brief", "/brief", "8s")] {
        let door = format!(
            r#"
[routes.{name}.grpc]
method = "matrix.v1.Matrix/{method}"
request_type = "google.protobuf.Struct"
response_type = "google.protobuf.Struct"
metadata_type = "google.protobuf.Struct"
input = "json"
[routes.{name}.http]
request = "POST /v1/matrix:{name}"
body = "*"
[routes.{name}.amqp]
type = "com.example:matrix"
operation = "{name}"
"#,
            method = if prefix.is_empty() { "Work" } else { "Brief" },
        );
        config += &route(backend, name, timeout, &door);
        // A route has one door of HTTP's.
        let door = format!(
            r#"
[routes.{name}-oci.http]
request = "POST {prefix}/20220315/redisClusters"
reply = "oci"
[routes.{name}-oci.http.input]
"$merge" = ["${{/body/definedTags/matrix}}", {{ compartmentId = "${{/body/compartmentId}}" }}]
"#
        );
        config += &route(backend, &format!("{name}-oci"), timeout, &door);
    }
    config
}

fn route(backend: &Backend, route: &str, timeout: &str, door: &str) -> String {
    let call = backend.call.replace("ROUTE", route);
    format!(
        "[routes.{route}]\nservice = \"matrix\"\noperation = \"{route}\"\nbackend = \"up\"\ntimeout = \
         \"{timeout}\"\n{door}{call}"
    )
}
