//! The messages of `google.rpc` and `google.protobuf` that errors and results are made of, by hand so
//! that their bytes are shared rather than copied. Field numbers are those of the `.proto` files.

#![expect(missing_docs, reason = "the fields are those of the messages of the same name")]

use bytes::Bytes;

/// Full name of the message that holds content of any media type.
pub const HTTP_BODY: &str = "google.api.HttpBody";

/// `google.protobuf.Any`, its value shared rather than copied.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

impl Any {
    /// A message of the named type, encoded.
    pub fn new(full_name: &str, value: impl Into<Bytes>) -> Self {
        Self { type_url: format!("type.googleapis.com/{full_name}"), value: value.into() }
    }

    /// A message of the named type.
    pub fn pack(full_name: &str, message: &impl prost::Message) -> Self {
        Self::new(full_name, message.encode_to_vec())
    }

    /// Whether the message is of the named type, whatever the host in its URL.
    pub fn is(&self, full_name: &str) -> bool {
        self.type_url.rsplit('/').next() == Some(full_name)
    }
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Duration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        // The longest a protobuf Duration may say: 10,000 years.
        const SECONDS_MAX: i64 = 315_576_000_000;
        let seconds = i64::try_from(duration.as_secs())
            .map_or(SECONDS_MAX, |seconds| seconds.min(SECONDS_MAX));
        Self { seconds, nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0) }
    }
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ErrorInfo {
    #[prost(string, tag = "1")]
    pub reason: String,
    #[prost(string, tag = "2")]
    pub domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub metadata: std::collections::BTreeMap<String, String>,
}

impl ErrorInfo {
    /// Its full name.
    pub const NAME: &str = "google.rpc.ErrorInfo";
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Duration>,
}

impl RetryInfo {
    /// Its full name.
    pub const NAME: &str = "google.rpc.RetryInfo";
}

/// `google.rpc.DebugInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DebugInfo {
    #[prost(string, repeated, tag = "1")]
    pub stack_entries: Vec<String>,
}

impl DebugInfo {
    /// Its full name.
    pub const NAME: &str = "google.rpc.DebugInfo";
}

/// `google.rpc.BadRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    pub field_violations: Vec<FieldViolation>,
}

impl BadRequest {
    /// Its full name.
    pub const NAME: &str = "google.rpc.BadRequest";
}

/// `google.rpc.BadRequest.FieldViolation`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FieldViolation {
    #[prost(string, tag = "1")]
    pub field: String,
    #[prost(string, tag = "2")]
    pub description: String,
}

/// `google.api.HttpBody`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HttpBody {
    #[prost(string, tag = "1")]
    pub content_type: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub data: Bytes,
    #[prost(message, repeated, tag = "3")]
    pub extensions: Vec<Any>,
}
