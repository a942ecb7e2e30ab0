//! The dialects of the work request API: what the services of one family have in common.

/// One family of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Identity, and the work requests service that shares its path: one object serves both.
    Identity,
    /// The work requests service alone.
    WorkRequests,
    /// Container engine.
    ContainerEngine,
    /// The services of today: collections with `items`.
    Modern,
    /// Load balancer.
    LoadBalancer,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 5] = [
        Self::Identity,
        Self::WorkRequests,
        Self::ContainerEngine,
        Self::Modern,
        Self::LoadBalancer,
    ];

    /// The word in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::WorkRequests => "work-requests",
            Self::ContainerEngine => "container-engine",
            Self::Modern => "modern",
            Self::LoadBalancer => "load-balancer",
        }
    }

    /// The resource action of what an operation was to work on and did not; none where the
    /// dialect's models have no word for it. Identity's have, but its paths are the work requests
    /// service's too: to that client the word would be none.
    pub const fn has_failed_action(self) -> bool {
        match self {
            Self::ContainerEngine | Self::Modern => true,
            Self::Identity | Self::WorkRequests | Self::LoadBalancer => false,
        }
    }

    /// Whether a work request can be canceled.
    pub const fn cancels(self) -> bool {
        match self {
            Self::ContainerEngine | Self::Modern => true,
            Self::Identity | Self::WorkRequests | Self::LoadBalancer => false,
        }
    }
}
