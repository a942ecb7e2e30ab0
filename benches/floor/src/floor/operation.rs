//! The constant reply, and the waiters that one trigger releases.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use prost_types::Any;
use tokio::sync::Notify;

/// The fields of `google.longrunning.Operation` that a successful operation carries.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Operation {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<Any>,
    #[prost(bool, tag = "3")]
    pub(crate) done: bool,
    #[prost(message, optional, tag = "5")]
    pub(crate) response: Option<Any>,
}

/// The request of Get and Cancel: one name.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Named {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

/// `google.longrunning.WaitOperationRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WaitRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) timeout: Option<prost_types::Duration>,
}

/// An operation that encodes to exactly `size` bytes.
pub(crate) fn constant(size: u32) -> anyhow::Result<Operation> {
    let size = usize::try_from(size)?;
    let any =
        |value| Some(Any { type_url: "type.googleapis.com/google.protobuf.Struct".into(), value });
    let mut operation = Operation {
        name: format!("operations/{}", "0".repeat(32)),
        metadata: None,
        done: true,
        response: any(Vec::new()),
    };
    // Length prefixes grow with the padding, so the padding is what is left after them.
    let mut padding = size.saturating_sub(operation.encoded_len());
    while padding > 0 {
        operation.response = any(vec![b'x'; padding]);
        match operation.encoded_len().saturating_sub(size) {
            0 => break,
            excess => padding = padding.saturating_sub(excess),
        }
    }
    // Where a prefix grows by one byte no padding gives that size; the name has the byte to spare.
    while operation.encoded_len() < size {
        operation.name.push('0');
    }
    ensure!(operation.encoded_len() == size, "no operation of {size} bytes");
    Ok(operation)
}

/// The message behind its gRPC prefix.
pub(crate) fn framed(message: &impl Message) -> anyhow::Result<Bytes> {
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(u32::try_from(message.encoded_len())?);
    message.encode(&mut body)?;
    Ok(body.freeze())
}

/// How long a waiter without a timeout of its own waits.
const LONGEST_WAIT: Duration = Duration::from_secs(599);

/// What `WaitOperation` waits for. Shared; one trigger answers everyone who waits at that moment.
#[derive(Clone, Default)]
pub(crate) struct Release(Arc<Notify>);

impl Release {
    pub(crate) fn trigger(&self) {
        self.0.notify_waiters();
    }

    /// Returns on the trigger or after the request's timeout; without one, after [`LONGEST_WAIT`].
    pub(crate) async fn wait(&self, request: &WaitRequest) {
        let timeout = request
            .timeout
            .and_then(|timeout| Duration::try_from(timeout).ok())
            .unwrap_or(LONGEST_WAIT);
        // Both ways out answer the same constant.
        tokio::time::timeout(timeout, self.0.notified()).await.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_met_exactly() {
        for size in 120..1_000 {
            let operation = constant(size).unwrap();
            assert_eq!(operation.encoded_len(), usize::try_from(size).unwrap());
            assert!(operation.response.is_some());
        }
        assert!(constant(10).is_err());
    }
}
