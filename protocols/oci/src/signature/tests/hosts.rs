//! Whom a request is for.

use super::draft::{Draft, Sent, keyring, serving};
use crate::signature::Reason;

fn get(host: &str) -> Draft {
    Draft::new("GET", "/p", "").header("host", host)
}

#[test]
fn a_host_is_accepted_by_name_or_by_name_and_port() {
    let keyring = serving(&["a.example", "b.example:8080", "[::1]", "127.0.0.1:80"]);
    for host in [
        "a.example",
        "A.Example",
        "a.example:1",
        "b.example:8080",
        "[::1]",
        "[::1]:7",
        "127.0.0.1:80",
    ] {
        assert!(get(host).verify_by(&keyring).is_ok(), "{host}");
    }
    for host in
        ["b.example", "b.example:80", "c.example", "xa.example", "a.example:x", "", "[::2]", "::1"]
    {
        let refused = Err(Reason::Host(host.to_owned()));
        assert_eq!(get(host).verify_by(&keyring), refused, "{host}");
    }
}

#[test]
fn without_a_list_every_host_that_was_signed_is_accepted() {
    for host in ["anything:1", "[::1]"] {
        assert!(get(host).verify().is_ok(), "{host}");
    }
}

#[test]
fn http_2_has_the_host_in_the_target() {
    let url = |url: &'static str| move |sent: &mut Sent| sent.go(url);
    let without = |sent: &mut Sent| {
        sent.headers.remove("host");
    };
    // Without a Host, with the same, and with another: whoever forwards it may go by either.
    assert!(get("h:80").tamper(url("http://h:80/p")).tamper(without).verify().is_ok());
    assert!(get("h:80").tamper(url("http://h:80/p")).verify().is_ok());
    let other = get("h:80").tamper(url("http://g:80/p"));
    assert_eq!(other.verify(), Err(Reason::TwoHosts));
    let other = get("h:80").tamper(url("http://g:80/p")).tamper(without);
    assert_eq!(other.verify(), Err(Reason::Signature));
    let other = get("h:80").tamper(url("http://g:80/p")).tamper(without);
    let refused = Err(Reason::Host("g:80".to_owned()));
    assert_eq!(other.verify_by(&serving(&["h"])), refused);
    let none = get("h:80").tamper(without);
    assert_eq!(none.verify_by(&keyring()), Err(Reason::Absent("host".to_owned())));
}
