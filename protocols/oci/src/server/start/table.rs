//! The doors, and which one a request goes through.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::door::Door;
use super::form::Captured;
use super::{DoorProblem, DoorSettings};
use crate::server::settings::Settings;

/// Every door, by the length of its path. Those of one length are tried in the order of their
/// shapes, so that a literal is preferred to a placeholder.
#[derive(Debug, Default)]
pub(crate) struct Doors(HashMap<usize, Vec<Arc<Door>>>);

/// What a path and a method lead to.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A door, and what stands for its placeholders.
    Door(&'a Arc<Door>, Captured<'a>),
    /// Only doors of other methods.
    Methods(Vec<&'a str>),
    /// No door.
    Nothing,
}

impl Doors {
    /// The doors of a face.
    ///
    /// # Errors
    /// Every problem there is.
    pub(crate) fn of(settings: &Settings) -> Result<Self, Vec<DoorProblem>> {
        let services: Vec<&str> =
            settings.services.iter().map(|service| service.path.as_str()).collect();
        Self::new(&settings.doors, &services)
    }

    /// The doors as configured, beneath services at these paths.
    ///
    /// # Errors
    /// Every problem there is.
    fn new(doors: &[DoorSettings], services: &[&str]) -> Result<Self, Vec<DoorProblem>> {
        let mut problems = Vec::new();
        let mut taken: HashMap<_, &DoorSettings> = HashMap::new();
        let mut table: HashMap<usize, Vec<Arc<Door>>> = HashMap::new();
        for settings in doors {
            let (door, found) = Door::new(settings, services);
            problems.extend(found);
            let Some(door) = door else { continue };
            let shape: Vec<Option<String>> =
                door.form.shape().into_iter().map(|part| part.map(str::to_owned)).collect();
            if let Some(first) = taken.insert((door.form.method.clone(), shape), settings) {
                let problem = format!("takes the same requests as route {}", first.route);
                problems.push(DoorProblem::new(settings, "request", problem));
                continue;
            }
            table.entry(door.form.len()).or_default().push(Arc::new(door));
        }
        for doors in table.values_mut() {
            // A literal before a placeholder.
            doors.sort_by_cached_key(|door| {
                let shape = door.form.shape().into_iter();
                let shape = shape.map(|part| (part.is_none(), part.unwrap_or_default().to_owned()));
                shape.collect::<Vec<_>>()
            });
        }
        if problems.is_empty() { Ok(Self(table)) } else { Err(problems) }
    }

    /// The door for a method and a decoded path.
    pub(crate) fn find<'a>(&'a self, method: &Method, path: &'a [String]) -> Found<'a> {
        let mut others = Vec::new();
        for door in self.0.get(&path.len()).into_iter().flatten() {
            let Some(captured) = door.form.captured(path) else { continue };
            if door.form.method == *method {
                return Found::Door(door, captured);
            }
            if !others.contains(&door.form.method.as_str()) {
                others.push(door.form.method.as_str());
            }
        }
        if others.is_empty() { Found::Nothing } else { Found::Methods(others) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::form::decoded;
    use super::*;

    fn settings(route: &str, request: &str) -> DoorSettings {
        DoorSettings { route: route.into(), request: request.into(), ..DoorSettings::default() }
    }

    fn doors(requests: &[(&str, &str)]) -> Result<Doors, Vec<DoorProblem>> {
        let doors: Vec<DoorSettings> =
            requests.iter().map(|(route, request)| settings(route, request)).collect();
        Doors::new(&doors, &["/20160918"])
    }

    /// The route of the door for `METHOD /path`; else the methods there are, or `-`.
    fn found(doors: &Doors, request: &str) -> String {
        let (method, path) = request.split_once(' ').unwrap();
        let path = decoded(path).unwrap();
        match doors.find(&method.parse().unwrap(), &path) {
            Found::Door(door, _) => door.route.to_string(),
            Found::Methods(methods) => methods.join(","),
            Found::Nothing => "-".to_owned(),
        }
    }

    #[test]
    fn a_literal_is_preferred_and_a_dead_end_is_left_again() {
        let doors = doors(&[
            ("any", "POST /20160918/{a}/actions"),
            ("bulk", "POST /20160918/tags/actions"),
            ("end", "POST /20160918/tags/{x}/end"),
            ("deep", "POST /20160918/{a}/b/{c}"),
            ("put", "PUT /20160918/tags/actions"),
        ])
        .unwrap();
        for (request, route) in [
            ("POST /20160918/tags/actions", "bulk"),
            ("POST /20160918/other/actions", "any"),
            ("PUT /20160918/tags/actions", "put"),
            ("DELETE /20160918/tags/actions", "POST,PUT"),
            ("PUT /20160918/other/actions", "POST"),
            ("POST /20160918/tags/b/end", "end"),
            ("POST /20160918/tags/b/other", "deep"),
            ("POST /20160918/tags", "-"),
            ("POST /20160919/tags/actions", "-"),
        ] {
            assert_eq!(found(&doors, request), route, "{request}");
        }
    }

    #[test]
    fn two_doors_of_one_shape_are_told() {
        let problems = doors(&[
            ("a", "DELETE /20160918/x/{a}"),
            ("b", "DELETE /20160918/x/{b}"),
            ("c", "POST /20160918/x/{b}"),
            ("d", "DELETE /20160918/x/y"),
        ])
        .unwrap_err();
        let [problem] = &*problems else { panic!("{problems:?}") };
        assert_eq!((&*problem.route, problem.key), ("b", "request"));
        assert_eq!(problem.text, "takes the same requests as route a");
    }

    proptest! {
        /// Which door a request goes through does not depend on the order they were declared in.
        #[test]
        fn the_order_of_declaration_means_nothing(
            (forward, backward) in prop::collection::btree_set("(/(a|b|\\{x\\})){1,3}", 1..8)
                .prop_map(Vec::from_iter)
                .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
            path in "(/(a|b|c)){1,3}",
        ) {
            let build = |forms: &[String]| {
                let all: Vec<(String, String)> = forms
                    .iter()
                    .map(|form| (form.clone(), numbered(form)))
                    .collect();
                let pairs: Vec<(&str, &str)> = all.iter().map(|(a, b)| (&**a, &**b)).collect();
                doors(&pairs).unwrap()
            };
            let request = format!("POST /20160918{path}");
            prop_assert_eq!(found(&build(&forward), &request), found(&build(&backward), &request));
        }
    }

    /// A request of this path, with a name of its own for each placeholder.
    fn numbered(form: &str) -> String {
        let parts: Vec<String> = form
            .split('/')
            .enumerate()
            .map(|(at, part)| part.replace("{x}", &format!("{{x{at}}}")))
            .collect();
        format!("POST /20160918{}", parts.join("/"))
    }
}
