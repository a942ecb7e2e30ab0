//! Names: `{parent/}operations/{id}`, and BuildGrid's `{instance}/{id}`.

use opgate_core::{Error, OperationId, Parent, limits};

use crate::buildgrid::Profile;

const COLLECTION: &str = "operations";
/// `/operations/` and the text of an id.
const SUFFIX_BYTES: usize = 12 + 26;
/// The longest name there can be; a longer one is refused before anything of it is echoed.
pub(super) const NAME_BYTES_MAX: usize = limits::NAME_BYTES + SUFFIX_BYTES;

/// A name taken apart: the id, and what stands before it, which depends on the parent's profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    before: &'a str,
    pub(crate) id: OperationId,
}

/// The name of an operation.
pub(crate) fn print(profile: Profile, parent: &Parent, id: OperationId) -> String {
    let (parent, id) = (parent.as_str(), id.to_text());
    match profile {
        Profile::Google => {
            let slash = if parent.is_empty() { "" } else { "/" };
            [parent, slash, COLLECTION, "/", id.as_str()].concat()
        }
        // The empty instance leaves its slash.
        Profile::BuildGrid => [parent, "/", id.as_str()].concat(),
    }
}

impl<'a> Name<'a> {
    /// Takes a name apart. A name that no operation can have is not found, like one that none has.
    pub(crate) fn parse(name: &'a str) -> Result<Self, Error> {
        check("name", name)?;
        if name.is_empty() {
            return Err(Error::invalid("name", "is empty"));
        }
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let (before, id) = name.split_at_checked(last).ok_or_else(Error::not_found)?;
        let id = id.parse().map_err(|_| Error::not_found())?;
        Ok(Self { before, id })
    }

    /// Whether this is a name of its operation where that lies under `parent`. Google's form is one
    /// in either profile, so that a client of one can go on with what another has started.
    pub(crate) fn is_under(&self, parent: &str, profile: Profile) -> bool {
        let Some(rest) = self.before.strip_prefix(parent) else { return false };
        let google = match parent {
            "" => "operations/",
            _ => "/operations/",
        };
        rest == google
            || match profile {
                Profile::Google => false,
                Profile::BuildGrid => rest == "/" || (parent.is_empty() && rest.is_empty()),
            }
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

    fn profile() -> impl Strategy<Value = Profile> {
        prop_oneof![Just(Profile::Google), Just(Profile::BuildGrid)]
    }

    #[test]
    fn fuzz_any_text_is_a_name_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            if let Ok(name) = Name::parse(&text) {
                assert!(name.before.len() < text.len());
            }
            if let Ok(parent) = scope(&text) {
                assert!(text.starts_with(parent.as_str()));
            }
            if let Ok(parent) = check_parent(&text) {
                for profile in [Profile::Google, Profile::BuildGrid] {
                    let printed = print(profile, &parent, OperationId::from_bits(7));
                    assert!(Name::parse(&printed).unwrap().is_under(parent.as_str(), profile));
                }
            }
        });
    }

    proptest! {
        #[test]
        fn a_printed_name_is_one_of_its_operation_and_of_no_other_parent(
            bits: u128,
            parent in "([a-z+=.é-]{1,8}(/[a-z+=. -]{1,8}){0,4})?|operations|a/operations",
            other in "[a-z]{0,2}(/[a-z]{1,2})?|operations|a/operations",
            profile in profile(),
        ) {
            let id = OperationId::from_bits(bits);
            let parent = check_parent(&parent).unwrap();
            let name = print(profile, &parent, id);
            let parsed = Name::parse(&name).unwrap();
            prop_assert_eq!(parsed.id, id);
            prop_assert!(parsed.is_under(parent.as_str(), profile));
            // No instance has such a segment, see `Instances`.
            let may_be = profile == Profile::Google
                || parent.as_str().split('/').all(|segment| segment != COLLECTION);
            if other != parent.as_str() && may_be {
                prop_assert!(!parsed.is_under(&other, profile));
            }
        }

        #[test]
        fn googles_name_is_one_in_either_profile(
            bits: u128, parent in "([a-z]{1,3}(/[a-z]{1,3})?)?", profile in profile(),
        ) {
            let parent = check_parent(&parent).unwrap();
            let name = print(Profile::Google, &parent, OperationId::from_bits(bits));
            prop_assert!(Name::parse(&name).unwrap().is_under(parent.as_str(), profile));
        }

        #[test]
        fn what_google_has_under_a_parent_prints_back_the_same(
            before in "(/?[a-c]{0,2}/?)?(operations/)?|.{0,8}",
            parent in "[a-c]{0,2}",
        ) {
            let name = format!("{before}{}", OperationId::from_bits(7));
            if let Ok(parsed) = Name::parse(&name)
                && parsed.is_under(&parent, Profile::Google)
            {
                let parent = Parent::new(&parent).unwrap();
                prop_assert_eq!(print(Profile::Google, &parent, parsed.id), name);
            }
        }

        #[test]
        fn no_scope_panics(name: String) {
            drop(scope(&name));
        }
    }

    #[test]
    fn odd_names() {
        // An id with a letter, whose upper case is another text.
        let id = OperationId::from_bits(31).to_string();
        for (name, expected) in [
            (String::new(), ErrorKind::InvalidArgument),
            ("x".repeat(NAME_BYTES_MAX + 1), ErrorKind::InvalidArgument),
            ("x".repeat(NAME_BYTES_MAX), ErrorKind::NotFound),
            ("operations".to_owned(), ErrorKind::NotFound),
            ("operations/".to_owned(), ErrorKind::NotFound),
            (format!("operations/{id}/"), ErrorKind::NotFound),
            (format!("operations/{}", id.to_uppercase()), ErrorKind::NotFound),
            ("../../etc/passwd".to_owned(), ErrorKind::NotFound),
        ] {
            assert_eq!(Name::parse(&name).unwrap_err().kind, expected, "{name}");
        }
        for (name, google, buildgrid) in [
            (id.clone(), false, true),
            (format!("/{id}"), false, true),
            (format!("operations/{id}"), true, true),
            (format!("/operations/{id}"), false, false),
            (format!("xoperations/{id}"), false, false),
            (format!("//{id}"), false, false),
            (format!("main/{id}"), false, false),
        ] {
            let parsed = Name::parse(&name).unwrap();
            let under = |profile| parsed.is_under("", profile);
            assert_eq!(
                (under(Profile::Google), under(Profile::BuildGrid)),
                (google, buildgrid),
                "{name}"
            );
        }
    }

    #[test]
    fn an_instance_may_hold_slashes() {
        let id = OperationId::from_bits(7);
        let parent = check_parent("a/b").unwrap();
        assert_eq!(print(Profile::BuildGrid, &parent, id), format!("a/b/{id}"));
        assert_eq!(print(Profile::BuildGrid, &Parent::root(), id), format!("/{id}"));
        for (name, expected) in [
            (format!("a/b/{id}"), true),
            (format!("a/b/operations/{id}"), true),
            (format!("a/{id}"), false),
            (format!("a/b/c/{id}"), false),
            (format!("a/b//{id}"), false),
            (format!("/a/b/{id}"), false),
            (id.to_string(), false),
        ] {
            let under = Name::parse(&name).unwrap().is_under("a/b", Profile::BuildGrid);
            assert_eq!(under, expected, "{name}");
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
