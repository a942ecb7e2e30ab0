//! In which compartment an operation lies that another face has started.

use std::collections::HashMap;

use opgate_core::{Parent, Payload};
use opgate_template::{Source, text};
use serde_json::Value;

use super::settings::{Compartment, Settings};
use super::start::COMPARTMENT;
use crate::wire::ocid;

/// The compartments of operations by their inputs: as a call of OCI's would put them, so that they are
/// listed alike whoever starts them.
#[derive(Clone, Debug)]
pub struct Placing {
    /// By route: the template of the compartment; none where the input's own field says it.
    doors: HashMap<String, Option<String>>,
    named: Vec<Compartment>,
}

impl Placing {
    /// The placing of what these settings have doors for.
    pub fn new(settings: &Settings) -> Self {
        let doors = settings.doors.iter();
        Self {
            doors: doors.map(|door| (door.route.clone(), door.compartment.clone())).collect(),
            named: settings.compartments.clone(),
        }
    }

    /// The parent of an operation of this route; none where its input names no compartment, names
    /// the tenancy, or no call of OCI's starts the route.
    pub fn parent(&self, route: &str, input: &Payload) -> Option<Parent> {
        let template = self.doors.get(route)?;
        let input: Value =
            if input.is_json() { serde_json::from_slice(&input.bytes).ok()? } else { return None };
        let id = match template {
            Some(template) => text(template, &Source { input: Some(&input), id: None }).ok()??,
            None => input.get(COMPARTMENT)?.as_str()?.to_owned(),
        };
        if id.is_empty() || ocid::is_tenancy(&id) {
            return None;
        }
        match self.named.iter().find(|known| known.id == id) {
            Some(known) => Some(known.parent.clone()),
            None => Parent::new(&id).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::start::DoorSettings;

    #[test]
    fn an_input_says_in_which_compartment_its_operation_lies() {
        let door = |route: &str, compartment: Option<&str>| DoorSettings {
            route: route.to_owned(),
            compartment: compartment.map(str::to_owned),
            ..DoorSettings::default()
        };
        let placing = Placing::new(&Settings {
            doors: vec![door("plain", None), door("moved", Some("${/to/id}"))],
            compartments: vec![Compartment {
                id: "ocid1.compartment.oc1..p".to_owned(),
                parent: Parent::new("projects/p").unwrap(),
            }],
            ..Settings::default()
        });
        let parent = |route, input: &'static str| {
            let parent = placing.parent(route, &Payload::json(input));
            parent.map(|parent| parent.as_str().to_owned())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parent("plain", r#"{"compartmentId": "c"}"#), some("c"));
        assert_eq!(
            parent("plain", r#"{"compartmentId": "ocid1.compartment.oc1..p"}"#),
            some("projects/p")
        );
        assert_eq!(parent("plain", r#"{"compartmentId": "ocid1.tenancy.oc1..t"}"#), None);
        assert_eq!(parent("plain", r#"{"compartmentId": 1}"#), None);
        assert_eq!(parent("plain", "[]"), None);
        assert_eq!(parent("moved", r#"{"compartmentId": "c", "to": {"id": "d"}}"#), some("d"));
        assert_eq!(parent("moved", r#"{"compartmentId": "c"}"#), None);
        assert_eq!(parent("other", r#"{"compartmentId": "c"}"#), None);
        let text = Payload::new("text/plain", r#"{"compartmentId": "c"}"#);
        assert_eq!(placing.parent("plain", &text), None);
    }
}
