//! What is counted of leases.

use metrics_exporter_prometheus::PrometheusBuilder;
use tempfile::tempdir;

use crate::support::{Setup, succeeded};

#[tokio::test]
async fn leases_are_counted_in_and_out() {
    let dir = tempdir().unwrap();
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    let bench = metrics::with_local_recorder(&recorder, || Setup::at(&dir).open());
    let value = |series: &str| {
        let text = rendered.render();
        let line = text.lines().find(|line| line.starts_with(series)).expect(series);
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let leases = r#"opgate_leases{backend="script"}"#;
    let lost = r#"opgate_leases_lost_total{backend="script"}"#;
    let ok = r#"opgate_backend_requests_total{backend="script",code="OK"}"#;
    let unavailable = r#"opgate_backend_requests_total{backend="script",code="UNAVAILABLE"}"#;

    let taken = bench.start("hold").await;
    bench.script.running(1).await;
    assert_eq!((value(leases), value(lost)), ("1".to_owned(), "0".to_owned()));
    bench.bus.finish(&bench.caller, taken, succeeded("by hand")).await.unwrap();
    bench.script.running(0).await;
    let flaky = bench.start("flaky 1").await;
    bench.ended(flaky).await;
    bench.bus.drain().await;
    let counted = [leases, lost, ok, unavailable].map(value);
    assert_eq!(counted, ["0", "1", "1", "1"]);
}
