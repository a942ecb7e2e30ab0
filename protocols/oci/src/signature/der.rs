//! As much of DER (ITU-T X.690) as an RSA public key needs.

/// `INTEGER`.
const INTEGER: u8 = 0x02;
/// `BIT STRING`.
const BIT_STRING: u8 = 0x03;
/// `SEQUENCE`.
const SEQUENCE: u8 = 0x30;
/// `AlgorithmIdentifier` of `rsaEncryption` (RFC 3279, 2.3.1): the OID, and NULL as its parameters.
const RSA: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// Modulus and exponent of a `SubjectPublicKeyInfo` (RFC 5280, 4.1.2.7) that holds an RSA key.
pub(super) fn spki(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = whole(SEQUENCE, der)?;
    let (key, rest) = element(BIT_STRING, inner.strip_prefix(&RSA)?)?;
    // The bits fill their last byte.
    pkcs1(key.strip_prefix(&[0])?).filter(|_| rest.is_empty())
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017, A.1.1).
pub(super) fn pkcs1(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (modulus, rest) = element(INTEGER, whole(SEQUENCE, der)?)?;
    Some((positive(modulus)?, positive(whole(INTEGER, rest)?)?))
}

/// The `SubjectPublicKeyInfo` of an RSA key; the numbers without zeros in front.
pub(super) fn write_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = write(SEQUENCE, &[&write_integer(modulus), &write_integer(exponent)]);
    write(SEQUENCE, &[&RSA, &write(BIT_STRING, &[&[0], &key])])
}

/// What the one element in `der` holds.
fn whole(tag: u8, der: &[u8]) -> Option<&[u8]> {
    element(tag, der).filter(|(_, rest)| rest.is_empty()).map(|(content, _)| content)
}

/// What the first element holds, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match first {
        ..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            let length = bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
            // The shortest form is the only one.
            if length < 0x80 || bytes.starts_with(&[0]) {
                return None;
            }
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// The digits of a number that is not negative, in its shortest form.
fn positive(digits: &[u8]) -> Option<&[u8]> {
    match digits {
        [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Some(rest),
        [1..=0x7f, ..] => Some(digits),
        _ => None,
    }
}

fn write(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let bytes = length.to_be_bytes();
    let digits = bytes.iter().position(|byte| *byte != 0).map_or(&bytes[..0], |at| &bytes[at..]);
    let mut der = vec![tag];
    match digits {
        [] => der.push(0),
        [short @ ..=0x7f] => der.push(*short),
        // At most eight of them.
        _ => {
            der.push(0x80 | u8::try_from(digits.len()).unwrap_or(u8::MAX));
            der.extend_from_slice(digits);
        }
    }
    der.extend(parts.iter().copied().flatten());
    der
}

fn write_integer(digits: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if digits.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    write(INTEGER, &[sign, digits])
}
