use opgate_core::arbitrary::{accept, outcome, submission};
use opgate_core::machine::{Decision, apply, decide};
use opgate_core::{
    Change, Command, Finish, LogEntry, OperationId, Seq, Submission, Tenant, Timestamp,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::*;

/// Whatever operation these commands leave behind.
fn operation(commands: Vec<Submission>) -> Option<Operation> {
    let mut operation: Option<Operation> = None;
    for (seq, submission) in (1_u64..).zip(commands) {
        let Decision::Change(events) = decide(operation.as_ref(), submission) else { continue };
        let nanos = i64::try_from(seq).unwrap() * 1_500_000_000;
        let change = Change { seq: Seq(seq), at: Timestamp::from_nanos(nanos), events };
        operation = apply(operation, &change);
    }
    operation
}

fn submitted(command: Command) -> Submission {
    let tenant = Tenant::anonymous();
    Submission { tenant, target: OperationId::from_bits(0), expect: None, command }
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let end = proptest::option::of(outcome());
    (accept(), proptest::collection::vec(submission(1), 0..20), end).prop_filter_map(
        "refused",
        |(accept, commands, end)| {
            let first = submitted(Command::Accept(Box::new(accept)));
            let last = end.map(|end| submitted(Command::Finish(Box::new(Finish::new(end)))));
            operation(std::iter::once(first).chain(commands).chain(last).collect())
        },
    )
}

fn named() -> Named {
    Named { id: "ocid1.w".to_owned(), compartment: "ocid1.c".to_owned() }
}

fn written(operation: &Operation, dialect: Dialect, extent: Extent) -> Value {
    serde_json::from_slice(&write(operation, &named(), dialect, extent).unwrap()).unwrap()
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z'))
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// The values that the dialect's model has for a resource's action.
fn actions(dialect: Dialect) -> Vec<&'static str> {
    let mut words = ACTIONS.to_vec();
    words.extend(dialect.has_failed_action().then_some("FAILED"));
    if dialect == Dialect::ContainerEngine {
        words.extend(["CANCELED_CREATE", "CANCELED_UPDATE", "CANCELED_DELETE"]);
    }
    words
}

proptest! {
    #[test]
    fn every_operation_has_a_valid_object_in_every_dialect(
        operation in any_operation(), whole: bool, dialect in proptest::sample::select(&Dialect::ALL[..4]),
    ) {
        let extent = if whole { Extent::Whole } else { Extent::Summary };
        let shown = written(&operation, dialect, extent);
        prop_assert_eq!(&shown["id"], "ocid1.w");
        prop_assert_eq!(&shown["compartmentId"], "ocid1.c");
        prop_assert_eq!(&shown["operationType"], operation.kind.operation());
        let status = shown["status"].as_str().unwrap();
        prop_assert!(state::ALL.contains(&status), "{}", status);
        prop_assert!(is_time(&shown["timeAccepted"]));
        prop_assert!(shown["timeStarted"].is_null() || is_time(&shown["timeStarted"]));
        let is_final = ["SUCCEEDED", "FAILED", "CANCELED"].contains(&status);
        prop_assert_eq!(is_time(&shown["timeFinished"]), is_final);
        prop_assert_eq!(shown["timeFinished"].is_null(), !is_final);
        let percent = &shown["percentComplete"];
        if dialect == Dialect::ContainerEngine {
            prop_assert!(percent.is_null());
        } else {
            let percent = percent.as_f64().unwrap();
            prop_assert!((0.0..=100.0).contains(&percent));
            prop_assert_eq!(percent >= 100.0, status == "SUCCEEDED");
        }
        if dialect == Dialect::WorkRequests && !whole {
            prop_assert!(shown.get("resources").is_none());
        } else {
            let resources = shown["resources"].as_array().unwrap();
            prop_assert!(!resources.is_empty());
            for resource in resources {
                prop_assert!(is_text(&resource["entityType"]) && is_text(&resource["identifier"]));
                let action = resource["actionType"].as_str().unwrap();
                prop_assert!(actions(dialect).contains(&action), "{}", action);
                prop_assert!(resource["entityUri"].is_null() || is_text(&resource["entityUri"]));
            }
        }
        let identity = dialect == Dialect::Identity;
        prop_assert_eq!(shown["errors"].is_array(), identity);
        prop_assert_eq!(shown["logs"].is_array(), identity && whole);
    }

    #[test]
    fn errors_and_logs_have_texts_and_times(operation in any_operation()) {
        let errors = serde_json::to_value(errors(&operation)).unwrap();
        for error in errors.as_array().unwrap() {
            prop_assert!(is_text(&error["code"]) && is_text(&error["message"]), "{}", error);
            prop_assert!(is_time(&error["timestamp"]));
        }
        for log in serde_json::to_value(logs(&operation)).unwrap().as_array().unwrap() {
            prop_assert!(is_text(&log["message"]) && is_time(&log["timestamp"]));
        }
        let failure = operation.outcome.as_ref().and_then(opgate_core::Outcome::failure);
        let expected = failure.map_or(0, opgate_core::Failure::depth);
        prop_assert!(errors.as_array().unwrap().len() >= expected.min(1));
    }

    #[test]
    fn a_load_balancers_object_is_valid_too(operation in any_operation()) {
        let shown = written(&operation, Dialect::LoadBalancer, Extent::Whole);
        for field in ["id", "loadBalancerId", "type", "lifecycleState"] {
            prop_assert!(is_text(&shown[field]), "{}: {}", field, shown);
        }
        prop_assert!(shown["message"].is_string() && is_time(&shown["timeAccepted"]));
        let states = ["ACCEPTED", "IN_PROGRESS", "FAILED", "SUCCEEDED"];
        let state = shown["lifecycleState"].as_str().unwrap();
        prop_assert!(states.contains(&state));
        prop_assert_eq!(is_time(&shown["timeFinished"]), ["FAILED", "SUCCEEDED"].contains(&state));
        for error in shown["errorDetails"].as_array().unwrap() {
            prop_assert!(["BAD_INPUT", "INTERNAL_ERROR"].contains(&error["errorCode"].as_str().unwrap()));
            prop_assert!(is_text(&error["message"]));
        }
    }
}

pub(super) fn accepted() -> Operation {
    let accept = accept().new_tree(&mut TestRunner::deterministic()).unwrap().current();
    let accept = opgate_core::Accept { outcome: None, ..accept };
    let mut operation = operation(vec![submitted(Command::Accept(Box::new(accept)))]).unwrap();
    operation.log.clear();
    operation
}

#[test]
fn what_is_not_done_is_not_shown_as_done() {
    let mut operation = accepted();
    let mut at = |state, progress: Option<(Option<f64>, Option<u64>, Option<u64>)>| {
        operation.state = state;
        operation.progress = progress.map(|(percent, done, total)| {
            Box::new(opgate_core::Progress { percent, done, total, message: "".into() })
        });
        percent(&operation)
    };
    let cases = [
        (State::Accepted, None, 0.0),
        (State::Running, Some((Some(37.5), None, None)), 37.5),
        (State::Running, Some((Some(100.0), None, None)), 99.0),
        (State::Running, Some((Some(-0.0), None, None)), 0.0),
        (State::Running, Some((Some(f64::NAN), None, None)), 0.0),
        (State::Running, Some((None, Some(1), Some(3))), 33.0),
        (State::Running, Some((None, Some(9), Some(3))), 99.0),
        (State::Running, Some((None, Some(9), Some(0))), 0.0),
        (State::Failed, Some((Some(62.0), None, None)), 62.0),
        (State::Canceled, Some((Some(100.0), None, None)), 99.0),
        (State::Succeeded, None, 100.0),
    ];
    for (state, progress, expected) in cases {
        let shown = at(state, progress);
        assert_eq!(shown.to_bits(), f64::to_bits(expected), "{state:?} {progress:?}");
    }
}

#[test]
fn a_resource_has_the_words_of_its_dialect() {
    let mut operation = accepted();
    let mut shown = |state, action: &str, becomes: &str| {
        operation.state = state;
        operation.resources = vec![Resource {
            entity_type: "cluster".into(),
            action: action.into(),
            becomes: becomes.into(),
            identifier: "c".into(),
            uri: "".into(),
        }];
        let named = named();
        Dialect::ALL.map(|dialect| resources(&operation, &named, dialect)[0].action_type)
    };
    let [failed, related] = ["FAILED", "RELATED"];
    assert_eq!(shown(State::Running, "IN_PROGRESS", "DELETED"), ["IN_PROGRESS"; 5]);
    assert_eq!(shown(State::Succeeded, "deleted", "DELETED"), ["DELETED"; 5]);
    assert_eq!(shown(State::Running, "ATTACHED", ""), ["RELATED"; 5]);
    assert_eq!(
        shown(State::Failed, "FAILED", "CREATED"),
        [related, related, failed, failed, related]
    );
    assert_eq!(
        shown(State::Canceled, "FAILED", "CREATED"),
        [related, related, "CANCELED_CREATE", failed, related]
    );
    // As an upstream of that dialect has them.
    assert_eq!(
        shown(State::Canceled, "CANCELED_DELETE", ""),
        [related, related, "CANCELED_DELETE", failed, related]
    );
    // Of what has ended nothing goes on, even if nobody has said what became of it.
    assert_eq!(shown(State::Succeeded, "IN_PROGRESS", ""), ["RELATED"; 5]);
    assert_eq!(
        shown(State::Failed, "IN_PROGRESS", ""),
        [related, related, failed, failed, related]
    );
    assert_eq!(
        shown(State::Canceled, "FAILED", "MOVED"),
        [related, related, failed, failed, related]
    );
}

fn logged(at: i64, code: &str, message: &str) -> LogEntry {
    let at = Timestamp::from_nanos(at);
    LogEntry { at, error: true, code: code.into(), message: message.into() }
}

/// The code and the text of each error.
fn told(operation: &Operation) -> Vec<(String, String)> {
    let pair = |error: ErrorEntry<'_>| (error.code.into_owned(), error.message.into_owned());
    errors(operation).into_iter().map(pair).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(code, text)| ((*code).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn only_the_errors_of_the_work_are_errors() {
    let mut operation = accepted();
    operation.outcome = None;
    operation.log = vec![
        logged(1, "", "the work request cannot be looked at: 503"),
        logged(2, "LimitExceeded", "too many"),
        LogEntry { error: false, ..logged(3, "C", "going on") },
    ];
    assert_eq!(told(&operation), pairs(&[("LimitExceeded", "too many")]));
    assert_eq!(logs(&operation).len(), 3);
}

#[test]
fn what_failed_by_hand_is_told_once() {
    let accept = accept().new_tree(&mut TestRunner::deterministic()).unwrap().current();
    let accept = opgate_core::Accept { outcome: None, ..accept };
    let failure = opgate_core::Failure::new(opgate_core::Code::Unavailable, "no power");
    let mut finish = Finish::new(opgate_core::Outcome::Failed(failure));
    finish.by = Some("ann".into());
    let commands = [Command::Accept(Box::new(accept)), Command::Finish(Box::new(finish))];
    let operation = operation(commands.map(submitted).into()).unwrap();
    assert_eq!(told(&operation), pairs(&[("ServiceUnavailable", "no power")]));
    let logs = logs(&operation);
    assert_eq!(logs.last().unwrap().message, "completed by hand as FAILED by ann: no power");
}

#[test]
fn errors_are_not_told_again_by_what_they_came_to() {
    let mut operation = accepted();
    let mut failure = opgate_core::Failure::new(opgate_core::Code::Internal, "first; second");
    failure.native = Some(Box::new(opgate_core::Native {
        protocol: "oci".to_owned(),
        code: "A".to_owned(),
        http: None,
        bytes: bytes::Bytes::new(),
        encoded: None,
    }));
    operation.outcome = Some(opgate_core::Outcome::Failed(failure.clone()));
    let (first, second) = (logged(1, "A", "first"), logged(2, "B", "second"));
    let (a, b, sum) = (("A", "first"), ("B", "second"), ("A", "first; second"));
    operation.log = vec![second.clone(), first.clone(), logged(3, "C", "first")];
    assert_eq!(told(&operation), pairs(&[b, a, ("C", "first")]));
    // One of them is not there, or is opgate's own: then the failure says more.
    operation.log = vec![first.clone()];
    assert_eq!(told(&operation), pairs(&[a, sum]));
    operation.log = vec![first.clone(), LogEntry { code: "".into(), ..second.clone() }];
    assert_eq!(told(&operation), pairs(&[a, sum]));
    // Of another protocol nobody knows how it is put together.
    operation.log = vec![first, second];
    failure.native = None;
    operation.outcome = Some(opgate_core::Outcome::Failed(failure));
    assert_eq!(told(&operation), pairs(&[a, b, ("InternalServerError", "first; second")]));
}
