//! Strategies for property tests: commands such as clients and backends send, sensible or not.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::command::{Accept, Attempt, Attempted, CancelStep, Command, Finish, Report, Submission};
use crate::dedupe::{Dedupe, DedupeKey, Fingerprint, KeySpace};
use crate::failure::{Code, Detail, Failure, Native};
use crate::id::OperationId;
use crate::loss::Losses;
use crate::name::{Kind, Parent, Tenant};
use crate::operation::{
    Callback, CancelDelivery, Epoch, Expects, Face, Header, Link, LogEntry, Origin, Outcome,
    Progress, Resource, Routed, Version,
};
use crate::payload::Payload;
use crate::time::Timestamp;
use crate::trace::Trace;

fn text() -> impl Strategy<Value = String> {
    "[ -~é☃]{0,24}"
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_nanos)
}

/// A payload, now and then larger than what a record holds inline.
pub fn payload() -> impl Strategy<Value = Payload> {
    let media = prop_oneof![
        Just("application/json".to_owned()),
        Just("application/x-protobuf; message-type=\"a.B\"".to_owned()),
        text(),
    ];
    let content = prop_oneof![9 => bytes(64), 1 => bytes(5000)];
    let encoded = option::weighted(0.2, prop_oneof![9 => bytes(64), 1 => bytes(5000)]);
    (media, option::of(text()), vec(any::<u32>(), 0..3), content, encoded).prop_map(
        |(media, encoding, sections, bytes, encoded)| Payload {
            encoding: encoding.map(Into::into),
            sections,
            encoded,
            ..Payload::new(media, bytes)
        },
    )
}

/// A failure with up to three causes.
pub fn failure() -> impl Strategy<Value = Failure> {
    let one = (
        proptest::sample::select(Code::ALL.to_vec()),
        text(),
        option::of(text()),
        option::of(any::<bool>()),
        option::of(any::<u32>()),
        vec((text(), bytes(16)), 0..3),
        option::of((text(), text(), option::of(any::<u16>()), bytes(16), option::of(bytes(16)))),
    );
    vec(one, 1..4).prop_map(|chain| {
        let mut cause = None;
        for (code, message, reason, retryable, after, details, native) in chain {
            cause = Some(Box::new(Failure {
                code,
                message,
                reason,
                retryable,
                retry_after: after.map(|millis| Duration::from_millis(millis.into())),
                details: details
                    .into_iter()
                    .map(|(type_url, value)| Detail { type_url, value })
                    .collect(),
                native: native.map(|(protocol, code, http, bytes, encoded)| {
                    Box::new(Native { protocol, code, http, bytes, encoded })
                }),
                cause,
            }));
        }
        cause.map_or_else(|| Failure::new(Code::Unknown, ""), |failure| *failure)
    })
}

/// An outcome.
pub fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        option::of(payload()).prop_map(Outcome::Succeeded),
        failure().prop_map(Outcome::Failed),
        option::of(failure()).prop_map(Outcome::Canceled),
    ]
}

fn header() -> impl Strategy<Value = Header> {
    (text(), bytes(16)).prop_map(|(name, value)| Header { name: name.into(), value })
}

fn link() -> impl Strategy<Value = Link> {
    (text(), text()).prop_map(|(url, kind)| Link { url: url.into(), kind: kind.into() })
}

fn dedupe() -> impl Strategy<Value = Dedupe> {
    // Few keys and few fingerprints, so that they meet.
    (0_u128..6, 0_u8..2, 0_i64..2000, any::<bool>()).prop_map(|(key, print, until, live)| Dedupe {
        space: KeySpace::new("test"),
        key: DedupeKey(key),
        fingerprint: Fingerprint([print; 32]),
        until: Timestamp::from_nanos(until * 1_000_000),
        live,
    })
}

fn losses() -> impl Strategy<Value = Losses> {
    prop_oneof![3 => Just(0), 1 => any::<u32>()].prop_map(Losses::from_bits)
}

/// A new operation.
pub fn accept() -> impl Strategy<Value = Accept> {
    let names = ("(a|a/b|a/b/c|b)?", "[a-z]{1,3}", "[a-z]{1,3}", text(), text());
    let origin = (proptest::sample::select(Face::ALL.to_vec()), text(), text(), option::of(text()));
    let limits = (option::of(timestamp()), 0_u64..2000);
    let lists = (vec(link(), 0..2), vec((text(), vec(header(), 0..2)), 0..2), vec(header(), 0..3));
    let rest = (
        option::of(("[0-9a-f-]{0,55}", text())),
        option::of(dedupe()),
        option::weighted(0.1, outcome()),
    );
    let types = (option::of(text()), option::of(text()), vec(resource(), 0..2), losses());
    (names, origin, limits, payload(), lists, rest, types).prop_map(
        |(names, origin, limits, input, lists, rest, types)| {
            let (parent, service, operation, route, backend) = names;
            let (links_in, callbacks, headers) = lists;
            let (trace, dedupe, outcome) = rest;
            let lost = types.3;
            Accept {
                parent: Parent::new(&parent).unwrap_or_else(|_| Parent::root()),
                kind: kind(&service, &operation),
                origin: Origin {
                    face: origin.0,
                    endpoint: origin.1.into(),
                    principal: origin.2.into(),
                    request_id: origin.3.map(Into::into),
                },
                routed: Routed {
                    route: route.into(),
                    backend: backend.into(),
                    native_ref: Bytes::new(),
                },
                expects: Expects {
                    response_type: types.0.map(Into::into),
                    metadata_type: types.1.map(Into::into),
                },
                input,
                resources: types.2,
                deadline: limits.0,
                retention: Duration::from_millis(limits.1),
                links_in,
                callbacks: callbacks
                    .into_iter()
                    .map(|(url, headers)| Callback::new(url, headers))
                    .collect(),
                headers,
                trace: trace.map(|(parent, state)| {
                    Box::new(Trace { parent: parent.into(), state: state.into() })
                }),
                dedupe: dedupe.map(Box::new),
                lost,
                share: None,
                share_key: None,
                outcome,
            }
        },
    )
}

#[expect(clippy::expect_used, reason = "the strategy makes valid names only")]
fn kind(service: &str, operation: &str) -> Kind {
    Kind::new(service, operation).expect("letters make a kind")
}

fn resource() -> impl Strategy<Value = Resource> {
    ("[ab]", text(), "(C)?", "[ab]", text()).prop_map(|(kind, action, becomes, identifier, uri)| {
        Resource {
            entity_type: kind.into(),
            action: action.into(),
            becomes: becomes.into(),
            identifier: identifier.into(),
            uri: uri.into(),
        }
    })
}

/// A report under a lease that is now and then stale.
pub fn report() -> impl Strategy<Value = Report> {
    let progress =
        (option::of(-10.0..110.0), option::of(any::<u64>()), option::of(any::<u64>()), text())
            .prop_map(|(percent, done, total, message)| Progress {
                percent,
                done,
                total,
                message: message.into(),
            });
    let entry =
        (timestamp(), any::<bool>(), text(), text()).prop_map(|(at, error, code, message)| {
            LogEntry { at, error, code: code.into(), message: message.into() }
        });
    let words = (option::of(bytes(8)), option::of(text()), option::of(text()), losses(), losses());
    let delivery = proptest::sample::select(CancelDelivery::ALL.to_vec());
    let cancel = option::of((delivery, text())).prop_map(|step| {
        step.map(|(delivery, problem)| CancelStep { delivery, problem: problem.into() })
    });
    (
        0_u32..4,
        option::of(progress),
        vec(entry, 0..3),
        vec(resource(), 0..3),
        vec(link(), 0..2),
        words,
        cancel,
    )
        .prop_map(|(epoch, progress, log, resources, links, words, cancel)| Report {
            epoch: Epoch(epoch),
            progress,
            log,
            resources,
            links,
            native_ref: words.0,
            native_state: words.1.map(Into::into),
            waiting: words.2.map(Into::into),
            cancel,
            lost: words.3,
            kept: words.4,
        })
}

/// An attempt to deliver a callback, of a number that now and then is the next.
pub fn attempt() -> impl Strategy<Value = Attempt> {
    let result = prop_oneof![
        Just(Attempted::Delivered),
        (timestamp(), text())
            .prop_map(|(next, problem)| Attempted::Again { next, problem: problem.into() }),
        text().prop_map(|problem| Attempted::Dead { problem: problem.into() }),
    ];
    (0_usize..2, 0_u32..4, result).prop_map(|(callback, number, result)| Attempt {
        callback,
        number,
        result,
    })
}

/// Any command.
pub fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => accept().prop_map(|accept| Command::Accept(Box::new(accept))),
        3 => (0_u32..4, option::of(Just("another")))
            .prop_map(|(epoch, backend)| Command::Start { epoch: Epoch(epoch), backend: backend.map(Into::into) }),
        4 => report().prop_map(|report| Command::Report(Box::new(report))),
        2 => (text(), text()).prop_map(|(by, reason)| Command::Cancel { by: by.into(), reason: reason.into() }),
        2 => (option::of(0_u32..4), option::of(text()), outcome()).prop_map(|(epoch, by, outcome)| {
            let by = by.map(Into::into);
            Command::Finish(Box::new(Finish { epoch: epoch.map(Epoch), by, outcome, report: None }))
        }),
        4 => attempt().prop_map(|attempt| Command::Attempt(Box::new(attempt))),
        1 => Just(Command::Redrive),
        1 => text().prop_map(|by| Command::Resume { by: by.into() }),
        1 => (0_u64..1000).prop_map(|keep| Command::Remove { keep: Duration::from_millis(keep) }),
    ]
}

/// A command for one of a few operations, by one of two tenants.
pub fn submission(operations: u128) -> impl Strategy<Value = Submission> {
    let tenant = prop_oneof![9 => Just("default"), 1 => Just("other")];
    let expect = option::weighted(0.1, (0_u64..4).prop_map(Version));
    (tenant, 0..operations, expect, command()).prop_map(|(tenant, target, expect, command)| {
        Submission {
            tenant: Tenant::new(tenant).unwrap_or_else(|_| Tenant::anonymous()),
            target: OperationId::from_bits(target),
            expect,
            command,
        }
    })
}
