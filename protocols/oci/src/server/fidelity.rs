//! The mapping of a door alone.

use bytes::Bytes;
use opgate_core::{Losses, Payload};
use serde_json::Value;

use super::start::{DoorSettings, input_of};

/// The input that a door which takes the body makes of one.
pub(crate) fn input(body: &Bytes) -> Result<(Payload, Losses), String> {
    let door = DoorSettings {
        route: "r".to_owned(),
        request: "POST /20160918/x".to_owned(),
        input: Some(Value::from("${/body}")),
        ..DoorSettings::default()
    };
    input_of(&door, body)
}
