//! OCI: the body of a request, and the errors of a work request. It has no results.

use bytes::Bytes;
use opgate_core::{Losses, Operation, Payload};
use opgate_oci::fidelity;
use opgate_oci::wire::dialect::Dialect;
use opgate_oci::wire::work_request;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::sample::{self, operation, text};
use super::{End, Peer, Wire, ended};

pub(super) struct Oci;

impl Peer for Oci {
    fn name(&self) -> &'static str {
        "oci"
    }

    fn results(&self) -> BoxedStrategy<Wire> {
        let is_json =
            |body: &Vec<u8>| serde_json::from_slice::<Value>(body).is_ok_and(|v| !v.is_null());
        sample::content().prop_filter("is no JSON", is_json).boxed()
    }

    fn failures(&self) -> BoxedStrategy<Wire> {
        let codes = ["NotAuthorizedOrNotFound", "LimitExceeded", "InternalError", "Odd"];
        let error = (proptest::sample::select(codes.to_vec()), text(), 0..1000_u32);
        let errors = proptest::collection::vec(error, 1..4);
        (prop_oneof![3 => Just("FAILED"), 1 => Just("CANCELED")], errors)
            .prop_map(|(status, errors)| {
                let errors: Vec<Value> = errors
                    .into_iter()
                    .enumerate()
                    .map(|(place, (code, message, millis))| {
                        // Distinct, and in order.
                        let timestamp = format!("2026-01-02T03:04:{place:02}.{millis:03}Z");
                        json!({ "code": code, "message": format!("m{message}"), "timestamp": timestamp })
                    })
                    .collect();
                json!({ "status": status, "errors": errors }).to_string().into_bytes()
            })
            .boxed()
    }

    fn read(&self, wire: &Wire) -> (Option<Payload>, Losses) {
        let (input, lost) = fidelity::read_input(&Bytes::copy_from_slice(wire)).unwrap();
        (Some(input), lost)
    }

    fn write(&self, payload: Option<&Payload>) -> Option<(Wire, Losses)> {
        let mut asked = operation();
        asked.input = payload?.clone();
        let (body, lost) = fidelity::write_input(&asked).ok()?;
        // A null is no body.
        (!body.is_empty()).then(|| (body.to_vec(), lost))
    }

    fn read_end(&self, wire: &Wire) -> End {
        let body = Bytes::copy_from_slice(wire);
        let (outcome, log, lost) = fidelity::read_end(&operation(), &body).unwrap();
        let mut operation = ended(outcome);
        operation.log = log;
        (operation, lost)
    }

    fn write_end(&self, operation: &Operation) -> (Wire, Losses) {
        let errors = fidelity::errors(operation);
        let status = opgate_oci::wire::state::of(operation);
        let wire = json!({ "status": status, "errors": errors }).to_string().into_bytes();
        (wire, work_request::lost(operation, Dialect::Identity))
    }
}
