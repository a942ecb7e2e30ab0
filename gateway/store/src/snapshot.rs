//! One version of one operation, shared by everybody who reads it.

use std::ops::Deref;
use std::sync::OnceLock;

use bytes::Bytes;
use opgate_core::{Failure, Losses, Operation, Outcome};

/// A form a face keeps of a snapshot, so that it encodes each version once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rendered {
    /// A gRPC message frame holding `google.longrunning.Operation`.
    Grpc = 0,
    /// The JSON of `google.longrunning.Operation`.
    Rest = 1,
    /// The JSON of an OCI work request, with its errors and logs.
    Oci = 2,
}

const FORMS: usize = 3;

/// One version of one operation. Immutable; always shared behind an `Arc`.
#[derive(Debug)]
pub struct Snapshot {
    operation: Operation,
    rendered: OnceLock<Box<[OnceLock<Rendering>; FORMS]>>,
}

/// What a face made of a version, and what it could not carry.
#[derive(Clone, Debug, Default)]
pub struct Rendering {
    /// What is sent.
    pub bytes: Bytes,
    /// What is missing of the operation in it.
    pub lost: Losses,
}

impl Snapshot {
    /// A snapshot of an operation.
    pub const fn new(operation: Operation) -> Self {
        Self { operation, rendered: OnceLock::new() }
    }

    /// What a face made of this version, encoded by the first who asks.
    pub fn rendered(
        &self,
        form: Rendered,
        encode: impl FnOnce(&Operation) -> Rendering,
    ) -> &Rendering {
        let forms = self.rendered.get_or_init(Box::default);
        forms[form as usize].get_or_init(|| encode(&self.operation))
    }

    /// The bytes it holds in memory, by estimate; a rendered form counts as much as its payloads.
    pub fn cost(&self) -> usize {
        let operation = &self.operation;
        let output = match &operation.outcome {
            Some(Outcome::Succeeded(Some(payload))) => payload.weight(),
            Some(Outcome::Succeeded(None)) | None => 0,
            Some(Outcome::Failed(failure)) => weight(failure),
            Some(Outcome::Canceled(failure)) => failure.as_ref().map_or(0, weight),
        };
        let headers = operation.headers.iter().map(|header| 64 + header.value.len());
        let callbacks = operation.callbacks.iter().map(|callback| {
            let headers = callback.headers.iter().map(|header| 64 + header.value.len());
            192 + callback.url.len() + callback.delivery.problem.len() + headers.sum::<usize>()
        });
        let log = operation.log.iter().map(|entry| 64 + entry.message.len());
        size_of::<Self>()
            + 512
            + callbacks.sum::<usize>()
            + operation.input.weight()
            + 2 * output
            + headers.sum::<usize>()
            // In the record, and in the form of a face that shows it.
            + 2 * log.sum::<usize>()
            + size_of_val(operation.interests())
            + 128
                * (operation.resources.len() + operation.links_in.len() + operation.links_out.len())
    }
}

fn weight(failure: &Failure) -> usize {
    let details = failure.details.iter().map(|detail| detail.value.len());
    size_of::<Failure>()
        + failure.message.len()
        + details.sum::<usize>()
        + failure.native.as_ref().map_or(0, |native| native.weight())
        + failure.cause.as_deref().map_or(0, weight)
}

impl Deref for Snapshot {
    type Target = Operation;

    fn deref(&self) -> &Operation {
        &self.operation
    }
}
