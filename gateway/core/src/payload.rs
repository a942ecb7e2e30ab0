//! Content that opgate carries and never re-encodes.

use std::sync::Arc;

use bytes::Bytes;

/// Bytes and their labels. Cloning shares the bytes.
///
/// The media type is kept as it came. Protobuf messages are labelled
/// `application/x-protobuf; message-type="pkg.Name"`, JSON `application/json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The media type, verbatim.
    pub media_type: Arc<str>,
    /// A content encoding that is part of the payload (not of the transport), verbatim.
    pub encoding: Option<Arc<str>>,
    /// Lengths of the sections the bytes were received in, where a protocol has sections (AMQP);
    /// empty means one section.
    pub sections: Vec<u32>,
    /// The content.
    pub bytes: Bytes,
    /// What the content was made of, as the protocol that it came in encodes it (AMQP: the sections of the body). Empty
    /// where the bytes say all of that; none where there is nothing but the bytes. Only that protocol reads it.
    pub encoded: Option<Bytes>,
}

impl Payload {
    /// The media type of JSON.
    pub const JSON: &'static str = "application/json";
    /// The media type of a protobuf message, without its `message-type` parameter.
    pub const PROTOBUF: &'static str = "application/x-protobuf";

    /// Content of the given media type.
    pub fn new(media_type: impl Into<Arc<str>>, bytes: impl Into<Bytes>) -> Self {
        Self {
            media_type: media_type.into(),
            encoding: None,
            sections: Vec::new(),
            bytes: bytes.into(),
            encoded: None,
        }
    }

    /// How many bytes it holds, in both forms.
    pub fn weight(&self) -> usize {
        self.bytes.len() + self.encoded.as_ref().map_or(0, Bytes::len)
    }

    /// JSON text.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self::new(Self::JSON, text)
    }

    /// A protobuf message of the named type.
    pub fn protobuf(message_type: &str, bytes: impl Into<Bytes>) -> Self {
        Self::new(format!("{}; message-type=\"{message_type}\"", Self::PROTOBUF), bytes)
    }

    /// Whether there are no bytes, and nothing is said of what they would be.
    pub fn is_nothing(&self) -> bool {
        self.bytes.is_empty() && self.media_type.is_empty() && self.encoding.is_none()
    }

    /// The media type without its parameters.
    pub fn essence(&self) -> &str {
        self.media_type.split(';').next().unwrap_or_default().trim()
    }

    /// Whether the content is JSON.
    pub fn is_json(&self) -> bool {
        self.essence().eq_ignore_ascii_case(Self::JSON)
    }

    /// The message type of a protobuf payload: `Some("")` when it is protobuf of unnamed type.
    pub fn message_type(&self) -> Option<&str> {
        if !self.essence().eq_ignore_ascii_case(Self::PROTOBUF) {
            return None;
        }
        let named = self.media_type.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("message-type").then(|| value.trim().trim_matches('"'))
        });
        Some(named.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protobuf_payload_names_its_message() {
        assert_eq!(Payload::protobuf("a.b.C", "x").message_type(), Some("a.b.C"));
        assert_eq!(Payload::new("application/x-protobuf", "").message_type(), Some(""));
        assert_eq!(
            Payload::new("Application/X-Protobuf;v=1; Message-Type = a.B", "").message_type(),
            Some("a.B")
        );
        assert_eq!(Payload::json("{}").message_type(), None);
    }
}
