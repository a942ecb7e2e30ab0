use std::io::Read as _;

use fe2o3_amqp_types::messaging::message::__private::Deserializable;
use proptest::prelude::*;

use super::*;
use crate::wire::encoded;
use crate::wire::json::tests::any_value;

const VALUE_SECTION: [u8; 3] = [0x00, 0x53, 0x77];
const LIST_SECTION: [u8; 3] = [0x00, 0x53, 0x76];
/// A footer with a text, which is read after the body.
const FOOTER: &[u8] = &[0x00, 0x53, 0x78, 0xc1, 7, 2, 0xa3, 1, b'a', 0xa1, 1, b'b'];

type Read = Deserializable<Message<Values>>;

/// From one piece of memory, and from several, as the frames of a message are.
fn read(message: &[u8]) -> (Message<Body<Value>>, Option<Values>) {
    let whole = parted(serde_amqp::from_slice::<Read>(message).unwrap().0).unwrap();
    let (first, second) = message.split_at(message.len() / 2);
    let pieces: Read = serde_amqp::from_reader(first.chain(second)).unwrap();
    let (message, values) = parted(pieces.0).unwrap();
    assert_eq!((&message.body, &values), (&whole.0.body, &whole.1));
    whole
}

fn value(bytes: &[u8]) -> Values {
    Body::Value(AmqpValue(Encoded::of_bytes(bytes.to_vec().into())))
}

#[test]
fn the_bytes_are_those_that_came() {
    for came in [
        &[0x40][..],
        // A long and an uint in all of their bytes, and a text with a length of four.
        &[0x81, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0x70, 0, 0, 0, 0],
        &[0xb1, 0, 0, 0, 1, b'a'],
        // An empty list with a head of nine bytes, and a map with one.
        &[0xd0, 0, 0, 0, 4, 0, 0, 0, 0],
        &[0xd1, 0, 0, 0, 8, 0, 0, 0, 2, 0xa1, 1, b'a', 0x40],
        // A name twice, and an array of small ints.
        &[0xc1, 11, 4, 0xa1, 1, b'a', 0x55, 1, 0xa1, 1, b'a', 0x55, 2],
        &[0xe0, 4, 2, 0x54, 1, 2],
        // Described, and described twice.
        &[0x00, 0xa3, 1, b'd', 0x70, 0, 0, 0, 0],
        &[0x00, 0x53, 7, 0x00, 0x53, 8, 0x70, 0, 0, 0, 0],
    ] {
        for after in [&[][..], FOOTER] {
            let (message, values) = read(&[&VALUE_SECTION, came, after].concat());
            assert_eq!(values, Some(value(came)), "{came:x?}");
            assert_eq!(message.footer.is_some(), !after.is_empty());
        }
    }
    // The descriptor of a body is as short as it can be.
    let (_, values) = read(&[0x00, 0x53, 0x77, 0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, 7, 0x40]);
    assert_eq!(values, Some(value(&[0x00, 0x53, 7, 0x40])));
}

#[test]
fn what_is_no_value_cannot_be_read() {
    // A text that is not UTF-8.
    let bytes = [&VALUE_SECTION[..], &[0xa1, 1, 0xff]].concat();
    let message = serde_amqp::from_slice::<Read>(&bytes).unwrap().0;
    assert_eq!(parted(message), Err(Unreadable));
}

#[test]
fn data_and_nothing_have_no_values() {
    let (message, values) = read(&[0x00, 0x53, 0x75, 0xa0, 1, 7]);
    assert_eq!(values, None);
    assert!(message.body.is_data());
    let (message, values) = read(&[0x00, 0x53, 0x73, 0x45]);
    assert_eq!((message.body, values), (Body::Empty, None));
}

proptest! {
    #[test]
    fn what_is_read_is_what_the_bytes_are(one in any_value(), other in any_value()) {
        let first = Encoded::from(&one);
        let (message, values) = read(&[&VALUE_SECTION, &first.bytes()[..]].concat());
        prop_assert_eq!(message.body, Body::Value(AmqpValue(one.clone())));
        prop_assert_eq!(values, Some(value(first.bytes())));
        let list = Encoded::from(&Value::List(vec![one.clone(), other.clone(), one.clone()]));
        let (message, values) =
            read(&[&LIST_SECTION, &list.bytes()[..], &LIST_SECTION, &[0x45]].concat());
        let lists = vec![AmqpSequence(vec![one.clone(), other, one]), AmqpSequence(vec![])];
        let lists = Body::Sequence(lists.into());
        prop_assert_eq!(values, Some(encoded::body(lists.clone())));
        prop_assert_eq!(message.body, lists);
    }
}
