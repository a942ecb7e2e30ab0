//! What each end of a delivery means.

use fe2o3_amqp::connection::ConnectionStopReason;
use fe2o3_amqp::link::{LinkStateError, SendError, SessionStopReason};
use fe2o3_amqp_types::definitions::{AmqpError, Error, ErrorCondition, Fields};
use fe2o3_amqp_types::messaging::{Accepted, Modified, Outcome as Settled, Rejected, Released};
use opgate_core::{Code, Failure, Outcome};
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;

use crate::queue::outcome::Verdict;

fn modified(failed: Option<bool>, elsewhere: Option<bool>) -> Settled {
    Settled::Modified(Modified {
        delivery_failed: failed,
        undeliverable_here: elsewhere,
        message_annotations: None,
    })
}

#[test]
fn every_outcome_has_its_end() {
    assert_eq!(Verdict::of(Ok(Settled::Accepted(Accepted {}))), Verdict::Succeeded);
    let back = |elsewhere| Verdict::Released { elsewhere };
    assert_eq!(Verdict::of(Ok(Settled::Released(Released {}))), back(false));
    for failed in [None, Some(false)] {
        assert_eq!(Verdict::of(Ok(modified(failed, None))), back(false));
        assert_eq!(Verdict::of(Ok(modified(failed, Some(true)))), back(true));
    }
    for elsewhere in [false, true] {
        let failed = Verdict::Failed { elsewhere, why: "failed at it" };
        assert_eq!(Verdict::of(Ok(modified(Some(true), Some(elsewhere)))), failed);
    }
}

#[test]
fn who_says_good_bye_gives_back_and_who_is_cut_off_has_failed() {
    let left = |error: LinkStateError| Verdict::of(Err(SendError::LinkStateError(error)));
    let stopped =
        |reason| left(LinkStateError::SessionStopped(SessionStopReason::ConnectionStopped(reason)));
    let back = Verdict::Released { elsewhere: false };
    assert_eq!(left(LinkStateError::RemoteClosed), back);
    assert_eq!(left(LinkStateError::RemoteDetached), back);
    assert_eq!(left(LinkStateError::SessionStopped(SessionStopReason::RemoteEnded)), back);
    assert_eq!(stopped(ConnectionStopReason::RemoteClosed), back);
    let failed = Verdict::Failed { elsewhere: false, why: "was cut off" };
    assert_eq!(stopped(ConnectionStopReason::Closed), failed);
    // Settled, with no word of how.
    assert_eq!(Verdict::of(Err(SendError::IllegalDeliveryState)), back);
}

fn rejected(error: Option<Error>) -> Outcome {
    match Verdict::of(Ok(Settled::Rejected(Rejected { error }))) {
        Verdict::Ended(outcome) => outcome,
        other @ (Verdict::Succeeded | Verdict::Released { .. } | Verdict::Failed { .. }) => {
            panic!("{other:?}")
        }
    }
}

fn failed(error: Option<Error>) -> Failure {
    match rejected(error) {
        Outcome::Failed(failure) => failure,
        other @ (Outcome::Succeeded(_) | Outcome::Canceled(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_rejection_says_what_went_wrong() {
    let mut info = Fields::new();
    info.insert(Symbol::from("line"), Value::Int(3));
    let failure = failed(Some(Error::new(AmqpError::NotFound, Some("no file".to_owned()), info)));
    assert_eq!((failure.code, &*failure.message), (Code::NotFound, "no file"));
    let native = failure.native.unwrap();
    assert_eq!((&*native.protocol, &*native.code), ("amqp", "amqp:not-found"));
    assert_eq!((native.http, &*native.bytes), (None, &br#"{"line":3}"#[..]));

    let own = ErrorCondition::Custom(Symbol::from("acme:out-of-paper"));
    let failure = failed(Some(Error::new(own, None, None)));
    assert_eq!((failure.code, &*failure.message), (Code::Unknown, "acme:out-of-paper"));
    assert_eq!(failure.native.unwrap().code, "acme:out-of-paper");

    assert_eq!(failed(None).code, Code::Unknown);
    let canceled = ErrorCondition::Custom(Symbol::from("opgate:cancelled"));
    let outcome = rejected(Some(Error::new(canceled, Some("as you wish".to_owned()), None)));
    let Outcome::Canceled(Some(failure)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.message, "as you wish");
}
