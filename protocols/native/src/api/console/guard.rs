//! Who may ask: a page of this console, and no other that a browser has open.
//!
//! Nobody signs in to the listener of operators, so whatever runs in a browser that reaches it is kept out by what
//! browsers tell of themselves: the host they mean to talk to, where the page is from, and that a header of ours takes a
//! page of ours.

use std::net::IpAddr;

use ::http::header::{HOST, ORIGIN};
use ::http::uri::Authority;
use ::http::{HeaderMap, HeaderValue, Request};
use opgate_core::{Error, ErrorKind};

/// Who puts this into a request is no form and no image: a page elsewhere would have to ask whether it may, and nobody
/// answers that.
const MEANT: &str = "opgate-console";
const SITE: &str = "sec-fetch-site";

/// The names the console is reached by.
///
/// A name that leads here today may be anybody's: a page of theirs would be of the same origin as this one (DNS
/// rebinding). An address cannot be given a new meaning, and localhost is not looked up.
#[derive(Debug)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) const fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), Error> {
        let known = authority(request).is_some_and(|authority| self.has(authority.host()));
        if known {
            return Ok(());
        }
        let text = "the console is reached by an IP address, as localhost, or by a name of \
                    admin.console.hosts";
        Err(Error::new(ErrorKind::PermissionDenied, text))
    }

    fn has(&self, host: &str) -> bool {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || self.0.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// The host a request is for. HTTP/2 has it in the URI.
fn authority<B>(request: &Request<B>) -> Option<Authority> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.clone());
    }
    only(request.headers(), HOST.as_str())?.parse().ok()
}

/// The value of a header that stands there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}

/// Whether a page of another origin asks, as far as the browser says so. Who is no browser says nothing.
pub(super) fn same_origin<B>(request: &Request<B>) -> Result<(), Error> {
    let headers = request.headers();
    let site = headers.get(SITE).map(HeaderValue::as_bytes);
    let near = matches!(site, None | Some(b"same-origin" | b"none"));
    let own = !headers.contains_key(ORIGIN) || {
        let origin = only(headers, ORIGIN.as_str()).and_then(|origin| origin.split_once("://"));
        let from = origin.and_then(|(_, authority)| authority.parse::<Authority>().ok());
        // Neither is without the other.
        from.is_some() && from == authority(request)
    };
    if near && own {
        return Ok(());
    }
    Err(Error::new(ErrorKind::PermissionDenied, "a page of another origin asks"))
}

/// Whether the page means it.
pub(super) fn meant<B>(request: &Request<B>) -> Result<(), Error> {
    if request.headers().contains_key(MEANT) {
        return Ok(());
    }
    let text = format!("an action needs the header {MEANT}");
    Err(Error::new(ErrorKind::PermissionDenied, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri("/console/about");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn names_that_may_be_anybodys_are_refused() {
        let hosts = Hosts::new(vec!["ops.example".to_owned()]);
        let check = |host: &str| hosts.check(&request(&[("host", host)]));
        for known in [
            "127.0.0.1:9464",
            "[::1]:9464",
            "10.0.0.7",
            "localhost",
            "LOCALHOST:9464",
            "ops.example:80",
            "Ops.Example",
        ] {
            assert!(check(known).is_ok(), "{known}");
        }
        for other in [
            "evil.example:9464",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "2130706433",
            "127.1",
            "localhost.",
            "",
            "a@127.0.0.1@b",
        ] {
            assert!(check(other).is_err(), "{other}");
        }
        assert!(hosts.check(&request(&[])).is_err());
        assert!(hosts.check(&request(&[("host", "localhost"), ("host", "evil")])).is_err());
        let second = Request::builder().uri("https://evil.example/console/").body(()).unwrap();
        assert!(hosts.check(&second).is_err(), "HTTP/2 says it in the URI");
    }

    #[test]
    fn another_origin_is_refused() {
        let here = ("host", "127.0.0.1:9464");
        for headers in [
            &[here][..],
            &[here, ("sec-fetch-site", "same-origin")],
            &[here, ("sec-fetch-site", "none")],
            &[here, ("origin", "http://127.0.0.1:9464")],
        ] {
            assert!(same_origin(&request(headers)).is_ok(), "{headers:?}");
        }
        for headers in [
            &[here, ("sec-fetch-site", "cross-site")][..],
            &[here, ("sec-fetch-site", "same-site")],
            &[here, ("origin", "http://127.0.0.1:8000")],
            &[here, ("origin", "http://evil.example")],
            &[here, ("origin", "null")],
            &[here, ("origin", "http://127.0.0.1:9464"), ("origin", "http://evil.example")],
            &[("origin", "null")],
        ] {
            assert!(same_origin(&request(headers)).is_err(), "{headers:?}");
        }
    }

    #[test]
    fn fuzz_whatever_a_request_says_of_itself_is_judged() {
        let hosts = Hosts::new(Vec::new());
        bolero::check!().for_each(|bytes: &[u8]| {
            let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
            let mut request = Request::new(());
            request.headers_mut().insert(HOST, value.clone());
            let known = hosts.check(&request).is_ok();
            assert!(!known || authority(&request).is_some());
            request.headers_mut().insert(ORIGIN, value);
            assert!(same_origin(&request).is_err(), "a host is no origin");
        });
    }

    #[test]
    fn a_form_elsewhere_cannot_act() {
        assert!(meant(&request(&[("content-type", "text/plain")])).is_err());
        assert!(meant(&request(&[("opgate-console", "1")])).is_ok());
    }
}
