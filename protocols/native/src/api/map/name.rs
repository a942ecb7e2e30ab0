//! Names of operations and scopes.

use opgate_core::{Error, OperationId, Parent, limits};

/// The longest name any face gives: a parent, a collection, an id.
const NAME_BYTES_MAX: usize = limits::NAME_BYTES + 64;

/// The id in a name, whichever face gave it: what comes last. A name that no operation can have is
/// not found, like one that none has.
pub(in crate::api) fn id(name: &str) -> Result<OperationId, Error> {
    if name.is_empty() {
        return Err(Error::invalid("name", "is empty"));
    }
    if name.len() > NAME_BYTES_MAX {
        let problem = format!("is {} bytes long, at most {NAME_BYTES_MAX} are allowed", name.len());
        return Err(Error::invalid("name", problem));
    }
    let last = name.rsplit(['/', '.']).next().unwrap_or_default();
    last.parse().map_err(|_| Error::not_found())
}

/// The scope of a list or a watch.
pub(in crate::api) fn scope(parent: &str) -> Result<Parent, Error> {
    Parent::new(parent.trim_end_matches('/'))
        .map_err(|error| Error::invalid("parent", error.problem))
}

/// The parent of an operation that is to be started: so that its name can be read back.
pub(in crate::api) fn parent(parent: &str) -> Result<Parent, Error> {
    if !parent.is_empty() && parent.split('/').any(str::is_empty) {
        return Err(Error::invalid("parent", "has an empty segment"));
    }
    Parent::new(parent).map_err(|error| Error::invalid("parent", error.problem))
}

#[cfg(test)]
mod tests {
    use opgate_core::ErrorKind;

    use super::*;

    #[test]
    fn the_id_comes_last_in_every_name() {
        let known = OperationId::from_bits(7);
        for name in [
            format!("{known}"),
            format!("operations/{known}"),
            format!("projects/p/locations/l/operations/{known}"),
            format!("instance/{known}"),
            format!("ocid1.opgateworkrequest.oc1.region.{known}"),
        ] {
            assert_eq!(id(&name).unwrap(), known, "{name}");
        }
    }

    #[test]
    fn fuzz_any_text_is_a_name_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            if let Ok(found) = id(&text) {
                assert_eq!(id(&found.to_string()).unwrap(), found);
            }
            if let Ok(found) = parent(&text) {
                assert_eq!(found.as_str(), text);
                assert_eq!(scope(&text).unwrap(), found);
            }
        });
    }

    #[test]
    fn names_that_are_none() {
        for (name, expected) in [
            (String::new(), ErrorKind::InvalidArgument),
            ("x".repeat(NAME_BYTES_MAX + 1), ErrorKind::InvalidArgument),
            ("x".repeat(NAME_BYTES_MAX), ErrorKind::NotFound),
            (format!("{}/", OperationId::from_bits(7)), ErrorKind::NotFound),
            ("operations".to_owned(), ErrorKind::NotFound),
        ] {
            assert_eq!(id(&name).unwrap_err().kind, expected, "{name}");
        }
    }

    #[test]
    fn a_parent_has_no_empty_segment_and_a_scope_may_end_in_a_slash() {
        for odd in ["/", "/a", "a/", "a//b", "a\u{7}"] {
            assert_eq!(parent(odd).unwrap_err().kind, ErrorKind::InvalidArgument, "{odd}");
        }
        assert_eq!(parent("a/b").unwrap().as_str(), "a/b");
        assert_eq!(scope("a/b/").unwrap().as_str(), "a/b");
        assert_eq!(scope("").unwrap(), Parent::root());
    }
}
