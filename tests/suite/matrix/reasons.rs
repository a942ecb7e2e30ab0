//! Why some cells are not there: the one place that says so.

use super::cast::{BACKENDS, FRONTS};
use super::features::FEATURES;

/// Why a feature is not there, for some faces and backends.
pub(super) struct Reason {
    /// The features, by name.
    pub(super) features: &'static [&'static str],
    /// The faces that it is true of. None named: of all.
    pub(super) fronts: &'static [&'static str],
    /// The backends that it is true of. None named: of all.
    pub(super) backends: &'static [&'static str],
    /// The reason.
    pub(super) why: &'static str,
}

/// What a face or a backend has no words for. It is not tried.
pub(super) const NOT_APPLICABLE: &[Reason] = &[
    Reason {
        features: &["percentage", "message", "log", "resources"],
        fronts: &["nexus"],
        backends: &[],
        why: "Of a Nexus operation that runs nothing is told but that.",
    },
    Reason {
        features: &["percentage", "message", "log"],
        fronts: &[],
        backends: &["nexus"],
        why: "A Nexus handler tells nothing of an operation that runs.",
    },
    Reason {
        features: &["details"],
        fronts: &["nexus"],
        backends: &["longrunning", "oci", "amqp", "worker", "queue"],
        why: "Details from elsewhere are in the `cause` of a Nexus failure, which the failures of its SDK for Go v0.4.0 do \
              not have.",
    },
    Reason {
        features: &["message"],
        fronts: &["oci"],
        backends: &[],
        why: "OCI's work requests, but for those of the load balancer, have no text that says how they go.",
    },
    Reason {
        features: &["message"],
        fronts: &[],
        backends: &["oci"],
        why: "The same of those that are looked at.",
    },
    Reason {
        features: &["result"],
        fronts: &["oci"],
        backends: &[],
        why: "A work request of OCI's has resources, and no result.",
    },
    Reason {
        features: &["details", "retryability"],
        fronts: &["oci"],
        backends: &[],
        why: "An error of a work request is a code, a text and a time.",
    },
    Reason {
        features: &["retryability"],
        fronts: &[],
        backends: &["oci"],
        why: "The same of those that are looked at.",
    },
    Reason {
        features: &["details"],
        fronts: &["rest"],
        backends: &["oci", "nexus", "amqp", "queue"],
        why: "Over REST an error holds details of google.rpc alone, as strict readers refuse any other; these backends \
              bring forms of their own.",
    },
];

/// What opgate could do and does not. It is tried, and must fail: what has been mended is taken out of here.
pub(super) const FAILING: &[Reason] = &[];

impl Reason {
    fn holds(&self, feature: &str, front: &str, backend: &str) -> bool {
        let any = |named: &[&str], one| named.is_empty() || named.contains(&one);
        self.features.contains(&feature) && any(self.fronts, front) && any(self.backends, backend)
    }
}

/// Which of the reasons is the one of a cell, counted from 0.
pub(super) fn of(reasons: &[Reason], feature: &str, front: &str, backend: &str) -> Option<usize> {
    reasons.iter().position(|reason| reason.holds(feature, front, backend))
}

#[test]
fn reasons_are_of_features_faces_and_backends_that_there_are() {
    for reason in NOT_APPLICABLE.iter().chain(FAILING) {
        for feature in reason.features {
            assert!(FEATURES.iter().any(|known| known.name == *feature), "{feature}");
        }
        for front in reason.fronts {
            assert!(FRONTS.iter().any(|known| known.name == *front), "{front}");
        }
        for backend in reason.backends {
            assert!(BACKENDS.iter().any(|known| known.name == *backend), "{backend}");
        }
    }
}
