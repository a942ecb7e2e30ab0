//! `/backends` of the admin listener: how it stands with each backend.

use opgate_bus::{Breaker, Bus, Standing};
use opgate_edge::Page;
use serde_json::{Value, json};

use crate::latest::Latest;
use crate::settings::{BackendKind, Settings};

/// The page. docs/cli.md has its fields.
pub(crate) fn page(settings: &Latest<Settings>, bus: &Bus) -> Page {
    let (settings, bus) = (settings.clone(), bus.clone());
    Box::new(move || {
        let settings = settings.get();
        let shown = bus.standings().into_iter().map(|standing| {
            let configured = settings.backends.get(&*standing.name);
            show(&standing, configured.map(|backend| &backend.kind))
        });
        json!({ "backends": shown.collect::<Vec<_>>() }).to_string()
    })
}

fn show(standing: &Standing, configured: Option<&BackendKind>) -> Value {
    let (breaker, open) = match standing.breaker {
        Breaker::Closed => ("CLOSED", None),
        Breaker::Probing => ("PROBING", None),
        Breaker::Open(left) => ("OPEN", Some(left.as_secs_f64())),
    };
    let error = standing.last_error.as_ref();
    json!({
        "name": &*standing.name,
        "kind": configured.map(BackendKind::word),
        "address": configured.and_then(BackendKind::address),
        "configured": standing.configured,
        "reachable": standing.reachable,
        "breaker": breaker,
        "breakerOpenSeconds": open,
        "concurrency": standing.concurrency,
        "inFlight": standing.in_flight,
        "queued": standing.queued,
        "workers": standing.workers,
        "queues": standing.queues.iter().map(|queue| &**queue).collect::<Vec<_>>(),
        "lastError": error.map(|(at, text)| json!({ "time": at.to_rfc3339(), "message": &**text })),
    })
}
