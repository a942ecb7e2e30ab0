//! The manifest: by Kubernetes' own schemas of the newest and an older release, and by what it has to say of the daemon.
//! No cluster has seen it here.

use std::process::Command;

use serde_json::Value;

use super::complaints;
use crate::clients::{environment, run};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/opgate.yaml");

/// All objects of the manifest. Python reads YAML, and so nothing here has to.
fn objects() -> Vec<Value> {
    let python = environment("requirements-kubernetes.txt").join("python");
    let program = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)";
    serde_json::from_str(&run(Command::new(python).args(["-c", program, MANIFEST]))).unwrap()
}

fn of(objects: &[Value], kind: &str) -> Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let (one, more) = (found.next(), found.next());
    assert!(more.is_none(), "several of kind {kind}");
    one.unwrap_or_else(|| panic!("nothing of kind {kind}")).clone()
}

#[test]
fn the_schemas_have_nothing_to_say() {
    let validate = environment("requirements-kubernetes.txt").join("kubernetes-validate");
    for version in ["1.37", "1.32"] {
        run(Command::new(&validate).args(["--strict", "-k", version, MANIFEST]));
    }
    // That it looks at all: a field that nobody knows is refused.
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("wrong.yaml");
    let text = std::fs::read_to_string(MANIFEST).unwrap().replace("serviceName:", "servicename:");
    std::fs::write(&wrong, text).unwrap();
    let refused = Command::new(&validate).args(["--strict", "-k", "1.37"]).arg(&wrong).output();
    assert!(!refused.unwrap().status.success());
}

#[test]
fn it_stops_in_order_and_runs_as_little() {
    let objects = objects();
    let set = of(&objects, "StatefulSet");
    assert_eq!(set["spec"]["replicas"], 1, "two would be two gateways");
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["image"], format!("opgate:{}", env!("CARGO_PKG_VERSION")));
    let security = &container["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"]["drop"][0], "ALL");
    assert!(container["resources"]["limits"]["memory"].is_string());
    // Only readiness depends on the disk.
    let path = |probe: &str| container[probe]["httpGet"]["path"].clone();
    assert_eq!(
        ["startupProbe", "readinessProbe", "livenessProbe"].map(path),
        ["/readyz", "/readyz", "/livez"]
    );
    let mounts = container["volumeMounts"].as_array().unwrap().iter();
    let mounted: Vec<_> = mounts.map(|mount| mount["mountPath"].as_str().unwrap()).collect();
    assert_eq!(mounted, ["/var/lib/opgate", "/etc/opgate"], "where the image looks");
    let ports = container["ports"].as_array().unwrap().iter();
    let ports: Vec<_> = ports.map(|port| port["containerPort"].as_u64().unwrap()).collect();
    assert_eq!(ports, [8080, 5672, 9464]);

    let settings = of(&objects, "ConfigMap")["data"]["opgate.toml"].as_str().unwrap().to_owned();
    let drain = settings.split("[drain]").nth(1).unwrap();
    let seconds = |key: &str| -> u64 {
        let value =
            drain.lines().find_map(|line| line.strip_prefix(&format!("{key} = \""))).unwrap();
        value.trim_end_matches("s\"").parse().unwrap()
    };
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace >= seconds("notice") + seconds("timeout") + 15, "{grace} s");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("opgate.toml");
    std::fs::write(&file, settings).unwrap();
    assert_eq!(complaints(&file), None);
}

#[test]
fn everything_is_about_the_same_pods() {
    let objects = objects();
    let labels = of(&objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"].clone();
    let set = of(&objects, "StatefulSet");
    assert_eq!(set["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(of(&objects, "Service")["spec"]["selector"], labels);
    assert_eq!(of(&objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"], labels);
    let policy = of(&objects, "NetworkPolicy");
    assert_eq!(policy["spec"]["podSelector"]["matchLabels"], labels);
    assert_eq!(set["spec"]["serviceName"], of(&objects, "Service")["metadata"]["name"]);
    for object in &objects {
        if object["kind"] != "Namespace" {
            assert_eq!(object["metadata"]["namespace"], "opgate", "{object}");
        }
    }
}
