//! Whether what is made of a door's requests looks for fields that these have.

use opgate_core::did_you_mean;
use opgate_template::{self as template, Placeholder};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value;

use super::{DoorSettings, InputForm};
use crate::types::Types;

impl Types {
    /// What is wrong with a template, a JSON value or one text, that is given the JSON of a door's requests: the
    /// first field that none of them has. None where their fields are not known.
    pub fn missing_field(&self, door: &DoorSettings, template: &str) -> Option<String> {
        if door.input != InputForm::Json {
            return None;
        }
        let request = self.request_of(door)?;
        let template: Value =
            serde_json::from_str(template).unwrap_or_else(|_| Value::String(template.to_owned()));
        template::placeholders(&template).ok()?.into_iter().find_map(
            |placeholder| match placeholder {
                Placeholder::Pointer(pointer) => nothing_at(&request, pointer),
                Placeholder::Whole | Placeholder::Id | Placeholder::Uuid => None,
            },
        )
    }

    fn request_of(&self, door: &DoorSettings) -> Option<MessageDescriptor> {
        let (service, method) = door.method.split_once('/')?;
        match &door.request_type {
            Some(name) => self.message(name),
            None => self.method(service, method).map(|method| method.input()),
        }
    }
}

/// Why a pointer finds nothing in the JSON of any message of this type.
fn nothing_at(request: &MessageDescriptor, pointer: &str) -> Option<String> {
    let mut within = request.clone();
    let mut segments = pointer.split('/').skip(1);
    while let Some(name) = segments.next() {
        // Their JSON is of a shape of its own.
        if within.full_name().starts_with("google.protobuf.") {
            return None;
        }
        let Some(field) = within.get_field_by_json_name(name) else {
            let fields: Vec<_> = within.fields().collect();
            let meant = did_you_mean(name, fields.iter().map(FieldDescriptor::json_name));
            let of = within.full_name();
            return Some(format!("takes ${{{pointer}}}, and {of} has no `{name}` in JSON{meant}"));
        };
        let mut kind = field.kind();
        if field.is_list() || field.is_map() {
            // Which entry.
            segments.next();
        }
        if field.is_map() {
            kind = kind.as_message()?.map_entry_value_field().kind();
        }
        let Kind::Message(inner) = kind else { return None };
        within = inner;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::types;

    fn missing(input: InputForm, template: &str) -> Option<String> {
        let door = DoorSettings {
            method: "google.cloud.workflows.v1.Workflows/CreateWorkflow".to_owned(),
            input,
            ..DoorSettings::default()
        };
        types().missing_field(&door, template)
    }

    #[test]
    fn a_field_is_looked_for_by_its_name_in_json() {
        let template = r#"{"a": ["${/parent}", {"$merge": ["${}", "${/workflow}"]}], "b": "${/workflow/state} ${id}"}"#;
        assert_eq!(missing(InputForm::Json, template), None);
        assert_eq!(missing(InputForm::Json, "projects/${/workflowId}"), None);
        let request = "google.cloud.workflows.v1.CreateWorkflowRequest";
        assert_eq!(
            missing(InputForm::Json, "${/workflow_id}"),
            Some(format!(
                "takes ${{/workflow_id}}, and {request} has no `workflow_id` in JSON; did you mean `workflowId`?"
            ))
        );
        let within = missing(InputForm::Json, r#"{"a": "${/workflow/staet}"}"#).unwrap();
        assert!(
            within.contains("v1.Workflow has no `staet` in JSON; did you mean `state`?"),
            "{within}"
        );
    }

    #[test]
    fn what_has_no_known_fields_has_none_missing() {
        assert_eq!(missing(InputForm::Bytes, "${/nope}"), None);
        // An entry of a map, a field of a well-known type.
        assert_eq!(missing(InputForm::Json, "${/workflow/labels/any}"), None);
        assert_eq!(missing(InputForm::Json, "${/workflow/createTime/any}"), None);
        let free = DoorSettings {
            method: "acme.v1.S/M".to_owned(),
            request_type: Some("google.protobuf.Struct".to_owned()),
            input: InputForm::Json,
            ..DoorSettings::default()
        };
        assert_eq!(types().missing_field(&free, "${/any}"), None);
    }
}
