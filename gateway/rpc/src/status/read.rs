//! A status of somebody else, as the failure that it tells of.

use std::time::Duration;

use bytes::Bytes;
use opgate_core::{Code, Detail, Failure, Loss, Losses, Native, limits};

use super::{DOMAIN, RETRYABLE};
use crate::proto::{Any, DebugInfo, ErrorInfo, HTTP_BODY, HttpBody, RetryInfo, Status};
use prost::Message as _;

/// The failure that a status tells of. Its details are verbatim, as many as a record holds, and its number
/// is kept. A code that is not known is UNKNOWN.
pub fn failure(status: &Status) -> Failure {
    own(status).unwrap_or_else(|| said(status))
}

/// The failure that opgate made a status of: what it adds behind the details is taken apart again, where that
/// makes the same status.
fn own(status: &Status) -> Option<Failure> {
    let place = status.details.iter().rposition(|detail| detail.is(ErrorInfo::NAME))?;
    let (details, added) = status.details.split_at_checked(place)?;
    if details.len() > limits::FAILURE_DETAILS {
        return None;
    }
    let info =
        ErrorInfo::decode(&*added.first()?.value).ok().filter(|info| info.domain == DOMAIN)?;
    // A cancel without a text would be given one.
    let code = Code::from_number(status.code)?;
    if code == Code::Cancelled && status.message.is_empty() {
        return None;
    }
    let mut failure = Failure::new(code, limits::clip(&status.message));
    failure.reason = Some(info.reason).filter(|reason| reason != code.name());
    failure.retryable = info.metadata.get(RETRYABLE).and_then(|word| word.parse().ok());
    failure.details = details.iter().map(detail_of).collect();
    let (mut native, mut causes) = (None, Vec::new());
    if let Some(protocol) = info.metadata.get("face") {
        let http = info.metadata.get("http").and_then(|http| http.parse().ok());
        let code = info.metadata.get("code").cloned().unwrap_or_default();
        native = Some(Native {
            protocol: protocol.clone(),
            code,
            http,
            bytes: Bytes::new(),
            encoded: None,
        });
    }
    for detail in added.iter().skip(1) {
        if detail.is(RetryInfo::NAME) {
            failure.retry_after = retry_after(status);
        } else if detail.is(DebugInfo::NAME) {
            causes = DebugInfo::decode(&*detail.value).ok()?.stack_entries;
        } else if detail.is(HTTP_BODY) {
            native.as_mut()?.bytes = HttpBody::decode(&*detail.value).ok()?.data;
        } else {
            return None;
        }
    }
    failure.native = native.map(Box::new);
    for line in causes.iter().take(limits::FAILURE_DEPTH - 1).rev() {
        let (code, message) = line.split_once(": ")?;
        let mut cause = Failure::new(Code::from_name(code)?, message);
        cause.cause = failure.cause.take();
        failure.cause = Some(Box::new(cause));
    }
    (super::of_failure(&failure, usize::MAX) == *status).then_some(failure)
}

fn detail_of(Any { type_url, value }: &Any) -> Detail {
    Detail { type_url: type_url.clone(), value: value.clone() }
}

fn said(status: &Status) -> Failure {
    let code = Code::from_number(status.code);
    let mut failure =
        Failure::new(code.unwrap_or(Code::Unknown), limits::clip(&status.message).to_owned());
    failure.native = Some(Box::new(Native {
        protocol: Native::GRPC.to_owned(),
        code: status.code.to_string(),
        http: None,
        bytes: Bytes::new(),
        encoded: None,
    }));
    let info: Option<ErrorInfo> = detail(status, ErrorInfo::NAME);
    failure.reason = info
        .as_ref()
        .map(|info| limits::clip(&info.reason).to_owned())
        .filter(|reason| !reason.is_empty());
    // Where nobody gives one, opgate has the name of the code stand there.
    if info.as_ref().is_some_and(|info| info.domain == DOMAIN && info.reason == failure.code.name())
    {
        failure.reason = None;
    }
    failure.retry_after = retry_after(status);
    let told = info.filter(|info| info.domain == DOMAIN);
    failure.retryable = match told.as_ref().and_then(|info| info.metadata.get(RETRYABLE)) {
        Some(word) => word.parse().ok(),
        // Who says when says that.
        None if failure.retry_after.is_some() => Some(true),
        None => retryable(failure.code),
    };
    failure.details = status.details.iter().take(limits::FAILURE_DETAILS).map(detail_of).collect();
    failure
}

/// What a record does not hold of a status.
pub fn lost_of(status: &Status) -> Losses {
    Losses::NONE
        .with(Loss::ErrorCode, status.code == 0)
        .with(Loss::ErrorText, limits::clip(&status.message) != status.message)
        .with(Loss::ErrorDetails, status.details.len() > limits::FAILURE_DETAILS)
}

/// Not to be asked again before this long, where the status says so.
pub fn retry_after(status: &Status) -> Option<Duration> {
    let delay = detail::<RetryInfo>(status, RetryInfo::NAME)?.retry_delay?;
    let (seconds, nanos) = (u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?);
    (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}

/// Whether what failed with a code may succeed when it is tried again (AIP-194, and what the codes
/// themselves say); `None` where nobody can tell.
const fn retryable(code: Code) -> Option<bool> {
    match code {
        Code::Unavailable | Code::Aborted | Code::ResourceExhausted => Some(true),
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => Some(false),
        Code::Cancelled | Code::Unknown | Code::DeadlineExceeded | Code::Internal => None,
    }
}

/// The detail of a type, where there is one and it can be read.
fn detail<M: prost::Message + Default>(status: &Status, name: &str) -> Option<M> {
    let detail = status.details.iter().find(|detail| detail.is(name))?;
    M::decode(&*detail.value).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::of_failure;
    use super::*;

    fn info(domain: &str, retryable: &str) -> Any {
        let info = ErrorInfo {
            reason: "STOCKOUT".to_owned(),
            domain: domain.to_owned(),
            metadata: BTreeMap::from([("retryable".to_owned(), retryable.to_owned())]),
        };
        Any::pack(ErrorInfo::NAME, &info)
    }

    fn status(code: i32, details: Vec<Any>) -> Status {
        Status { code, message: "m".to_owned(), details }
    }

    #[test]
    fn details_are_verbatim_and_said_once_more_in_words() {
        let delay = RetryInfo { retry_delay: Some(Duration::from_millis(1500).into()) };
        let odd =
            Any { type_url: "example.com/a.B".to_owned(), value: Bytes::from_static(b"\xff") };
        let given = vec![info("example.com", "false"), Any::pack(RetryInfo::NAME, &delay), odd];
        let failure = failure(&status(8, given.clone()));
        assert_eq!((failure.code, &*failure.message), (Code::ResourceExhausted, "m"));
        assert_eq!(failure.reason.as_deref(), Some("STOCKOUT"));
        // Another domain's words mean what it pleases.
        assert_eq!(failure.retryable, Some(true));
        assert_eq!(failure.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(of_failure(&failure, 100_000).details, given);
    }

    #[test]
    fn whether_it_is_worth_a_repeat_is_said_or_follows_from_the_code() {
        for (code, details, expected) in [
            (14, vec![], Some(true)),
            (14, vec![info("opgate", "false")], Some(false)),
            (3, vec![], Some(false)),
            (3, vec![info("opgate", "true")], Some(true)),
            (13, vec![], None),
            (13, vec![info("opgate", "who knows")], None),
        ] {
            assert_eq!(failure(&status(code, details)).retryable, expected, "{code}");
        }
    }

    #[test]
    fn a_code_that_is_not_known_keeps_its_number() {
        for number in [0, 17, -1] {
            let failure = failure(&status(number, vec![]));
            assert_eq!(failure.code, Code::Unknown);
            assert_eq!(failure.native.unwrap().code, number.to_string());
        }
    }

    #[test]
    fn a_delay_that_is_none_is_not_waited_for() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            let delay = crate::proto::Duration { seconds, nanos };
            let info = RetryInfo { retry_delay: Some(delay) };
            assert_eq!(retry_after(&status(14, vec![Any::pack(RetryInfo::NAME, &info)])), None);
        }
    }

    proptest! {
        #[test]
        fn no_status_makes_more_than_a_record_holds(
            code in any::<i32>(),
            message in ".*",
            details in proptest::collection::vec(
                ("(x/google.rpc.(ErrorInfo|RetryInfo))?", proptest::collection::vec(any::<u8>(), 0..20)),
                0..100,
            ),
        ) {
            let details = details
                .into_iter()
                .map(|(type_url, value)| Any { type_url, value: value.into() })
                .collect();
            let failure = failure(&Status { code, message: message.repeat(50), details });
            prop_assert!(failure.message.len() <= limits::TEXT_BYTES);
            prop_assert!(failure.details.len() <= limits::FAILURE_DETAILS);
        }
    }
}
