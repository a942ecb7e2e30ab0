//! What one run counted.

use std::time::{Duration, Instant};

use serde::Serialize;

/// Counts and exact latencies: eight bytes a request, bounded by the request count of the command line.
pub(crate) struct Tally {
    started: Instant,
    latencies: Vec<Duration>,
    errors: u64,
    first_error: Option<String>,
    body_min: usize,
    body_max: usize,
}

/// The JSON line of results. Latencies are in microseconds.
#[derive(Serialize)]
pub(crate) struct Summary {
    pub(crate) requests: usize,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
    pub(crate) body_min: usize,
    pub(crate) body_max: usize,
}

impl Tally {
    pub(crate) fn start(requests: usize) -> Self {
        Self {
            started: Instant::now(),
            latencies: Vec::with_capacity(requests),
            errors: 0,
            first_error: None,
            body_min: usize::MAX,
            body_max: 0,
        }
    }

    /// Starts the clock anew, for a run whose preparation is not to be counted.
    pub(crate) fn restart(&mut self) -> Instant {
        self.started = Instant::now();
        self.started
    }

    pub(crate) fn record(&mut self, since: Instant, outcome: anyhow::Result<usize>) {
        match outcome {
            Ok(bytes) => {
                self.latencies.push(since.elapsed());
                self.body_min = self.body_min.min(bytes);
                self.body_max = self.body_max.max(bytes);
            }
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    pub(crate) fn summary(mut self) -> Summary {
        let seconds = self.started.elapsed().as_secs_f64();
        self.latencies.sort_unstable();
        let requests = self.latencies.len();
        let rank = |percent: usize| {
            let at = (requests * percent).div_ceil(100).saturating_sub(1);
            self.latencies.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
        };
        #[expect(clippy::cast_precision_loss, reason = "request counts stay below 2^53")]
        let count = requests as f64;
        Summary {
            requests,
            errors: self.errors,
            first_error: self.first_error.take(),
            seconds,
            per_second: count / seconds,
            p50_us: rank(50),
            p99_us: rank(99),
            max_us: rank(100),
            body_min: if requests == 0 { 0 } else { self.body_min },
            body_max: self.body_max,
        }
    }
}
