//! `[oci]`: services and compartments.

use opgate_oci::wire::dialect::Dialect;

use super::{file, load, problem, problems};

fn service(name: &str, path: &str) -> String {
    format!("[oci.services.{name}]\npath = \"{path}\"\ndialect = \"modern\"\n")
}

#[test]
fn identity_is_there_and_others_come_beside_it() {
    let (_file, sources) = file(&service("oke", "/oci/20180222"));
    let (settings, _) = load(&sources);
    let services: Vec<_> = settings
        .oci
        .services
        .iter()
        .map(|service| (&*service.name, &*service.path, service.dialect))
        .collect();
    let expected =
        [("identity", "/20160918", Dialect::Identity), ("oke", "/oci/20180222", Dialect::Modern)];
    assert_eq!(services, expected);
    let (_file, sources) = file("[oci.services.identity]\nenabled = false\n");
    assert!(load(&sources).0.oci.services.is_empty());
}

#[test]
fn a_path_that_cannot_be_is_told() {
    for path in ["/v1", "/v1/20180222", "/v1beta1/20180222", "/nexus/20180222", "/opgate/20180222"]
        .into_iter()
        .chain(["/2018022", "/20180222/", "20180222", "/20160918"])
    {
        let (_file, sources) = file(&service("second", path));
        assert_eq!(problem(&sources).key, "oci.services.second.path", "{path}");
    }
}

#[test]
fn what_is_wrong_is_told_by_its_key() {
    for (text, key) in [
        ("[oci]\nrealm = \"OC1\"\n", "oci.realm"),
        ("[oci]\nregion = \"a.b\"\n", "oci.region"),
        ("[oci]\nregoin = \"a\"\n", "oci.regoin"),
        ("[oci.services.identity]\ndialect = \"x\"\n", "oci.services.identity.dialect"),
        ("[oci.compartments.a]\nid = \"x\"\nparent = \"p\"\n", "oci.compartments.a.id"),
        (
            "[oci.compartments.a]\nid = \"ocid1.tenancy.oc1..a\"\nparent = \"p\"\n",
            "oci.compartments.a.id",
        ),
        (
            "[oci.compartments.a]\nid = \"ocid1.c\"\nparent = \"p\"\n\
             [oci.compartments.b]\nid = \"ocid1.c\"\nparent = \"q\"\n",
            "oci.compartments.b.id",
        ),
    ] {
        let (_file, sources) = file(text);
        let found: Vec<String> = problems(&sources).into_iter().map(|found| found.key).collect();
        assert_eq!(found, [key], "{text}");
    }
}

#[test]
fn a_request_that_a_service_would_take_cannot_be_another_protocols() {
    let route = |path: &str| {
        format!(
            "[routes.r]\nservice = \"s\"\noperation = \"o\"\nbackend = \"showcase\"\n\
             [routes.r.grpc]\nmethod = \"a.B/C\"\nrequest_type = \"google.protobuf.Struct\"\n\
             [routes.r.http]\nrequest = \"POST {path}\"\n"
        )
    };
    let (_file, sources) = file(&route("/20160918/things"));
    let problem = problem(&sources);
    assert_eq!(problem.key, "routes.r.http.request");
    assert!(problem.reason.contains("identity"), "{problem}");
    let (_file, sources) = file(&route("/v1/things"));
    load(&sources);
}
