//! What a call says of the one who was called, whatever it was about.

use http::StatusCode;

use crate::problem::Problem;

/// How somebody does who was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// There, whatever the answer says.
    Alive,
    /// Not there, or whoever stands in front says so.
    Down,
    /// That is not known.
    Unknown,
}

impl Health {
    /// By how a call went. `patient`: as much time was given as anybody may need; what had less says nothing when
    /// its time is over.
    pub const fn of(went: Result<StatusCode, &Problem>, patient: bool) -> Self {
        match went {
            Ok(
                StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT,
            ) => Self::Down,
            Ok(_) | Err(Problem::TooLarge(_)) => Self::Alive,
            // Nobody was called.
            Err(Problem::Refused(_)) => Self::Unknown,
            Err(Problem::TimedOut { .. }) if !patient => Self::Unknown,
            Err(Problem::Unreachable(_) | Problem::TimedOut { .. } | Problem::Broken(_)) => {
                Self::Down
            }
            Err(Problem::Cut { problem, .. }) => Self::of(Err(problem), patient),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::problem::Refusal;

    #[test]
    fn who_answers_is_alive_and_who_does_not_is_down_unless_nothing_was_asked() {
        let late = Problem::TimedOut { within: Duration::from_secs(1), sent: true };
        let cut = |problem| Problem::Cut { status: StatusCode::OK, problem: Box::new(problem) };
        let large = || Problem::TooLarge("1 B".to_owned());
        for (went, patient, health) in [
            (Ok(StatusCode::OK), true, Health::Alive),
            (Ok(StatusCode::INTERNAL_SERVER_ERROR), true, Health::Alive),
            (Ok(StatusCode::TOO_MANY_REQUESTS), true, Health::Alive),
            (Ok(StatusCode::SERVICE_UNAVAILABLE), true, Health::Down),
            (Ok(StatusCode::GATEWAY_TIMEOUT), false, Health::Down),
            (Err(&late), true, Health::Down),
            (Err(&late), false, Health::Unknown),
            (Err(&Problem::Unreachable(String::new())), false, Health::Down),
            (Err(&Problem::Broken(String::new())), false, Health::Down),
            (Err(&Problem::Refused(Refusal::new("no"))), true, Health::Unknown),
            (Err(&large()), true, Health::Alive),
            (Err(&cut(large())), true, Health::Alive),
            (Err(&cut(late.clone())), true, Health::Down),
            (Err(&cut(late.clone())), false, Health::Unknown),
        ] {
            assert_eq!(Health::of(went, patient), health, "{went:?} {patient}");
        }
    }
}
