//! Whether a request is signed by whom it says.
//!
//! What every check is there for: the signature covers the request line, the host and the date, and
//! of a body its length, type and hash; each header that was signed came exactly once; what was
//! signed is what came. Headers that OCI's clients leave unsigned (`if-match`, `opc-retry-token`) are
//! not protected by this scheme, and a captured request can be sent again until its date is too old:
//! there is nothing in it that occurs once. Only TLS keeps requests from being captured.

use std::borrow::Cow;
use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::uri::Uri;
use http::{HeaderMap, Method};

use super::authorization::Authorization;
use super::keyring::{Keyring, Signed};
use super::reason::Reason;
use super::session::{PREFIX, Session};
use super::sign::content_sha256;
use super::text::{
    self, CONTENT_LENGTH, CONTENT_SHA256, CONTENT_TYPE, DATE, HOST, TARGET, Unclear,
};

/// The date, for those who may not set `Date`; it wins where both are signed.
const X_DATE: &str = "x-date";
/// How much is logged of what a stranger wrote, in characters.
const SHOWN: usize = 512;

/// The head of a request as it came.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// Its target: path and query exactly as on the request line, and the host where it stands there.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Whether a body follows.
    pub has_body: bool,
}

/// A whole request as it came.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The method.
    pub method: &'a Method,
    /// Its target, as in [`Head`].
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
}

impl Keyring {
    /// Who signed a request, as of `now`.
    ///
    /// # Errors
    /// Why nobody is believed to have.
    pub fn verify(&self, request: &Presented<'_>, now: SystemTime) -> Result<Signed, Reason> {
        let Presented { method, uri, headers, body } = *request;
        let head = Head { method, uri, headers, has_body: !body.is_empty() };
        let who = self.verify_head(&head, now)?;
        verify_body(&head, body)?;
        Ok(who)
    }

    /// Who signed the head of a request, as of `now`. With that nothing is known of a body but what
    /// [`verify_body`] will compare it with: so a stranger's need not be read.
    ///
    /// # Errors
    /// Why nobody is believed to have.
    pub fn verify_head(&self, request: &Head<'_>, now: SystemTime) -> Result<Signed, Reason> {
        let mut found = request.headers.get_all(AUTHORIZATION).iter();
        let authorization = match (found.next(), found.next()) {
            (None, _) => return Err(Reason::Unsigned),
            (Some(value), None) => Authorization::parse(value)?,
            (Some(_), Some(_)) => return Err(Reason::Several(AUTHORIZATION.to_string())),
        };
        let covers = |name: &str| authorization.names.iter().any(|known| known == name);
        let date = covered(request, covers)?;
        let host = host(request)?;
        if !self.serves(&host) {
            return Err(Reason::Host(shown(&String::from_utf8_lossy(&host))));
        }
        let date = text::single(request.headers, date).map_err(|it| unclear(it, date))?;
        self.in_time(date, now)?;
        let names = authorization.names.iter().map(String::as_str);
        let signed = text::write(names, request.method, request.uri, &host, request.headers);
        let signed = signed.map_err(|(it, name)| unclear(it, name))?;
        self.who(&authorization, &signed, now)
    }

    /// Whose signature of a text it is.
    fn who(
        &self,
        authorization: &Authorization<'_>,
        signed: &[u8],
        now: SystemTime,
    ) -> Result<Signed, Reason> {
        let Authorization { key_id, signature, .. } = authorization;
        let Some(token) = key_id.strip_prefix(PREFIX) else {
            let known = self.key(key_id).ok_or_else(|| Reason::Key(shown(key_id)))?;
            let good = known.key.signed(signed, signature);
            return if good { Ok(known.signed.clone()) } else { Err(Reason::Signature) };
        };
        let session = Session::open(token, self.issuers(), now, self.skew())?;
        let Some(who) = self.of_tenancy(&session.tenancy, &session.subject) else {
            return Err(Reason::Tenancy(shown(&session.tenancy)));
        };
        if session.key.signed(signed, signature) { Ok(who) } else { Err(Reason::Signature) }
    }

    fn in_time(&self, date: &[u8], now: SystemTime) -> Result<(), Reason> {
        let date = read_date(date).ok_or(Reason::Date)?;
        let (by, ahead) = match now.duration_since(date) {
            Ok(by) => (by, false),
            Err(error) => (error.duration(), true),
        };
        if by > self.skew() { Err(Reason::Clock { by, ahead }) } else { Ok(()) }
    }
}

/// Whether a body is the one that a head speaks of, whose signature was verified: that covers what is
/// said of a body wherever there is or should be one.
///
/// # Errors
/// It is another.
pub fn verify_body(head: &Head<'_>, body: &[u8]) -> Result<(), Reason> {
    let expected = text::signs_body(head.method);
    if !expected && body.is_empty() {
        return Ok(());
    }
    let value = |name| text::single(head.headers, name).map_err(|it| unclear(it, name));
    if expected && value(CONTENT_LENGTH)? != body.len().to_string().as_bytes() {
        return Err(Reason::Length);
    }
    if value(CONTENT_SHA256)? != content_sha256(body).as_bytes() {
        return Err(Reason::Body);
    }
    Ok(())
}

/// Checks that what matters was signed, and tells by which name the date was.
fn covered(request: &Head<'_>, covers: impl Fn(&str) -> bool) -> Result<&'static str, Reason> {
    let body: &[&str] = if text::signs_body(request.method) {
        &[CONTENT_LENGTH, CONTENT_TYPE, CONTENT_SHA256]
    } else if request.has_body {
        // A body that nobody expects is nobody's unless it was signed.
        &[CONTENT_SHA256]
    } else {
        &[]
    };
    for name in [TARGET, HOST].iter().chain(body) {
        if !covers(name) {
            return Err(Reason::Uncovered(name));
        }
    }
    [X_DATE, DATE].into_iter().find(|name| covers(name)).ok_or(Reason::Uncovered(DATE))
}

/// Whom a request is for. The URL says it in HTTP/2 and where the whole of it is the target; a `Host`
/// beside that must say the same, since nobody can tell which of the two was meant.
fn host<'a>(request: &Head<'a>) -> Result<Cow<'a, [u8]>, Reason> {
    let header = text::single(request.headers, HOST);
    let url = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (url, header) {
        (_, Err(Unclear::Several)) => Err(unclear(Unclear::Several, HOST)),
        (None, Err(Unclear::Absent)) => Err(unclear(Unclear::Absent, HOST)),
        (Some(url), Ok(header)) if url != header => Err(Reason::TwoHosts),
        (_, Ok(host)) | (Some(host), Err(Unclear::Absent)) => Ok(host.into()),
    }
}

/// Reads an IMF-fixdate (RFC 9110, 5.6.7). The day of the week may be a wrong one, as it is in the
/// sample of OCI's own documentation.
fn read_date(text: &[u8]) -> Option<SystemTime> {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 29)?;
    let (day, rest) = text.split_at_checked(3).filter(|(day, _)| DAYS.contains(day))?;
    let read = |day: &str| httpdate::parse_http_date(&format!("{day}{rest}")).ok();
    read(day).or_else(|| DAYS.into_iter().find_map(read))
}

fn unclear(it: Unclear, name: &str) -> Reason {
    match it {
        Unclear::Absent => Reason::Absent(name.to_owned()),
        Unclear::Several => Reason::Several(name.to_owned()),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
