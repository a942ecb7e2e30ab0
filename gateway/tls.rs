//! TLS of the listeners, and its certificates when they are read again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opgate_edge::Tls;
use opgate_edge::tls::Inside;
use opgate_telemetry::{Label as _, Listener, Metrics};
use tracing::warn;

use crate::settings::{self, Settings};

/// How long before its end a certificate is worth a word at every look: those of ACME are renewed a month
/// before.
const SOON: Duration = Duration::from_hours(24 * 14);

/// TLS of each listener; none: it has no TLS.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) http: Option<Tls>,
    pub(crate) amqp: Option<Tls>,
    pub(crate) admin: Option<Tls>,
}

impl Secured {
    pub(crate) fn new(settings: &Settings, metrics: &Arc<Metrics>) -> Self {
        let new = |listener, inside, tls: &Option<settings::Tls>| {
            let tls = tls.as_ref()?;
            look(listener, tls);
            let metrics = Arc::clone(metrics);
            Some(Tls::new(&tls.certificates, inside, tls.plaintext, listener, metrics))
        };
        Self {
            http: new(Listener::Http, Inside::Http, &settings.http.tls),
            amqp: new(Listener::Amqp, Inside::Amqp, &settings.amqp_tls),
            admin: new(Listener::Admin, Inside::Http, &settings.admin.tls),
        }
    }

    /// Has the certificates of other settings from the next handshake on.
    pub(crate) fn replace(&self, settings: &Settings) {
        for (listener, serving, read) in [
            (Listener::Http, &self.http, &settings.http.tls),
            (Listener::Amqp, &self.amqp, &settings.amqp_tls),
            (Listener::Admin, &self.admin, &settings.admin.tls),
        ] {
            match (serving, read) {
                (Some(serving), Some(read)) => {
                    look(listener, read);
                    serving.replace(&read.certificates);
                }
                (None, None) => {}
                (Some(_), None) | (None, Some(_)) => {
                    let (listener, tls) = (listener.text(), serving.is_some());
                    warn!(listener, tls, "with or without TLS: to change that takes a restart");
                }
            }
        }
    }
}

/// Says so if a certificate has ended, or will soon.
fn look(listener: Listener, tls: &settings::Tls) {
    let left = tls.certificates.expires().duration_since(SystemTime::now()).unwrap_or_default();
    if left.is_zero() {
        warn!(listener = listener.text(), "the certificate has ended: clients will refuse it");
    } else if left < SOON {
        let hours = left.as_secs() / 3600;
        warn!(listener = listener.text(), hours, "the certificate ends soon");
    }
}
