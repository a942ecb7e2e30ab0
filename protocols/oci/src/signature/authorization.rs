//! The `Authorization` header.
//!
//! `Signature name="value",name="value",…`: the parameters in any order, each once, blanks around the
//! commas. Quotes are not escaped inside of values: none of ours can hold one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use super::reason::Reason;

/// Longest header: a session token of 12 KiB, and all that stands beside it.
pub(super) const HEADER_BYTES: usize = 16 * 1024;
/// Most parameters; five of them mean something.
const PARAMETERS: usize = 16;
/// Most names of headers.
const NAMES: usize = 32;

/// What the header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authorization<'h> {
    /// Whose signature it is said to be.
    pub(super) key_id: &'h str,
    /// What was signed, in lower case and in order, each once.
    pub(super) names: Vec<String>,
    /// The signature's bytes.
    pub(super) signature: Vec<u8>,
}

impl<'h> Authorization<'h> {
    /// Reads the header's value.
    pub(super) fn parse(value: &'h HeaderValue) -> Result<Self, Reason> {
        if value.len() > HEADER_BYTES {
            return Err(Reason::Malformed("is longer than 16 KiB"));
        }
        let text = value.to_str().map_err(|_| Reason::Malformed("is not of visible ASCII"))?;
        let (scheme, rest) = text.split_once(' ').ok_or(SCHEME)?;
        if !scheme.eq_ignore_ascii_case("signature") {
            return Err(SCHEME);
        }
        let found = parameters(rest)?;
        let get = |name: &str| {
            let found = found.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| *value)
        };
        if get("version").is_some_and(|version| version != "1") {
            return Err(Reason::Version);
        }
        if get("algorithm") != Some("rsa-sha256") {
            return Err(Reason::Algorithm);
        }
        let key_id = get("keyId").ok_or(Reason::Malformed("has no keyId"))?;
        let signature = get("signature").ok_or(Reason::Malformed("has no signature"))?;
        let signature = STANDARD.decode(signature);
        let signature =
            signature.map_err(|_| Reason::Malformed("has a signature that is no base64"))?;
        // Left out it would mean the date alone, which covers nothing.
        let names = get("headers").ok_or(Reason::Malformed("has no headers"))?;
        Ok(Self { key_id, names: self::names(names)?, signature })
    }
}

const SCHEME: Reason = Reason::Malformed("is not of the scheme Signature");

/// The parameters, no name twice.
fn parameters(text: &str) -> Result<Vec<(&str, &str)>, Reason> {
    const BLANKS: [char; 2] = [' ', '\t'];
    let broken = || Reason::Malformed("is not a list of name=\"value\"");
    let mut found: Vec<(&str, &str)> = Vec::with_capacity(5);
    let mut rest = text;
    loop {
        let (name, after) = rest.trim_start_matches(BLANKS).split_once('=').ok_or_else(broken)?;
        let after = after.strip_prefix('"').ok_or_else(broken)?;
        let (value, after) = after.split_once('"').ok_or_else(broken)?;
        if !is_token(name) || value.contains('\\') {
            return Err(broken());
        }
        if found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Err(Reason::Malformed("has a parameter twice"));
        }
        if found.len() == PARAMETERS {
            return Err(Reason::Malformed("has more than 16 parameters"));
        }
        found.push((name, value));
        rest = after.trim_start_matches(BLANKS);
        if rest.is_empty() {
            return Ok(found);
        }
        rest = rest.strip_prefix(',').ok_or_else(broken)?;
    }
}

/// The names of what was signed, one blank between two.
fn names(text: &str) -> Result<Vec<String>, Reason> {
    let mut names: Vec<String> = Vec::with_capacity(6);
    for name in text.split(' ') {
        let name = name.to_ascii_lowercase();
        if name != super::text::TARGET && !is_token(&name) {
            return Err(Reason::Malformed("lists what is no header"));
        }
        if names.contains(&name) {
            return Err(Reason::Malformed("lists a header twice"));
        }
        if names.len() == NAMES {
            return Err(Reason::Malformed("lists more than 32 headers"));
        }
        names.push(name);
    }
    Ok(names)
}

/// Whether a text is a `token` (RFC 9110, 5.6.2), as names of headers and parameters are.
fn is_token(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<(String, Vec<String>, Vec<u8>), Reason> {
        let value = HeaderValue::from_str(text).unwrap();
        let read = Authorization::parse(&value)?;
        Ok((read.key_id.to_owned(), read.names, read.signature))
    }

    /// Headers as the three official clients were seen to send them; the OCIDs are shortened.
    const SEEN: [&str; 3] = [
        "Signature algorithm=\"rsa-sha256\",headers=\"date (request-target) host\",keyId=\"t/u/f\",signature=\"AQID\",version=\"1\"",
        "Signature algorithm=\"rsa-sha256\",headers=\"date (request-target) host content-length content-type x-content-sha256\",keyId=\"t/u/f\",signature=\"AQID\",version=\"1\"",
        "Signature version=\"1\",keyId=\"t/u/f\",algorithm=\"rsa-sha256\",headers=\"x-date (request-target) host Content-Type Content-Length x-content-sha256\",signature=\"AQID\"",
    ];

    #[test]
    fn what_official_clients_send_is_read() {
        let names = [
            "date (request-target) host",
            "date (request-target) host content-length content-type x-content-sha256",
            "x-date (request-target) host content-type content-length x-content-sha256",
        ];
        for (text, names) in SEEN.iter().zip(names) {
            let names: Vec<String> = names.split(' ').map(str::to_owned).collect();
            assert_eq!(parse(text), Ok(("t/u/f".to_owned(), names, vec![1, 2, 3])));
        }
    }

    #[test]
    fn what_else_the_grammar_allows_is_read() {
        for text in [
            // No version, blanks, another case, a parameter that means nothing here.
            "signature keyId=\"k\" ,\talgorithm=\"rsa-sha256\", headers=\"date\",signature=\"AQID\"",
            "SIGNATURE  KEYID=\"k\",Algorithm=\"rsa-sha256\",HEADERS=\"Date\",signature=\"AQID\",x=\"\"",
        ] {
            let read = ("k".to_owned(), vec!["date".to_owned()], vec![1, 2, 3]);
            assert_eq!(parse(text), Ok(read), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_and_says_why() {
        let all = "keyId=\"k\",algorithm=\"rsa-sha256\",headers=\"date\",signature=\"AQID\"";
        let with = |from: &str, to: &str| format!("Signature {}", all.replacen(from, to, 1));
        let list = "is not a list of name=\"value\"";
        let many_names: Vec<String> = (0..33).map(|number| format!("h{number}")).collect();
        let many: Vec<String> = (0..17).map(|number| format!("p{number}=\"\"")).collect();
        for (text, problem) in [
            ("Signature".to_owned(), "is not of the scheme Signature"),
            (format!("Bearer {all}"), "is not of the scheme Signature"),
            (format!("Signature{all}"), "is not of the scheme Signature"),
            ("Signature ".to_owned(), list),
            (format!("Signature {all},"), list),
            (format!("Signature ,{all}"), list),
            (with("\"k\"", "k"), list),
            (with("\"k\"", "\"k"), list),
            (with("\"k\"", "\"k\\\"\""), list),
            (with("\"k\"", "\"\\k\""), list),
            (with("\"k\",", "\"k\" "), list),
            (with("keyId=", "keyId ="), list),
            (with("keyId=", "="), list),
            (with("keyId=", "(k)="), list),
            (with("keyId", "other"), "has no keyId"),
            (with("signature", "other"), "has no signature"),
            (with("headers", "other"), "has no headers"),
            (with("AQID", "AQI"), "has a signature that is no base64"),
            (with("AQID", "AQI-"), "has a signature that is no base64"),
            (format!("Signature {all},keyid=\"j\""), "has a parameter twice"),
            (format!("Signature {all},x=\"1\",X=\"1\""), "has a parameter twice"),
            (format!("Signature {}", many.join(",")), "has more than 16 parameters"),
            (with("\"date\"", "\"\""), "lists what is no header"),
            (with("\"date\"", "\"date  host\""), "lists what is no header"),
            (with("\"date\"", "\" date\""), "lists what is no header"),
            (with("\"date\"", "\"date (created)\""), "lists what is no header"),
            (with("\"date\"", "\"date Date\""), "lists a header twice"),
            (with("date", &many_names.join(" ")), "lists more than 32 headers"),
            (with("\"k\"", &format!("\"{}\"", "k".repeat(HEADER_BYTES))), "is longer than 16 KiB"),
        ] {
            assert_eq!(parse(&text), Err(Reason::Malformed(problem)), "{text}");
        }
        for algorithm in ["rsa-sha1", "RSA-SHA256", "hs2019", "hmac-sha256", "none", ""] {
            assert_eq!(parse(&with("rsa-sha256", algorithm)), Err(Reason::Algorithm));
        }
        assert_eq!(parse(&with("algorithm", "other")), Err(Reason::Algorithm));
        for version in ["", "0", "2", "1.0"] {
            let text = format!("Signature {all},version=\"{version}\"");
            assert_eq!(parse(&text), Err(Reason::Version));
        }
        let value = HeaderValue::from_bytes(b"Signature keyId=\"\xff\"").unwrap();
        let problem = Reason::Malformed("is not of visible ASCII");
        assert_eq!(Authorization::parse(&value), Err(problem));
    }

    proptest! {
        #[test]
        fn the_order_of_parameters_means_nothing(
            mut order in Just(vec![0, 1, 2, 3, 4]).prop_shuffle(),
            blanks in prop::collection::vec("[ \t]{0,2},[ \t]{0,2}", 5),
            key_id in "[ !#-\\[\\]-~]{0,40}",
            names in prop::collection::btree_set("[a-z-]{1,8}", 1..6),
            signature: Vec<u8>,
        ) {
            let names: Vec<String> = names.into_iter().collect();
            let parameters = [
                format!("keyId=\"{key_id}\""),
                "algorithm=\"rsa-sha256\"".to_owned(),
                format!("headers=\"{}\"", names.join(" ")),
                format!("signature=\"{}\"", STANDARD.encode(&signature)),
                "version=\"1\"".to_owned(),
            ];
            let mut text = "Signature ".to_owned();
            let last = order.pop().unwrap();
            for (position, blank) in order.iter().zip(&blanks) {
                text.push_str(&parameters[*position]);
                text.push_str(blank);
            }
            text.push_str(&parameters[last]);
            prop_assert_eq!(parse(&text), Ok((key_id, names, signature)));
        }
    }
}
