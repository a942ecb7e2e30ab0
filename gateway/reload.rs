//! SIGHUP: the settings are read again, and what can change without a restart does.

use opgate::Running;
use opgate::settings::{Effective, Settings, Sources};
use tracing::{error, info};

use crate::logging::Logging;

/// What settings that are read again come from, and are compared with.
pub(crate) struct Reloads<'a> {
    pub(crate) sources: Sources,
    /// The log, whose level may be another.
    pub(crate) logging: &'a Logging,
    /// Those the daemon was started with.
    pub(crate) effective: Effective,
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
        running.reload(loaded.as_ref().map(|(settings, _)| settings));
        match loaded {
            Ok((settings, effective)) => {
                self.logging.set_level(&settings.log.level);
                let keys = &settings.oci.keys;
                info!(
                    oci_tenancies = keys.tenancies.len(),
                    oci_keys = keys.keyring.keys(),
                    oci_issuers = keys.keyring.issuers().len(),
                    needs_restart = self.effective.restarts(&effective).join(", "),
                    "settings read again"
                );
            }
            Err(problems) => {
                for problem in problems.iter() {
                    let (key, origin) = (&problem.key, &problem.origin);
                    error!(key, origin, "settings not read again, the old ones hold: {problem}");
                }
            }
        }
    }
}
