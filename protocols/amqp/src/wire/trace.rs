//! The caller's trace: W3C Trace Context for AMQP, a draft that clients read differently. It stands in
//! the message annotations, or in the application properties, or under the name that Azure's clients
//! have for it, as a text or in the draft's binary form.

use fe2o3_amqp_types::messaging::annotations::OwnedKey;
use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, Message};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_core::Trace;
use serde_amqp::Value;

use super::{names, text};

/// The trace of a message; none where it is not valid. A request does not fail for it.
pub fn of(message: &Message<Body<Value>>) -> Option<Box<Trace>> {
    let annotations = message.message_annotations.as_ref();
    let annotated = annotations.and_then(|annotations| {
        let found = |name: &str| {
            let is_it = |(key, _): &(&OwnedKey, &Value)| {
                matches!(key, OwnedKey::Symbol(key) if key.as_str() == name)
            };
            annotations.iter().find(is_it).map(|(_, value)| value.clone())
        };
        trace(&found)
    });
    annotated.or_else(|| {
        let properties = message.application_properties.as_ref()?;
        trace(&|name| properties.get(name).cloned().map(text::value))
    })
}

fn trace(found: &dyn Fn(&str) -> Option<Value>) -> Option<Box<Trace>> {
    let parent = found(names::TRACE_PARENT)
        .or_else(|| found(names::DIAGNOSTIC_ID))
        .and_then(|value| binary(&value).or_else(|| text::of(&value).map(str::to_owned)))?;
    let state = found(names::TRACE_STATE);
    let state = state.as_ref().and_then(text::of).unwrap_or_default();
    Trace::of(&parent, &[state]).map(Box::new)
}

/// Says where a message stands in the trace of its operation: as texts in the application properties, which is
/// where most look.
pub fn put(trace: Option<&Trace>, properties: &mut ApplicationProperties) {
    let Some(trace) = trace else { return };
    for (name, value) in [(names::TRACE_PARENT, &trace.parent), (names::TRACE_STATE, &trace.state)]
    {
        if !value.is_empty() {
            properties.insert(name.to_owned(), SimpleValue::String(value.to_string()));
        }
    }
}

/// The text of the binary form: a version, then the trace, the parent and the flags, each behind its
/// number.
fn binary(value: &Value) -> Option<String> {
    let Value::Binary(bytes) = value else { return None };
    let [0, 0, trace @ ..] = bytes.as_slice() else { return None };
    let (trace, rest) = trace.split_first_chunk::<16>()?;
    let [1, parent @ ..] = rest else { return None };
    let (parent, rest) = parent.split_first_chunk::<8>()?;
    let [2, flags] = rest else { return None };
    let (trace, parent) = (u128::from_be_bytes(*trace), u64::from_be_bytes(*parent));
    Some(format!("00-{trace:032x}-{parent:016x}-{flags:02x}"))
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp_types::messaging::MessageAnnotations;
    use serde_amqp::primitives::{Binary, Symbol};

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn bytes() -> Vec<u8> {
        let mut bytes = vec![0, 0];
        bytes.extend(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
        bytes.push(1);
        bytes.extend(0xb7ad_6b71_6920_3331_u64.to_be_bytes());
        bytes.extend([2, 1]);
        bytes
    }

    fn message(
        annotated: &[(&str, Value)],
        properties: &[(&str, SimpleValue)],
    ) -> Message<Body<Value>> {
        let annotations = annotated
            .iter()
            .map(|(name, value)| (OwnedKey::Symbol(Symbol::from(*name)), value.clone()));
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Message {
            header: None,
            delivery_annotations: None,
            message_annotations: Some(MessageAnnotations(annotations.collect())),
            properties: None,
            application_properties: Some(ApplicationProperties(properties.collect())),
            body: Body::Empty,
            footer: None,
        }
    }

    #[test]
    fn a_trace_is_found_wherever_and_however_a_client_puts_it() {
        let text = || SimpleValue::String(PARENT.to_owned());
        let binary = || SimpleValue::Binary(Binary::from(bytes()));
        for message in [
            message(&[("traceparent", Value::from(PARENT))], &[]),
            message(&[("traceparent", Value::Binary(Binary::from(bytes())))], &[]),
            message(&[], &[("traceparent", text())]),
            message(&[], &[("traceparent", binary())]),
            message(&[], &[("Diagnostic-Id", text())]),
            message(&[("traceparent", Value::from("odd"))], &[("traceparent", text())]),
        ] {
            assert_eq!(&*of(&message).unwrap().parent, PARENT);
        }
        let with_state =
            [("traceparent", text()), ("tracestate", SimpleValue::from("a=1".to_owned()))];
        assert_eq!(&*of(&message(&[], &with_state)).unwrap().state, "a=1");
        assert_eq!(of(&message(&[], &[])), None);
        // What is put is what is read.
        let trace = Trace::of(PARENT, &["a=1"]).unwrap();
        let mut put_there = message(&[], &[]);
        put(Some(&trace), put_there.application_properties.as_mut().unwrap());
        assert_eq!(of(&put_there).as_deref(), Some(&trace));
        assert_eq!(of(&message(&[], &[("traceparent", SimpleValue::from("0".to_owned()))])), None);
    }

    #[test]
    fn fuzz_any_bytes_are_a_trace_or_none() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let value = SimpleValue::Binary(Binary::from(bytes.to_vec()));
            drop(of(&message(&[], &[("traceparent", value)])));
        });
    }
}
