//! The mappings of the backend alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use opgate_bus::Line;
use opgate_core::{Error, Losses, Operation, Outcome};

use super::endpoint::Endpoint;
use super::plan::{self, Plan};
use super::read::WorkRequest;
use super::reply;
use super::request::{self, Addressed};

pub(crate) fn request(
    endpoint: &Endpoint,
    operation: &Operation,
) -> Result<(Bytes, Losses), Error> {
    let options =
        [("request", "POST /20160918/things"), ("dialect", "identity"), ("body", "\"${}\"")];
    let options: BTreeMap<String, String> =
        options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let plan = Plan::of(&options).map_err(plan::unusable)?;
    request::check(&plan, endpoint, &operation.input)?;
    let addressed = Addressed { endpoint, plan: &plan, operation };
    Ok((addressed.start()?.into_body(), addressed.lost()))
}

pub(crate) fn end(work_request: &Bytes) -> Result<(Outcome, Vec<Line>, Losses), String> {
    let seen = WorkRequest::read(work_request)?;
    let (outcome, lost) = reply::outcome(&seen, &seen.lines, work_request);
    Ok((outcome, seen.lines, lost))
}
