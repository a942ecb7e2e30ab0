//! What a work request does not say of its operation.

use opgate_core::{Code, Failure, Loss, Losses, Operation, Outcome, Progress, Resource};

use super::entries::{code, native};
use super::{Dialect, action, percent, state};
use crate::backend::canonical;

/// What a work request in a dialect, and the lists of its errors and logs where these stand beside it, have
/// no place for.
pub fn lost(operation: &Operation, dialect: Dialect) -> Losses {
    let outcome = operation.outcome.as_ref();
    let failure = outcome.and_then(Outcome::failure);
    let canceled = matches!(outcome, Some(Outcome::Canceled(_)));
    Losses::NONE
        .with(Loss::Result, outcome.and_then(Outcome::result).is_some())
        .with(Loss::Log, has_lost_lines(operation, dialect))
        .with(Loss::Metadata, has_more(operation, dialect))
        | failure.map(|failure| of_failure(failure, canceled, dialect)).unwrap_or_default()
        | operation
            .progress
            .as_deref()
            .map(|known| of_progress(operation, known, dialect))
            .unwrap_or_default()
}

fn of_failure(failure: &Failure, canceled: bool, dialect: Dialect) -> Losses {
    let mut lost = Losses::of_bare(failure);
    if native(failure).is_some() {
        // Its own protocol said no more than a code and a text, and the rest follows from them.
        lost = lost.without(Loss::ErrorNative.into()).without(Loss::ErrorRetry.into());
    }
    if failure.reason.as_deref() == Some(&*code(failure)) {
        lost = lost.without(Loss::ErrorReason.into());
    }
    // It has two words for all codes; the others have some for several.
    let two = dialect == Dialect::LoadBalancer;
    let other = !canceled && canonical(&code(failure)) != failure.code
        || canceled && failure.code != Code::Cancelled;
    // Which error led to which is not said.
    lost.with(Loss::ErrorCode, two || other).with(Loss::ErrorCauses, failure.cause.is_some())
}

fn of_progress(operation: &Operation, progress: &Progress, dialect: Dialect) -> Losses {
    let has_percent = !matches!(dialect, Dialect::ContainerEngine | Dialect::LoadBalancer);
    let has_text = dialect == Dialect::LoadBalancer;
    let units = progress.done.is_some() || progress.total.is_some();
    let other =
        progress.percent.is_some_and(|given| given.to_bits() != percent(operation).to_bits());
    let unsaid = progress.percent.is_some() && !has_percent;
    let words = !progress.message.is_empty() && !has_text;
    Losses::NONE
        .with(Loss::Progress, unsaid || units || words)
        .with(Loss::PercentRounded, has_percent && other)
}

fn has_lost_lines(operation: &Operation, dialect: Dialect) -> bool {
    operation.log.iter().any(|line| {
        let is_error = line.error && !line.code.is_empty();
        !is_error && (line.message.is_empty() || dialect == Dialect::LoadBalancer)
    })
}

/// Whether more is known of the work than it shows: the backend's word for the state, links, what is done to a thing
/// where there is no word for that, and where there are no logs who asked for its end.
fn has_more(operation: &Operation, dialect: Dialect) -> bool {
    let other = |resource: &Resource| {
        !resource.action.eq_ignore_ascii_case(action(operation.state, resource, dialect))
    };
    let resources = match dialect {
        Dialect::LoadBalancer => !operation.resources.is_empty(),
        Dialect::Identity | Dialect::WorkRequests | Dialect::ContainerEngine | Dialect::Modern => {
            operation.resources.iter().any(other)
        }
    };
    operation.has_word_beside(state::of(operation))
        || !operation.waiting.is_empty()
        || (operation.cancel.is_some() && dialect == Dialect::LoadBalancer)
        || !operation.links_out.is_empty()
        || resources
}

#[cfg(test)]
mod tests {
    use opgate_core::{Cancel, Code, Detail, Native, Payload};

    use super::super::tests::accepted;
    use super::*;

    fn operation() -> Operation {
        Operation { resources: Vec::new(), log: Vec::new(), ..accepted() }
    }

    fn ended(operation: Operation, outcome: Outcome) -> Operation {
        Operation { state: outcome.state(), outcome: Some(outcome), ..operation }
    }

    fn said(operation: &Operation, dialect: Dialect) -> String {
        lost(operation, dialect).to_string()
    }

    #[test]
    fn what_has_no_result_and_said_nothing_of_itself_is_whole() {
        let plain = operation();
        for dialect in Dialect::ALL {
            assert_eq!(said(&plain, dialect), "", "{dialect:?}");
        }
        let ended = ended(plain, Outcome::Failed(Failure::new(Code::NotFound, "gone")));
        assert_eq!(said(&ended, Dialect::Identity), "");
        assert_eq!(said(&ended, Dialect::LoadBalancer), "error-code");
    }

    #[test]
    fn results_and_all_but_code_and_text_of_a_failure_are_lost() {
        let result = Outcome::Succeeded(Some(Payload::json("1")));
        assert_eq!(said(&ended(operation(), result), Dialect::Identity), "result");
        let mut failure = Failure::new(Code::NotFound, "gone");
        failure.retryable = Some(false);
        failure.details = vec![Detail { type_url: "a/b".to_owned(), value: "x".into() }];
        let mut all = ended(operation(), Outcome::Failed(failure.clone()));
        assert_eq!(said(&all, Dialect::Identity), "error-retry, error-details");
        let native = |protocol: &str, code: &str| Native {
            protocol: protocol.to_owned(),
            code: code.to_owned(),
            http: Some(404),
            bytes: "{}".into(),
            encoded: None,
        };
        for (protocol, word, expected) in [
            ("oci", "NotAuthorizedOrNotFound", "error-details"),
            // A word of its own that stands for another code.
            ("oci", "Gone", "error-code, error-details"),
            ("nexus", "Gone", "error-reason, error-retry, error-details, error-native"),
        ] {
            failure.native = Some(Box::new(native(protocol, word)));
            failure.reason = Some(word.to_owned());
            all.outcome = Some(Outcome::Failed(failure.clone()));
            assert_eq!(said(&all, Dialect::Identity), expected);
        }
    }

    #[test]
    fn of_the_work_what_has_no_field_is_lost() {
        let mut running = operation();
        running.progress = Some(Box::new(Progress { percent: Some(99.5), ..Progress::default() }));
        assert_eq!(said(&running, Dialect::Identity), "percent-rounded");
        assert_eq!(said(&running, Dialect::ContainerEngine), "progress");
        running.progress = Some(Box::new(Progress { percent: Some(40.0), ..Progress::default() }));
        assert_eq!(said(&running, Dialect::Identity), "");
        running.cancel = Some(Box::new(Cancel::new(running.times.accepted, "anna", "late")));
        assert_eq!(said(&running, Dialect::Identity), "");
        assert_eq!(said(&running, Dialect::LoadBalancer), "progress, metadata");
    }
}
