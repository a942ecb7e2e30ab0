//! Reading protobuf bytes in place: no message is built, so what a request costs is bounded by its
//! own size.

use prost::encoding::WireType;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// Messages within messages, as deep as the reference implementations read them.
const DEPTH_MAX: u32 = 100;

/// The bytes are not a message of the type they were checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

impl Malformed {
    fn new(problem: &str) -> Self {
        Self(problem.to_owned())
    }

    fn field(field: &FieldDescriptor, problem: &str) -> Self {
        Self(format!("{}: {problem}", field.full_name()))
    }
}

/// One field as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raw<'a> {
    Varint(u64),
    Fixed64,
    Fixed32,
    Bytes(&'a [u8]),
    StartGroup,
    EndGroup,
}

impl Raw<'_> {
    const fn wire_type(self) -> WireType {
        match self {
            Self::Varint(_) => WireType::Varint,
            Self::Fixed64 => WireType::SixtyFourBit,
            Self::Fixed32 => WireType::ThirtyTwoBit,
            Self::Bytes(_) => WireType::LengthDelimited,
            Self::StartGroup => WireType::StartGroup,
            Self::EndGroup => WireType::EndGroup,
        }
    }
}

/// The fields of a message, in order.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let Some((&byte, rest)) = self.0.split_first() else {
                return Err(Malformed::new("a number is cut off"));
            };
            self.0 = rest;
            // The tenth byte holds the last bit.
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed::new("a number is longer than 64 bits"))
    }

    fn advance(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let split = usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length));
        let (taken, rest) = split.ok_or_else(|| Malformed::new("a field is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u32, Raw<'a>), Malformed> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| Malformed::new("a field has a number out of range"))?;
        let raw = match key & 7 {
            0 => Raw::Varint(self.varint()?),
            1 => self.advance(8).map(|_| Raw::Fixed64)?,
            2 => {
                let length = self.varint()?;
                Raw::Bytes(self.advance(length)?)
            }
            3 => Raw::StartGroup,
            4 => Raw::EndGroup,
            5 => self.advance(4).map(|_| Raw::Fixed32)?,
            _ => return Err(Malformed::new("a field has an unknown wire type")),
        };
        Ok((number, raw))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Raw<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Checks that the bytes are a message of this type, and counts the values in it. Unknown fields
/// are allowed, as everywhere in protobuf.
pub(crate) fn check(message: &MessageDescriptor, bytes: &[u8]) -> Result<usize, Malformed> {
    let mut values = 0;
    walk(&mut Fields(bytes), Some(message), None, DEPTH_MAX, &mut values)?;
    Ok(values)
}

/// Reads one message, or one group up to its end. Without a type everything is skipped.
fn walk(
    fields: &mut Fields<'_>,
    message: Option<&MessageDescriptor>,
    group: Option<u32>,
    depth: u32,
    values: &mut usize,
) -> Result<(), Malformed> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Malformed(format!("more than {DEPTH_MAX} messages within one another")));
    };
    while let Some(field) = fields.next() {
        let (number, raw) = field?;
        if raw == Raw::EndGroup {
            return if group == Some(number) {
                Ok(())
            } else {
                Err(Malformed::new("a group ends that did not begin"))
            };
        }
        *values += 1;
        match message.and_then(|message| message.get_field(number)) {
            Some(field) => known(fields, &field, raw, depth, values)?,
            None if raw == Raw::StartGroup => walk(fields, None, Some(number), depth, values)?,
            None => {}
        }
    }
    match group {
        Some(_) => Err(Malformed::new("a group does not end")),
        None => Ok(()),
    }
}

fn known(
    fields: &mut Fields<'_>,
    field: &FieldDescriptor,
    raw: Raw<'_>,
    depth: u32,
    values: &mut usize,
) -> Result<(), Malformed> {
    let kind = field.kind();
    let wire_type = if field.is_group() { WireType::StartGroup } else { kind.wire_type() };
    match raw {
        Raw::Bytes(packed) if field.is_list() && wire_type != WireType::LengthDelimited => {
            let mut elements = Fields(packed);
            while !elements.0.is_empty() {
                *values += 1;
                match wire_type {
                    WireType::Varint => elements.varint().map(drop)?,
                    WireType::SixtyFourBit => elements.advance(8).map(drop)?,
                    WireType::ThirtyTwoBit => elements.advance(4).map(drop)?,
                    WireType::LengthDelimited | WireType::StartGroup | WireType::EndGroup => {
                        return Err(Malformed::field(field, "messages cannot be packed"));
                    }
                }
            }
            Ok(())
        }
        raw if raw.wire_type() != wire_type => {
            Err(Malformed::field(field, &format!("{:?} on the wire", raw.wire_type())))
        }
        Raw::StartGroup => walk(fields, kind.as_message(), Some(field.number()), depth, values),
        Raw::Bytes(bytes) => {
            if kind == Kind::String && std::str::from_utf8(bytes).is_err() {
                return Err(Malformed::field(field, "not UTF-8"));
            }
            match kind.as_message() {
                Some(message) => walk(&mut Fields(bytes), Some(message), None, depth, values),
                None => Ok(()),
            }
        }
        Raw::Varint(_) | Raw::Fixed64 | Raw::Fixed32 | Raw::EndGroup => Ok(()),
    }
}

/// The value of the field at `path` (field numbers, outermost first). Occurrences are merged as
/// protobuf merges them: the last one counts, also across repeated messages on the way.
pub(crate) fn find<'a>(bytes: &'a [u8], path: &[u32]) -> Option<Raw<'a>> {
    let (&first, rest) = path.split_first()?;
    let mut found = None;
    let mut fields = Fields::new(bytes);
    while let Some(field) = fields.next() {
        let (number, raw) = field.ok()?;
        match raw {
            Raw::StartGroup => walk(&mut fields, None, Some(number), DEPTH_MAX, &mut 0).ok()?,
            _ if number != first => {}
            raw if rest.is_empty() => found = Some(raw),
            Raw::Bytes(inner) => found = find(inner, rest).or(found),
            Raw::Varint(_) | Raw::Fixed64 | Raw::Fixed32 | Raw::EndGroup => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost_reflect::DynamicMessage;

    use super::*;
    use crate::sample::types;

    const NAMES: [&str; 6] = [
        "google.longrunning.Operation",
        "google.cloud.workflows.v1.CreateWorkflowRequest",
        "google.protobuf.Struct",
        "google.protobuf.FileDescriptorProto",
        "google.rpc.QuotaFailure",
        "google.protobuf.DoubleValue",
    ];

    fn message(name: &str) -> MessageDescriptor {
        types().message(name).unwrap()
    }

    /// Bytes near to messages: keys and lengths that fit often enough to get into nested ones.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(vec![0x0a, 2]),
            Just(vec![0x12, 4, 0x0a, 2]),
            Just(vec![0x0a, 1, b'x']),
            Just(vec![0x3a, 0]),
            Just(vec![0x18, 1]),
            Just(vec![0x33, 0x08, 1, 0x34]),
            Just(vec![0x52, 3, 1, 0x80, 1]),
            proptest::collection::vec(any::<u8>(), 0..5),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_passes_can_be_decoded_and_what_can_be_decoded_passes(
            name in prop::sample::select(&NAMES[..]),
            bytes in bytes(),
        ) {
            let decoded = DynamicMessage::decode(message(name), &*bytes);
            let checked = check(&message(name), &bytes);
            // prost-reflect reads the entry of a map whatever its wire type is; others do not.
            let refused = checked.as_ref().is_err_and(|problem| problem.0.ends_with("on the wire"));
            let is_lenient = name == "google.protobuf.Struct" && refused && decoded.is_ok();
            prop_assert!(
                is_lenient || checked.is_ok() == decoded.is_ok(),
                "{:?} {:?}", checked, decoded
            );
        }

        #[test]
        fn no_path_panics(
            bytes in bytes(),
            path in proptest::collection::vec(0_u32..12, 0..4),
        ) {
            let _found = find(&bytes, &path);
        }
    }

    #[test]
    fn the_last_value_counts_across_repeated_messages() {
        // workflow { name: "a" } workflow { description: "d" } parent: "p" parent: "q"
        let bytes = b"\x12\x03\x0a\x01a\x12\x03\x12\x01d\x0a\x01p\x0a\x01q";
        assert_eq!(find(bytes, &[1]), Some(Raw::Bytes(b"q")));
        assert_eq!(find(bytes, &[2, 1]), Some(Raw::Bytes(b"a")));
        assert_eq!(find(bytes, &[2, 2]), Some(Raw::Bytes(b"d")));
        assert_eq!(find(bytes, &[3]), None);
        assert_eq!(find(bytes, &[]), None);
        // A field within an unknown group is not one of the message.
        assert_eq!(find(b"\x7b\x0a\x01p\x7c", &[1]), None);
    }

    #[test]
    fn values_are_counted_in_packed_lists_too() {
        let descriptor = message("google.protobuf.SourceCodeInfo.Location");
        assert_eq!(check(&descriptor, b"\x0a\x03\x01\x02\x03\x10\x05"), Ok(5));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let policy = message("google.identity.accesscontextmanager.v1.AccessPolicy");
        for (bytes, expected) in [
            (&b"\x0a"[..], "a number is cut off"),
            (b"\x0a\x05ab", "a field is cut off"),
            (
                b"\x0a\x01\xff",
                "google.identity.accesscontextmanager.v1.AccessPolicy.name: not UTF-8",
            ),
            (
                b"\x08\x01",
                "google.identity.accesscontextmanager.v1.AccessPolicy.name: Varint on the wire",
            ),
            (b"\x00\x01", "a field has a number out of range"),
            (b"\x0f", "a field has an unknown wire type"),
            (b"\x7b", "a group does not end"),
            (b"\x7c", "a group ends that did not begin"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "a number is longer than 64 bits"),
        ] {
            assert_eq!(check(&policy, bytes), Err(Malformed(expected.to_owned())), "{bytes:?}");
        }
    }

    #[test]
    fn nesting_has_a_bound() {
        let groups = |depth| [vec![0x7b; depth], vec![0x7c; depth]].concat();
        let policy = message("google.identity.accesscontextmanager.v1.AccessPolicy");
        assert!(check(&policy, &groups(90)).is_ok());
        assert!(check(&policy, &groups(100_000)).is_err());
        assert_eq!(find(&groups(100_000), &[1]), None);
    }
}
