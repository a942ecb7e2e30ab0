//! The methods there are.

use opgate_telemetry as telemetry;

pub(super) const OPERATIONS: &str = "opgate.v1.Operations";
pub(super) const WORKERS: &str = "opgate.v1.Workers";

/// A method of one of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Start,
    Get,
    List,
    Wait,
    Watch,
    WatchAll,
    Cancel,
    Delete,
    Complete,
    Redrive,
    Lease,
    Report,
    Finish,
    Release,
}

impl Method {
    /// The method of these names.
    pub(super) fn find(service: &str, method: &str) -> Option<Self> {
        Some(match (service, method) {
            (OPERATIONS, "StartOperation") => Self::Start,
            (OPERATIONS, "GetOperation") => Self::Get,
            (OPERATIONS, "ListOperations") => Self::List,
            (OPERATIONS, "WaitOperation") => Self::Wait,
            (OPERATIONS, "WatchOperation") => Self::Watch,
            (OPERATIONS, "WatchOperations") => Self::WatchAll,
            (OPERATIONS, "CancelOperation") => Self::Cancel,
            (OPERATIONS, "DeleteOperation") => Self::Delete,
            (OPERATIONS, "CompleteOperation") => Self::Complete,
            (OPERATIONS, "RedriveCallbacks") => Self::Redrive,
            (WORKERS, "LeaseOperations") => Self::Lease,
            (WORKERS, "ReportLease") => Self::Report,
            (WORKERS, "FinishLease") => Self::Finish,
            (WORKERS, "ReleaseLease") => Self::Release,
            _ => return None,
        })
    }

    /// Whether it answers with many messages.
    pub(super) const fn streams(self) -> bool {
        matches!(self, Self::Watch | Self::WatchAll)
    }

    /// What it is counted as.
    pub(super) const fn label(self) -> telemetry::Method {
        match self {
            Self::Start => telemetry::Method::Start,
            Self::Get => telemetry::Method::Get,
            Self::List => telemetry::Method::List,
            Self::Wait => telemetry::Method::Wait,
            Self::Watch | Self::WatchAll => telemetry::Method::Watch,
            Self::Cancel => telemetry::Method::Cancel,
            Self::Delete => telemetry::Method::Delete,
            Self::Complete => telemetry::Method::Complete,
            Self::Redrive => telemetry::Method::Redrive,
            Self::Lease => telemetry::Method::Lease,
            Self::Report => telemetry::Method::Report,
            Self::Finish => telemetry::Method::Finish,
            Self::Release => telemetry::Method::Release,
        }
    }
}
