//! Headers that mean the same on every face.

use http::{HeaderMap, HeaderValue};
use opgate_core::{Error, Trace};

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

/// The caller's trace; none where it is not valid, or said twice.
pub fn trace(headers: &HeaderMap) -> Option<Box<Trace>> {
    let mut parents = headers.get_all(TRACE_PARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    let states = headers.get_all(TRACE_STATE).iter().map(HeaderValue::to_str);
    // A list that cannot be read is as good as none.
    let states: Vec<&str> = states.collect::<Result<_, _>>().unwrap_or_default();
    Trace::of(parent.to_str().ok()?, &states).map(Box::new)
}

/// Says where a request stands in the trace of its operation.
pub fn put_trace(trace: Option<&Trace>, headers: &mut HeaderMap) {
    let Some(trace) = trace else { return };
    for (name, value) in [(TRACE_PARENT, &trace.parent), (TRACE_STATE, &trace.state)] {
        // What was kept can be a header.
        if let Some(value) = HeaderValue::from_str(value).ok().filter(|value| !value.is_empty()) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn read(pairs: &[(&'static str, &str)]) -> Option<(String, String)> {
        trace(&headers(pairs)).map(|trace| (trace.parent.into(), trace.state.into()))
    }

    #[test]
    fn several_tracestates_are_one_and_several_traceparents_are_none() {
        let kept = |state: &str| Some((PARENT.to_owned(), state.to_owned()));
        let parent = (TRACE_PARENT, PARENT);
        assert_eq!(read(&[parent]), kept(""));
        assert_eq!(read(&[parent, (TRACE_STATE, "a=1")]), kept("a=1"));
        assert_eq!(
            read(&[parent, (TRACE_STATE, "a=1,b=2"), (TRACE_STATE, "c=3")]),
            kept("a=1,b=2,c=3")
        );
        assert_eq!(read(&[parent, (TRACE_STATE, "a=1"), (TRACE_STATE, "a=2")]), kept(""));
        assert_eq!(read(&[parent, (TRACE_STATE, "a=é")]), kept(""));
        assert_eq!(read(&[parent, parent]), None);
        assert_eq!(read(&[(TRACE_STATE, "a=1")]), None);
        assert_eq!(read(&[(TRACE_PARENT, "00-é-é-00")]), None);
    }

    #[test]
    fn what_is_put_is_what_is_read() {
        for said in [
            headers(&[(TRACE_PARENT, PARENT)]),
            headers(&[(TRACE_PARENT, PARENT), (TRACE_STATE, "a= 1")]),
        ] {
            let mut put = HeaderMap::new();
            put_trace(trace(&said).as_deref(), &mut put);
            assert_eq!(put, said);
        }
        let mut nothing = HeaderMap::new();
        put_trace(None, &mut nothing);
        assert_eq!(nothing, HeaderMap::new());
    }
}
