//! What each performative is made of, so that the crate reads in a frame what the fence has seen in it.
//!
//! The crate goes by what it expects, not by what a list says of itself. It leaves surplus fields unread and takes
//! them for what follows; it takes a list of two for an enumeration. What was walked as one frame would be read as
//! another. So a frame passes only if it is what the specification has for its performative (sections 2.7, 2.8, 3.4
//! and 3.5, SASL: 5.3): each list is described as it must be, has no field too many, and each field is of its own
//! type or null. Read so, the crate takes exactly the bytes of the list.
//!
//! Fields that nobody here has a use for are left out: the crate would keep them as long as the link.

use super::Refusal;
use super::fields::{Field, Fields, Performative, Wrong};
use super::refusal::list_of;
use super::walk::Walk;

/// Values in a frame of SASL.
const SASL_ITEMS: u32 = 256;

/// What a field holds, if it is not null.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Boolean,
    Ubyte,
    Ushort,
    Uint,
    Ulong,
    Binary,
    Text,
    Symbol,
    /// One symbol, or an array of them.
    Symbols,
    /// A map from symbols to anything.
    Map,
    /// One of these described lists.
    One(&'static [Composite]),
    /// Anything: it does not pass.
    Unused,
}

/// A described list.
#[derive(Debug)]
pub(super) struct Composite {
    code: u64,
    name: &'static [u8],
    fields: &'static [Shape],
}

use Shape::{Binary, Boolean, Map, One, Symbol, Symbols, Text, Ubyte, Uint, Ulong, Unused, Ushort};

/// Section 2.8.14.
const ERROR: Composite =
    Composite { code: 0x1d, name: b"amqp:error:list", fields: &[Symbol, Text, Map] };

/// Section 3.4.
const STATES: &[Composite] = &[
    Composite { code: 0x23, name: b"amqp:received:list", fields: &[Uint, Ulong] },
    Composite { code: 0x24, name: b"amqp:accepted:list", fields: &[] },
    Composite { code: 0x25, name: b"amqp:rejected:list", fields: &[One(&[ERROR])] },
    Composite { code: 0x26, name: b"amqp:released:list", fields: &[] },
    Composite { code: 0x27, name: b"amqp:modified:list", fields: &[Boolean, Boolean, Map] },
];

/// Section 3.5.3. Of these no filter is ever applied, and without one we answer so.
const SOURCE: Composite = Composite {
    code: 0x28,
    name: b"amqp:source:list",
    fields: &[
        Text,
        Uint,
        Symbol,
        Uint,
        Boolean,
        Map,
        Symbol,
        Unused,
        One(STATES),
        Symbols,
        Symbols,
    ],
};

/// Section 3.5.4.
const TARGET: Composite = Composite {
    code: 0x29,
    name: b"amqp:target:list",
    fields: &[Text, Uint, Symbol, Uint, Boolean, Map, Symbols],
};

/// Section 5.3.3.
const SASL: &[Composite] = &[
    Composite { code: 0x40, name: b"amqp:sasl-mechanisms:list", fields: &[Symbols] },
    Composite { code: 0x41, name: b"amqp:sasl-init:list", fields: &[Symbol, Binary, Text] },
    Composite { code: 0x42, name: b"amqp:sasl-challenge:list", fields: &[Binary] },
    Composite { code: 0x43, name: b"amqp:sasl-response:list", fields: &[Binary] },
    Composite { code: 0x44, name: b"amqp:sasl-outcome:list", fields: &[Ubyte, Binary] },
];

/// The fields of a performative.
fn shapes(performative: Performative) -> &'static [Shape] {
    match performative {
        Performative::Open => {
            &[Text, Text, Uint, Ushort, Uint, Symbols, Symbols, Symbols, Symbols, Map]
        }
        Performative::Begin => &[Ushort, Uint, Uint, Uint, Uint, Unused, Unused, Unused],
        // Nothing is ever resumed: what was not settled is nobody's.
        Performative::Attach => &[
            Text,
            Uint,
            Boolean,
            Ubyte,
            Ubyte,
            One(&[SOURCE]),
            One(&[TARGET]),
            Unused,
            Unused,
            Uint,
            Ulong,
            Unused,
            Unused,
            Unused,
        ],
        Performative::Flow => {
            &[Uint, Uint, Uint, Uint, Uint, Uint, Uint, Uint, Boolean, Boolean, Unused]
        }
        Performative::Transfer => &[
            Uint,
            Uint,
            Binary,
            Uint,
            Boolean,
            Boolean,
            Ubyte,
            One(STATES),
            Boolean,
            Boolean,
            Boolean,
        ],
        Performative::Disposition => &[Boolean, Uint, Uint, Boolean, One(STATES), Boolean],
        Performative::Detach => &[Uint, Boolean, One(&[ERROR])],
        Performative::End | Performative::Close => &[One(&[ERROR])],
    }
}

/// Whether `fields` are those of `performative`. The list that is to pass in their place, if some are left out.
pub(super) fn judge(
    performative: Performative,
    fields: &Fields<'_>,
) -> Result<Option<Vec<u8>>, Refusal> {
    let shapes = shapes(performative);
    let count = fields.left();
    if usize::try_from(count).is_ok_and(|count| count > shapes.len()) {
        let most = shapes.len();
        return Err(Refusal::Performative(format!("it has {count} fields, where {most} are all")));
    }
    Ok(list(fields, shapes)?)
}

/// Checks the body of a SASL frame.
///
/// # Errors
/// It is none: badly encoded, none of SASL's five, or with fields that are not its own.
pub(crate) fn sasl(body: &[u8]) -> Result<(), Refusal> {
    let length = Walk::value(body, SASL_ITEMS).map_err(Refusal::Encoding)?;
    if length != body.len() {
        return Err(Refusal::Performative("it is followed by something".to_owned()));
    }
    let field = Field { at: 0, bytes: body };
    if field.is_null() {
        return Err(Wrong.into());
    }
    one(field, SASL)?;
    Ok(())
}

/// What passes of a list, if not all of it.
fn list(fields: &Fields<'_>, shapes: &[Shape]) -> Result<Option<Vec<u8>>, Wrong> {
    let begin = fields.clone();
    let mut fields = fields.clone();
    let mut other: Option<Vec<u8>> = None;
    let mut count = 0;
    let mut shapes = shapes.iter();
    while fields.left() > 0 {
        let shape = shapes.next().ok_or(Wrong)?;
        let field = fields.next();
        let passes = shape.judge(field)?;
        if passes.is_some() && other.is_none() {
            other = Some(begin.until(field.at).to_vec());
        }
        if let Some(other) = &mut other {
            other.extend_from_slice(passes.as_deref().unwrap_or(field.bytes));
        }
        count += 1;
    }
    Ok(other.map(|fields| list_of(count, &fields)))
}

/// What passes of a described list, if not all of it.
fn one(field: Field<'_>, known: &[Composite]) -> Result<Option<Vec<u8>>, Wrong> {
    let (descriptor, fields) = Fields::described(field.bytes, 0).ok_or(Wrong)?;
    let (name, code) = (descriptor.text(), descriptor.ulong().ok().flatten());
    let composite = known.iter().find(|composite| match name {
        Some(name) => composite.name == name,
        None => Some(composite.code) == code,
    });
    let list = list(&fields, composite.ok_or(Wrong)?.fields)?;
    let head = field.bytes.get(..fields.list()).unwrap_or_default();
    Ok(list.map(|list| [head, &list].concat()))
}

/// What passes of a map, if not all of it. Its keys are symbols. Strings become symbols: who speaks Go or Java has no other
/// type for them (the `Info` of an error in Azure's client for Go is a `map[string]any`).
fn map(field: Field<'_>) -> Result<Option<Vec<u8>>, Wrong> {
    let mut fields = Fields::map(field.bytes).ok_or(Wrong)?;
    let mut other: Option<Vec<u8>> = None;
    while fields.left() > 0 {
        let key = fields.next();
        let is_name = key.text().is_some_and(<[u8]>::is_ascii);
        if key.is_string() && is_name {
            // A symbol is as long as the string, but for its code.
            let bytes = other.get_or_insert_with(|| field.bytes.to_vec());
            if let Some(code) = bytes.get_mut(key.at) {
                *code += 2;
            }
        } else if !key.is_symbol() {
            return Err(Wrong);
        }
        fields.next();
    }
    Ok(other)
}

impl Shape {
    /// What passes of a field, if not all of it.
    fn judge(self, field: Field<'_>) -> Result<Option<Vec<u8>>, Wrong> {
        if field.is_null() {
            return Ok(None);
        }
        let is = match self {
            Boolean => field.boolean().is_ok(),
            Ubyte => field.is_ubyte(),
            Ushort => field.ushort().is_ok(),
            Uint => field.uint().is_ok(),
            Ulong => field.ulong().is_ok(),
            Binary => field.binary().is_ok(),
            Text => field.is_string(),
            Symbol => field.is_symbol(),
            Symbols => field.is_symbol() || field.is_symbols(),
            Map => return map(field),
            One(known) => return one(field, known),
            Unused => return Ok(Some(vec![0x40])),
        };
        if is { Ok(None) } else { Err(Wrong) }
    }
}

#[cfg(test)]
mod tests;
