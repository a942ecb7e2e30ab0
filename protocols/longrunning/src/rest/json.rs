//! Operations and pages of them as JSON.
//!
//! The default form is indented, as Google's is. It is made once for each version of an operation
//! and kept with it; a page is put together from these texts. Any other form is made when asked for.

use std::sync::Arc;

use opgate_bus::{Listing, Rendered, Rendering, Snapshot};
use opgate_core::{Error, ErrorKind, Loss, Losses, Operation, Outcome};
use opgate_rpc::transcode::{self, Alt, Json, Parameters};
use opgate_rpc::{status, wire};

use crate::frontend::{Fit, Inner};
use crate::proto::{self, ListResponse};
use crate::types::Types;
use crate::{map, scan};

const ERROR_DETAILS: &str = "google/rpc/error_details.proto";
pub(super) const OPERATION: &str = "google.longrunning.Operation";
pub(super) const LIST_RESPONSE: &str = "google.longrunning.ListOperationsResponse";

/// A page is no larger than over gRPC, unless one operation alone is.
const PAGE_BYTES_MAX: usize = wire::MESSAGE_BYTES_MAX;
/// Largest kept text of an operation: what the largest payload takes in base 64, and the rest of it.
/// JSON that grows beyond gives way to base 64.
const OPERATION_BYTES_MAX: usize = wire::MESSAGE_BYTES_MAX / 3 * 4 + 512 * 1024;

const OPEN: &[u8] = b"{\n  \"operations\": [\n    ";
const BETWEEN: &[u8] = b",\n    ";
const CLOSE: &[u8] = b"\n  ]";
const INDENT: &[u8] = b"\n    ";

/// Whether the answer is wanted in the form that is kept.
pub(super) fn is_kept(form: &Parameters) -> bool {
    let Parameters { alt, fields, pretty, errors: _, declared_types_only } = form;
    *alt == Alt::Json && fields.is_none() && *pretty && !declared_types_only
}

/// The operation in the default form.
///
/// # Errors
/// It has no JSON, which is a defect.
pub(super) fn kept<'a>(inner: &Inner, snapshot: &'a Snapshot) -> Result<&'a Rendering, Error> {
    let kept = snapshot.rendered(Rendered::Rest, |operation| {
        one(inner, operation, &Parameters::default()).unwrap_or_default()
    });
    if kept.bytes.is_empty() { Err(Error::new(ErrorKind::Internal, "no JSON")) } else { Ok(kept) }
}

/// The operation in any form.
pub(super) fn operation(
    inner: &Inner,
    snapshot: &Snapshot,
    form: &Parameters,
) -> Result<Rendering, Error> {
    if is_kept(form) { kept(inner, snapshot).cloned() } else { one(inner, snapshot, form) }
}

fn one(inner: &Inner, operation: &Operation, form: &Parameters) -> Result<Rendering, Error> {
    let (mut shown, mut lost) = shown(inner, operation, form);
    let mut text = written(inner, OPERATION, &shown, form)?;
    if text.len() > OPERATION_BYTES_MAX
        && let Some(response) = map::response_as_bytes(&inner.types, operation)
    {
        lost = lost.without(Losses::OF_RESULTS)
            | map::lost_of_response(&inner.types, operation, &response);
        shown.outcome = Some(proto::Outcome::Response(response));
        text = written(inner, OPERATION, &shown, form)?;
    }
    if form.alt != Alt::Proto
        && let Some(proto::Outcome::Response(response)) = &shown.outcome
        && map::is_message(operation)
    {
        lost = lost.with(Loss::ResultFields, !is_whole(inner, response));
    }
    Ok(Rendering { bytes: text.into(), lost: lost | operation.lost })
}

/// Whether a message comes back out of its JSON as it went in.
fn is_whole(inner: &Inner, response: &proto::Any) -> bool {
    let name = response.type_url.rsplit('/').next().unwrap_or_default();
    // What is not known goes as the bytes that it is, and the names of a Struct have no order.
    let other = !response.is(proto::HTTP_BODY) && !response.is(proto::STRUCT);
    let Some(kind) = inner.types.message(name).filter(|_| other) else {
        return true;
    };
    let text = Json::default().encoded(&kind, response.value.clone());
    let again = text.and_then(|text| transcode::from_json(&kind, &text));
    again.is_ok_and(|again| transcode::encode(&again) == response.value)
}

/// The operation as over gRPC, without what a strict reader of JSON could trip over: its error keeps
/// the details that every such reader knows, and none where its reader knows none.
fn shown(inner: &Inner, operation: &Operation, form: &Parameters) -> (proto::Operation, Losses) {
    let (mut shown, mut lost) = inner.mapped(operation);
    if let Some(proto::Outcome::Error(status)) = &mut shown.outcome {
        let failure = operation.outcome.as_ref().and_then(Outcome::failure);
        if form.declared_types_only && form.alt != Alt::Proto {
            status.details.clear();
            let bare = failure.map(|failure| status::lost_of_bare(failure, status));
            return (shown, lost | bare.unwrap_or_default());
        }
        let given = failure.map_or(0, |failure| failure.details.len());
        let mut place = 0;
        status.details.retain(|detail| {
            let keep = is_common(&inner.types, detail);
            // Behind those that it came with stands what opgate knows besides.
            let loss = if place < given { Loss::ErrorDetails } else { Loss::ErrorNative };
            lost = lost.with(loss, !keep);
            place += 1;
            keep
        });
    }
    (shown, lost)
}

/// Whether a detail is one of `google/rpc/error_details.proto`, and has JSON: not all bytes that are
/// one have, such as a `RetryInfo` of a time that no Duration can be.
fn is_common(types: &Types, detail: &proto::Any) -> bool {
    let name = detail.type_url.rsplit_once('/').map_or("", |(_, name)| name);
    let message = types.message(name).filter(|message| {
        message.parent_message().is_none() && message.parent_file().name() == ERROR_DETAILS
    });
    message.is_some_and(|message| {
        scan::check(&message, &detail.value).is_ok()
            && Parameters::default().json().encoded(&message, detail.value.clone()).is_ok()
    })
}

/// An operation that is nobody's: the answer to a request that was only looked at.
pub(super) fn written_operation(
    inner: &Inner,
    operation: &proto::Operation,
    form: &Parameters,
) -> Result<Vec<u8>, Error> {
    written(inner, OPERATION, operation, form)
}

fn written(
    inner: &Inner,
    full_name: &str,
    message: &impl prost::Message,
    form: &Parameters,
) -> Result<Vec<u8>, Error> {
    let bytes = message.encode_to_vec();
    if form.alt == Alt::Proto {
        return Ok(bytes);
    }
    let kind = inner.types.message(full_name);
    let kind = kind.ok_or_else(|| Error::new(ErrorKind::Internal, "a built-in type is missing"))?;
    form.json().encoded(&kind, bytes.into())
}

/// A listing as a page, with the backends that could not be asked for theirs.
pub(super) fn fit(
    inner: &Inner,
    listing: &Listing,
    unreachable: &[Arc<str>],
    form: &Parameters,
) -> Result<Fit, Error> {
    if is_kept(form) && !listing.items.is_empty() && unreachable.is_empty() {
        return joined(inner, listing);
    }
    let response = ListResponse {
        operations: listing.items.iter().map(|item| shown(inner, item, form).0).collect(),
        next_page_token: listing.next_page_token.clone(),
        unreachable: unreachable.iter().map(ToString::to_string).collect(),
    };
    let text = written(inner, LIST_RESPONSE, &response, form)?;
    let (count, bytes) = (listing.items.len(), text.len());
    if bytes <= PAGE_BYTES_MAX || count <= 1 {
        return Ok(Fit::Whole(text.into()));
    }
    Ok(Fit::Fewer((count * PAGE_BYTES_MAX / bytes).clamp(1, count - 1)))
}

/// The page put together from the kept texts, moved to the right by two levels.
fn joined(inner: &Inner, listing: &Listing) -> Result<Fit, Error> {
    let mut page = OPEN.to_vec();
    for (count, item) in listing.items.iter().enumerate() {
        if count > 0 {
            page.extend_from_slice(BETWEEN);
        }
        let text = kept(inner, item)?;
        // A line break within a text is escaped: each one here separates lines.
        for (number, line) in text.bytes.split(|byte| *byte == b'\n').enumerate() {
            if number > 0 {
                page.extend_from_slice(INDENT);
            }
            page.extend_from_slice(line);
        }
        if page.len() > PAGE_BYTES_MAX && count > 0 {
            return Ok(Fit::Fewer(count));
        }
    }
    page.extend_from_slice(CLOSE);
    if !listing.next_page_token.is_empty() {
        // A token is base 64 for URLs: nothing in it needs an escape.
        page.extend_from_slice(b",\n  \"nextPageToken\": \"");
        page.extend_from_slice(listing.next_page_token.as_bytes());
        page.push(b'"');
    }
    page.extend_from_slice(b"\n}");
    Ok(Fit::Whole(page.into()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::sample::types;

    #[test]
    fn a_detail_is_shown_if_every_reader_can_read_it() {
        let detail = |name: &str, value: &'static [u8]| proto::Any {
            type_url: format!("type.googleapis.com/{name}"),
            value: Bytes::from_static(value),
        };
        let shown = |name, value| is_common(types(), &detail(name, value));
        assert!(shown("google.rpc.Help", b""));
        assert!(shown("google.rpc.RetryInfo", b"\x0a\x02\x08\x01"));
        // Not whole; a time of 2^63 seconds; no UTF-8.
        assert!(!shown("google.rpc.Help", b"\xff\xff"));
        assert!(!shown(
            "google.rpc.RetryInfo",
            b"\x0a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
        ));
        assert!(!shown("google.rpc.LocalizedMessage", b"\x0a\x01\xff"));
        // It can hold what nobody knows; a part of a detail; other types.
        assert!(!shown("google.rpc.Status", b"\x08\x01"));
        assert!(!shown("google.rpc.Help.Link", b""));
        assert!(!shown("google.protobuf.Struct", b""));
        assert!(!shown("acme.v1.Nobody", b""));
    }
}
