use proptest::prelude::*;
use serde_amqp::primitives::{Binary, Symbol};

use super::*;
use crate::wire::encoded;
use crate::wire::json::tests::any_value;

fn body(value: &Value) -> Body<Encoded> {
    Body::Value(AmqpValue(Encoded::from(value)))
}

fn list(items: impl IntoIterator<Item = Value>) -> AmqpSequence<Value> {
    AmqpSequence(items.into_iter().collect())
}

#[test]
fn a_value_goes_along_only_where_json_does_not_say_all_of_it() {
    let said = value(&Value::List(vec![Value::Long(1), Value::from("a")]), None);
    assert_eq!(said, Payload::json(r#"[1,"a"]"#));
    let unsaid = Value::List(vec![Value::Ubyte(1), Value::Symbol(Symbol::from("a"))]);
    let more = value(&unsaid, None);
    assert_eq!(more.bytes, said.bytes);
    assert_eq!(exact(&more), Some(body(&unsaid)));
    // That it was a value can be said of either.
    let (long, byte) = (Value::Long(1), Value::Ubyte(1));
    assert_eq!(again(&value(&long, None)), None);
    assert_eq!(again(&as_values(value(&long, None))), Some(body(&long)));
    assert_eq!(again(&as_values(value(&byte, None))), Some(body(&byte)));
}

#[test]
fn sequences_are_sequences_again() {
    let lists = vec![list([Value::Int(1)]), list([]), list([Value::Null])];
    let lists = Body::Sequence(lists.into());
    let payload = values(&lists, None).unwrap();
    assert_eq!(payload.bytes, "[1,null]");
    assert_eq!(exact(&payload), Some(encoded::body(lists)));
}

#[test]
fn what_there_is_no_room_for_is_json_alone() {
    let half = vec![0; limits::PAYLOAD_BYTES / 2];
    let large = Value::List(vec![Value::Ubyte(1), Value::Binary(Binary::from(half))]);
    assert_eq!(value(&large, None).encoded, None);
}

#[test]
fn data_that_reads_as_a_value_stays_data() {
    for (media_type, bytes, sections) in [
        ("application/json", "[1]", &[3][..]),
        ("application/json", "[1", &[]),
        ("text/plain", "a", &[1]),
        ("image/png", "a", &[]),
    ] {
        let payload = as_data(Payload::new(media_type, bytes));
        assert_eq!(payload.sections, sections, "{media_type} {bytes}");
    }
}

#[test]
fn bytes_that_json_would_not_be_written_in_are_kept() {
    // Four bytes for a number of one, and a map with a name twice.
    for (came, json) in [
        (&[0x71, 0, 0, 0, 1][..], "1"),
        (&[0x81, 0, 0, 0, 0, 0, 0, 0, 1], "1"),
        (&[0xc1, 11, 4, 0xa1, 1, b'a', 0x55, 1, 0xa1, 1, b'a', 0x55, 2], r#"{"a":2}"#),
    ] {
        let came = Encoded::of_bytes(Bytes::copy_from_slice(came));
        let payload = value(&came.value().unwrap(), Some(&came));
        assert_eq!(payload.bytes, json);
        assert_eq!(exact(&payload), Some(Body::Value(AmqpValue(came))));
    }
}

#[test]
fn a_part_of_what_came_is_what_it_was() {
    let int = |number: i32| [&[0x71][..], &number.to_be_bytes()].concat();
    let whole =
        [&[0xc1, 17, 4, 0xa1, 5][..], b"input", &int(1), &[0xa1, 1, b'b'], &int(2)].concat();
    let whole = Body::Value(AmqpValue(Encoded::of_bytes(whole.into())));
    let payload = part(&Value::Int(1), Some(&whole), "/input");
    let came = Encoded::of_bytes(int(1).into());
    assert_eq!(exact(&payload), Some(Body::Value(AmqpValue(came))));
    // Nor is it anything but the value that was read.
    for (value, pointer) in [(Value::Int(2), "/input"), (Value::Int(1), "/c")] {
        assert_eq!(part(&value, Some(&whole), pointer), super::value(&value, None));
    }
}

proptest! {
    #[test]
    fn any_value_is_the_same_again(one in any_value(), other in any_value()) {
        let payload = value(&one, None);
        prop_assert_eq!(payload.encoded.is_none(), json::is_kept(&one));
        prop_assert_eq!(again(&as_values(payload)), Some(body(&one)));
        let lists = vec![list([one.clone(), other.clone()]), list([other.clone()])];
        let lists = Body::Sequence(lists.into());
        let payload = values(&lists, None).unwrap();
        prop_assert_eq!(exact(&payload), Some(encoded::body(lists)));
    }
}
