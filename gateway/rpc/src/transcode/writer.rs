//! Messages as the canonical JSON of protobuf.
//!
//! What a client's strict reader needs and a general serializer does not give: no nulls but those of
//! `google.protobuf.Value`, Empty in an Any as `{"@type"}` alone (Python's reader refuses a `value`
//! there), and an Any that has no JSON - its type is not known, its bytes are broken, its value has
//! none - as `{"@type": url, "value": "<base64>"}`, so that it does not take all around it down.

use bytes::Bytes;
use opgate_core::{Code, Error, ErrorKind};
use prost_reflect::{
    DescriptorPool, DynamicMessage, MapKey, MessageDescriptor, ReflectMessage as _,
};

use super::errors::{ErrorFormat, legacy};
use super::mask::{Mask, Wanted};
use super::scalar;
use crate::proto::{Any, Status};

mod values;

/// Objects and lists within each other; Python's reader takes a hundred messages.
pub const DEPTH_MAX: usize = 100;
/// Largest JSON of one answer, in bytes: names and indents can make much of few bytes.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;
const INDENT: &str = "  ";

/// How messages are written as JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json<'m> {
    /// Enums as numbers, not names.
    pub enum_numbers: bool,
    /// With line breaks and two spaces for each level.
    pub pretty: bool,
    /// The fields that are wanted; all by default.
    pub mask: Option<&'m Mask>,
}

impl Json<'_> {
    /// The message as JSON. What lies in an Any is read by the types of the message's own pool.
    ///
    /// # Errors
    /// It has no JSON outside of any Any: it is too deep, too large, or holds a time stamp or number
    /// out of range.
    pub fn message(&self, message: &DynamicMessage) -> Result<Vec<u8>, Error> {
        let pool = message.descriptor().parent_pool().clone();
        self.write(&pool, |writer, wanted| writer.message(message, wanted))
    }

    /// An encoded message of this type as JSON.
    ///
    /// # Errors
    /// As [`Json::message`]; or the bytes are not a message of the type.
    pub fn encoded(&self, kind: &MessageDescriptor, bytes: Bytes) -> Result<Vec<u8>, Error> {
        let message = DynamicMessage::decode(kind.clone(), bytes).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("not a {}", kind.full_name()))
                .with_source(error)
        })?;
        self.message(&message)
    }

    /// An Any as JSON, by the types of the pool. It always has one.
    ///
    /// # Errors
    /// Even its base64 is too large.
    pub fn any(&self, any: &Any, pool: &DescriptorPool) -> Result<Vec<u8>, Error> {
        self.write(pool, |writer, wanted| writer.any(&any.type_url, &any.value, wanted))
    }

    /// A status as the `error` object of an answer.
    pub(super) fn error(
        &self,
        status: &Status,
        http: u16,
        code: Code,
        format: ErrorFormat,
        pool: &DescriptorPool,
    ) -> Result<Vec<u8>, Error> {
        self.write(pool, |writer, _| {
            writer.object(|writer, first| {
                writer.key(first, "error");
                writer.object(|writer, first| writer.status(first, status, http, code, format))
            })
        })
    }

    fn write(
        &self,
        pool: &DescriptorPool,
        value: impl FnOnce(&mut Writer<'_>, &Wanted<'_>) -> Written,
    ) -> Result<Vec<u8>, Error> {
        let mut writer = Writer {
            out: Vec::new(),
            depth: 0,
            enum_numbers: self.enum_numbers,
            pretty: self.pretty,
            pool,
        };
        let wanted = self.mask.map_or(Wanted::All, Mask::wanted);
        match value(&mut writer, &wanted).and_then(|()| writer.check()) {
            Ok(()) => Ok(writer.out),
            Err(no_json) => Err(no_json.into()),
        }
    }
}

type Written = Result<(), NoJson>;

/// Why a value has no JSON.
#[derive(Debug)]
enum NoJson {
    Deep,
    Large,
    Value(&'static str),
}

impl From<NoJson> for Error {
    fn from(no_json: NoJson) -> Self {
        let (kind, text) = match no_json {
            NoJson::Deep => {
                (ErrorKind::Internal, format!("the answer is deeper than {DEPTH_MAX} levels"))
            }
            NoJson::Large => {
                let text = format!("the answer is larger than {BYTES_MAX} bytes as JSON");
                (ErrorKind::PayloadTooLarge, text)
            }
            NoJson::Value(problem) => {
                (ErrorKind::Internal, format!("the answer has no JSON: {problem}"))
            }
        };
        Self::new(kind, text)
    }
}

struct Writer<'p> {
    out: Vec<u8>,
    /// Open objects and lists.
    depth: usize,
    enum_numbers: bool,
    pretty: bool,
    pool: &'p DescriptorPool,
}

/// Whether the JSON of the message is no object of its fields.
pub(super) fn has_own_json(full_name: &str) -> bool {
    full_name.strip_prefix("google.protobuf.").is_some_and(|name| {
        matches!(name, "Any" | "Timestamp" | "Duration" | "FieldMask" | "Empty")
            || matches!(name, "Struct" | "Value" | "ListValue")
            || scalar::is_wrapper(full_name)
    })
}

impl Writer<'_> {
    fn check(&self) -> Written {
        if self.out.len() > BYTES_MAX { Err(NoJson::Large) } else { Ok(()) }
    }

    fn text(&mut self, text: &str) {
        // Writing to memory cannot fail, nor can text.
        drop(serde_json::to_writer(&mut self.out, text));
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn new_line(&mut self) {
        if self.pretty {
            self.raw("\n");
            for _ in 0..self.depth {
                self.raw(INDENT);
            }
        }
    }

    /// Opens an object or a list.
    fn open(&mut self, bracket: &str) -> Written {
        if self.depth >= DEPTH_MAX {
            return Err(NoJson::Deep);
        }
        self.check()?;
        self.depth += 1;
        self.raw(bracket);
        Ok(())
    }

    /// Begins the next entry of what was opened.
    fn next(&mut self, first: &mut bool) {
        if !std::mem::take(first) {
            self.raw(",");
        }
        self.new_line();
    }

    fn key(&mut self, first: &mut bool, key: &str) {
        self.next(first);
        self.text(key);
        self.raw(if self.pretty { ": " } else { ":" });
    }

    fn close(&mut self, empty: bool, bracket: &str) {
        self.depth -= 1;
        if !empty {
            self.new_line();
        }
        self.raw(bracket);
    }

    fn object(&mut self, write: impl FnOnce(&mut Self, &mut bool) -> Written) -> Written {
        self.open("{")?;
        let mut first = true;
        write(self, &mut first)?;
        self.close(first, "}");
        Ok(())
    }

    fn message(&mut self, message: &DynamicMessage, wanted: &Wanted<'_>) -> Written {
        let descriptor = message.descriptor();
        if has_own_json(descriptor.full_name()) {
            return self.own_json(message, wanted);
        }
        self.object(|writer, first| writer.fields(message, wanted, first))
    }

    /// The fields that are set, in the order of their numbers. Extensions are left out: none is
    /// declared for any message that is answered with.
    fn fields(
        &mut self,
        message: &DynamicMessage,
        wanted: &Wanted<'_>,
        first: &mut bool,
    ) -> Written {
        for (field, value) in message.fields() {
            if let Some(wanted) = wanted.field(&field) {
                self.key(first, field.json_name());
                self.value(&field.kind(), value, &wanted)?;
            }
        }
        Ok(())
    }

    /// An Any: as its message, and where that has no JSON, as its bytes.
    fn any(&mut self, url: &str, bytes: &Bytes, wanted: &Wanted<'_>) -> Written {
        let (length, depth) = (self.out.len(), self.depth);
        if self.known(url, bytes, wanted).and_then(|()| self.check()).is_ok() {
            return Ok(());
        }
        self.out.truncate(length);
        self.depth = depth;
        self.object(|writer, first| {
            if !url.is_empty() && wanted.key("@type").is_some() {
                writer.key(first, "@type");
                writer.text(url);
            }
            if !bytes.is_empty() && wanted.key("value").is_some() {
                writer.key(first, "value");
                writer.base64(bytes);
            }
            Ok(())
        })?;
        self.check()
    }

    fn known(&mut self, url: &str, bytes: &Bytes, wanted: &Wanted<'_>) -> Written {
        let kind = url.rsplit_once('/').and_then(|(_, name)| self.pool.get_message_by_name(name));
        let kind = kind.ok_or(NoJson::Value("a type that is not known"))?;
        let own_json = has_own_json(kind.full_name());
        let is_empty = kind.full_name() == "google.protobuf.Empty";
        // Shares the bytes rather than copying them.
        let message = DynamicMessage::decode(kind, bytes.clone())
            .map_err(|_| NoJson::Value("bytes that are no message of their type"))?;
        self.object(|writer, first| {
            if wanted.key("@type").is_some() {
                writer.key(first, "@type");
                writer.text(url);
            }
            if !own_json {
                writer.fields(&message, wanted, first)?;
            } else if !is_empty && let Some(wanted) = wanted.key("value") {
                writer.key(first, "value");
                writer.own_json(&message, &wanted)?;
            }
            Ok(())
        })
    }

    fn entries<'v, V: 'v>(
        &mut self,
        entries: impl Iterator<Item = (&'v MapKey, V)>,
        wanted: &Wanted<'_>,
        mut write: impl FnMut(&mut Self, V, &Wanted<'_>) -> Written,
    ) -> Written {
        let mut entries: Vec<(String, V)> =
            entries.map(|(key, value)| (scalar::key_text(key), value)).collect();
        // The order of a map is by chance; the same message is the same text.
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        self.object(|writer, first| {
            for (key, value) in entries {
                if let Some(wanted) = wanted.key(&key) {
                    writer.key(first, &key);
                    write(writer, value, &wanted)?;
                    writer.check()?;
                }
            }
            Ok(())
        })
    }

    fn status(
        &mut self,
        first: &mut bool,
        status: &Status,
        http: u16,
        code: Code,
        format: ErrorFormat,
    ) -> Written {
        self.key(first, "code");
        self.raw(&http.to_string());
        self.key(first, "message");
        self.text(&status.message);
        if let Some(reason) = legacy(format, code) {
            self.key(first, "errors");
            self.open("[")?;
            self.next(&mut true);
            self.object(|writer, first| {
                for (key, text) in
                    [("message", &*status.message), ("domain", "global"), ("reason", reason)]
                {
                    writer.key(first, key);
                    writer.text(text);
                }
                Ok(())
            })?;
            self.close(false, "]");
        }
        self.key(first, "status");
        self.text(code.name());
        if !status.details.is_empty() {
            self.key(first, "details");
            self.open("[")?;
            let mut first = true;
            for detail in &status.details {
                self.next(&mut first);
                self.any(&detail.type_url, &detail.value, &Wanted::All)?;
            }
            self.close(first, "]");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
