//! What the catalogue says and what is exposed are the same.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opgate_telemetry::{CATALOGUE, Code, Kind, Listener, Metrics, Outcome, State};

fn registered(backends: &[&str]) -> (Arc<Metrics>, PrometheusHandle) {
    let builder = CATALOGUE.iter().filter(|spec| spec.kind == Kind::Histogram).fold(
        PrometheusBuilder::new(),
        |builder, spec| {
            builder
                .set_buckets_for_metric(Matcher::Full(spec.name.to_owned()), spec.buckets)
                .unwrap()
        },
    );
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    (metrics::with_local_recorder(&recorder, || Metrics::register(backends)), handle)
}

fn exposed(metrics: &Metrics, handle: &PrometheusHandle) -> String {
    let mut text = handle.render();
    metrics.render(&mut text).unwrap();
    text
}

#[test]
fn every_metric_is_exposed_before_anything_happened_and_nothing_else_is() {
    let (metrics, handle) = registered(&["billing"]);
    let text = exposed(&metrics, &handle);
    let kinds: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let helps: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')).collect();
    let declared: BTreeMap<&str, &str> = CATALOGUE
        .iter()
        .map(|spec| {
            let kind = match spec.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            (spec.name, kind)
        })
        .collect();
    assert_eq!(kinds, declared);
    for spec in CATALOGUE {
        assert_eq!(helps.get(spec.name), Some(&spec.help), "{}", spec.name);
        let sample = text.lines().any(|line| {
            let rest = line.strip_prefix(spec.name).unwrap_or("-");
            rest.starts_with([' ', '{', '_'])
        });
        assert!(sample, "{} has no sample", spec.name);
    }
    assert!(!text.contains(" summary"), "a histogram without buckets became a summary");
}

#[test]
fn the_number_of_series_is_bounded() {
    let (metrics, handle) = registered(&["a", "b", "c"]);
    let text = exposed(&metrics, &handle);
    let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    assert!(series < 2_200, "{series}");
}

#[test]
fn handles_reach_the_series_they_name() {
    let (metrics, handle) = registered(&["billing", "eu"]);
    metrics.edge.accept_errors.of(Listener::Amqp).increment(3);
    metrics.bus.operations.of(State::Running).set(7);
    metrics.bus.operation_duration.of(Outcome::Failed).record(Duration::from_secs(20));
    metrics.dispatch.backend("eu").unwrap().requests.of(Code::Unavailable).increment(2);
    assert!(metrics.dispatch.backend("us").is_none());
    let held = metrics.edge.connections.of(Listener::Http).hold();
    let during = exposed(&metrics, &handle);
    drop(held);
    let after = exposed(&metrics, &handle);
    has(&after, r#"opgate_accept_errors_total{listener="amqp"} 3"#);
    has(&after, r#"opgate_accept_errors_total{listener="http"} 0"#);
    has(&after, r#"opgate_operations{state="running"} 7"#);
    has(&after, r#"opgate_operation_duration_seconds_bucket{outcome="failed",le="15"} 0"#);
    has(&after, r#"opgate_operation_duration_seconds_bucket{outcome="failed",le="60"} 1"#);
    has(&after, r#"opgate_operation_duration_seconds_sum{outcome="failed"} 20"#);
    has(&after, r#"opgate_backend_requests_total{backend="eu",code="UNAVAILABLE"} 2"#);
    has(&after, r#"opgate_backend_requests_total{backend="billing",code="UNAVAILABLE"} 0"#);
    has(&during, r#"opgate_connections{listener="http"} 1"#);
    has(&after, r#"opgate_connections{listener="http"} 0"#);
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "{line} is missing");
}
