//! `Nexus-Link`: `<url>; type="some.Type"`.

use http::{HeaderMap, HeaderValue};
use opgate_core::{Error, Link, Operation, limits};

use super::names::LINK;

/// The type of the link to the operation itself.
const OPERATION: &str = "opgate.v1.Operation";

/// What the reply to a start and the completion link to: what the work gave out, and the operation
/// itself.
pub fn of(operation: &Operation) -> Vec<Link> {
    let own = Link {
        url: format!("opgate:///operations/{}", operation.id).into(),
        kind: OPERATION.into(),
    };
    operation.links_out.iter().cloned().chain([own]).collect()
}

/// Reads every link of the headers, in order. Several stand in one header behind commas, or in
/// several headers; commas within `<>` and within quotes belong to what they stand in.
///
/// # Errors
/// `InvalidArgument` that names the header: one is malformed, too long, or there are too many.
pub fn read(headers: &HeaderMap) -> Result<Vec<Link>, Error> {
    let mut links = Vec::new();
    for value in headers.get_all(LINK) {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| bad("is not UTF-8"))?;
        for text in Members(Some(text)) {
            let text = text.trim_matches([' ', '\t']);
            if text.is_empty() {
                continue;
            }
            if links.len() == limits::LINKS {
                return Err(bad(&format!("has more than {} links", limits::LINKS)));
            }
            links.push(one(text).map_err(bad)?);
        }
    }
    Ok(links)
}

fn bad(problem: &str) -> Error {
    let expected = r#"<url>; type="letters, digits, _ . /" is expected"#;
    Error::invalid(LINK, format!("{problem}: {expected}"))
}

/// Splits at the commas that stand outside of `<>` and quotes.
struct Members<'a>(Option<&'a str>);

impl<'a> Iterator for Members<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0?;
        match cut(text, ',') {
            Some((member, rest)) => {
                self.0 = Some(rest);
                Some(member)
            }
            None => self.0.take(),
        }
    }
}

/// What stands before and after the first `at` outside of `<>` and quotes.
fn cut(text: &str, at: char) -> Option<(&str, &str)> {
    let (mut within, mut escaped) = (None, false);
    for (place, letter) in text.char_indices() {
        match within {
            Some('"') if escaped => escaped = false,
            Some('"') if letter == '\\' => escaped = true,
            Some(end) if letter == end => within = None,
            None if letter == '<' => within = Some('>'),
            None if letter == '"' => within = Some('"'),
            None if letter == at => {
                let (before, after) = text.split_at(place);
                return Some((before, after.strip_prefix(at).unwrap_or(after)));
            }
            Some(_) | None => {}
        }
    }
    None
}

fn one(text: &str) -> Result<Link, &'static str> {
    let text = text.strip_prefix('<').ok_or("does not begin with <")?;
    let (url, rest) = text.split_once('>').ok_or("has no >")?;
    let url = url.trim_matches([' ', '\t']);
    if url.is_empty() {
        return Err("has an empty URL");
    }
    if url.len() > limits::TEXT_BYTES {
        return Err("has too long a URL");
    }
    let query = url.split_once('#').map_or(url, |(before, _)| before).split_once('?');
    if query.is_some_and(|(_, query)| !escapes_hold(query)) {
        return Err("has a URL whose query is not percent-encoded");
    }
    let mut kind = None;
    let mut rest = rest.trim_matches([' ', '\t']);
    while !rest.is_empty() {
        rest = rest.strip_prefix(';').ok_or("lacks a ; before a parameter")?;
        let (parameter, after) = match cut(rest, ';') {
            Some((parameter, _)) => rest.split_at(parameter.len()),
            None => (rest, ""),
        };
        rest = after;
        let Some((name, value)) = parameter.split_once('=') else { continue };
        let named = name.trim_matches([' ', '\t']).eq_ignore_ascii_case("type");
        if named && kind.is_none() {
            let value = value.trim_matches([' ', '\t']);
            let bare = value.strip_prefix('"').map_or(Some(value), |value| value.strip_suffix('"'));
            kind = Some(bare.ok_or("has a type without its closing quote")?);
        }
    }
    let kind = kind.ok_or("has no type")?;
    if !is_kind(kind) {
        return Err("has a type that is empty, too long, or of other characters");
    }
    Ok(Link { url: url.into(), kind: kind.into() })
}

fn is_kind(kind: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/');
    (1..=limits::TEXT_BYTES).contains(&kind.len()) && kind.bytes().all(allowed)
}

/// Whether every `%` is followed by two hexadecimal digits.
fn escapes_hold(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let mut digits = after.bytes();
        let mut hex = || digits.next().is_some_and(|digit| digit.is_ascii_hexdigit());
        hex() && hex()
    })
}

/// Adds a header for each link. A reader that does not understand one refuses the whole reply, so
/// URLs are escaped until Go's parser takes them, and a link it takes in no form is left out.
pub fn write(links: &[Link], headers: &mut HeaderMap) {
    for link in links {
        let Some(url) = written(&link.url).filter(|_| is_kind(&link.kind)) else { continue };
        let text = format!("<{url}>; type=\"{}\"", link.kind);
        if let Ok(value) = HeaderValue::from_str(&text) {
            // A map of headers takes 32,768; a limit of ours comes long before it.
            drop(headers.try_append(LINK, value));
        }
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The URL as every reader takes it; none where it has no such form.
fn written(url: &str) -> Option<String> {
    let mut escaped = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(letter) = rest.chars().next() {
        let after = rest.strip_prefix(letter).unwrap_or_default();
        let mut hex = after.bytes();
        let digits = [hex.next(), hex.next()];
        let holds = digits.iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit()));
        // Readers split at commas and `>`, Go refuses a query with a semicolon.
        let plain = match letter {
            '%' => holds,
            ',' | ';' | '<' | '>' | '"' | '\\' | '^' | '`' | '{' | '|' | '}' => false,
            letter => letter.is_ascii_graphic(),
        };
        if plain {
            escaped.push(letter);
        } else {
            for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                escaped.push('%');
                escaped.push(char::from(HEX[high]));
                escaped.push(char::from(HEX[low]));
            }
        }
        rest = after;
    }
    (!escaped.is_empty() && go_takes(&escaped)).then_some(escaped)
}

/// Whether Go's `url.Parse` takes a URL whose escapes hold: what it looks at are scheme and host.
fn go_takes(url: &str) -> bool {
    let url = url.split('#').next().unwrap_or_default();
    let before_query = url.split('?').next().unwrap_or_default();
    let rest = match before_query.split_once(':') {
        Some((scheme, rest)) if !scheme.contains('/') => {
            let mut letters = scheme.bytes();
            let first = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic());
            let others = |at: u8| at.is_ascii_alphanumeric() || matches!(at, b'+' | b'-' | b'.');
            if !first || !letters.all(others) {
                return false;
            }
            rest
        }
        Some(_) | None => before_query,
    };
    let Some(rest) = rest.strip_prefix("//") else { return true };
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (name, port) = match host.strip_prefix('[') {
        Some(address) => match address.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                ("", port.strip_prefix(':').unwrap_or(if port.is_empty() { "" } else { "x" }))
            }
            Some(_) | None => return false,
        },
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let plain = |at: u8| at.is_ascii_alphanumeric() || matches!(at, b'-' | b'.' | b'_' | b'~');
    let in_user = |at: u8| plain(at) || matches!(at, b':' | b'%' | b'$' | b'&' | b'+' | b'=');
    name.bytes().all(plain)
        && port.bytes().all(|at| at.is_ascii_digit())
        && user.bytes().all(in_user)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn link(url: &str, kind: &str) -> Link {
        Link { url: url.into(), kind: kind.into() }
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let value = |value: &&str| (http::HeaderName::from_static(LINK), value.parse().unwrap());
        values.iter().map(value).collect()
    }

    const EVENT: &str = "temporal:///namespaces/ns/workflows/wf-1/run-1/history?eventID=1&eventType=WorkflowExecutionStarted&referenceType=EventReference";

    #[test]
    fn the_forms_that_clients_send_are_read() {
        let event = format!("<{EVENT}>; type=\"temporal.api.common.v1.Link.WorkflowEvent\"");
        let read = read(&headers(&[
            &event,
            "<http://h/a,b>;type=x , < http://h/?q=%20 > ; rel=\"a;b,c\" ; Type = \"y.Z/_1\"",
            "",
            ", ,",
        ]));
        let expected = [
            link(EVENT, "temporal.api.common.v1.Link.WorkflowEvent"),
            link("http://h/a,b", "x"),
            link("http://h/?q=%20", "y.Z/_1"),
        ];
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn a_bad_one_is_refused_by_name() {
        for text in [
            "x",
            "<>; type=a",
            "<http://h",
            "<http://h>",
            "<http://h>; rel=a",
            "<http://h> type=a",
            "<http://h>; type=",
            "<http://h>; type=\"a",
            "<http://h>; type=a-b",
            "<h?%zz>; type=a",
            "<h?a=%2>; type=a",
            "<http://h>; type=a\"b\"",
        ] {
            let error = read(&headers(&[text])).unwrap_err();
            assert_eq!(error.field.unwrap().field, LINK, "{text}");
        }
        let long = format!("<http://h/{}>; type=a", "x".repeat(limits::TEXT_BYTES));
        assert!(read(&headers(&[&long])).is_err());
        let many = vec!["<http://h>; type=a"; limits::LINKS];
        assert_eq!(read(&headers(&many)).unwrap().len(), limits::LINKS);
        assert!(read(&headers(&[&many[..], &many[..1]].concat())).is_err());
    }

    #[test]
    fn each_is_written_on_its_own_line_so_that_every_reader_takes_it() {
        let mut written = HeaderMap::new();
        let links = [
            link(EVENT, "a"),
            link("opgate:///operations/01", "opgate.v1.Operation"),
            link("http://h/a,b>c;d e\u{e9}%zz?x=[1]", "b"),
            link("http://[::1]:80/x", "c"),
        ];
        write(&links, &mut written);
        let lines: Vec<&str> = written.get_all(LINK).iter().map(|v| v.to_str().unwrap()).collect();
        let event = format!("<{EVENT}>; type=\"a\"");
        assert_eq!(
            lines,
            [
                &event,
                r#"<opgate:///operations/01>; type="opgate.v1.Operation""#,
                r#"<http://h/a%2Cb%3Ec%3Bd%20e%C3%A9%25zz?x=[1]>; type="b""#,
                r#"<http://[::1]:80/x>; type="c""#,
            ]
        );
    }

    #[test]
    fn what_a_reader_would_choke_on_is_left_out() {
        let mut written = HeaderMap::new();
        let bad = [
            link("", "a"),
            link("http://h", "a-b"),
            link("http://h", ""),
            link("http://h:port/", "a"),
            link("http://h%zz/", "a"),
            link("1http://h/", "a"),
            link("http://[::1/", "a"),
            link("http://a b/", "a"),
            link(":x", "a"),
        ];
        write(&bad, &mut written);
        assert!(written.is_empty(), "{written:?}");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_is_stable(url in "[ -~\u{e9}]{0,30}", kind in "[A-Za-z0-9_./]{1,8}") {
            let mut first = HeaderMap::new();
            write(&[link(&url, &kind), link(&format!("http://h/{url}"), &kind)], &mut first);
            prop_assert!(first.get_all(LINK).iter().all(|line| !line.as_bytes().contains(&b',')));
            let once = read(&first).unwrap();
            prop_assert!(!once.is_empty());
            let mut second = HeaderMap::new();
            write(&once, &mut second);
            prop_assert_eq!(first, second);
        }
    }
}
