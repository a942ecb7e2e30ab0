use proptest::prelude::*;
use serde_amqp::described::Described;
use serde_amqp::primitives::{Array, Binary, OrderedMap, Symbol, Timestamp};

use super::*;
use crate::wire::json::tests::any_value;

fn read(value: &Encoded) -> Value {
    serde_amqp::from_slice(value.bytes()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    Encoded::from(value).bytes().to_vec()
}

#[test]
fn what_the_crate_does_not_write_is_written() {
    let time = |ms| Value::Timestamp(Timestamp::from_milliseconds(ms));
    let text = |text: &str| Value::from(text);
    let map = |key: Value, value: Value| Value::Map(OrderedMap::from_iter([(key, value)]));
    for value in [
        map(time(1), text("a")),
        map(time(1), Value::Long(1)),
        map(time(1), Value::Binary(Binary::from(vec![1]))),
        map(time(1), time(2)),
        Value::Array(Array(vec![text("ä"), text("☃☃"), text("")])),
        Value::Array(Array(vec![text("a"), text(&"ä".repeat(200))])),
        Value::Array(Array(vec![
            Value::Symbol(Symbol::from("a")),
            Value::Symbol(Symbol::from("b")),
        ])),
        Value::Array(Array(vec![Value::Binary(Binary::from(vec![0; 300]))])),
        Value::Array(Array(vec![Value::Bool(true), Value::Bool(false)])),
        Value::Array(Array(vec![Value::Ulong(0), Value::Ulong(u64::MAX)])),
        Value::Array(Array(vec![time(1), time(2)])),
        Value::Array(Array(Vec::new())),
    ] {
        assert_eq!(read(&Encoded::from(&value)), value);
    }
}

#[test]
fn each_takes_as_few_bytes_as_it_can() {
    for (value, expected) in [
        (Value::Uint(0), &[0x43][..]),
        (Value::Uint(255), &[0x52, 255]),
        (Value::Uint(256), &[0x70, 0, 0, 1, 0]),
        (Value::Ulong(255), &[0x53, 255]),
        (Value::Int(-128), &[0x54, 0x80]),
        (Value::Int(128), &[0x71, 0, 0, 0, 128]),
        (Value::Long(-1), &[0x55, 0xff]),
        (Value::List(vec![]), &[0x45]),
        (Value::Map(OrderedMap::new()), &[0xc1, 1, 0]),
        (Value::Array(Array(vec![])), &[0xe0, 1, 0]),
        (Value::Array(Array(vec![Value::from("é")])), &[0xe0, 5, 1, 0xa1, 2, 0xc3, 0xa9]),
    ] {
        assert_eq!(bytes(&value), expected, "{value:?}");
    }
    for (length, code) in [(255, 0xa1), (256, 0xb1)] {
        assert_eq!(bytes(&Value::from("x".repeat(length)))[0], code);
    }
    // Size and count of one byte each: 255 bytes, the count among them.
    for (items, code) in [(254, 0xc0), (255, 0xd0)] {
        let list = Value::List(vec![Value::Null; items]);
        assert_eq!(bytes(&list)[0], code);
        assert_eq!(read(&Encoded::from(&list)), list);
    }
}

#[test]
fn a_list_takes_no_more_room_than_it_has_bytes() {
    // As many items as large as the first are 128 GiB.
    let mut items = vec![Value::Null; 65_535];
    items[0] = Value::from("x".repeat(2 << 20));
    let encoded = serde_amqp::to_vec(&Encoded::from(&Value::List(items))).unwrap();
    assert_eq!(encoded.len(), (2 << 20) + 5 + 65_534 + 9);
}

#[test]
fn a_place_is_found_as_in_json() {
    let list = Value::List(vec![Value::Int(7), Value::List(vec![])]);
    let fields = [("a/b", list), ("~", Value::Bool(true))];
    let fields = fields.into_iter().map(|(name, value)| (Value::Symbol(Symbol::from(name)), value));
    let value = Value::Map(fields.collect());
    let encoded = Encoded::from(&value);
    let at = |pointer: &str| encoded.at(pointer).map(|found| read(&found));
    assert_eq!(at(""), Some(value));
    assert_eq!(at("/a~1b/0"), Some(Value::Int(7)));
    assert_eq!(at("/a~1b/1"), Some(Value::List(vec![])));
    assert_eq!(at("/~0"), Some(Value::Bool(true)));
    for nowhere in ["a", "/a", "/a~1b/2", "/a~1b/x", "/a~1b/1/0", "/~0/0"] {
        assert_eq!(at(nowhere), None, "{nowhere}");
    }
    // Of names that are alike the last counts.
    let twice = [0xc1, 11, 4, 0xa1, 1, b'a', 0x55, 1, 0xa1, 1, b'a', 0x55, 2];
    let twice = Encoded::of_bytes(twice.to_vec().into());
    assert_eq!(twice.at("/a").as_ref().map(read), Some(Value::Long(2)));
}

proptest! {
    #[test]
    fn it_is_the_value_wherever_it_stands(value in any_value(), descriptor in any::<u64>()) {
        let encoded = Encoded::from(&value);
        prop_assert_eq!(read(&encoded), value.clone());
        prop_assert_eq!(encoded.value(), Some(value.clone()));
        prop_assert_eq!(encoded.bytes().to_vec(), serde_amqp::to_vec(&value).unwrap());
        // In a list, behind a key, and described.
        let is = |written: Result<Vec<u8>, serde_amqp::Error>, whole: Value| {
            prop_assert_eq!(serde_amqp::from_slice::<Value>(&written.unwrap()).unwrap(), whole);
            Ok(())
        };
        let twice = Value::List(vec![value.clone(), value.clone()]);
        is(serde_amqp::to_vec(&[&encoded, &encoded]), twice)?;
        let names = ["a", "b"];
        let pairs = names.map(|name| (Value::from(name), value.clone()));
        let map: OrderedMap<&str, &Encoded> = names.into_iter().map(|name| (name, &encoded)).collect();
        is(serde_amqp::to_vec(&map), Value::Map(pairs.into_iter().collect()))?;
        let descriptor = || Descriptor::Code(descriptor);
        let whole = Value::Described(Box::new(Described { descriptor: descriptor(), value }));
        is(serde_amqp::to_vec(&Described { descriptor: descriptor(), value: encoded }), whole)?;
    }
}
