//! SIGHUP: the settings are read again, and what can change without a restart does.

use std::sync::{Mutex, PoisonError};

use opgate::settings::{InForce, Settings, Sources};
use opgate::{Running, Unusable};
use tracing::{error, info};

use crate::logging::Logging;

/// What settings that are read again come from, and are compared with.
pub(crate) struct Reloads<'a> {
    pub(crate) sources: Sources,
    /// The log, whose level may be another.
    pub(crate) logging: &'a Logging,
    /// The values that the daemon goes by.
    pub(crate) in_force: Mutex<InForce>,
}

impl Reloads<'_> {
    /// Reads the settings again. If anything is wrong with them, the old ones hold.
    pub(crate) async fn reload(&self, running: &Running) {
        let sources = self.sources.clone();
        let loaded = tokio::task::spawn_blocking(move || Settings::load(&sources)).await;
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(defect) => {
                error!(%defect, "the settings were not read again");
                return;
            }
        };
        let waiting = match running.reload(loaded.as_ref().map(|(settings, _)| settings)) {
            Ok(waiting) => waiting,
            Err(Unusable::Problems(problems)) => {
                for problem in problems.iter() {
                    let (key, origin) = (&problem.key, &problem.origin);
                    error!(key, origin, "settings not read again, the old ones hold: {problem}");
                }
                return;
            }
            Err(Unusable::Together(problem)) => {
                error!(
                    "settings not read again, the old ones hold: with what takes a restart they do not go \
                     together: {problem}"
                );
                return;
            }
        };
        if let Ok((settings, effective)) = &loaded {
            self.logging.set_level(&settings.log.level);
            let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
            let mut needs_restart = in_force.take(effective, &waiting);
            drop(in_force);
            needs_restart.extend(waiting);
            let keys = &settings.oci.keys;
            info!(
                oci_tenancies = keys.tenancies.len(),
                oci_keys = keys.keyring.keys(),
                oci_issuers = keys.keyring.issuers().len(),
                routes = settings.routes.len(),
                needs_restart = needs_restart.join(", "),
                "settings read again"
            );
        }
    }
}
