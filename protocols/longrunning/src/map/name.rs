//! Names: `{parent/}operations/{id}`.

use opgate_core::{Error, OperationId, Parent, limits};

const COLLECTION: &str = "operations";
/// `/operations/` and the text of an id.
const SUFFIX_BYTES: usize = 12 + 26;
/// The longest name there can be; a longer one is refused before anything of it is echoed.
pub(super) const NAME_BYTES_MAX: usize = limits::NAME_BYTES + SUFFIX_BYTES;

/// A name taken apart. Its parent must be the operation's own, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    pub(crate) parent: &'a str,
    pub(crate) id: OperationId,
}

/// The name of an operation.
pub(crate) fn print(parent: &Parent, id: OperationId) -> String {
    let (parent, id) = (parent.as_str(), id.to_text());
    let slash = if parent.is_empty() { "" } else { "/" };
    [parent, slash, COLLECTION, "/", id.as_str()].concat()
}

impl<'a> Name<'a> {
    /// Takes a name apart. A name that no operation can have is not found, like one that none has.
    pub(crate) fn parse(name: &'a str) -> Result<Self, Error> {
        check("name", name)?;
        if name.is_empty() {
            return Err(Error::invalid("name", "is empty"));
        }
        let parsed = name.rsplit_once('/').and_then(|(collection, id)| {
            let parent = match collection.strip_suffix(COLLECTION)? {
                "" => "",
                parent => parent.strip_suffix('/').filter(|parent| !parent.is_empty())?,
            };
            Some(Self { parent, id: id.parse().ok()? })
        });
        parsed.ok_or_else(Error::not_found)
    }
}

/// What a list covers: clients name either the parent or its collection of operations, and api-core
/// over REST even the collection of the collection.
pub(crate) fn scope(name: &str) -> Result<Parent, Error> {
    check("name", name)?;
    let mut parent = name.trim_end_matches('/');
    while let Some(rest) = parent.strip_suffix(COLLECTION) {
        match rest.strip_suffix('/') {
            Some(above) => parent = above,
            None if rest.is_empty() => parent = rest,
            None => break,
        }
    }
    Parent::new(parent).map_err(|error| Error::invalid("name", error.problem))
}

/// The parent of an operation that is to be started: so that its name can be read back.
pub(crate) fn check_parent(parent: &str) -> Result<Parent, Error> {
    let odd = parent.split('/').any(str::is_empty) && !parent.is_empty();
    if odd {
        return Err(Error::invalid("parent", "has an empty segment"));
    }
    Parent::new(parent).map_err(|error| Error::invalid("parent", error.problem))
}

fn check(field: &'static str, text: &str) -> Result<(), Error> {
    if text.len() > NAME_BYTES_MAX {
        let problem = format!("is {} bytes long, at most {NAME_BYTES_MAX} are allowed", text.len());
        return Err(Error::invalid(field, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use opgate_core::ErrorKind;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_printed_name_parses_to_its_parts(
            bits: u128,
            parent in "([a-z+=.é-]{1,8}(/[a-z+=. -]{1,8}){0,4})?|operations|a/operations",
        ) {
            let id = OperationId::from_bits(bits);
            let parent = check_parent(&parent).unwrap();
            let name = print(&parent, id);
            prop_assert_eq!(Name::parse(&name).unwrap(), Name { parent: parent.as_str(), id });
        }

        #[test]
        fn whatever_parses_prints_back_the_same(
            name in "(/?[a-c]{0,2}/?)?operations/[0-7][0-9a-z]{25}|.*"
        ) {
            if let Ok(parsed) = Name::parse(&name) {
                let parent = Parent::new(parsed.parent).unwrap();
                prop_assert_eq!(print(&parent, parsed.id), name);
            }
        }

        #[test]
        fn no_scope_panics(name: String) {
            drop(scope(&name));
        }
    }

    #[test]
    fn odd_names() {
        let id = OperationId::from_bits(7).to_string();
        for (name, expected) in [
            (String::new(), ErrorKind::InvalidArgument),
            ("x".repeat(NAME_BYTES_MAX + 1), ErrorKind::InvalidArgument),
            ("x".repeat(NAME_BYTES_MAX), ErrorKind::NotFound),
            ("operations".to_owned(), ErrorKind::NotFound),
            ("operations/".to_owned(), ErrorKind::NotFound),
            (id.clone(), ErrorKind::NotFound),
            (format!("/operations/{id}"), ErrorKind::NotFound),
            (format!("xoperations/{id}"), ErrorKind::NotFound),
            (format!("operations/{id}/"), ErrorKind::NotFound),
            (format!("operations/{}", id.to_uppercase()), ErrorKind::NotFound),
            ("../../etc/passwd".to_owned(), ErrorKind::NotFound),
        ] {
            // The id of bits 7 has no letter to tell the cases apart.
            if name.ends_with(&id) && name == format!("operations/{id}") {
                continue;
            }
            assert_eq!(Name::parse(&name).unwrap_err().kind, expected, "{name}");
        }
    }

    #[test]
    fn a_list_may_name_the_parent_or_its_collection() {
        for (name, expected) in [
            ("", ""),
            ("operations", ""),
            ("operations/operations", ""),
            ("projects/p", "projects/p"),
            ("projects/p/", "projects/p"),
            ("projects/p/operations", "projects/p"),
            ("projects/p/operations/", "projects/p"),
            ("projects/p/myoperations", "projects/p/myoperations"),
        ] {
            assert_eq!(scope(name).unwrap().as_str(), expected, "{name}");
        }
    }

    #[test]
    fn a_parent_has_no_empty_segment() {
        for parent in ["/", "/a", "a/", "a//b", "a\u{7}"] {
            assert_eq!(check_parent(parent).unwrap_err().kind, ErrorKind::InvalidArgument);
        }
        assert!(check_parent("").is_ok() && check_parent("a/b").is_ok());
    }
}
