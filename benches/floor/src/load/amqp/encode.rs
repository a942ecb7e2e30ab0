//! Frames as they are written. Encodings are those of AMQP 1.0, part 1.6.

/// Where the number of a request stands in it: it is the delivery id and, in the end, the message id.
const DELIVERY_ID: [u8; 4] = [0xaa, 0xaa, 0xaa, 0xaa];
const MESSAGE_ID: [u8; 8] = [0xbb; 8];
/// Message ids begin here, so that all are as long in whichever encoding.
const FIRST_ID: u64 = 1 << 40;

const NULL: &[u8] = &[0x40];
const TRUE: &[u8] = &[0x41];
const FALSE: &[u8] = &[0x42];

fn uint(value: u32) -> Vec<u8> {
    [&[0x70][..], &value.to_be_bytes()].concat()
}

fn text(code: u8, value: &str) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
    [&[code, length][..], value.as_bytes()].concat()
}

fn string(value: &str) -> Vec<u8> {
    text(0xa1, value)
}

fn described(code: u8, value: &[u8]) -> Vec<u8> {
    [&[0x00, 0x53, code][..], value].concat()
}

fn compound(code: u8, count: usize, items: &[u8]) -> Vec<u8> {
    let size = u32::try_from(items.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    let count = u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
    [&[code][..], &size, &count, items].concat()
}

fn list(items: &[&[u8]]) -> Vec<u8> {
    compound(0xd0, items.len(), &items.concat())
}

fn frame(performative: &[u8], payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(8 + performative.len() + payload.len()).unwrap_or(u32::MAX);
    [&size.to_be_bytes()[..], &[2, 0, 0, 0], performative, payload].concat()
}

/// Everything up to the links: header, open, begin, both attaches, and credit for replies.
pub(super) fn opening(node: &str) -> Vec<u8> {
    let (node, own) = (string(node), string("replies"));
    let window = uint(0x3fff_ffff);
    let at_node = described(0x28, &list(&[&node]));
    let to_node = described(0x29, &list(&[&node]));
    let here = described(0x29, &list(&[&own]));
    let from_here = described(0x28, &list(&[&own]));
    let open = list(&[&string("load"), NULL, &uint(65_536)]);
    let begin = list(&[NULL, &uint(0), &window, &window]);
    // Name, handle, role (true: receiver), settle modes (mixed, first), source, target, ...
    let sender = list(&[
        &string("requests"),
        &uint(0),
        FALSE,
        &[0x50, 2],
        &[0x50, 0],
        &from_here,
        &to_node,
        NULL,
        FALSE,
        &uint(0),
    ]);
    let receiver =
        list(&[&string("replies"), &uint(1), TRUE, &[0x50, 2], &[0x50, 0], &at_node, &here]);
    let flow =
        list(&[&uint(0), &window, &uint(0), &window, &uint(1), &uint(0), &uint(0x3fff_ffff)]);
    [
        b"AMQP\x00\x01\x00\x00".to_vec(),
        frame(&described(0x10, &open), &[]),
        frame(&described(0x11, &begin), &[]),
        frame(&described(0x12, &sender), &[]),
        frame(&described(0x12, &receiver), &[]),
        frame(&described(0x13, &flow), &[]),
    ]
    .concat()
}

/// A READ of that operation, or of the node where that is empty, without its numbers.
pub(super) fn request(identity: &str, settled: bool) -> Vec<u8> {
    let id = [&[0x70][..], &DELIVERY_ID].concat();
    let transfer = list(&[
        &uint(0),
        &id,
        &[&[0xa0, 4][..], &DELIVERY_ID].concat(),
        &uint(0),
        if settled { TRUE } else { FALSE },
    ]);
    let message_id = [&[0x80][..], &MESSAGE_ID].concat();
    let properties = list(&[&message_id, NULL, NULL, NULL, &string("replies")]);
    let (kind, name, value) = match identity {
        "" => ("org.amqp.management", "name", "self"),
        identity => ("org.opgate.operation", "identity", identity),
    };
    let words = [("operation", "READ"), ("type", kind), (name, value)];
    let pairs: Vec<u8> =
        words.iter().flat_map(|(key, value)| [string(key), string(value)].concat()).collect();
    let application = compound(0xd1, 2 * words.len(), &pairs);
    let message =
        [described(0x73, &properties), described(0x74, &application), described(0x77, NULL)]
            .concat();
    frame(&described(0x14, &transfer), &message)
}

/// Appends a request with its numbers.
pub(super) fn numbered(out: &mut Vec<u8>, request: &[u8], number: u64) -> anyhow::Result<()> {
    let start = out.len();
    out.extend_from_slice(request);
    let copy = &mut out[start..];
    let delivery = u32::try_from(number)?.to_be_bytes();
    replace(copy, &DELIVERY_ID, &delivery);
    replace(copy, &DELIVERY_ID, &delivery);
    replace(copy, &MESSAGE_ID, &(FIRST_ID + number).to_be_bytes());
    Ok(())
}

fn replace(within: &mut [u8], what: &[u8], by: &[u8]) {
    let at = within.windows(what.len()).position(|window| window == what);
    if let Some(place) = at.and_then(|at| within.get_mut(at..at + by.len())) {
        place.copy_from_slice(by);
    }
}

/// Appends the settlement of replies.
pub(super) fn settle(out: &mut Vec<u8>, first: u32, last: u32) {
    let accepted = described(0x24, &[0x45]);
    let disposition = list(&[TRUE, &uint(first), &uint(last), TRUE, &accepted]);
    out.extend_from_slice(&frame(&described(0x15, &disposition), &[]));
}
