//! The mappings alone, as bytes in and bytes out: for tests that hold several protocols against one another.

use bytes::Bytes;
use opgate_bus::Lines;
use opgate_core::{Error, LogEntry, Losses, Operation, Outcome, Payload, Timestamp};
use serde_json::Value;

use crate::backend::{Endpoint, fidelity};
use crate::server::fidelity as door;

/// The input that a door which takes the body makes of one.
///
/// # Errors
/// The body is no JSON.
pub fn read_input(body: &Bytes) -> Result<(Payload, Losses), String> {
    door::input(body)
}

/// The body of the request that a route with `body = "${}"` makes of an operation's input.
///
/// # Errors
/// It can make none.
pub fn write_input(operation: &Operation) -> Result<(Bytes, Losses), Error> {
    let endpoint = Endpoint::parse("http://localhost/")
        .map_err(|problem| Error::new(opgate_core::ErrorKind::Internal, problem))?;
    fidelity::request(&endpoint, operation)
}

/// How an operation ends that a work request tells of, and the lines of its log.
///
/// # Errors
/// It is no work request.
pub fn read_end(
    operation: &Operation,
    work_request: &Bytes,
) -> Result<(Outcome, Vec<LogEntry>, Losses), String> {
    let (outcome, lines, lost) = fidelity::end(work_request)?;
    let fresh = Lines::of(operation).fresh(&lines, true, Timestamp::from_nanos(0));
    Ok((outcome, fresh, lost))
}

/// The errors that a work request tells of, each as its JSON.
pub fn errors(operation: &Operation) -> Vec<Value> {
    let errors = crate::wire::work_request::errors(operation);
    errors.iter().map(|error| serde_json::to_value(error).unwrap_or_default()).collect()
}
