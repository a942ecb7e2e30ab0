//! The request that a door takes: a method and a path with placeholders.

use http::Method;
use percent_encoding::percent_decode_str;

/// The methods that may start something.
const STARTING: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// A method and a path, such as `DELETE /20160918/compartments/{compartmentId}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) method: Method,
    segments: Box<[Segment]>,
}

/// One part of a path between slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// This text and no other.
    Literal(Box<str>),
    /// Any text that is not empty.
    Field(Box<str>),
}

/// What the placeholders of a form stand for in a path, in the order of the path.
pub(super) type Captured<'a> = Vec<(&'a str, &'a str)>;

impl Form {
    /// Reads `METHOD /path/{field}`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let shape = || {
            "must be a method and a path, such as \"POST /20160918/things/{thingId}\"".to_owned()
        };
        let (method, path) = text.split_once(' ').ok_or_else(shape)?;
        let method =
            STARTING.into_iter().find(|known| known.as_str() == method).ok_or_else(|| {
                let known = STARTING.each_ref().map(Method::as_str).join(", ");
                format!("starts with the method {method:?}, and only {known} can start something")
            })?;
        let path = path.strip_prefix('/').ok_or_else(shape)?;
        let mut segments: Vec<Segment> = Vec::new();
        for part in path.split('/') {
            let segment = Segment::parse(part)?;
            if let Segment::Field(name) = &segment
                && segments.contains(&segment)
            {
                return Err(format!("has the placeholder {{{name}}} twice"));
            }
            segments.push(segment);
        }
        Ok(Self { method, segments: segments.into() })
    }

    /// The names of its placeholders.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Field(name) => Some(&**name),
            Segment::Literal(_) => None,
        })
    }

    /// How many segments its path has.
    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// The rest of its path beneath another, as texts; none where it does not lie beneath. A
    /// placeholder there is none of that path.
    pub(super) fn beneath(&self, path: &str) -> Option<Vec<&str>> {
        let mut mine = self.segments.iter();
        for part in path.trim_matches('/').split('/') {
            let Some(Segment::Literal(literal)) = mine.next() else { return None };
            if **literal != *part {
                return None;
            }
        }
        let rest = mine.map(|segment| match segment {
            Segment::Literal(text) | Segment::Field(text) => &**text,
        });
        Some(rest.collect()).filter(|rest: &Vec<&str>| !rest.is_empty())
    }

    /// What stands for its placeholders in a decoded path; none where that is another path.
    pub(super) fn captured<'a>(&'a self, path: &'a [String]) -> Option<Captured<'a>> {
        if path.len() != self.segments.len() {
            return None;
        }
        let mut captured = Vec::new();
        for (segment, part) in self.segments.iter().zip(path) {
            match segment {
                Segment::Literal(literal) if **literal == **part => {}
                Segment::Field(name) if !part.is_empty() => captured.push((&**name, &**part)),
                Segment::Literal(_) | Segment::Field(_) => return None,
            }
        }
        Some(captured)
    }

    /// The order in which forms are tried: of two that fit a path, the one whose first difference
    /// is a literal. Forms that are equal here fit the same paths.
    pub(super) fn shape(&self) -> Vec<Option<&str>> {
        let shape = self.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => Some(&**text),
            Segment::Field(_) => None,
        });
        shape.collect()
    }
}

impl Segment {
    fn parse(part: &str) -> Result<Self, String> {
        if let Some(name) = part.strip_prefix('{') {
            let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            let name = name.strip_suffix('}').filter(|name| name.bytes().all(word));
            let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
                format!("has {part:?}: a placeholder is a whole segment, {{letters_and_digits}}")
            })?;
            return Ok(Self::Field(name.into()));
        }
        // What RFC 3986 lets stand in a segment without being escaped.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b);
        if part.is_empty() || part == "." || part == ".." || !part.bytes().all(plain) {
            return Err(format!("has the segment {part:?}, which no path of a client has"));
        }
        Ok(Self::Literal(part.into()))
    }
}

/// The segments of a raw path, decoded; slashes too many in front of it are none. None where an
/// escape is no escape, or no UTF-8.
pub(super) fn decoded(path: &str) -> Option<Vec<String>> {
    path.trim_start_matches('/').split('/').map(segment).collect()
}

fn segment(part: &str) -> Option<String> {
    let escapes_hold = part.split('%').skip(1).all(|after| {
        let mut digits = after.bytes();
        let mut hex = || digits.next().is_some_and(|digit| digit.is_ascii_hexdigit());
        hex() && hex()
    });
    let text = percent_decode_str(part).decode_utf8().ok().filter(|_| escapes_hold)?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn form(text: &str) -> Form {
        Form::parse(text).unwrap()
    }

    fn captured(form: &Form, path: &str) -> Option<Vec<(String, String)>> {
        let path = decoded(path)?;
        let captured = form.captured(&path)?;
        Some(captured.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
    }

    #[test]
    fn a_placeholder_takes_one_whole_segment_decoded() {
        let form = form("DELETE /20160918/tagNamespaces/{ns}/tags/{name}");
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        for (path, found) in [
            ("/20160918/tagNamespaces/n/tags/t", Some(vec![pair("ns", "n"), pair("name", "t")])),
            ("//20160918/tagNamespaces/n/tags/t", Some(vec![pair("ns", "n"), pair("name", "t")])),
            (
                "/20160918/tagN%61mespaces/a%2Fb/tags/%C3%A9",
                Some(vec![pair("ns", "a/b"), pair("name", "\u{e9}")]),
            ),
            ("/20160918/tagNamespaces//tags/t", None),
            ("/20160918/tagNamespaces/n/tags/", None),
            ("/20160918/tagNamespaces/n/tags/t/", None),
            ("/20160918/tagNamespaces/n/tags", None),
            ("/20160918/TagNamespaces/n/tags/t", None),
            ("/20160918//tagNamespaces/n/tags/t", None),
            ("/20160918/tagNamespaces/n/tags/%zz", None),
            ("/20160918/tagNamespaces/n/tags/%ff", None),
        ] {
            assert_eq!(captured(&form, path), found, "{path}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused_with_the_part_at_fault() {
        for (text, part) in [
            ("/20160918/x", "must be a method and a path"),
            ("DELETE 20160918/x", "must be a method and a path"),
            ("GET /20160918/x", "\"GET\""),
            ("delete /20160918/x", "\"delete\""),
            ("DELETE /20160918/", "\"\""),
            ("DELETE /20160918//x", "\"\""),
            ("DELETE /20160918/{a}/{a}", "{a} twice"),
            ("DELETE /20160918/{a", "\"{a\""),
            ("DELETE /20160918/{}", "\"{}\""),
            ("DELETE /20160918/{a=*}", "\"{a=*}\""),
            ("DELETE /20160918/x{a}", "\"x{a}\""),
            ("DELETE /20160918/x?y=1", "\"x?y=1\""),
            ("DELETE /20160918/..", "\"..\""),
            ("DELETE /20160918/a b", "\"a b\""),
        ] {
            let problem = Form::parse(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn a_form_lies_beneath_a_path_by_whole_segments() {
        let form = form("POST /oci/20160918/things/{id}");
        assert_eq!(form.beneath("/oci/20160918"), Some(vec!["things", "id"]));
        for path in ["/oci/2016", "/20160918", "/oci/20160918/things/id", "/oci/20160918/x"] {
            assert_eq!(form.beneath(path), None, "{path}");
        }
    }

    proptest! {
        /// Whatever a client puts for a placeholder comes out as it was, however it is escaped.
        #[test]
        fn what_is_put_in_comes_out(values in prop::collection::vec("\\PC{1,12}", 2)) {
            let form = form("POST /v/{a}/x/{b}");
            let escaped =
                |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let path = format!("/v/{}/x/{}", escaped(&values[0]), escaped(&values[1]));
            let found: Vec<String> =
                captured(&form, &path).unwrap().into_iter().map(|(_, value)| value).collect();
            prop_assert_eq!(found, values);
        }
    }
}
