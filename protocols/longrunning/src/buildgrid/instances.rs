//! Which parents are instances.

use std::collections::BTreeSet;

use opgate_core::Parent;

use crate::map;

/// In whose forms a parent's operations are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Google,
    BuildGrid,
}

/// The parents that are instances, as configured.
#[derive(Debug, Default)]
pub(crate) struct Instances(BTreeSet<String>);

impl Instances {
    /// Checks the names; the problems come one for each name that cannot be one.
    pub(crate) fn new(names: &[String]) -> (Self, Vec<String>) {
        let mut instances = Self::default();
        let mut problems = Vec::new();
        for name in names {
            let problem = match map::check_parent(name) {
                Err(error) => error.field.map_or(error.message.into(), |field| field.description),
                // REAPI keeps this word for itself, and the two forms of names would be one.
                Ok(_) if name.split('/').any(|segment| segment == "operations") => {
                    "has a segment `operations`, which no instance may have".to_owned()
                }
                Ok(_) if instances.0.insert(name.clone()) => continue,
                Ok(_) => "is there twice".to_owned(),
            };
            problems.push(format!("buildgrid instance {name:?}: {problem}"));
        }
        (instances, problems)
    }

    /// The profile of a parent.
    pub(crate) fn profile(&self, parent: &str) -> Profile {
        if self.0.contains(parent) { Profile::BuildGrid } else { Profile::Google }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The instance of exactly this name.
    pub(crate) fn named(&self, name: &str) -> Option<Parent> {
        self.0.get(name).and_then(|name| Parent::new(name).ok())
    }

    /// The instance whose list is at this path of HTTP, `{instance}/operations`: what the path adds to
    /// the name that a gRPC caller gives.
    pub(crate) fn with_list(&self, path: &str) -> Option<Parent> {
        match path.rsplit_once('/') {
            // The empty instance has no slash, and no other begins with one.
            Some(("", _)) => None,
            Some((instance, "operations")) => self.named(instance),
            None if path == "operations" => self.named(""),
            Some(_) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(names: &[&str]) -> (Instances, Vec<String>) {
        Instances::new(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_instance_is_exactly_its_name() {
        let (instances, problems) = new(&["main", "a/b", ""]);
        assert_eq!(problems, Vec::<String>::new());
        for (parent, expected) in [
            ("main", Profile::BuildGrid),
            ("a/b", Profile::BuildGrid),
            ("", Profile::BuildGrid),
            ("a", Profile::Google),
            ("a/b/c", Profile::Google),
            ("main/x", Profile::Google),
            ("Main", Profile::Google),
        ] {
            assert_eq!(instances.profile(parent), expected, "{parent}");
        }
        for (path, expected) in [
            ("main/operations", Some("main")),
            ("a/b/operations", Some("a/b")),
            ("operations", Some("")),
            ("a/operations", None),
            ("main/operations/operations", None),
            ("/operations", None),
            ("main", None),
        ] {
            let found = instances.with_list(path);
            assert_eq!(found.as_ref().map(Parent::as_str), expected, "{path}");
        }
        let (none, _) = new(&[]);
        assert_eq!(none.profile(""), Profile::Google);
    }

    #[test]
    fn what_cannot_be_an_instance_is_a_problem_each() {
        let (instances, problems) = new(&["a//b", "a/operations", "main", "main", "x\u{7}"]);
        assert_eq!(
            problems,
            [
                "buildgrid instance \"a//b\": has an empty segment",
                "buildgrid instance \"a/operations\": has a segment `operations`, which no instance may have",
                "buildgrid instance \"main\": is there twice",
                "buildgrid instance \"x\\u{7}\": holds a control character",
            ]
        );
        assert_eq!(instances.profile("main"), Profile::BuildGrid);
    }
}
