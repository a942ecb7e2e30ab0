//! What the caller of a start said of itself, in headers that are kept with the operation.

use std::cell::OnceCell;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use opgate_core::Operation;
use prost::Message as _;

/// `RequestMetadata` of REAPI, in the form of gRPC's binary headers: base 64, padded or not.
const REQUEST_METADATA: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";
const BASE_64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `RequestMetadata`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct RequestMetadata {
    #[prost(message, optional, tag = "1")]
    pub tool_details: Option<ToolDetails>,
    #[prost(string, tag = "2")]
    pub action_id: String,
    #[prost(string, tag = "3")]
    pub tool_invocation_id: String,
    #[prost(string, tag = "4")]
    pub correlated_invocations_id: String,
    #[prost(string, tag = "5")]
    pub action_mnemonic: String,
    #[prost(string, tag = "6")]
    pub target_id: String,
    #[prost(string, tag = "7")]
    pub configuration_id: String,
}

/// `ToolDetails`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ToolDetails {
    #[prost(string, tag = "1")]
    pub tool_name: String,
    #[prost(string, tag = "2")]
    pub tool_version: String,
}

/// An operation, and what its caller said, read when first asked for.
pub(super) struct Subject<'a> {
    pub(super) operation: &'a Operation,
    metadata: OnceCell<RequestMetadata>,
}

impl<'a> Subject<'a> {
    pub(super) const fn new(operation: &'a Operation) -> Self {
        Self { operation, metadata: OnceCell::new() }
    }

    /// The metadata; without a field set where there is none that can be read.
    pub(super) fn metadata(&self) -> &RequestMetadata {
        self.metadata.get_or_init(|| {
            let value = header(self.operation, REQUEST_METADATA).unwrap_or_default();
            // Values of a repeated header may come joined.
            let first = value.split(|byte| *byte == b',').next().unwrap_or_default();
            let bytes = BASE_64.decode(first.trim_ascii()).unwrap_or_default();
            RequestMetadata::decode(&*bytes).unwrap_or_default()
        })
    }

    /// The text of a header.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(header(self.operation, name)?).ok()
    }
}

fn header<'a>(operation: &'a Operation, name: &str) -> Option<&'a [u8]> {
    let header = operation.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    header.map(|header| &*header.value)
}

#[cfg(test)]
mod tests {
    use opgate_core::Header;
    use prost_reflect::DynamicMessage;
    use serde_json::json;

    use super::*;
    use crate::sample::{operation, types};

    fn with(value: &str) -> Operation {
        let mut operation = operation(None, None);
        let value = value.as_bytes().to_vec().into();
        operation.headers = vec![Header { name: REQUEST_METADATA.into(), value }];
        operation
    }

    fn said() -> RequestMetadata {
        RequestMetadata {
            tool_details: Some(ToolDetails {
                tool_name: "bazel".to_owned(),
                tool_version: "9.1".to_owned(),
            }),
            action_id: "a".to_owned(),
            tool_invocation_id: "i".to_owned(),
            correlated_invocations_id: "c".to_owned(),
            action_mnemonic: "m".to_owned(),
            target_id: "t".to_owned(),
            configuration_id: "g".to_owned(),
        }
    }

    #[test]
    fn metadata_is_read_padded_or_not_and_joined() {
        let encoded = BASE_64.encode(said().encode_to_vec());
        let bare = encoded.trim_end_matches('=');
        for value in [encoded.clone(), bare.to_owned(), format!("{bare}, {bare}")] {
            assert_eq!(*Subject::new(&with(&value)).metadata(), said(), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for value in ["", "no base 64!", "/////w"] {
            assert_eq!(*Subject::new(&with(value)).metadata(), RequestMetadata::default());
        }
        let none = operation(None, None);
        assert_eq!(*Subject::new(&none).metadata(), RequestMetadata::default());
    }

    #[test]
    fn every_field_is_where_the_descriptor_has_it() {
        let name = "build.bazel.remote.execution.v2.RequestMetadata";
        let descriptor = types().message(name).unwrap();
        let dynamic = DynamicMessage::decode(descriptor, &*said().encode_to_vec()).unwrap();
        assert_eq!(
            serde_json::to_value(&dynamic).unwrap(),
            json!({
                "toolDetails": { "toolName": "bazel", "toolVersion": "9.1" },
                "actionId": "a",
                "toolInvocationId": "i",
                "correlatedInvocationsId": "c",
                "actionMnemonic": "m",
                "targetId": "t",
                "configurationId": "g",
            })
        );
    }
}
