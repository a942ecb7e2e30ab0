//! What is counted of callbacks.

use metrics_exporter_prometheus::PrometheusBuilder;
use opgate_bus::core::DeliveryState;
use opgate_bus::{Callbacks, Told};
use tempfile::tempdir;

use super::support::{Post, callbacks, later};

#[tokio::test(start_paused = true)]
async fn attempts_dead_letters_and_receivers_left_alone_are_counted() {
    let dir = tempdir().unwrap();
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    let once = Callbacks { failures: 1, ..callbacks() };
    let mut post = metrics::with_local_recorder(&recorder, || Post::open(&dir, once));
    let value = |series: &str| {
        let text = rendered.render();
        let line = text.lines().find(|line| line.starts_with(series)).expect(series);
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let (taken, refused) = (post.owe(&["http://a/1"]).await, post.owe(&["http://b/1"]).await);
    let (busy, gone) = (post.owe(&["http://c/1"]).await, post.owe(&["http://d/1"]).await);
    for _ in 0..4 {
        let call = post.call().await;
        let told = match call.id() {
            id if id == taken => Told::Taken,
            id if id == refused => Told::Refused { problem: "no".to_owned() },
            id if id == gone => Told::Gone { problem: "who?".to_owned() },
            _ => later("busy"),
        };
        call.comes_to(told);
    }
    post.settled(taken, DeliveryState::Delivered).await;
    post.settled(refused, DeliveryState::Dead).await;
    assert_eq!(&*post.settled(gone, DeliveryState::Dead).await.problem, "who?");
    post.rest(busy, 1).await;
    post.nothing_happens().await;
    post.bench.store.tidy();
    // The courier hears of a durable result after everybody who looks for it.
    while value("opgate_callbacks_owed ") != "1"
        || value("opgate_callbacks_dead_total") != "2"
        || value("opgate_callback_breakers_open") != "1"
    {
        tokio::task::yield_now().await;
    }
    let attempts =
        |result: &str| value(&format!("opgate_callback_attempts_total{{result=\"{result}\"}}"));
    assert_eq!(["delivered", "later", "refused"].map(attempts), ["1", "1", "2"]);
    assert_eq!(value("opgate_callback_lag_seconds_count"), "1", "of what was taken only");
    let owed = post.bench.store.get(busy).await.unwrap().unwrap();
    let since = owed.times.closed.unwrap().nanos();
    let since = std::time::Duration::from_nanos(since.unsigned_abs()).as_secs_f64();
    let told: f64 = value("opgate_callbacks_oldest_owed_timestamp_seconds").parse().unwrap();
    assert!((told - since).abs() < 0.000_01, "{told}, {since}");
}
