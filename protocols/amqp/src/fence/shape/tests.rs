//! What passes is read by the crate as the fence has read it, whatever a peer makes of a frame.

use bytes::BytesMut;
use fe2o3_amqp::frames::amqp::{Frame, FrameBody, FrameDecoder};
use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::messaging::message::__private::Deserializable;
use fe2o3_amqp_types::messaging::{Body, Message};
use serde_amqp::Value;
use tokio_util::codec::Decoder as _;

use super::super::Limits;
use super::super::inbound::Verdict;
use super::super::ledger::Ledger;
use super::super::refusal::sized;
use super::super::tests::peer::{attach, begin, frame, open, raw};
use super::super::walk::number;
use super::*;

const PERFORMATIVES: [(u8, &[u8], Performative); 9] = [
    (0x10, b"amqp:open:list", Performative::Open),
    (0x11, b"amqp:begin:list", Performative::Begin),
    (0x12, b"amqp:attach:list", Performative::Attach),
    (0x13, b"amqp:flow:list", Performative::Flow),
    (0x14, b"amqp:transfer:list", Performative::Transfer),
    (0x15, b"amqp:disposition:list", Performative::Disposition),
    (0x16, b"amqp:detach:list", Performative::Detach),
    (0x17, b"amqp:end:list", Performative::End),
    (0x18, b"amqp:close:list", Performative::Close),
];

/// Decisions: zeros in the end, which mean what is usual.
struct Choices<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// Whether all fields are of their types, and all lists are true.
    sound: bool,
}

impl<'a> Choices<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut choices = Self { bytes: bytes.iter(), sound: false };
        choices.sound = choices.next() % 2 == 1;
        choices
    }

    fn next(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.next()) % of.len()]
    }

    /// Seldom.
    fn odd(&mut self) -> bool {
        self.next() > 246 && !self.sound
    }
}

/// Lists that would overflow the stack of whoever begins to read in the middle of them, as a binary.
fn trap() -> Vec<u8> {
    sized(0xa0, 0xb0, &[0xc0, 0xff, 0x01].repeat(10_000))
}

/// Of `count` values, which may say of itself what it likes.
fn compound(choices: &mut Choices<'_>, short: u8, long: u8, values: &[Vec<u8>]) -> Vec<u8> {
    let content = values.concat();
    let mut count = u32::try_from(values.len()).unwrap();
    let mut length = u32::try_from(content.len()).unwrap();
    if choices.odd() {
        count = count.wrapping_add(choices.one_of(&[1, u32::MAX, 2]));
    }
    if choices.odd() {
        length = length.saturating_add_signed(choices.one_of(&[1, -1, -2, 4]));
    }
    if count == 0 && short == 0xc0 && choices.next() < 128 {
        return vec![0x45];
    }
    if let (Ok(size), Ok(count)) = (u8::try_from(length + 1), u8::try_from(count))
        && choices.next() < 200
    {
        return [&[short, size, count][..], &content].concat();
    }
    [&[long][..], &(length + 4).to_be_bytes(), &count.to_be_bytes(), &content].concat()
}

fn anything(choices: &mut Choices<'_>, depth: u8) -> Vec<u8> {
    // What is simple is seldom wrong by itself.
    let depth = if choices.sound { depth.max(4) } else { depth };
    match choices.next() % if depth > 3 { 8 } else { 14 } {
        0 => vec![0x40],
        1 => vec![choices.one_of(&[0x41, 0x42, 0x43, 0x44, 0x45])],
        2 => vec![choices.one_of(&[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56]), choices.next() % 3],
        3 => [&[choices.one_of(&[0x70, 0x71])][..], &[0, 0, 0, choices.next()]].concat(),
        4 => [&[choices.one_of(&[0x80, 0x81, 0x83])][..], &[0, 0, 0, 0, 0, 0, 0, 9]].concat(),
        5 => sized(0xa1, 0xb1, b"text"),
        6 => sized(0xa3, 0xb3, b"symbol"),
        7 => trap(),
        8 => {
            let element = vec![choices.one_of(&[0x40, 0x41, 0x45])];
            compound(choices, 0xe0, 0xf0, &[element])
        }
        9 => vec![0xe0, 6, 2, 0xa3, 1, b'a', 1, b'b'],
        10 => {
            let mut values = Vec::new();
            for _ in 0..choices.next() % 4 {
                values.push(anything(choices, depth + 1));
            }
            compound(choices, 0xc0, 0xd0, &values)
        }
        11 => {
            let mut values = Vec::new();
            for _ in 0..choices.next() % 4 {
                values.push(anything(choices, depth + 1));
            }
            compound(choices, 0xc1, 0xd1, &values)
        }
        12 => {
            let code = choices.one_of(&[0x10, 0x14, 0x1d, 0x24, 0x25, 0x28, 0x77]);
            [vec![0x00, 0x53, code], anything(choices, depth + 1)].concat()
        }
        _ => {
            let state = choices.one_of(STATES_AND_ALL);
            composite(choices, state, depth)
        }
    }
}

const STATES_AND_ALL: &[&Composite] =
    &[&STATES[0], &STATES[1], &STATES[2], &STATES[3], &STATES[4], &ERROR, &SOURCE, &TARGET];

fn descriptor(choices: &mut Choices<'_>, code: u8, name: &[u8]) -> Vec<u8> {
    let first = if choices.odd() { choices.one_of(&[0x40, 0x45, 0xc0]) } else { 0x00 };
    let descriptor = match choices.next() {
        0..=150 => vec![0x53, code],
        151..=180 => vec![0x80, 0, 0, 0, 0, 0, 0, 0, code],
        181..=220 => sized(0xa3, 0xb3, name),
        221..=245 => [&[0xb3, 0, 0, 0][..], &sized(0, 0, name)[1..]].concat(),
        _ if choices.sound => vec![0x53, code],
        246..=249 => sized(0xa1, 0xb1, name),
        250..=252 => vec![0x44],
        _ => vec![0x70, 0, 0, 0, code],
    };
    [vec![first], descriptor].concat()
}

fn fields(choices: &mut Choices<'_>, shapes: &[Shape], depth: u8) -> Vec<u8> {
    let left_out = if choices.next() > 200 { usize::from(choices.next() % 3) } else { 0 };
    let count = shapes.len().saturating_sub(left_out);
    let mut values: Vec<_> =
        shapes.iter().take(count).map(|shape| field(choices, *shape, depth)).collect();
    if choices.odd() {
        for _ in 0..=choices.next() % 3 {
            values.push(anything(choices, depth));
        }
    }
    let (short, long) = if choices.odd() { (0xc1, 0xd1) } else { (0xc0, 0xd0) };
    compound(choices, short, long, &values)
}

fn composite(choices: &mut Choices<'_>, composite: &Composite, depth: u8) -> Vec<u8> {
    let code = u8::try_from(composite.code).unwrap();
    [descriptor(choices, code, composite.name), fields(choices, composite.fields, depth + 1)]
        .concat()
}

/// A field that is as it should be, most of the time.
fn field(choices: &mut Choices<'_>, shape: Shape, depth: u8) -> Vec<u8> {
    match choices.next() {
        0..=225 => {}
        226..=245 => return vec![0x40],
        _ if choices.sound => {}
        246..=249 => return anything(choices, depth),
        250..=252 => {
            // As the crate writes enumerations.
            let two = [field(choices, shape, depth), anything(choices, depth)];
            return compound(choices, 0xc0, 0xd0, &two);
        }
        _ => {
            let two = [field(choices, shape, depth), anything(choices, depth)];
            return compound(choices, 0xc1, 0xd1, &two);
        }
    }
    match shape {
        Boolean => choices.one_of(&[&[0x42][..], &[0x41], &[0x56, 0], &[0x56, 1]]).to_vec(),
        Ubyte => vec![0x50, choices.next() % 2],
        Ushort => vec![0x60, 0, choices.next() % 5],
        Uint => match choices.next() % 3 {
            0 => vec![0x43],
            1 => vec![0x52, choices.next() % 4],
            _ => vec![0x70, 0, 0, 0, choices.next() % 4],
        },
        Ulong => {
            choices.one_of(&[&[0x44][..], &[0x53, 1], &[0x80, 0, 0, 0, 0, 0, 0, 1, 0]]).to_vec()
        }
        Binary => sized(0xa0, 0xb0, &[choices.next()]),
        Text => sized(0xa1, 0xb1, &[b'a' + choices.next() % 20]),
        // The crate knows two kinds, and takes neither for the other.
        Symbol => match choices.next() {
            0..=127 if choices.sound => vec![0x40],
            0..=190 => sized(0xa3, 0xb3, b"session-end"),
            _ => sized(0xa3, 0xb3, b"move"),
        },
        Symbols => choices
            .one_of(&[
                &[0xa3, 1, b'x'][..],
                &[0xe0, 6, 2, 0xa3, 1, b'a', 1, b'b'],
                &[0xf0, 0, 0, 0, 10, 0, 0, 0, 1, 0xb3, 0, 0, 0, 1, b'a'],
                &[0xe0, 1, 0],
            ])
            .to_vec(),
        Map => {
            let mut values = Vec::new();
            for _ in 0..choices.next() % 4 {
                let key = if choices.next() > 200 { Text } else { Symbol };
                values.push(field(choices, key, depth));
                values.push(anything(choices, depth + 1));
            }
            compound(choices, 0xc1, 0xd1, &values)
        }
        One(known) => {
            let at = usize::from(choices.next()) % known.len();
            composite(choices, &known[at], depth)
        }
        Unused => anything(choices, depth),
    }
}

/// Some frame, after which a payload may come that would be read as part of it, or the reverse.
fn body(choices: &mut Choices<'_>) -> Vec<u8> {
    let (code, name, performative) = choices.one_of(&PERFORMATIVES);
    let mut body = descriptor(choices, code, name);
    body.extend(fields(choices, shapes(performative), 0));
    if performative == Performative::Transfer || choices.odd() {
        for _ in 0..choices.next() % 3 {
            body.extend(anything(choices, 0));
        }
    }
    if choices.odd() {
        let two = [body, anything(choices, 0)];
        return compound(choices, 0xc0, 0xd0, &two);
    }
    body
}

/// A connection with a session on channel 0, and a link in each direction.
fn ledger(opened: bool) -> Ledger {
    let mut ledger = Ledger::new(Limits::default());
    if opened {
        for mut known in [
            frame(0, &open(), &[]),
            frame(0, &begin(), &[]),
            frame(0, &attach("in", 0, Role::Sender), &[]),
            frame(0, &attach("out", 1, Role::Receiver), &[]),
        ] {
            assert_eq!(ledger.inbound(&mut known), Ok(Verdict::Pass));
        }
        let mut answer = begin();
        answer.remote_channel = Some(0);
        ledger.outbound(&frame(0, &answer, &[]));
        ledger.outbound(&frame(0, &attach("in", 0, Role::Receiver), &[]));
        ledger.outbound(&frame(0, &attach("out", 1, Role::Sender), &[]));
    }
    ledger
}

/// The frame that passes, if one does.
fn passes(body: &[u8]) -> Option<Vec<u8>> {
    let known = Fields::open(body, 0).map(|(known, _)| known);
    let channel = u16::from(known == Some(Performative::Begin));
    let mut frame = raw(channel, body);
    match ledger(known != Some(Performative::Open)).inbound(&mut frame) {
        // Empty frames say nothing.
        Ok(Verdict::Pass) => Some(frame).filter(|frame| frame.len() > 8),
        Ok(Verdict::Replace(other)) => Some(other),
        Ok(Verdict::Hold | Verdict::Wait) | Err(_) => None,
    }
}

/// The crate reads what the fence has read. Whether it reads it at all: it may want a field that is not there.
fn agrees(passed: &[u8]) -> bool {
    let (performative, mut fields) = Fields::open(passed, 8).unwrap();
    let length = Walk::value(&passed[8..], 65_536).unwrap();
    assert_eq!(number(&passed[..4]), u64::try_from(passed.len()).unwrap());
    let decoded = FrameDecoder {}.decode(&mut BytesMut::from(&passed[4..]));
    let Ok(Some(Frame { body, .. })) = decoded else { return false };
    let mut rest = &passed[8..];
    let read: Result<fe2o3_amqp_types::performatives::Performative, _> =
        serde_amqp::from_reader(&mut rest);
    assert!(read.is_ok());
    assert_eq!(passed.len() - 8 - rest.len(), length, "the crate ends elsewhere: {passed:02x?}");
    let mut uint = |skipped: usize| {
        fields.skip(skipped);
        fields.next().uint().unwrap()
    };
    match (performative, body) {
        (Performative::Transfer, FrameBody::Transfer { performative, payload }) => {
            assert_eq!(uint(0), Some(performative.handle.0));
            assert_eq!(uint(0), performative.delivery_id);
            let tag = fields.next();
            let tag = if tag.is_null() { None } else { Some(tag.binary().unwrap()) };
            assert_eq!(tag, performative.delivery_tag.as_deref().map(Vec::as_slice));
            fields.skip(2);
            assert_eq!(fields.next().boolean().unwrap().unwrap_or(false), performative.more);
            fields.skip(2);
            assert_eq!(fields.next().boolean().unwrap().unwrap_or(false), performative.resume);
            assert_eq!(fields.next().boolean().unwrap().unwrap_or(false), performative.aborted);
            assert_eq!(payload, passed[8 + length..]);
        }
        (Performative::Disposition, FrameBody::Disposition(performative)) => {
            assert_eq!(uint(1), Some(performative.first));
            assert_eq!(uint(0), performative.last);
        }
        (Performative::Flow, FrameBody::Flow(performative)) => {
            assert_eq!(uint(0), performative.next_incoming_id);
            assert_eq!(uint(3), performative.handle.map(|handle| handle.0));
            assert_eq!(uint(0), performative.delivery_count);
            assert_eq!(uint(0), performative.link_credit);
            fields.skip(1);
            assert_eq!(fields.next().boolean().unwrap().unwrap_or(false), performative.drain);
            assert_eq!(performative.properties, None);
        }
        (Performative::Attach, FrameBody::Attach(performative)) => {
            assert_eq!(uint(1), Some(performative.handle.0));
            assert_eq!(performative.properties, None);
            assert_eq!(performative.unsettled, None);
            assert_eq!(performative.source.and_then(|source| source.filter), None);
        }
        (Performative::Detach, FrameBody::Detach(performative)) => {
            assert_eq!(uint(0), Some(performative.handle.0));
        }
        (Performative::Begin, FrameBody::Begin(performative)) => {
            assert_eq!(fields.next().ushort().unwrap(), performative.remote_channel);
            assert_eq!(performative.properties, None);
        }
        (Performative::Open, FrameBody::Open(_))
        | (Performative::End, FrameBody::End(_))
        | (Performative::Close, FrameBody::Close(_)) => {}
        (performative, body) => panic!("{performative:?} is read as {body:?}"),
    }
    true
}

#[test]
fn fuzz_performatives() {
    bolero::check!().for_each(|bytes: &[u8]| {
        if let Some(passed) = passes(&body(&mut Choices::new(bytes))) {
            agrees(&passed);
        }
        if let Some(passed) = passes(bytes) {
            agrees(&passed);
        }
    });
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(5_000))]

    #[test]
    fn the_crate_reads_what_was_judged(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        if let Some(passed) = passes(&body(&mut Choices::new(&bytes))) {
            agrees(&passed);
        }
    }

    /// What is inside of a binary is read by nobody, though a section has more fields than its own.
    #[test]
    fn the_crate_reads_no_message_from_its_middle(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let mut choices = Choices::new(&bytes);
        let mut message = Vec::new();
        for _ in 0..=choices.next() % 5 {
            message.extend([0x00, 0x53, choices.one_of(&[0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78])]);
            message.extend(anything(&mut choices, 0));
        }
        if Walk::values(&message, 65_536).is_ok() {
            drop(serde_amqp::from_reader::<Deserializable<Message<Body<Value>>>>(&message[..]));
        }
    }
}

/// The tests above see each performative, whole and in both of the crate's ways to fail.
#[test]
fn enough_passes_and_enough_does_not() {
    let mut seed = 1_u64;
    let mut passed = [0; 9];
    let mut refused = [0; 9];
    for _ in 0..20_000 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed.to_be_bytes()[0]
        })
        .take(150)
        .collect();
        let body = body(&mut Choices::new(&bytes));
        let known = usize::from(bytes[1]) % PERFORMATIVES.len();
        match passes(&body) {
            Some(frame) if agrees(&frame) => passed[known] += 1,
            Some(_) => {}
            None => refused[known] += 1,
        }
    }
    assert!(passed.iter().all(|count| *count > 10), "{passed:?}");
    assert!(refused.iter().all(|count| *count > 50), "{refused:?}");
}

#[test]
fn surplus_fields_are_refused() {
    // Two fields, then a third one: a binary that a later frame's payload would be made of.
    for (body, fields, most) in [
        (&[0x00, 0x53, 0x17, 0xc0, 3, 2, 0x40, 0x40][..], 2, 1),
        (&[0x00, 0x53, 0x18, 0xc0, 3, 2, 0x40, 0x40], 2, 1),
        (&[0x00, 0x53, 0x16, 0xc0, 5, 4, 0x43, 0x41, 0x40, 0x40], 4, 3),
    ] {
        let said = format!("it has {fields} fields, where {most} are all");
        assert_eq!(ledger(true).inbound(&mut raw(0, body)), Err(Refusal::Performative(said)));
    }
    let transfer = [&[0x00, 0x53, 0x14, 0xc0, 15, 12, 0x43][..], &[0x40; 11], &[0xa0, 1, 0x40]];
    assert!(ledger(true).inbound(&mut raw(0, &transfer.concat())).is_err());
    // An accepted state with a field; the same as a list of two; and a transfer that is one.
    let state = |state: &[u8]| {
        let fields = [&[0x43][..], &[0x40; 6], state].concat();
        let size = u8::try_from(fields.len() + 1).unwrap();
        passes(&[&[0x00, 0x53, 0x14, 0xc0, size, 8][..], &fields].concat())
    };
    assert!(state(&[0x00, 0x53, 0x24, 0x45]).is_some());
    assert!(state(&[0x00, 0x53, 0x24, 0xc0, 2, 1, 0x40]).is_none());
    assert!(state(&[0xc0, 6, 2, 0x00, 0x53, 0x24, 0x45, 0x40]).is_none());
    assert!(passes(&[0xc0, 11, 2, 0x00, 0x53, 0x14, 0xc0, 2, 1, 0x43, 0xa0, 1, 0x40]).is_none());
}

#[test]
fn what_nobody_has_a_use_for_is_left_out() {
    let mut long = attach("in", 5, Role::Sender);
    let plain = frame(0, &long, &[]);
    let nothing = Value::List(vec![Value::Null; 400]);
    let many =
        || [(serde_amqp::primitives::Symbol::from("f"), nothing.clone())].into_iter().collect();
    long.source.as_mut().unwrap().filter = Some(many());
    long.properties = Some(many());
    let Ok(Verdict::Replace(cut)) = ledger(true).inbound(&mut frame(0, &long, &[])) else {
        panic!("it passes as it is")
    };
    assert!(cut.len() < plain.len() + 64, "{} bytes of {}", cut.len(), plain.len());
    assert!(agrees(&cut));
    // Even of what has a use there is an end.
    let mut long = attach(&"n".repeat(1000), 5, Role::Sender);
    long.source.as_mut().unwrap().address = Some("a".repeat(4000));
    let refusal = ledger(true).inbound(&mut frame(0, &long, &[]));
    assert!(matches!(refusal, Err(Refusal::Attach { .. })), "{refusal:?}");
}

#[test]
fn frames_of_sasl_are_their_own_too() {
    let init =
        [0x00, 0x53, 0x41, 0xc0, 11, 1, 0xa3, 8, b'E', b'X', b'T', b'E', b'R', b'N', b'A', b'L'];
    assert_eq!(sasl(&init), Ok(()));
    assert!(sasl(&init[1..]).is_err());
    assert!(sasl(&[]).is_err());
    assert!(sasl(&[0x40]).is_err());
    assert!(sasl(&[0x00, 0x53, 0x10, 0x45]).is_err());
    assert!(sasl(&[0x00, 0x53, 0x43, 0xc0, 5, 2, 0xa0, 0, 0xa0, 0]).is_err());
    assert!(sasl(&[&init[..], &[0x40]].concat()).is_err());
}
