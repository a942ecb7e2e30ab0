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

#[tokio::test]
async fn what_waits_for_room_is_counted() {
    let dir = tempdir().unwrap();
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    let setup = Setup { concurrency: 1, ..Setup::at(&dir) };
    let bench = metrics::with_local_recorder(&recorder, || setup.open());
    let queued = |count: u32| {
        let line = format!("opgate_operations_queued{{backend=\"script\"}} {count}");
        rendered.render().lines().any(|found| found == line)
    };
    let running = bench.start("hold").await;
    bench.script.running(1).await;
    bench.start("hold").await;
    let waiting = bench.start("hold").await;
    while !queued(2) {
        tokio::task::yield_now().await;
    }
    bench.script.open_gate();
    bench.ended(running).await;
    bench.ended(waiting).await;
    while !queued(0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_goes_where_and_what_has_not_ended_is_told() {
    let dir = tempdir().unwrap();
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    let bench = metrics::with_local_recorder(&recorder, || Setup::at(&dir).open());
    let value = |series: &str| -> f64 {
        let text = rendered.render();
        let line = text.lines().find(|line| line.starts_with(series)).expect(series);
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let oldest = "opgate_operations_oldest_unfinished_timestamp_seconds ";
    assert!(value(oldest).abs() < 0.1, "there is none");
    let first = bench.start("hold").await;
    let second = bench.start("hold").await;
    let accepted = async |id| {
        let nanos = bench.bus.get(&bench.caller, id).await.unwrap().times.accepted.nanos();
        std::time::Duration::from_nanos(nanos.unsigned_abs()).as_secs_f64()
    };
    let told = async |expected: f64| {
        bench.store.tidy();
        while (value(oldest) - expected).abs() > 0.000_01 {
            tokio::task::yield_now().await;
        }
    };
    told(accepted(first).await).await;
    bench.bus.finish(&bench.caller, first, succeeded("by hand")).await.unwrap();
    told(accepted(second).await).await;
    bench.bus.finish(&bench.caller, second, succeeded("by hand")).await.unwrap();
    told(0.0).await;

    let way = r#"{protocol="native",backend="script""#;
    assert!((value(&format!("opgate_operations_accepted_total{way}}}")) - 2.0).abs() < 0.1);
    let finished = format!(r#"opgate_operations_finished_total{way},outcome="succeeded"}}"#);
    assert!((value(&finished) - 2.0).abs() < 0.1);
    assert!((value(r#"opgate_leases_max{backend="script"}"#) - 64.0).abs() < 0.1);
    assert!(value("opgate_operations_unfinished_max") > 0.0);
    assert!(value("opgate_journal_free_bytes") > 0.0);
    bench.bus.drain().await;
}
