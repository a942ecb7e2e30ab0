//! `[oci]`: tenancies, users, issuers, and whether requests must be signed.

use std::path::Path;

use opgate::settings::{OciKeys, Settings};

use super::{file, load, problems, set};

/// The path of a key of `protocols/oci/tests/keys`.
fn key(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocols/oci/tests/keys").join(name);
    path.display().to_string()
}

const TENANCY: &str = "[oci.tenancies.acme]\nid = \"ocid1.tenancy.oc1..aaaa\"\ntenant = \"acme\"\n";

fn user(keys: &[&str]) -> String {
    let files: Vec<String> = keys.iter().map(|name| key(name)).collect();
    format!(
        "{TENANCY}[oci.users.ann]\ntenancy = \"acme\"\nid = \"ocid1.user.oc1..bbbb\"\nkey_files = {files:?}\n"
    )
}

fn issuer(keys: &[&str]) -> String {
    let files: Vec<String> = keys.iter().map(|name| key(name)).collect();
    format!(
        "{TENANCY}[oci.issuers.oracle]\nissuer = \"i\"\naudience = \"oci\"\nkey_files = {files:?}\n"
    )
}

fn keys(text: &str) -> OciKeys {
    let (_file, sources) = file(text);
    load(&sources).0.oci.keys
}

#[test]
fn nobody_is_known_unless_named() {
    let (Settings { oci, .. }, _) = load(&set(&[]));
    assert!(!oci.keys.required && oci.keys.keyring.is_empty() && oci.keys.tenancies.is_empty());
}

#[test]
fn users_and_issuers_have_keys_in_either_form() {
    let found = keys(&user(&["user.public.pkcs1.pem", "large.public.pem"]));
    assert_eq!(found.keyring.keys(), 2);
    assert_eq!(found.tenancies[0].tenant.as_str(), "acme");
    let found = keys(&issuer(&["issuer.public.pem"]));
    assert_eq!((found.keyring.issuers().len(), found.keyring.is_empty()), (1, false));
    // A tenancy alone lets nobody in.
    assert!(keys(TENANCY).keyring.is_empty());
}

#[test]
fn signatures_are_required_beyond_loopback() {
    let beyond = "[http]\nlisten = \"0.0.0.0:0\"\nallow_plaintext = true\n";
    for (text, required) in [
        (String::new(), false),
        ("[oci]\nsignatures = \"required\"\n".to_owned(), true),
        ("[oci]\nsignatures = \"off\"\n".to_owned(), false),
        (beyond.to_owned(), true),
        (format!("{beyond}[oci]\nsignatures = \"required\"\n"), true),
        ("[http]\nlisten = \"[::1]:0\"\n".to_owned(), false),
        ("[http]\nlisten = \"[::ffff:127.0.0.1]:0\"\n".to_owned(), false),
    ] {
        assert_eq!(keys(&text).required, required, "{text}");
    }
    let (_file, sources) = file(&format!("{beyond}[oci]\nsignatures = \"off\"\n"));
    let problem = super::problem(&sources);
    assert_eq!(problem.key, "oci.signatures");
    assert!(problem.reason.contains("0.0.0.0:0"), "{problem}");
}

#[test]
fn what_is_wrong_is_told_by_its_key() {
    let good = user(&["user.public.pem"]);
    let with = |from: &str, to: &str| good.replacen(from, to, 1);
    let mut many = vec!["user.public.pem"; 17];
    many[0] = "large.public.pem";
    for (text, keys) in [
        ("[oci]\nsignatures = \"maybe\"\n".to_owned(), &["oci.signatures"][..]),
        ("[oci]\nclock_skew = \"0s\"\n".to_owned(), &["oci.clock_skew"]),
        ("[oci]\nhosts = [\"\"]\n".to_owned(), &["oci.hosts"]),
        ("[oci]\nhosts = [\"https://h\"]\n".to_owned(), &["oci.hosts"]),
        (with("ocid1.tenancy.", "ocid1.user."), &["oci.tenancies.acme.id"]),
        (with("..aaaa", "..a/a"), &["oci.tenancies.acme.id"]),
        (with("tenant = \"acme\"", "tenant = \"\""), &["oci.tenancies.acme.tenant"]),
        (with("tenant = \"acme\"\n", ""), &["oci.tenancies.acme.tenant"]),
        (format!("{good}{}", TENANCY.replace(".acme]", ".other]")), &["oci.tenancies.other.id"]),
        (with("ocid1.user.", "ocid1.tenancy."), &["oci.users.ann.id"]),
        (
            with("\"acme\"\nid = \"ocid1.user", "\"acne\"\nid = \"ocid1.user"),
            &["oci.users.ann.tenancy"],
        ),
        (with("key_files", "key_file"), &["oci.users.ann.key_file", "oci.users.ann.key_files"]),
        (user(&[]), &["oci.users.ann.key_files"]),
        (user(&["nothing.pem"]), &["oci.users.ann.key_files"]),
        (user(&["user.pkcs8.pem"]), &["oci.users.ann.key_files"]),
        (user(&["weak.public.pem"]), &["oci.users.ann.key_files"]),
        (user(&["curve.public.pem"]), &["oci.users.ann.key_files"]),
        (user(&["user.public.pem", "user.public.pkcs1.pem"]), &["oci.users.ann.key_files"]),
        // Each file is named, not the first only.
        (user(&["weak.public.pem", "curve.public.pem"]), &["oci.users.ann.key_files"; 2]),
        (
            format!("{good}{}", good.replace(TENANCY, "").replace(".ann]", ".bob]")),
            &["oci.users.bob.id"],
        ),
        (issuer(&[]), &["oci.issuers.oracle.key_files"]),
        (issuer(&["weak.public.pem"]), &["oci.issuers.oracle.key_files"]),
        (issuer(&["issuer.public.pem"]).replace("\"i\"", "\"\""), &["oci.issuers.oracle.issuer"]),
        (
            issuer(&["issuer.public.pem"]).replace("audience", "audiance"),
            &["oci.issuers.oracle.audiance", "oci.issuers.oracle.audience"],
        ),
    ] {
        let (_file, sources) = file(&text);
        let found: Vec<String> = problems(&sources).into_iter().map(|found| found.key).collect();
        assert_eq!(found, keys, "{text}");
    }
    let (_file, sources) = file(&user(&many));
    assert!(problems(&sources).iter().any(|problem| problem.reason.contains("1 to 16 files")));
}

#[test]
fn a_key_file_that_is_no_good_is_named_with_the_reason() {
    let (_file, sources) = file(&user(&["user.public.pem", "weak.public.pem"]));
    let problem = super::problem(&sources);
    let expected =
        format!("{}: is an RSA key of 1024 bits: must be 2048 to 8192", key("weak.public.pem"));
    assert_eq!(problem.reason, expected);
}

#[test]
fn what_needs_a_restart_is_told_from_what_does_not() {
    let effective = |text: &str| {
        let (_file, sources) = file(text);
        load(&sources).1
    };
    let old = effective(&user(&["user.public.pem"]));
    let new = user(&["large.public.pem"]);
    assert_eq!(old.restarts(&effective(&new)), [""; 0]);
    let new =
        format!("[oci]\nclock_skew = \"1m\"\nhosts = [\"h\"]\n{}", issuer(&["issuer.public.pem"]));
    assert_eq!(old.restarts(&effective(&new)), [""; 0]);
    let new = "[oci]\nsignatures = \"required\"\n[drain]\ntimeout = \"1s\"\n[data]\nqueue = 7\n[buildgrid]\ninstances = [\"a\"]\n";
    let restarts = ["data.queue", "oci.signatures"];
    assert_eq!(old.restarts(&effective(new)), restarts);
    // Nor is a key that is gone forgotten.
    let audit = "[audit]\nsink = \"file\"\nfile = \"x\"\n";
    assert_eq!(effective(audit).restarts(&effective("")), ["audit.file", "audit.sink"]);
}

#[test]
fn who_has_keys_has_requests_signed_also_on_loopback() {
    assert!(keys(&user(&["user.public.pem"])).required);
    assert!(keys(&issuer(&["issuer.public.pem"])).required);
    assert!(
        !keys(&format!("{}[oci]\nsignatures = \"off\"\n", user(&["user.public.pem"]))).required
    );
    assert!(!keys(TENANCY).required);
}

#[test]
fn a_file_without_an_end_is_read_as_far_as_a_key_goes() {
    let text = user(&["user.public.pem"]).replace(&key("user.public.pem"), "/dev/zero");
    let (_file, sources) = file(&text);
    let found = problems(&sources);
    assert!(
        found.iter().any(|problem| problem.reason.contains("larger than 65536 bytes")),
        "{found:?}"
    );
}
