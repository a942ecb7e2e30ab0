//! Headers that mean the same on every face.

use http::{HeaderMap, HeaderValue};
use opgate_core::{Error, Trace, limits};

/// The header with the key by which a repeat is known.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The caller's place in its trace, as W3C Trace Context has it.
pub const TRACE_PARENT: &str = "traceparent";
/// What tracing systems add to it.
pub const TRACE_STATE: &str = "tracestate";

/// The key in the header `idempotency-key`; none where it is empty.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&[u8]>, Error> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter().map(HeaderValue::as_bytes);
    let key = keys.next().filter(|key| !key.is_empty());
    if keys.next().is_some() {
        return Err(Error::invalid(IDEMPOTENCY_KEY, "is given more than once"));
    }
    Ok(key)
}

/// The caller's trace; none where it is not valid, as W3C Trace Context has it.
pub fn trace(headers: &HeaderMap) -> Option<Box<Trace>> {
    let mut parents = headers.get_all(TRACE_PARENT).iter();
    let parent = parents.next()?.to_str().ok().filter(|parent| is_trace_parent(parent))?.into();
    if parents.next().is_some() {
        return None;
    }
    // A start must not fail for what only traces it: what may not be kept is left out.
    let state = text(headers, TRACE_STATE).unwrap_or_default();
    let state = if state.len() <= limits::TRACE_STATE_BYTES { state } else { "" }.into();
    Some(Box::new(Trace { parent, state }))
}

/// Whether this is `version-trace-parent-flags` in lower-case hex. Versions above 00 may add fields.
fn is_trace_parent(text: &str) -> bool {
    let mut fields = text.split('-');
    let mut field = |length: usize| {
        fields.next().filter(|field| {
            let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            field.len() == length && field.bytes().all(hex)
        })
    };
    let not_zero = |id: &str| id.bytes().any(|digit| digit != b'0');
    let (Some(version), Some(trace), Some(parent), Some(_flags)) =
        (field(2), field(32), field(16), field(2))
    else {
        return false;
    };
    let whole = match version {
        "00" => fields.next().is_none(),
        version => version != "ff",
    };
    whole && not_zero(trace) && not_zero(parent)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(HeaderValue::to_str)?.ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_kept_where_it_may_be_and_never_refuses_a_start() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = |parent: &str, state: &str| {
            let headers = [(TRACE_PARENT, parent), (TRACE_STATE, state)];
            let headers = headers.map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            });
            trace(&HeaderMap::from_iter(headers))
                .map(|trace| (trace.parent.to_string(), trace.state.to_string()))
        };
        let kept = |state: &str| Some((parent.to_owned(), state.to_owned()));
        assert_eq!(read(parent, "a=1"), kept("a=1"));
        let longest = "x".repeat(limits::TRACE_STATE_BYTES);
        assert_eq!(read(parent, &longest), kept(&longest));
        assert_eq!(read(parent, &format!("{longest}x")), kept(""));
        for wrong in [
            &parent.replace("00-", "0-"),
            "00-0-0-01",
            &parent.to_uppercase(),
            &parent.replace("0af", ""),
        ] {
            assert_eq!(read(wrong, "a=1"), None, "{wrong}");
        }
    }
}
