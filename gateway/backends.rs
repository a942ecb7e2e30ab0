//! `/backends` of the admin listener: how it stands with each backend.

use std::collections::BTreeMap;

use opgate_bus::{Breaker, Bus, Standing};
use opgate_edge::Page;
use serde_json::{Value, json};

use crate::settings::Settings;

/// What is configured of a backend: its kind, and where its upstream is.
type Configured = (&'static str, Option<String>);

/// The page. docs/cli.md has its fields.
pub(crate) fn page(settings: &Settings, bus: &Bus) -> Page {
    let configured: BTreeMap<String, Configured> = settings
        .backends
        .iter()
        .map(|(name, backend)| (name.clone(), (backend.kind.word(), backend.kind.address())))
        .collect();
    let bus = bus.clone();
    Box::new(move || {
        let shown = bus.standings().into_iter().map(|standing| {
            let configured = configured.get(&*standing.name);
            show(&standing, configured)
        });
        json!({ "backends": shown.collect::<Vec<_>>() }).to_string()
    })
}

fn show(standing: &Standing, configured: Option<&Configured>) -> Value {
    let (breaker, open) = match standing.breaker {
        Breaker::Closed => ("CLOSED", None),
        Breaker::Probing => ("PROBING", None),
        Breaker::Open(left) => ("OPEN", Some(left.as_secs_f64())),
    };
    let error = standing.last_error.as_ref();
    json!({
        "name": &*standing.name,
        "kind": configured.map(|(kind, _)| kind),
        "address": configured.and_then(|(_, address)| address.as_ref()),
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
