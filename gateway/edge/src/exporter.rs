//! The metrics in the Prometheus text format.

use std::fmt;
use std::sync::Arc;

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use opgate_telemetry::{CATALOGUE, Metrics};

/// The exporter could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the metrics exporter could not be built")]
pub struct ExporterError(#[from] BuildError);

/// Holds the numbers behind [`Metrics`] and renders them.
///
/// Every number is recorded through [`Metrics`], so no recorder is installed for the process, and any number of
/// exporters live side by side. Nothing is ever dropped for being idle: a handle would go on writing to a series no
/// longer shown.
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
    recorder: Arc<PrometheusRecorder>,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    /// Creates every series of the catalogue; `backends` are the configured backend names.
    pub fn new(backends: &[&str]) -> Result<Self, ExporterError> {
        let mut builder = PrometheusBuilder::new();
        // A histogram without buckets would become a summary, whose quantiles cannot be added up.
        for spec in CATALOGUE.iter().filter(|spec| !spec.buckets.is_empty()) {
            let name = Matcher::Full(spec.name.to_owned());
            builder = builder.set_buckets_for_metric(name, spec.buckets)?;
        }
        let recorder = builder.build_recorder();
        let metrics = metrics::with_local_recorder(&recorder, || Metrics::register(backends));
        Ok(Self { handle: recorder.handle(), recorder: Arc::new(recorder), metrics })
    }

    /// Creates the series of one more backend, if it is one more. False where there is no room for it: see
    /// [`Metrics::admit`].
    pub fn admit(&self, backend: &str) -> bool {
        metrics::with_local_recorder(&*self.recorder, || self.metrics.admit(backend))
    }

    /// The handles to record with.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Everything in the text format. Takes milliseconds and reads `/proc`: not for a task that must not block.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = self.handle.render();
        self.metrics.render(&mut text)?;
        Ok(text)
    }

    /// Folds raw histogram samples into buckets. To be called about once a second: samples take 16 bytes each until
    /// then, scraped or not. Takes milliseconds under load: not for a task that must not block.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}
