//! The protobuf messages, and the way to and from the canonical record.

use super::{Beside, Bytes, Damaged, Opened, Slot, core, duration, is_beside, nanos};
use core::{
    Code, Dedupe, DedupeKey, Epoch, Face, Fingerprint, KeySpace, Kind, OperationId, Parent, Seq,
    State, Tenant, Timestamp, Version,
};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(uint64, tag = "3")]
    changed: u64,
    #[prost(uint64, tag = "4")]
    version: u64,
    #[prost(string, tag = "5")]
    tenant: String,
    #[prost(string, tag = "6")]
    parent: String,
    #[prost(string, tag = "7")]
    service: String,
    #[prost(string, tag = "8")]
    operation: String,
    #[prost(uint32, tag = "9")]
    face: u32,
    #[prost(string, tag = "10")]
    endpoint: String,
    #[prost(string, tag = "11")]
    principal: String,
    #[prost(string, optional, tag = "12")]
    request_id: Option<String>,
    #[prost(string, tag = "13")]
    route: String,
    #[prost(string, tag = "14")]
    backend: String,
    #[prost(bytes = "bytes", tag = "15")]
    native_ref: Bytes,
    #[prost(string, optional, tag = "16")]
    response_type: Option<String>,
    #[prost(string, optional, tag = "17")]
    metadata_type: Option<String>,
    #[prost(uint32, tag = "18")]
    state: u32,
    #[prost(string, tag = "19")]
    native_state: String,
    #[prost(string, tag = "20")]
    waiting: String,
    #[prost(message, optional, tag = "21")]
    cancel: Option<Cancel>,
    #[prost(sfixed64, tag = "22")]
    accepted: i64,
    #[prost(sfixed64, optional, tag = "23")]
    started: Option<i64>,
    #[prost(sfixed64, tag = "24")]
    updated: i64,
    #[prost(sfixed64, optional, tag = "25")]
    closed: Option<i64>,
    #[prost(sfixed64, optional, tag = "26")]
    expires: Option<i64>,
    #[prost(sfixed64, optional, tag = "27")]
    deadline: Option<i64>,
    #[prost(uint64, tag = "28")]
    retention: u64,
    #[prost(uint32, tag = "29")]
    epoch: u32,
    #[prost(message, optional, tag = "30")]
    progress: Option<Progress>,
    #[prost(message, repeated, tag = "31")]
    log: Vec<LogEntry>,
    #[prost(uint32, tag = "32")]
    log_dropped: u32,
    #[prost(message, repeated, tag = "33")]
    resources: Vec<Resource>,
    #[prost(message, optional, tag = "34")]
    input: Option<Payload>,
    #[prost(message, optional, tag = "35")]
    output: Option<Payload>,
    #[prost(message, optional, tag = "36")]
    failure: Option<Failure>,
    #[prost(message, repeated, tag = "37")]
    links_in: Vec<Link>,
    #[prost(message, repeated, tag = "38")]
    links_out: Vec<Link>,
    #[prost(message, repeated, tag = "39")]
    callbacks: Vec<Callback>,
    #[prost(message, repeated, tag = "40")]
    headers: Vec<Header>,
    #[prost(message, optional, tag = "41")]
    trace: Option<Trace>,
    #[prost(message, optional, tag = "42")]
    dedupe: Option<DedupeRecord>,
    #[prost(message, repeated, tag = "43")]
    conflicts: Vec<Conflict>,
    #[prost(sfixed64, optional, tag = "44")]
    removed_at: Option<i64>,
    #[prost(uint64, tag = "45")]
    removed_keep: u64,
    #[prost(uint32, tag = "46")]
    lost: u32,
    #[prost(message, optional, tag = "47")]
    share: Option<Share>,
}

/// An operation's part in work that several share.
#[derive(Clone, PartialEq, prost::Message)]
struct Share {
    /// The job of an interest; empty in the job itself.
    #[prost(bytes = "bytes", tag = "1")]
    job: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    interests: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Cancel {
    #[prost(sfixed64, tag = "1")]
    requested: i64,
    #[prost(string, tag = "2")]
    by: String,
    #[prost(string, tag = "3")]
    reason: String,
    #[prost(uint32, tag = "4")]
    delivery: u32,
    #[prost(uint32, tag = "5")]
    attempts: u32,
    /// None in records of before 2026-11-22: it did not change since, as far as anybody knows.
    #[prost(sfixed64, optional, tag = "6")]
    changed: Option<i64>,
    #[prost(string, tag = "7")]
    problem: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Progress {
    #[prost(fixed64, optional, tag = "1")]
    percent_bits: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    done: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    total: Option<u64>,
    #[prost(string, tag = "4")]
    message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LogEntry {
    #[prost(sfixed64, tag = "1")]
    at: i64,
    #[prost(bool, tag = "2")]
    error: bool,
    #[prost(string, tag = "3")]
    code: String,
    #[prost(string, tag = "4")]
    message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(string, tag = "1")]
    entity_type: String,
    #[prost(string, tag = "2")]
    action: String,
    #[prost(string, tag = "3")]
    identifier: String,
    #[prost(string, tag = "4")]
    uri: String,
    #[prost(string, tag = "5")]
    becomes: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(string, tag = "1")]
    media_type: String,
    #[prost(string, optional, tag = "2")]
    encoding: Option<String>,
    #[prost(uint32, repeated, tag = "3")]
    sections: Vec<u32>,
    #[prost(bytes = "bytes", tag = "4")]
    bytes: Bytes,
    /// CRC-32 of the bytes where they are stored beside the record.
    #[prost(fixed32, optional, tag = "5")]
    detached: Option<u32>,
    /// The content as its protocol encodes it. Who does not know of it has the content all the same.
    #[prost(bytes = "bytes", optional, tag = "6")]
    encoded: Option<Bytes>,
    /// How many bytes of it are stored beside the record, behind the content.
    #[prost(uint32, optional, tag = "7")]
    encoded_length: Option<u32>,
    /// CRC-32 of those. Who does not know of them finds that the content's is another.
    #[prost(fixed32, optional, tag = "8")]
    encoded_detached: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Failure {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(string, optional, tag = "3")]
    reason: Option<String>,
    #[prost(bool, optional, tag = "4")]
    retryable: Option<bool>,
    #[prost(uint64, optional, tag = "5")]
    retry_after: Option<u64>,
    #[prost(message, repeated, tag = "6")]
    details: Vec<Detail>,
    #[prost(message, optional, tag = "7")]
    native: Option<Native>,
    #[prost(message, optional, boxed, tag = "8")]
    cause: Option<Box<Failure>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Native {
    #[prost(string, tag = "1")]
    protocol: String,
    #[prost(string, tag = "2")]
    code: String,
    #[prost(uint32, optional, tag = "3")]
    http: Option<u32>,
    #[prost(bytes = "bytes", tag = "4")]
    bytes: Bytes,
    #[prost(bytes = "bytes", optional, tag = "5")]
    encoded: Option<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Link {
    #[prost(string, tag = "1")]
    url: String,
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Callback {
    #[prost(string, tag = "1")]
    url: String,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<Header>,
    #[prost(uint32, tag = "3")]
    delivery: u32,
    #[prost(uint32, tag = "4")]
    attempts: u32,
    #[prost(sfixed64, optional, tag = "5")]
    last: Option<i64>,
    #[prost(sfixed64, optional, tag = "6")]
    next: Option<i64>,
    #[prost(string, tag = "7")]
    problem: String,
    #[prost(sfixed64, optional, tag = "8")]
    redriven: Option<i64>,
}

impl From<&core::Callback> for Callback {
    fn from(callback: &core::Callback) -> Self {
        let delivery = &callback.delivery;
        Self {
            url: callback.url.to_string(),
            headers: headers(&callback.headers),
            delivery: delivery.state as u32,
            attempts: delivery.attempts,
            redriven: delivery.redriven.map(Timestamp::nanos),
            last: delivery.last.map(Timestamp::nanos),
            next: delivery.next.map(Timestamp::nanos),
            problem: delivery.problem.to_string(),
        }
    }
}

impl From<&core::Share> for Share {
    fn from(share: &core::Share) -> Self {
        let bytes = |id: &OperationId| Bytes::copy_from_slice(&id.to_bits().to_be_bytes());
        match share {
            core::Share::Job(interests) => {
                Self { job: Bytes::new(), interests: interests.iter().map(bytes).collect() }
            }
            core::Share::Interest(job) => Self { job: bytes(job), interests: Vec::new() },
        }
    }
}

impl Share {
    fn back(self) -> Result<core::Share, Damaged> {
        let id = |bytes: &Bytes| {
            let bytes: [u8; 16] = bytes.as_ref().try_into().map_err(|_| Damaged("a short id"))?;
            Ok(OperationId::from_bits(u128::from_be_bytes(bytes)))
        };
        if self.job.is_empty() {
            return self.interests.iter().map(id).collect::<Result<_, _>>().map(core::Share::Job);
        }
        id(&self.job).map(core::Share::Interest)
    }
}

impl Callback {
    fn back(self) -> Result<core::Callback, Damaged> {
        let state = core::DeliveryState::ALL
            .into_iter()
            .find(|state| *state as u32 == self.delivery)
            .ok_or(Damaged("unknown state of a delivery"))?;
        Ok(core::Callback {
            url: self.url.into(),
            headers: headers_back(self.headers),
            delivery: core::Delivery {
                state,
                attempts: self.attempts,
                redriven: self.redriven.map(time),
                last: self.last.map(time),
                next: self.next.map(time),
                problem: self.problem.into(),
            },
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Trace {
    #[prost(string, tag = "1")]
    parent: String,
    #[prost(string, tag = "2")]
    state: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DedupeRecord {
    #[prost(string, tag = "1")]
    space: String,
    #[prost(bytes = "bytes", tag = "2")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    fingerprint: Bytes,
    #[prost(sfixed64, tag = "4")]
    until: i64,
    #[prost(bool, tag = "5")]
    live: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Conflict {
    #[prost(sfixed64, tag = "1")]
    at: i64,
    #[prost(uint32, tag = "2")]
    state: u32,
    #[prost(string, tag = "3")]
    message: String,
}

fn time(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn state(number: u32) -> Result<State, Damaged> {
    State::ALL.get(number as usize).copied().ok_or(Damaged("unknown state"))
}

fn headers(headers: &[core::Header]) -> Vec<Header> {
    headers
        .iter()
        .map(|header| Header { name: header.name.to_string(), value: header.value.clone() })
        .collect()
}

fn headers_back(headers: Vec<Header>) -> Vec<core::Header> {
    headers
        .into_iter()
        .map(|header| core::Header { name: header.name.into(), value: header.value })
        .collect()
}

fn links(links: &[core::Link]) -> Vec<Link> {
    links
        .iter()
        .map(|link| Link { url: link.url.to_string(), kind: link.kind.to_string() })
        .collect()
}

fn links_back(links: Vec<Link>) -> Vec<core::Link> {
    links
        .into_iter()
        .map(|link| core::Link { url: link.url.into(), kind: link.kind.into() })
        .collect()
}

impl From<&core::Payload> for Payload {
    fn from(payload: &core::Payload) -> Self {
        let large = is_beside(payload);
        let inline = |bytes: &Bytes| if large { Bytes::new() } else { bytes.clone() };
        let beside = payload.encoded.as_ref().filter(|_| large);
        Self {
            media_type: payload.media_type.to_string(),
            encoding: payload.encoding.as_deref().map(str::to_owned),
            sections: payload.sections.clone(),
            bytes: inline(&payload.bytes),
            detached: large.then(|| crc32fast::hash(&payload.bytes)),
            encoded: payload.encoded.as_ref().filter(|_| !large).cloned(),
            // A payload is smaller by far.
            encoded_length: beside.map(|it| u32::try_from(it.len()).unwrap_or(u32::MAX)),
            encoded_detached: beside.map(|it| crc32fast::hash(it)),
        }
    }
}

impl Payload {
    /// The payload, and what is known of its bytes where these lie beside the record: it has none then.
    fn back(self) -> (core::Payload, Option<Beside>) {
        let encoded = self.encoded_length.zip(self.encoded_detached);
        let beside = self.detached.map(|checksum| Beside { checksum, encoded });
        let payload = core::Payload {
            encoding: self.encoding.map(Into::into),
            sections: self.sections,
            encoded: self.encoded,
            ..core::Payload::new(self.media_type, self.bytes)
        };
        (payload, beside)
    }
}

impl From<&core::Failure> for Failure {
    fn from(failure: &core::Failure) -> Self {
        Self {
            code: failure.code.number(),
            message: failure.message.clone(),
            reason: failure.reason.clone(),
            retryable: failure.retryable,
            retry_after: failure.retry_after.map(nanos),
            details: failure
                .details
                .iter()
                .map(|detail| Detail {
                    type_url: detail.type_url.clone(),
                    value: detail.value.clone(),
                })
                .collect(),
            native: failure.native.as_deref().map(|native| Native {
                protocol: native.protocol.clone(),
                code: native.code.clone(),
                http: native.http.map(u32::from),
                bytes: native.bytes.clone(),
                encoded: native.encoded.clone(),
            }),
            cause: failure.cause.as_deref().map(|cause| Box::new(cause.into())),
        }
    }
}

impl Failure {
    fn back(self) -> Result<core::Failure, Damaged> {
        Ok(core::Failure {
            code: Code::from_number(self.code).ok_or(Damaged("unknown failure code"))?,
            message: self.message,
            reason: self.reason,
            retryable: self.retryable,
            retry_after: self.retry_after.map(duration),
            details: self
                .details
                .into_iter()
                .map(|detail| core::Detail { type_url: detail.type_url, value: detail.value })
                .collect(),
            native: self.native.map(|native| {
                Box::new(core::Native {
                    protocol: native.protocol,
                    code: native.code,
                    http: native.http.and_then(|status| u16::try_from(status).ok()),
                    bytes: native.bytes,
                    encoded: native.encoded,
                })
            }),
            cause: self.cause.map(|cause| cause.back().map(Box::new)).transpose()?,
        })
    }
}

impl From<&core::Operation> for Record {
    fn from(operation: &core::Operation) -> Self {
        let output = match &operation.outcome {
            Some(core::Outcome::Succeeded(payload)) => payload.as_ref(),
            Some(core::Outcome::Failed(_) | core::Outcome::Canceled(_)) | None => None,
        };
        Self {
            id: Bytes::copy_from_slice(&operation.id.to_bits().to_be_bytes()),
            seq: operation.seq.0,
            changed: operation.changed.0,
            version: operation.version.0,
            tenant: operation.tenant.as_str().to_owned(),
            parent: operation.parent.as_str().to_owned(),
            service: operation.kind.service().to_owned(),
            operation: operation.kind.operation().to_owned(),
            face: operation.origin.face as u32,
            endpoint: operation.origin.endpoint.to_string(),
            principal: operation.origin.principal.to_string(),
            request_id: operation.origin.request_id.as_deref().map(str::to_owned),
            route: operation.routed.route.to_string(),
            backend: operation.routed.backend.to_string(),
            native_ref: operation.routed.native_ref.clone(),
            response_type: operation.expects.response_type.as_deref().map(str::to_owned),
            metadata_type: operation.expects.metadata_type.as_deref().map(str::to_owned),
            state: operation.state as u32,
            native_state: operation.native_state.to_string(),
            waiting: operation.waiting.to_string(),
            cancel: operation.cancel.as_deref().map(|cancel| Cancel {
                requested: cancel.requested.nanos(),
                by: cancel.by.to_string(),
                reason: cancel.reason.to_string(),
                delivery: cancel.delivery as u32,
                attempts: cancel.attempts,
                changed: Some(cancel.changed.nanos()),
                problem: cancel.problem.to_string(),
            }),
            accepted: operation.times.accepted.nanos(),
            started: operation.times.started.map(Timestamp::nanos),
            updated: operation.times.updated.nanos(),
            closed: operation.times.closed.map(Timestamp::nanos),
            expires: operation.times.expires.map(Timestamp::nanos),
            deadline: operation.deadline.map(Timestamp::nanos),
            retention: nanos(operation.retention),
            epoch: operation.epoch.0,
            progress: operation.progress.as_deref().map(|progress| Progress {
                percent_bits: progress.percent.map(f64::to_bits),
                done: progress.done,
                total: progress.total,
                message: progress.message.to_string(),
            }),
            log: operation
                .log
                .iter()
                .map(|entry| LogEntry {
                    at: entry.at.nanos(),
                    error: entry.error,
                    code: entry.code.to_string(),
                    message: entry.message.to_string(),
                })
                .collect(),
            log_dropped: operation.log_dropped,
            resources: operation
                .resources
                .iter()
                .map(|resource| Resource {
                    entity_type: resource.entity_type.to_string(),
                    action: resource.action.to_string(),
                    identifier: resource.identifier.to_string(),
                    uri: resource.uri.to_string(),
                    becomes: resource.becomes.to_string(),
                })
                .collect(),
            input: Some((&operation.input).into()),
            output: output.map(Into::into),
            failure: operation.outcome.as_ref().and_then(core::Outcome::failure).map(Into::into),
            links_in: links(&operation.links_in),
            links_out: links(&operation.links_out),
            callbacks: operation.callbacks.iter().map(Into::into).collect(),
            headers: headers(&operation.headers),
            trace: operation.trace.as_deref().map(|trace| Trace {
                parent: trace.parent.to_string(),
                state: trace.state.to_string(),
            }),
            dedupe: operation.dedupe.as_deref().map(|dedupe| DedupeRecord {
                space: dedupe.space.as_str().to_owned(),
                key: Bytes::copy_from_slice(&dedupe.key.0.to_be_bytes()),
                fingerprint: Bytes::copy_from_slice(&dedupe.fingerprint.0),
                until: dedupe.until.nanos(),
                live: dedupe.live,
            }),
            conflicts: operation
                .conflicts
                .iter()
                .map(|conflict| Conflict {
                    at: conflict.at.nanos(),
                    state: conflict.state as u32,
                    message: conflict.message.to_string(),
                })
                .collect(),
            removed_at: operation.removed.map(|removed| removed.at.nanos()),
            removed_keep: operation.removed.map_or(0, |removed| nanos(removed.keep)),
            lost: operation.lost.bits(),
            share: operation.share.as_deref().map(Into::into),
        }
    }
}

impl Record {
    pub(super) fn open(self) -> Result<Opened, Damaged> {
        let name = |_| Damaged("a name out of bounds");
        let id: [u8; 16] = self.id.as_ref().try_into().map_err(|_| Damaged("no id"))?;
        let state = state(self.state)?;
        let failure = self.failure.map(Failure::back).transpose()?;
        let (input, input_absent) = self.input.ok_or(Damaged("no input"))?.back();
        let (output, output_absent) = self.output.map(Payload::back).unzip();
        let outcome = match state {
            State::Accepted | State::Running => None,
            State::Succeeded => Some(core::Outcome::Succeeded(output)),
            State::Failed => Some(core::Outcome::Failed(
                failure.ok_or(Damaged("a failed operation without a failure"))?,
            )),
            State::Canceled => Some(core::Outcome::Canceled(failure)),
        };
        let cancel = self.cancel.map(|cancel| {
            let delivery = core::CancelDelivery::ALL
                .into_iter()
                .find(|delivery| *delivery as u32 == cancel.delivery)
                .ok_or(Damaged("unknown cancel delivery"))?;
            Ok::<_, Damaged>(Box::new(core::Cancel {
                requested: time(cancel.requested),
                by: cancel.by.into(),
                reason: cancel.reason.into(),
                delivery,
                changed: time(cancel.changed.unwrap_or(cancel.requested)),
                attempts: cancel.attempts,
                problem: cancel.problem.into(),
            }))
        });
        let dedupe = self.dedupe.map(|dedupe| {
            let key: [u8; 16] =
                dedupe.key.as_ref().try_into().map_err(|_| Damaged("a short dedupe key"))?;
            let fingerprint: [u8; 32] = dedupe
                .fingerprint
                .as_ref()
                .try_into()
                .map_err(|_| Damaged("a short fingerprint"))?;
            Ok::<_, Damaged>(Box::new(Dedupe {
                space: KeySpace::new(&dedupe.space),
                key: DedupeKey(u128::from_be_bytes(key)),
                fingerprint: Fingerprint(fingerprint),
                until: time(dedupe.until),
                live: dedupe.live,
            }))
        });
        let conflicts = self.conflicts.into_iter().map(|conflict| {
            Ok::<_, Damaged>(core::Conflict {
                at: time(conflict.at),
                state: self::state(conflict.state)?,
                message: conflict.message.into(),
            })
        });
        let operation = core::Operation {
            id: OperationId::from_bits(u128::from_be_bytes(id)),
            seq: Seq(self.seq),
            changed: Seq(self.changed),
            version: Version(self.version),
            tenant: Tenant::new(&self.tenant).map_err(name)?,
            parent: Parent::new(&self.parent).map_err(name)?,
            kind: Kind::new(&self.service, &self.operation).map_err(name)?,
            origin: core::Origin {
                face: *Face::ALL.get(self.face as usize).ok_or(Damaged("unknown face"))?,
                endpoint: self.endpoint.into(),
                principal: self.principal.into(),
                request_id: self.request_id.map(Into::into),
            },
            routed: core::Routed {
                route: self.route.into(),
                backend: self.backend.into(),
                native_ref: self.native_ref,
            },
            expects: core::Expects {
                response_type: self.response_type.map(Into::into),
                metadata_type: self.metadata_type.map(Into::into),
            },
            state,
            native_state: self.native_state.into(),
            waiting: self.waiting.into(),
            cancel: cancel.transpose()?,
            times: core::Times {
                accepted: time(self.accepted),
                started: self.started.map(time),
                updated: time(self.updated),
                closed: self.closed.map(time),
                expires: self.expires.map(time),
            },
            deadline: self.deadline.map(time),
            retention: duration(self.retention),
            epoch: Epoch(self.epoch),
            progress: self.progress.map(|progress| {
                Box::new(core::Progress {
                    percent: progress.percent_bits.map(f64::from_bits),
                    done: progress.done,
                    total: progress.total,
                    message: progress.message.into(),
                })
            }),
            log: self
                .log
                .into_iter()
                .map(|entry| core::LogEntry {
                    at: time(entry.at),
                    error: entry.error,
                    code: entry.code.into(),
                    message: entry.message.into(),
                })
                .collect(),
            log_dropped: self.log_dropped,
            resources: self
                .resources
                .into_iter()
                .map(|resource| core::Resource {
                    entity_type: resource.entity_type.into(),
                    action: resource.action.into(),
                    identifier: resource.identifier.into(),
                    uri: resource.uri.into(),
                    becomes: resource.becomes.into(),
                })
                .collect(),
            input,
            outcome,
            links_in: links_back(self.links_in),
            links_out: links_back(self.links_out),
            callbacks: self.callbacks.into_iter().map(Callback::back).collect::<Result<_, _>>()?,
            headers: headers_back(self.headers),
            trace: self.trace.map(|trace| {
                Box::new(core::Trace { parent: trace.parent.into(), state: trace.state.into() })
            }),
            dedupe: dedupe.transpose()?,
            conflicts: conflicts.collect::<Result<_, _>>()?,
            removed: self
                .removed_at
                .map(|at| core::Removed { at: time(at), keep: duration(self.removed_keep) }),
            share: self.share.map(Share::back).transpose()?.map(Box::new),
            lost: core::Losses::from_bits(self.lost),
        };
        let absent = [(Slot::Input, input_absent), (Slot::Output, output_absent.flatten())];
        Ok(Opened { operation, absent })
    }
}
