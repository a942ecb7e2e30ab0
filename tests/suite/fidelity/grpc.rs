//! google.longrunning over gRPC: an Any, or a Status.

use std::sync::LazyLock;

use bytes::Bytes;
use opgate_core::{Losses, Operation, Payload};
use opgate_longrunning::{Types, fidelity};
use proptest::prelude::*;
use prost::Message as _;
use prost_types::Any;

use super::sample::{content, media_type, text};
use super::{End, Peer, Wire, ended};
use crate::grpc::Failure as Status;

static TYPES: LazyLock<Types> = LazyLock::new(|| Types::of(&[]));

#[derive(Clone, PartialEq, prost::Message)]
struct HttpBody {
    #[prost(string, tag = "1")]
    content_type: String,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

pub(super) struct Grpc;

fn packed(name: &str, message: &impl prost::Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn url() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "(type\\.googleapis\\.com|example\\.com/x)/[a-z]{1,4}\\.[A-Z][a-z]{0,6}",
        1 => "[ -~é]{0,20}",
    ]
}

fn any_message() -> impl Strategy<Value = Any> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..24);
    (url(), bytes).prop_map(|(type_url, value)| Any { type_url, value })
}

fn detail() -> impl Strategy<Value = Any> {
    prop_oneof![
        3 => any_message(),
        1 => ("[A-Z_]{1,8}", prop_oneof![Just("opgate".to_owned()), text()])
            .prop_map(|(reason, domain)| packed("google.rpc.ErrorInfo", &ErrorInfo { reason, domain })),
        1 => (0_i64..100, 0_i32..1_000_000_000).prop_map(|(seconds, nanos)| {
            let retry_delay = Some(prost_types::Duration { seconds, nanos });
            packed("google.rpc.RetryInfo", &RetryInfo { retry_delay })
        }),
    ]
}

impl Peer for Grpc {
    fn name(&self) -> &'static str {
        "grpc"
    }

    fn results(&self) -> BoxedStrategy<Wire> {
        let body = (prop_oneof![9 => media_type(), 1 => Just(String::new())], content()).prop_map(
            |(content_type, data)| packed("google.api.HttpBody", &HttpBody { content_type, data }),
        );
        let empty = Just(packed("google.protobuf.Empty", &()));
        prop_oneof![4 => any_message(), 5 => body, 1 => empty]
            .prop_map(|any| any.encode_to_vec())
            .boxed()
    }

    fn failures(&self) -> BoxedStrategy<Wire> {
        let code = prop_oneof![9 => 1..17, 1 => any::<i32>()];
        (code, text(), proptest::collection::vec(detail(), 0..4))
            .prop_map(|(code, message, details)| Status { code, message, details }.encode_to_vec())
            .boxed()
    }

    fn read(&self, wire: &Wire) -> (Option<Payload>, Losses) {
        (fidelity::read_result(&TYPES, Bytes::copy_from_slice(wire)), Losses::NONE)
    }

    fn write(&self, payload: Option<&Payload>) -> Option<(Wire, Losses)> {
        Some(fidelity::write_result(&TYPES, payload))
    }

    fn read_end(&self, wire: &Wire) -> End {
        let (outcome, lost) = fidelity::read_failure(Bytes::copy_from_slice(wire)).unwrap();
        (ended(outcome), lost)
    }

    fn write_end(&self, operation: &Operation) -> (Wire, Losses) {
        fidelity::write_failure(operation.outcome.as_ref().unwrap()).unwrap()
    }
}
