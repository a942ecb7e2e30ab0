use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A value as it comes back: without its width, and its texts as strings.
fn normal(value: &Value) -> Value {
    if let Some(text) = plain_text(value) {
        return Value::String(text);
    }
    if let Some(integer) = text::integer(value) {
        return i64::try_from(integer)
            .map_or_else(|_| Value::Ulong(u64::try_from(integer).unwrap()), Value::Long);
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest are as they were")]
    match value {
        Value::Float(number) => Value::from(f64::from(number.0)),
        Value::List(items) => Value::List(items.iter().map(normal).collect()),
        Value::Array(items) => Value::List(items.0.iter().map(normal).collect()),
        Value::Map(pairs) => {
            Value::Map(pairs.iter().map(|(key, value)| (normal(key), normal(value))).collect())
        }
        Value::Described(described) => Value::Described(Box::new(Described {
            descriptor: described.descriptor.clone(),
            value: normal(&described.value),
        })),
        other => other.clone(),
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u8>().prop_map(Value::Ubyte),
        any::<u16>().prop_map(Value::Ushort),
        any::<u32>().prop_map(Value::Uint),
        any::<u64>().prop_map(Value::Ulong),
        any::<i8>().prop_map(Value::Byte),
        any::<i16>().prop_map(Value::Short),
        any::<i32>().prop_map(Value::Int),
        any::<i64>().prop_map(Value::Long),
        any::<f32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<[u8; 4]>().prop_map(|bytes| Value::Decimal32(bytes.into())),
        any::<[u8; 8]>().prop_map(|bytes| Value::Decimal64(bytes.into())),
        any::<[u8; 16]>().prop_map(|bytes| Value::Decimal128(bytes.into())),
        any::<char>().prop_map(Value::Char),
        any::<i64>().prop_map(|time| Value::Timestamp(time.into())),
        any::<[u8; 16]>().prop_map(|bytes| Value::Uuid(bytes.into())),
        proptest::collection::vec(any::<u8>(), 0..8)
            .prop_map(|bytes| Value::Binary(Binary::from(bytes))),
        word().prop_map(Value::String),
        "[a-z:]{0,8}".prop_map(|text| Value::Symbol(Symbol::from(text))),
    ]
}

/// Texts, many of them tags or what stands behind one.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,6}",
        proptest::sample::select(vec![
            BINARY, TIMESTAMP, UUID, DECIMAL32, DOUBLE, DESCRIBED, MAP, "NaN", "AAAA", "00000000"
        ])
        .prop_map(str::to_owned),
    ]
}

fn key() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => word().prop_map(Value::String),
        1 => "[a-z]{0,3}".prop_map(|text| Value::Symbol(Symbol::from(text))),
        1 => any::<i32>().prop_map(Value::Int),
    ]
}

pub(in crate::wire) fn any_value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::vec((key(), inner.clone()), 0..4)
                .prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
            (any::<u64>(), inner).prop_map(|(code, value)| {
                let descriptor = Descriptor::Code(code);
                Value::Described(Box::new(Described { descriptor, value }))
            }),
        ]
    })
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        proptest::num::f64::NORMAL.prop_map(Json::from),
        word().prop_map(Json::String),
    ];
    leaf.prop_recursive(6, 48, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            proptest::collection::vec((word(), inner.clone()), 0..3)
                .prop_map(|fields| Json::Object(fields.into_iter().collect())),
            (word(), inner.clone(), word(), inner).prop_map(|(tag, first, key, second)| {
                let pairs = json!([[key, first], [second, 1]]);
                Json::Object(Map::from_iter([(tag, pairs)]))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_comes_back_but_for_its_width(value in any_value()) {
        let written = of(&value);
        prop_assert_eq!(self::value(&written), normal(&value), "{}", written);
    }

    #[test]
    fn json_comes_back_as_it_was(json in any_json()) {
        let value = value(&json);
        prop_assert_eq!(of(&value), json.clone());
        let written = serde_amqp::to_vec(&value).unwrap();
        prop_assert_eq!(of(&serde_amqp::from_slice(&written).unwrap()), json);
    }
}

/// The crate panics at it, or writes another value.
#[test]
fn a_map_with_a_time_stamp_for_a_key_stays_what_json_has() {
    let time = json!({"$timestamp": 7});
    for key in [time.clone(), json!({"$described": [1, {"$described": ["a:b", time]}]})] {
        for other in [json!({"$binary": "aGk="}), json!(1), json!("text"), Json::Null] {
            let json = json!({"$map": [[key, other]]});
            let value = value(&json);
            assert!(
                matches!(&value, Value::Map(fields) if fields.contains_key(&Value::from("$map")))
            );
            let written = serde_amqp::to_vec(&value).unwrap();
            assert_eq!(of(&serde_amqp::from_slice(&written).unwrap()), json);
        }
    }
    let map = [(Value::Timestamp(Timestamp::from(7)), Value::Null)].into_iter().collect();
    assert!(!is_kept(&Value::Map(map)));
}

#[test]
fn what_json_has_no_word_for_is_tagged() {
    let of = |value: Value| of(&value);
    assert_eq!(of(Value::Binary(Binary::from("hi"))), json!({"$binary": "aGk="}));
    assert_eq!(of(Value::Timestamp(Timestamp::from(7))), json!({"$timestamp": 7}));
    let id = json!({"$uuid": "00000000-0000-0000-0000-000000000007"});
    assert_eq!(of(Value::Uuid(7_u128.to_be_bytes().into())), id);
    assert_eq!(of(Value::from(f64::NAN)), json!({"$double": "NaN"}));
    assert_eq!(of(Value::Ulong(u64::MAX)), json!(u64::MAX));
    let map =
        |key: Value, value: &str| Value::Map([(key, Value::from(value))].into_iter().collect());
    assert_eq!(of(map(Value::Int(1), "a")), json!({"$map": [[1, "a"]]}));
    assert_eq!(of(map(Value::from("$merge"), "a")), json!({"$merge": "a"}));
    assert_eq!(of(map(Value::from("$uuid"), "a")), json!({"$uuid": "a"}));
    assert_eq!(of(map(Value::from("$binary"), "aGk=")), json!({"$map": [["$binary", "aGk="]]}));
}

#[test]
fn what_is_nested_does_not_cost_more_with_each_level() {
    let nested = (0..100).fold(json!(1), |inner, _| json!({"$map": [["$map", inner]]}));
    drop(of(&value(&nested)));
    let nested = (0..100).fold(Value::Int(1), |inner, _| {
        Value::Map(
            [(Value::from("$map"), Value::List(vec![Value::List(vec![Value::Int(1), inner])]))]
                .into_iter()
                .collect(),
        )
    });
    assert_eq!(value(&of(&nested)), normal(&nested));
}
