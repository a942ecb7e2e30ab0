//! Where the work of an instance stands.

use opgate_core::{Operation, State};

/// `ExecutionStage.Value`, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Stage {
    Unknown = 0,
    CacheCheck = 1,
    Queued = 2,
    Executing = 3,
    Completed = 4,
}

impl Stage {
    pub(super) const ALL: [Self; 5] =
        [Self::Unknown, Self::CacheCheck, Self::Queued, Self::Executing, Self::Completed];

    /// The name, as filters have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::CacheCheck => "CACHE_CHECK",
            Self::Queued => "QUEUED",
            Self::Executing => "EXECUTING",
            Self::Completed => "COMPLETED",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }

    /// The stage of an operation. What has ended is completed, however it ended: BuildGrid's client
    /// takes nothing else. Until then a backend that speaks of stages itself is believed.
    pub(super) fn of(operation: &Operation) -> Self {
        match operation.state {
            State::Succeeded | State::Failed | State::Canceled => Self::Completed,
            State::Accepted => Self::Queued,
            State::Running => Self::from_name(&operation.native_state)
                .filter(|stage| *stage != Self::Completed)
                .unwrap_or(Self::Executing),
        }
    }

    pub(super) const fn number(self) -> i32 {
        self as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::operation;

    #[test]
    fn every_state_has_its_stage() {
        let stages = State::ALL.map(|state| {
            let mut operation = operation(None, None);
            operation.state = state;
            Stage::of(&operation)
        });
        assert_eq!(
            stages.map(Stage::name),
            ["QUEUED", "EXECUTING", "COMPLETED", "COMPLETED", "COMPLETED"]
        );
    }

    #[test]
    fn a_backend_may_name_the_stage_of_what_runs_only() {
        for (native, running, ended) in [
            ("CACHE_CHECK", "CACHE_CHECK", "COMPLETED"),
            ("QUEUED", "QUEUED", "COMPLETED"),
            ("UNKNOWN", "UNKNOWN", "COMPLETED"),
            ("COMPLETED", "EXECUTING", "COMPLETED"),
            ("crunching", "EXECUTING", "COMPLETED"),
        ] {
            let mut operation = operation(None, None);
            operation.native_state = native.into();
            operation.state = State::Running;
            assert_eq!(Stage::of(&operation).name(), running);
            operation.state = State::Failed;
            assert_eq!(Stage::of(&operation).name(), ended);
        }
    }

    #[test]
    fn numbers_and_names_are_the_descriptors() {
        let stage = "build.bazel.remote.execution.v2.ExecutionStage.Value";
        let described = crate::sample::types().pool().get_enum_by_name(stage).unwrap();
        for stage in Stage::ALL {
            let value = described.get_value(stage.number()).unwrap();
            assert_eq!(value.name(), stage.name());
            assert_eq!(Stage::from_name(stage.name()), Some(stage));
        }
        assert_eq!(described.values().count(), Stage::ALL.len());
    }
}
