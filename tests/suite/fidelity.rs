//! What docs/loss.md promises: X to opgate to X is exact, and X to Y to X too, except what is named.
//!
//! Each case is a result or a failure as a peer of X says it, on its way through the mappings of one or two
//! protocols and back. `OPGATE_FIDELITY_CASES` says how many there are for each pair; see CONTRIBUTING.md.

mod amqp;
mod grpc;
mod nexus;
mod oci;
mod sample;

use opgate_core::{Failure, Loss, Losses, Operation, Outcome, Payload};
use opgate_rpc::exact;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use self::sample::operation;

/// Cases for each pair in the short form.
const CASES: u32 = 200;

/// What goes over a wire, in a form in which it can be compared.
type Wire = Vec<u8>;

/// How an operation of one protocol ends, beside what is lost of that.
type End = (Operation, Losses);

/// One protocol: what its peers say, and the mappings of its backend and its face.
trait Peer: Sync {
    fn name(&self) -> &'static str;

    /// Results as its peers say them.
    fn results(&self) -> BoxedStrategy<Wire>;

    /// Ends without a result as its peers say them.
    fn failures(&self) -> BoxedStrategy<Wire>;

    /// What the backend, or a door, makes of a result.
    fn read(&self, wire: &Wire) -> (Option<Payload>, Losses);

    /// What the face, or a request, makes of a result; none where it is refused.
    fn write(&self, payload: Option<&Payload>) -> Option<(Wire, Losses)>;

    /// What the backend makes of an end.
    fn read_end(&self, wire: &Wire) -> End;

    /// What the face makes of an end.
    fn write_end(&self, operation: &Operation) -> (Wire, Losses);

    /// What was lost of a result to every other protocol, and goes on to a peer of this one.
    fn keeps(&self, _: Option<&Payload>) -> Losses {
        Losses::NONE
    }

    /// The same of an end.
    fn keeps_end(&self, _: &Operation) -> Losses {
        Losses::NONE
    }
}

static PEERS: [&dyn Peer; 4] = [&grpc::Grpc, &nexus::Nexus, &oci::Oci, &amqp::Amqp];

#[derive(Clone, Debug)]
enum Said {
    Result(Wire),
    End(Wire),
}

fn cases() -> u32 {
    std::env::var("OPGATE_FIDELITY_CASES").map_or(CASES, |cases| cases.parse().unwrap())
}

#[expect(clippy::print_stdout, reason = "what was found is the report of the long form")]
fn hold(x: &dyn Peer) {
    for y in PEERS {
        let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
        let said =
            prop_oneof![x.results().prop_map(Said::Result), x.failures().prop_map(Said::End)];
        let (mut exact, mut named) = (0, [0_u32; 32]);
        let counted = std::cell::RefCell::new((&mut exact, &mut named));
        TestRunner::new(config)
            .run(&said, |said| {
                let lost = match &said {
                    Said::Result(wire) => result(x, y, wire)?,
                    Said::End(wire) => end(x, y, wire)?,
                };
                let (exact, named) = &mut *counted.borrow_mut();
                **exact += u32::from(lost.is_empty());
                lost.iter().for_each(|loss| named[loss as usize] += 1);
                Ok(())
            })
            .unwrap_or_else(|problem| panic!("{} to {} and back: {problem}", x.name(), y.name()));
        let tokens = Loss::ALL.iter().filter(|loss| named[**loss as usize] > 0);
        let tokens: Vec<String> =
            tokens.map(|loss| format!("{loss} {}", named[*loss as usize])).collect();
        println!(
            "{} to {} and back: {} cases, {exact} exact; named: {}",
            x.name(),
            y.name(),
            cases(),
            tokens.join(", ")
        );
    }
}

#[test]
fn grpc_to_any_other_and_back() {
    hold(&grpc::Grpc);
}

#[test]
fn nexus_to_any_other_and_back() {
    hold(&nexus::Nexus);
}

#[test]
fn oci_to_any_other_and_back() {
    hold(&oci::Oci);
}

#[test]
fn amqp_to_any_other_and_back() {
    hold(&amqp::Amqp);
}

/// Whether this loss was named, of a result or of an input.
fn names(lost: Losses, loss: Loss) -> bool {
    lost.has(loss) || !(Losses::from(loss).as_input() & lost).is_empty()
}

fn result(x: &dyn Peer, y: &dyn Peer, wire: &Wire) -> Result<Losses, TestCaseError> {
    let (first, mut lost) = x.read(wire);
    let mut last = first.clone();
    if x.name() != y.name() {
        let Some((there, on)) = y.write(first.as_ref()) else { return Ok(lost) };
        let (read, back) = y.read(&there);
        lost |= on | back;
        last = read;
        let needed = Losses::of_result(first.as_ref(), last.as_ref());
        for loss in needed.iter() {
            // What was written anew is named by how it was.
            let kinds =
                [Loss::ResultText, Loss::ResultNumbers, Loss::ResultFields, Loss::ResultValues];
            let named = if loss == Loss::ResultText {
                kinds.into_iter().any(|kind| names(lost, kind))
            } else {
                names(lost, loss)
            };
            prop_assert!(named, "{loss} is not named: {lost:?}\n{first:?}\n{last:?}");
        }
        if let (Some(first), Some(last)) = (&first, &last)
            && first.is_json()
            && last.is_json()
            && first.encoding.is_none()
            && !names(lost, Loss::ResultNumbers)
            && serde_json::from_slice::<serde_json::Value>(&first.bytes).is_ok()
        {
            for number in exact::numbers(&first.bytes) {
                let kept = number.parse() == Ok(0.0) || exact::has_number(&last.bytes, number);
                // Of a name that is there twice the last counts.
                prop_assert!(kept || names(lost, Loss::ResultText), "{number}: {last:?}");
            }
        }
    }
    let Some((again, back)) = x.write(last.as_ref()) else {
        if names(lost, Loss::Result) {
            return Ok(lost);
        }
        return Err(TestCaseError::fail(format!("{last:?} is refused")));
    };
    lost = lost.without(x.keeps(last.as_ref())) | back;
    if lost.is_empty() {
        prop_assert_eq!(shown(&again), shown(wire));
    }
    allowed(x, y, lost)
}

fn end(x: &dyn Peer, y: &dyn Peer, wire: &Wire) -> Result<Losses, TestCaseError> {
    let (first, mut lost) = x.read_end(wire);
    let mut last = first.clone();
    if x.name() != y.name() {
        let (there, on) = y.write_end(&first);
        // Lines of the log go nowhere with an error.
        lost |= Losses::of_work(&first, "", true);
        let (read, back) = y.read_end(&there);
        lost |= on | back;
        last = read;
        let outcomes = [&first, &last].map(|operation| operation.outcome.as_ref().unwrap());
        prop_assert!(first.state == last.state || lost.has(Loss::ErrorCode), "{outcomes:?}");
        if let [Some(first), Some(last)] = outcomes.map(Outcome::failure) {
            for loss in changed(first, last).iter() {
                // Errors that are told one after the other are one text when they are read.
                let joined = loss == Loss::ErrorText && lost.has(Loss::ErrorCauses);
                prop_assert!(
                    joined || lost.has(loss),
                    "{loss} is not named: {lost:?}\n{first:?}\n{last:?}"
                );
            }
        }
    }
    let (again, back) = x.write_end(&last);
    lost = lost.without(x.keeps_end(&last)) | back;
    // What comes back through OCI has OCI's own form beside it.
    if lost.is_empty() && (y.name() != "oci" || x.name() == "oci") {
        prop_assert_eq!(shown(&again), shown(wire));
    }
    allowed(x, y, lost)
}

/// What of a failure is another one, or missing.
fn changed(first: &Failure, last: &Failure) -> Losses {
    let again = first.retryable.is_some() && first.retryable != last.retryable
        || first.retry_after.is_some() && first.retry_after != last.retry_after;
    let tells = first.native.as_ref().is_some_and(|native| native.tells_more(first.code));
    Losses::NONE
        .with(Loss::ErrorCode, first.code != last.code)
        .with(Loss::ErrorText, !first.message.is_empty() && first.message != last.message)
        .with(Loss::ErrorReason, first.reason.is_some() && first.reason != last.reason)
        .with(Loss::ErrorRetry, again)
        .with(Loss::ErrorDetails, !first.details.is_empty() && first.details != last.details)
        .with(Loss::ErrorNative, tells && first.native != last.native)
        .with(Loss::ErrorCauses, first.cause.is_some() && first.cause != last.cause)
}

/// The same protocol on both sides loses nothing but what docs/loss.md says of it.
fn allowed(x: &dyn Peer, y: &dyn Peer, lost: Losses) -> Result<Losses, TestCaseError> {
    if x.name() == y.name() {
        let known: &[Loss] = match x.name() {
            "nexus" => &[Loss::ResultType],
            "grpc" => &[Loss::ErrorCode],
            _ => &[],
        };
        let known = known.iter().fold(Losses::NONE, |all, loss| all.with(*loss, true));
        prop_assert!(lost.without(known).is_empty(), "{lost:?}");
    }
    Ok(lost)
}

fn shown(wire: &Wire) -> String {
    wire.escape_ascii().to_string()
}

/// A protocol's end as an operation.
fn ended(outcome: Outcome) -> Operation {
    let mut operation = operation();
    operation.state = outcome.state();
    operation.outcome = Some(outcome);
    operation
}
