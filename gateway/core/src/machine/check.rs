//! What is refused because a record could not hold it.

use std::collections::HashSet;
use std::hash::Hash;

use crate::command::{Accept, Report};
use crate::error::{Error, ErrorKind};
use crate::failure::Failure;
use crate::limits;
use crate::operation::{Header, Link, Operation, Outcome, Resource};
use crate::payload::Payload;

pub(super) fn accept(accept: &Accept) -> Result<(), Error> {
    at_most("links", accept.links_in.len(), limits::LINKS)?;
    at_most("callbacks", accept.callbacks.len(), limits::CALLBACKS)?;
    at_most("headers", accept.headers.len(), limits::HEADERS)?;
    bytes("headers", header_bytes(&accept.headers), limits::HEADER_BYTES)?;
    links(&accept.links_in)?;
    for callback in &accept.callbacks {
        text("callbacks.url", &callback.url)?;
        at_most("callbacks.headers", callback.headers.len(), limits::HEADERS)?;
    }
    let callbacks = accept.callbacks.iter().map(|callback| header_bytes(&callback.headers));
    bytes("callbacks.headers", callbacks.sum(), limits::HEADER_BYTES)?;
    if let Some(trace) = &accept.trace {
        bytes("traceparent", trace.parent.len(), limits::TRACE_PARENT_BYTES)?;
        bytes("tracestate", trace.state.len(), limits::TRACE_STATE_BYTES)?;
    }
    let origin = &accept.origin;
    bytes("endpoint", origin.endpoint.len(), limits::NAME_BYTES)?;
    text("principal", &origin.principal)?;
    bytes("request_id", origin.request_id.as_deref().map_or(0, str::len), limits::NAME_BYTES)?;
    payload(INPUT, &accept.input)?;
    at_most("resources", accept.resources.len(), limits::RESOURCES)?;
    accept.resources.iter().try_for_each(resource)?;
    accept.outcome.as_ref().map_or(Ok(()), outcome)
}

pub(super) fn report(operation: &Operation, report: &Report) -> Result<(), Error> {
    at_most("log", report.log.len(), limits::LOG_ENTRIES)?;
    at_most("resources", report.resources.len(), limits::RESOURCES)?;
    at_most("links", report.links.len(), limits::LINKS)?;
    // What is there already takes no further place.
    let resources = together(&operation.resources, &report.resources, |resource| {
        (&resource.entity_type, &resource.identifier)
    });
    at_most("resources", resources, limits::RESOURCES)?;
    let links_out = together(&operation.links_out, &report.links, |link| (&link.url, &link.kind));
    at_most("links", links_out, limits::LINKS)?;
    links(&report.links)?;
    report.resources.iter().try_for_each(resource)?;
    if report.native_ref.as_ref().is_some_and(|text| text.len() > limits::NATIVE_REF_BYTES) {
        return Err(Error::invalid("native_ref", "too long"));
    }
    Ok(())
}

pub(super) fn outcome(outcome: &Outcome) -> Result<(), Error> {
    if let Outcome::Succeeded(Some(output)) = outcome {
        payload(OUTPUT, output)?;
    }
    let Some(failure) = outcome.failure() else { return Ok(()) };
    if failure.depth() > limits::FAILURE_DEPTH {
        return Err(Error::invalid("failure.cause", "the chain of causes is too deep"));
    }
    let chain = || std::iter::successors(Some(failure), |failure| failure.cause.as_deref());
    for failure in chain() {
        if failure.details.len() > limits::FAILURE_DETAILS {
            return Err(Error::invalid("failure.details", "too many details"));
        }
        text("failure.reason", failure.reason.as_deref().unwrap_or_default())?;
        if let Some(native) = &failure.native {
            text("failure.native.protocol", &native.protocol)?;
            text("failure.native.code", &native.code)?;
        }
    }
    size("failure", chain().map(failure_bytes).sum())
}

fn failure_bytes(failure: &Failure) -> usize {
    let details = failure.details.iter().map(|detail| detail.type_url.len() + detail.value.len());
    let native = failure.native.as_ref().map_or(0, |native| native.weight());
    failure.message.len() + details.sum::<usize>() + native
}

fn resource(resource: &Resource) -> Result<(), Error> {
    text("resources.entity_type", &resource.entity_type)?;
    text("resources.action", &resource.action)?;
    text("resources.action", &resource.becomes)?;
    text("resources.identifier", &resource.identifier)?;
    text("resources.uri", &resource.uri)
}

fn links(links: &[Link]) -> Result<(), Error> {
    links.iter().try_for_each(|link| {
        text("links.url", &link.url)?;
        text("links.kind", &link.kind)
    })
}

/// How many things with different keys there are in both.
fn together<'a, T, K: Eq + Hash>(known: &'a [T], told: &'a [T], key: impl Fn(&'a T) -> K) -> usize {
    known.iter().chain(told).map(key).collect::<HashSet<_>>().len()
}

fn at_most(field: &'static str, count: usize, limit: usize) -> Result<(), Error> {
    if count > limit {
        return Err(Error::invalid(field, format!("{count} given, at most {limit} are allowed")));
    }
    Ok(())
}

fn text(field: &'static str, text: &str) -> Result<(), Error> {
    bytes(field, text.len(), limits::TEXT_BYTES)
}

fn bytes(field: &'static str, bytes: usize, limit: usize) -> Result<(), Error> {
    if bytes > limit {
        let message = format!("is {bytes} bytes long, at most {limit} are allowed");
        return Err(Error::invalid(field, message));
    }
    Ok(())
}

fn header_bytes(headers: &[Header]) -> usize {
    headers.iter().map(|header| header.name.len() + header.value.len()).sum()
}

/// A payload's fields by name: itself, its media type, its encoding and its sections.
type Fields = [&'static str; 4];

const INPUT: Fields = ["input", "input.media_type", "input.encoding", "input.sections"];
const OUTPUT: Fields = ["output", "output.media_type", "output.encoding", "output.sections"];

fn payload(fields: Fields, payload: &Payload) -> Result<(), Error> {
    let [whole, media_type, encoding, sections] = fields;
    bytes(media_type, payload.media_type.len(), limits::MEDIA_TYPE_BYTES)?;
    let encoded = payload.encoding.as_deref().map_or(0, str::len);
    bytes(encoding, encoded, limits::MEDIA_TYPE_BYTES)?;
    at_most(sections, payload.sections.len(), limits::SECTIONS)?;
    size(whole, payload.weight())
}

fn size(what: &str, bytes: usize) -> Result<(), Error> {
    let limit = limits::PAYLOAD_BYTES;
    if bytes > limit {
        let message = format!("{what} is {bytes} bytes, at most {limit} are allowed");
        return Err(Error::new(ErrorKind::PayloadTooLarge, message));
    }
    Ok(())
}
