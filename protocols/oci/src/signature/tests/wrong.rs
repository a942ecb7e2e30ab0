//! Every way to be wrong.

use http::Method;

use super::draft::{Draft, NOW, Sent, TENANCY, USER};
use crate::signature::{Reason, Strength};

fn get() -> Draft {
    Draft::new("GET", "/20160918/workRequests?compartmentId=c&page=a%2Fb", "")
}

fn post() -> Draft {
    Draft::new("POST", "/20160918/x", "{\"a\": 1}")
}

fn delete() -> Draft {
    Draft::new("DELETE", "/20160918/compartments/c", "")
}

fn refused(draft: Draft) -> Reason {
    draft.verify().unwrap_err()
}

/// What is done to a good request on its way.
fn on_its_way(draft: Draft, tamper: impl FnOnce(&mut Sent) + 'static) -> Reason {
    refused(draft.tamper(tamper))
}

#[test]
fn without_one_authorization_nobody_signed() {
    let none = on_its_way(get(), |sent| drop(sent.headers.remove("authorization")));
    assert_eq!(none, Reason::Unsigned);
    let two = on_its_way(get(), |sent| sent.add("authorization", "Signature keyId=\"k\""));
    assert_eq!(two, Reason::Several("authorization".to_owned()));
    let basic = on_its_way(get(), |sent| sent.set("authorization", "Basic dTpw"));
    assert_eq!(basic, Reason::Malformed("is not of the scheme Signature"));
}

#[test]
fn the_algorithm_is_not_the_callers_to_choose() {
    for algorithm in ["none", "hmac-sha256", "rsa-sha1", "hs2019", "rsa-sha512"] {
        let parameters = format!("version=\"1\",algorithm=\"{algorithm}\"");
        assert_eq!(refused(get().parameters(&parameters)), Reason::Algorithm, "{algorithm}");
    }
    assert_eq!(refused(get().parameters("version=\"1\"")), Reason::Algorithm);
    assert_eq!(
        refused(get().parameters("version=\"2\",algorithm=\"rsa-sha256\"")),
        Reason::Version
    );
    assert!(get().parameters("algorithm=\"rsa-sha256\"").verify().is_ok());
}

#[test]
fn what_matters_must_be_signed() {
    for (names, missing) in [
        ("date host", "(request-target)"),
        ("date (request-target)", "host"),
        ("(request-target) host", "date"),
        ("(request-target) host content-type", "date"),
    ] {
        assert_eq!(refused(get().names(names)), Reason::Uncovered(missing), "{names}");
        assert_eq!(refused(delete().names(names)), Reason::Uncovered(missing), "{names}");
    }
    let head = "date (request-target) host";
    for (names, missing) in [
        ("", "content-length"),
        (" content-type x-content-sha256", "content-length"),
        (" content-length x-content-sha256", "content-type"),
        (" content-length content-type", "x-content-sha256"),
    ] {
        for method in ["POST", "PUT", "PATCH"] {
            let draft = Draft::new(method, "/x", "{}").names(&format!("{head}{names}"));
            assert_eq!(refused(draft), Reason::Uncovered(missing), "{method}{names}");
        }
    }
}

#[test]
fn nothing_that_was_signed_can_be_changed() {
    type Change = (&'static str, fn(&mut Sent));
    let changes: [Change; 12] = [
        ("the method", |sent| sent.method = Method::HEAD),
        ("the path", |sent| sent.go("/20160918/workRequests/?compartmentId=c&page=a%2Fb")),
        ("an escape", |sent| sent.go("/20160918/workRequests?compartmentId=c&page=a/b")),
        ("its case", |sent| sent.go("/20160918/workRequests?compartmentId=c&page=a%2fb")),
        ("a slash", |sent| sent.go("//20160918/workRequests?compartmentId=c&page=a%2Fb")),
        ("the order", |sent| sent.go("/20160918/workRequests?page=a%2Fb&compartmentId=c")),
        ("the query's end", |sent| sent.go("/20160918/workRequests?compartmentId=c&page=a%2Fb&")),
        ("no query", |sent| sent.go("/20160918/workRequests")),
        ("the host", |sent| sent.set("host", "g:80")),
        ("its port", |sent| sent.set("host", "h")),
        ("the date", |sent| sent.set("date", "Fri, 20 Nov 2026 11:24:17 GMT")),
        ("the day of the week", |sent| sent.set("date", "Sat, 20 Nov 2026 11:24:16 GMT")),
    ];
    for (what, change) in changes {
        assert_eq!(on_its_way(get(), change), Reason::Signature, "{what}");
    }
    let changed = on_its_way(post(), |sent| sent.set("content-type", "text/plain"));
    assert_eq!(changed, Reason::Signature);
    // A question mark with nothing behind it is another target than none.
    let empty = |sent: &mut Sent| sent.go("/20160918/compartments/c?");
    assert_eq!(on_its_way(delete(), empty), Reason::Signature);
}

#[test]
fn a_body_is_the_one_that_was_signed() {
    let other = on_its_way(post(), |sent| sent.body = "{\"a\": 2}".to_owned());
    assert_eq!(other, Reason::Body);
    let longer = on_its_way(post(), |sent| sent.body.push(' '));
    assert_eq!(longer, Reason::Length);
    let with_its_hash = on_its_way(post(), |sent| {
        sent.body = "{\"a\": 2}".to_owned();
        sent.set("x-content-sha256", &crate::signature::sign::content_sha256(b"{\"a\": 2}"));
    });
    assert_eq!(with_its_hash, Reason::Signature);
    for length in ["+8", "08", "8 ", "", "8, 8", "0x8"] {
        let draft = post().header("content-length", length);
        let reason = refused(draft);
        // What HTTP trims of a value is not there to be signed.
        assert!(matches!(reason, Reason::Length), "{length:?} {reason:?}");
    }
    let hash = crate::signature::sign::content_sha256(b"{\"a\": 1}");
    for wrong in [
        hash.to_lowercase(),
        hash.replace('=', ""),
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".to_owned(),
    ] {
        assert_eq!(refused(post().header("x-content-sha256", &wrong)), Reason::Body, "{wrong}");
    }
}

#[test]
fn a_body_that_nobody_signed_is_nobodys() {
    for method in ["GET", "DELETE"] {
        let smuggled = on_its_way(Draft::new(method, "/x", ""), |sent| {
            sent.body = "{}".to_owned();
            sent.set("content-length", "2");
        });
        assert_eq!(smuggled, Reason::Uncovered("x-content-sha256"), "{method}");
        let names = "date (request-target) host x-content-sha256";
        let draft = Draft::new(method, "/x", "{}").names(names);
        let hash = crate::signature::sign::content_sha256(b"{}");
        assert!(draft.header("x-content-sha256", &hash).verify().is_ok(), "{method}");
    }
}

#[test]
fn a_signed_header_is_there_once() {
    for name in ["date", "content-type", "content-length", "x-content-sha256"] {
        let absent = on_its_way(post(), move |sent| drop(sent.headers.remove(name)));
        assert_eq!(absent, Reason::Absent(name.to_owned()));
    }
    for name in ["date", "host", "content-type", "content-length", "x-content-sha256"] {
        // The same value again is no better: one of them is what somebody else goes by.
        let several = on_its_way(post(), move |sent| {
            let value = sent.headers[name].clone();
            sent.headers.append(name, value);
        });
        assert_eq!(several, Reason::Several(name.to_owned()));
    }
    let token = "date (request-target) host opc-obo-token";
    assert_eq!(refused(get().names(token)), Reason::Absent("opc-obo-token".to_owned()));
    let draft = get().names(token).header("opc-obo-token", "t");
    let changed = on_its_way(draft, |sent| sent.set("opc-obo-token", "u"));
    assert_eq!(changed, Reason::Signature);
}

#[test]
fn the_signed_date_is_the_one_that_counts() {
    let names = "x-date date (request-target) host";
    let old = "Fri, 20 Nov 2026 11:00:00 GMT";
    // x-date over date where both are signed.
    assert!(get().names(names).header("x-date", NOW).header("date", old).verify().is_ok());
    let stale = get().names(names).header("x-date", old);
    assert!(matches!(refused(stale), Reason::Clock { ahead: false, .. }));
    // A date that is not signed says nothing.
    let fresh = get().header("date", old).tamper(|sent| sent.add("x-date", NOW));
    assert!(matches!(refused(fresh), Reason::Clock { ahead: false, .. }));
    for date in [
        "",
        "now",
        "2026-11-20T11:24:16Z",
        "1795173856",
        "Fri, 32 Nov 2026 11:24:16 GMT",
        "Fri, 31 Nov 2026 11:24:16 GMT",
        "fri, 20 Nov 2026 11:24:16 GMT",
        "Friday, 20-Nov-26 11:24:16 GMT",
        "Fri Nov 20 11:24:16 2026",
        "Fri, 20 Nov 2026 11:24:16 UTC",
        "Fri, 20 Nov 2026 11:24:16 GMT+1",
    ] {
        assert_eq!(refused(get().header("date", date)), Reason::Date, "{date}");
    }
}

#[test]
fn the_key_is_one_of_the_users() {
    let fingerprint = "e2:5e:e0:03:58:1e:17:14:bc:f8:a8:44:5d:34:44:c2";
    for key_id in [
        String::new(),
        format!("{TENANCY}/{USER}"),
        format!("{TENANCY}/{USER}/"),
        format!("{TENANCY}/{USER}/{fingerprint}/"),
        format!("{TENANCY}/{USER}/00{}", fingerprint.get(2..).unwrap()),
        format!("{TENANCY}/ocid1.user.oc1..cccc/{fingerprint}"),
        format!("ocid1.tenancy.oc1..zzzz/{USER}/{fingerprint}"),
        format!("{USER}/{TENANCY}/{fingerprint}"),
    ] {
        assert_eq!(refused(get().key_id(&key_id)), Reason::Key(key_id.clone()));
    }
    let other = get().key(include_str!("../../../tests/keys/session.pkcs8.pem"));
    assert_eq!(refused(other), Reason::Signature);
    let long = "k".repeat(2000);
    assert_eq!(refused(get().key_id(&long)), Reason::Key("k".repeat(512)));
}

#[test]
fn a_signature_is_whole() {
    for change in ["", "AQID", "AAAA".repeat(100).as_str()] {
        let change = change.to_owned();
        let reason = on_its_way(get(), move |sent| {
            let text = sent.headers["authorization"].to_str().unwrap();
            let (head, _) = text.split_once(",signature=").unwrap();
            let text = format!("{head},signature=\"{change}\"");
            sent.set("authorization", &text);
        });
        assert_eq!(reason, Reason::Signature);
    }
}

#[test]
fn a_weak_key_is_believed_only_where_a_test_asks_for_it() {
    let pem = include_str!("../../../tests/keys/weak.public.pem");
    assert!(crate::signature::PublicKey::from_pem(pem, Strength::default()).is_err());
}
