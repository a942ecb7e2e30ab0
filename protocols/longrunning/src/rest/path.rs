//! What a REST path is about.
//!
//! | path, below any version | is about |
//! |---|---|
//! | `**/operations/**`, `**/{id}` | one operation |
//! | `**/operations/**:cancel`, `:wait` | the same operation, and what to do with it |
//! | `**/operations` | the operations of a scope |
//!
//! A version is `v` and a number, perhaps followed by `alpha` or `beta` and perhaps another number:
//! `v1`, `v2beta`, `v1alpha3`. It says nothing here; clients ask under the version of the service
//! that started the operation.

use opgate_core::OperationId;

/// The collection in every path.
const COLLECTION: &str = "operations";

/// What a path is about. The names are as a gRPC caller gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'p> {
    /// One operation.
    One(&'p str),
    /// Canceling one.
    Cancel(&'p str),
    /// Waiting for one.
    Wait(&'p str),
    /// The operations of a scope.
    All(&'p str),
}

impl<'p> Place<'p> {
    /// Reads a path whose escapes are resolved; `None` if it is about no operation.
    pub(super) fn parse(path: &'p str) -> Option<Self> {
        let (version, name) = path.strip_prefix('/')?.split_once('/')?;
        if !is_version(version) {
            return None;
        }
        if let Some(name) = name.strip_suffix(":cancel") {
            return is_name(name).then_some(Self::Cancel(name));
        }
        if let Some(name) = name.strip_suffix(":wait") {
            return is_name(name).then_some(Self::Wait(name));
        }
        let last = name.rsplit('/').next();
        if last == Some(COLLECTION) {
            Some(Self::All(name))
        } else {
            is_name(name).then_some(Self::One(name))
        }
    }
}

/// Whether there is a segment `operations` before the last, or the last is an id: an operation of a
/// BuildGrid instance is named `{instance}/{id}`.
fn is_name(name: &str) -> bool {
    let mut segments = name.rsplit('/');
    let last = segments.next().unwrap_or_default();
    last.parse::<OperationId>().is_ok() || segments.any(|segment| segment == COLLECTION)
}

fn is_version(segment: &str) -> bool {
    fn number(text: &str) -> &str {
        text.trim_start_matches(|letter: char| letter.is_ascii_digit())
    }
    let Some(digits) = segment.strip_prefix('v') else { return false };
    let stage = number(digits);
    let after = match stage.strip_prefix("alpha").or_else(|| stage.strip_prefix("beta")) {
        Some(digits) => number(digits),
        None => stage,
    };
    stage.len() < digits.len() && after.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What paths are made of, so that chance finds some.
    const PIECES: [&str; 12] = [
        "/",
        "/v1",
        "/v2beta",
        "/operations",
        "operations",
        ":cancel",
        ":wait",
        "v",
        "7",
        "a",
        "%2F",
        "0123456789abcdefghjkmnpqrs",
    ];

    #[test]
    fn fuzz_what_a_path_is_about_is_in_the_path() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let pieces = bytes.iter().filter_map(|byte| PIECES.get(usize::from(byte % 12)));
            for path in [String::from_utf8_lossy(bytes).into_owned(), pieces.copied().collect()] {
                if let Some(
                    Place::One(name) | Place::Cancel(name) | Place::Wait(name) | Place::All(name),
                ) = Place::parse(&path)
                {
                    assert!(path.contains(name) && name.len() < path.len(), "{path}");
                }
            }
        });
    }

    proptest! {
        #[test]
        fn no_path_panics_and_every_name_is_in_its_path(
            path in "/?(v[0-9]{0,2}(alpha|beta)?[0-9]?|.{0,3})(/(operations|[a-z%:]{0,3}|.)){0,5}(:cancel|:wait|:)?",
        ) {
            let name = match Place::parse(&path) {
                Some(Place::One(name) | Place::Cancel(name) | Place::Wait(name)) => name,
                Some(Place::All(name)) => {
                    prop_assert!(name.ends_with(COLLECTION));
                    name
                }
                None => return Ok(()),
            };
            prop_assert!(path.contains(name) && !name.is_empty());
        }
    }

    #[test]
    fn every_version_and_nothing_like_it() {
        for version in ["v1", "v2", "v12", "v1beta", "v1beta1", "v2alpha", "v1alpha12"] {
            assert!(is_version(version), "{version}");
        }
        for other in ["", "v", "1", "V1", "vbeta", "v1gamma", "v1beta1x", "v1.1", "xv1", "v1-beta"]
        {
            assert!(!is_version(other), "{other}");
        }
    }

    #[test]
    fn a_path_is_about_one_operation_or_a_scope() {
        use Place::{All, Cancel, One, Wait};
        for (path, expected) in [
            ("/v1/operations/x", Some(One("operations/x"))),
            ("/v1/operations/x/y", Some(One("operations/x/y"))),
            ("/v2beta/projects/p/operations/x", Some(One("projects/p/operations/x"))),
            ("/v1/operations/operations/x", Some(One("operations/operations/x"))),
            ("/v1//operations/x", Some(One("/operations/x"))),
            ("/v1/operations/", Some(One("operations/"))),
            ("/v1/operations/x:go", Some(One("operations/x:go"))),
            ("/v1/operations/x:cancel:wait", Some(Wait("operations/x:cancel"))),
            ("/v1/operations/x:cancel", Some(Cancel("operations/x"))),
            ("/v1/projects/p/operations/x:wait", Some(Wait("projects/p/operations/x"))),
            ("/v1/main/00000000000000000000000007", Some(One("main/00000000000000000000000007"))),
            ("/v1//00000000000000000000000007", Some(One("/00000000000000000000000007"))),
            ("/v1/operations", Some(All("operations"))),
            ("/v1/operations/operations", Some(All("operations/operations"))),
            ("/v1/projects/p/operations", Some(All("projects/p/operations"))),
            ("/v1/operations:cancel", None),
            ("/v1/operations:wait", None),
            ("/v1/xoperations/x", None),
            ("/v1/operationsx/x", None),
            ("/v1/projects/p", None),
            ("/v1/", None),
            ("/v1", None),
            ("/", None),
            ("", None),
            ("*", None),
            ("v1/operations/x", None),
            ("/operations/x", None),
            ("/x/operations/x", None),
        ] {
            assert_eq!(Place::parse(path), expected, "{path}");
        }
    }
}
