use proptest::prelude::*;
use serde_amqp::Value;
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use serde_amqp::primitives::{Array, OrderedMap, Symbol};

use super::*;

const ITEMS: u32 = 65_536;

fn walk(bytes: &[u8]) -> Result<(), Fault> {
    Walk::values(bytes, ITEMS)
}

#[test]
fn a_length_that_reaches_out_is_refused_before_its_bytes_come() {
    // A symbol of 3 GiB in seven bytes, as a descriptor and by itself.
    assert_eq!(walk(&[0x00, 0xb3, 0xc0, 0, 0]), Err(Fault::Truncated));
    assert_eq!(walk(&[0x00, 0xb3, 0xc0, 0, 0, 0, b'a']), Err(Fault::Length));
    assert_eq!(walk(&[0xb1, 0xff, 0xff, 0xff, 0xff]), Err(Fault::Length));
    // Inside of a list: the string ends in the frame, but not in the list.
    assert_eq!(walk(&[0xc0, 3, 1, 0xa1, 3, b'a', b'b', b'c']), Err(Fault::Length));
    assert_eq!(walk(&[0xc0, 6, 1, 0xa1, 3, b'a', b'b', b'c']), Ok(()));
}

#[test]
fn sizes_that_the_crate_would_subtract_from_are_refused() {
    for code in [0xc0, 0xc1, 0xe0] {
        assert_eq!(walk(&[code, 0, 0]), Err(Fault::Count), "{code:x}");
    }
    for code in [0xd0, 0xd1, 0xf0] {
        assert_eq!(walk(&[code, 0, 0, 0, 3, 0, 0, 0, 0]), Err(Fault::Count), "{code:x}");
    }
    // A key without a value.
    assert_eq!(walk(&[0xc1, 2, 1, 0x40]), Err(Fault::Count));
}

#[test]
fn a_count_is_true() {
    assert_eq!(walk(&[0xc0, 3, 2, 0x40, 0x40]), Ok(()));
    assert_eq!(walk(&[0xc0, 3, 1, 0x40, 0x40]), Err(Fault::Count));
    assert_eq!(walk(&[0xc0, 3, 3, 0x40, 0x40]), Err(Fault::Count));
    assert_eq!(walk(&[0xc0, 2, 0, 0x40]), Err(Fault::Count));
    assert_eq!(walk(&[0xd0, 0, 0, 0, 5, 0x7f, 0xff, 0xff, 0xff, 0x40]), Err(Fault::Count));
    assert_eq!(walk(&[0xe0, 6, 2, 0x60, 0, 1, 0, 2]), Ok(()));
    assert_eq!(walk(&[0xe0, 6, 3, 0x60, 0, 1, 0, 2]), Err(Fault::Count));
    assert_eq!(walk(&[0xe0, 6, 2, 0xa1, 1, b'a', 1, b'b']), Ok(()));
    assert_eq!(walk(&[0xe0, 6, 1, 0xa1, 1, b'a', 1, b'b']), Err(Fault::Count));
    assert_eq!(walk(&[0xe0, 6, 3, 0xa1, 1, b'a', 1, b'b']), Err(Fault::Truncated));
    assert_eq!(walk(&[0xe0, 6, 3, 0xa1, 1, b'a', 1, b'b', 0x40]), Err(Fault::Length));
}

#[test]
fn depth_is_bounded_for_lists_maps_and_descriptors() {
    let lists = |depth: usize| {
        let mut bytes = vec![0x45];
        for _ in 0..depth {
            let size = u32::try_from(bytes.len() + 4).unwrap().to_be_bytes();
            bytes.splice(0..0, [&[0xd0], &size[..], &[0, 0, 0, 1]].concat());
        }
        bytes
    };
    assert_eq!(walk(&lists(DEPTH)), Ok(()));
    assert_eq!(walk(&lists(DEPTH + 1)), Err(Fault::Depth));
    assert_eq!(walk(&lists(6_000)), Err(Fault::Depth));
    let described = |depth| [[0x00, 0x53, 0x01].repeat(depth), vec![0x40]].concat();
    assert_eq!(walk(&described(DEPTH)), Ok(()));
    assert_eq!(walk(&described(DEPTH + 1)), Err(Fault::Depth));
}

#[test]
fn arrays_hold_what_has_no_inside() {
    assert_eq!(walk(&[0xe0, 2, 1, 0x45]), Err(Fault::Array(0x45)));
    assert_eq!(walk(&[0xe0, 4, 1, 0xc0, 1, 0]), Err(Fault::Array(0xc0)));
    assert_eq!(walk(&[0xe0, 5, 1, 0x00, 0x53, 1, 0x40]), Err(Fault::Array(0x00)));
    // The crate would read the code of an empty array as the next value.
    assert_eq!(walk(&[0xe0, 2, 0, 0xb3]), Err(Fault::Array(0xb3)));
    assert_eq!(walk(&[0xe0, 1, 0]), Ok(()));
}

#[test]
fn descriptors_are_codes_or_symbols() {
    assert_eq!(walk(&[0x00, 0x53, 0x10, 0x45]), Ok(()));
    assert_eq!(walk(&[0x00, 0xa3, 1, b'x', 0x45]), Ok(()));
    assert_eq!(walk(&[0x00, 0x45, 0x45]), Err(Fault::Descriptor(0x45)));
    assert_eq!(walk(&[0x00, 0x00, 0x53, 0x10, 0x45, 0x45]), Err(Fault::Descriptor(0x00)));
    assert_eq!(walk(&[0x00, 0x53, 0x10]), Err(Fault::Truncated));
}

#[test]
fn values_are_counted() {
    assert_eq!(Walk::values(&[0x40, 0x40, 0x40], 3), Ok(()));
    assert_eq!(Walk::values(&[0x40, 0x40, 0x40], 2), Err(Fault::Items));
    assert_eq!(Walk::values(&[0xf0, 0, 0, 0, 5, 0, 1, 0, 0, 0x40], ITEMS), Err(Fault::Items));
}

/// Any value that the crate can write, but for arrays of compounds.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u8>().prop_map(Value::Ubyte),
        any::<u16>().prop_map(Value::Ushort),
        any::<u32>().prop_map(Value::Uint),
        any::<u64>().prop_map(Value::Ulong),
        any::<i64>().prop_map(Value::Long),
        any::<char>().prop_map(Value::Char),
        ".{0,300}".prop_map(Value::String),
        "[a-z:]{0,20}".prop_map(|text| Value::Symbol(Symbol::from(text))),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Value::Binary(bytes.into())),
        prop::collection::vec("[a-z]{0,9}", 1..9).prop_map(|symbols| {
            let symbols = symbols.into_iter().map(|symbol| Value::Symbol(Symbol::from(symbol)));
            Value::Array(symbols.collect::<Array<_>>())
        }),
    ];
    leaf.prop_recursive(6, 40, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            prop::collection::vec(("[a-z]{0,9}".prop_map(Value::String), inner.clone()), 0..4)
                .prop_map(|pairs| { Value::Map(pairs.into_iter().collect::<OrderedMap<_, _>>()) }),
            (any::<u64>(), inner).prop_map(|(code, value)| {
                Value::Described(Box::new(Described { descriptor: Descriptor::Code(code), value }))
            }),
        ]
    })
}

proptest! {
    /// What the crate writes is walked over to its end and no further, and whole only when it is whole.
    #[test]
    fn the_crates_own_values_pass(value in value(), cut in any::<prop::sample::Index>()) {
        let bytes = serde_amqp::to_vec(&value).unwrap();
        let padded = [&bytes[..], &[0x40, 0xff]].concat();
        prop_assert_eq!(Walk::value(&padded, ITEMS), Ok(bytes.len()));
        let cut = cut.index(bytes.len());
        prop_assert!(Walk::value(&bytes[..cut], ITEMS).is_err());
    }

    /// However the bytes come, the walk ends the same: these are hardly ever sound.
    #[test]
    fn pieces_make_no_difference(
        bytes in prop::collection::vec(prop::sample::select(vec![
            0x00, 0x40, 0x45, 0x53, 0x01, 0x02, 0x03, 0x05, 0xa1, 0xa3, 0xb3, 0xc0, 0xc1, 0xd0, 0xe0, 0xf0,
        ]), 0..60),
        pieces in prop::collection::vec(1..9_usize, 1..60),
    ) {
        let mut walk = Walk::new(u64::try_from(bytes.len()).unwrap(), ITEMS);
        let mut rest = &bytes[..];
        let mut cut = || -> Result<(), Fault> {
            for piece in pieces.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                assert_eq!(walk.feed(now, false)?, now.len());
                rest = later;
            }
            walk.finish()
        };
        prop_assert_eq!(cut(), Walk::values(&bytes, ITEMS));
    }

    /// What passes the walk is read by the crate without a panic, and in bounded memory.
    #[test]
    fn what_passes_is_safe_to_read(bytes in prop::collection::vec(prop::sample::select(vec![
        0x00, 0x40, 0x41, 0x45, 0x53, 0x01, 0x02, 0x03, 0x05, 0xa1, 0xa3, 0xb3, 0xc0, 0xc1, 0xd0, 0xe0, 0xf0,
    ]), 0..40)) {
        if walk(&bytes).is_ok() {
            drop(serde_amqp::from_reader::<Value>(&bytes[..]));
        }
    }
}
