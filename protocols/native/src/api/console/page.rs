//! The page, and what a browser may do with it.

use ::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opgate_edge::Body;
use sha2::{Digest as _, Sha256};

use super::text;

const HTML: &str = include_str!("page.html");

/// The page with its policy: its own script and style run, known by their hashes, it talks to where it came from, and
/// nothing else is fetched, embedded or embedding. Texts cannot become markup (Trusted Types).
#[derive(Debug)]
pub(super) struct Page {
    policy: HeaderValue,
}

impl Page {
    pub(super) fn new() -> Result<Self, String> {
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'",
            hash("script")?,
            hash("style")?,
        );
        let policy = policy.try_into().map_err(|_| "the policy is no header".to_owned())?;
        Ok(Self { policy })
    }

    pub(super) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::full(HTML));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        response
    }
}

/// The hash of the one element of that name, as a policy has it.
fn hash(element: &str) -> Result<String, String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let mut parts = HTML.split(&*open);
    let content = parts.nth(1).filter(|_| parts.next().is_none());
    let content = content.and_then(|rest| rest.split_once(&*close)).map(|(content, _)| content);
    let content = content.ok_or_else(|| format!("the console's page has not one {open}"))?;
    Ok(format!("sha256-{}", STANDARD.encode(Sha256::digest(content))))
}

/// To the page: what it asks for lies beneath a slash.
pub(super) fn moved() -> Response<Body> {
    let mut response = text(StatusCode::PERMANENT_REDIRECT, "the console is at console/\n");
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("console/"));
    response
}

pub(super) fn only_read() -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// What every response has: it is not kept, not taken for anything else, and nobody else's to read.
pub(super) fn sealed(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(nothing);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_for_this_page() {
        let policy = Page::new().unwrap().policy;
        let policy = policy.to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn the_page_makes_no_markup_of_texts_and_names_no_other_place() {
        for never in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc"]
        {
            assert!(!HTML.contains(never), "{never}");
        }
        for other in ["https://", "src=", "@import", "url("] {
            assert!(!HTML.contains(other), "{other}");
        }
    }
}
