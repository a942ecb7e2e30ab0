//! Handles: what a call site holds. Each was looked up once, at start.

use std::marker::PhantomData;
use std::time::Duration;

pub use metrics::{Counter, Histogram};
use metrics::{Key, Level, Metadata, with_recorder};

use crate::catalogue::{Kind, MetricSpec};
use crate::label::Label;

const METADATA: Metadata<'static> = Metadata::new("opgate", Level::INFO, None);

/// A whole number that goes up and down: a count, a size in bytes, or 0 and 1 for a condition.
#[derive(Clone, Debug)]
pub struct Gauge(metrics::Gauge);

impl Gauge {
    /// Replaces the value.
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact to 2^53; a sample is a float in the exposition anyway"
    )]
    pub fn set(&self, value: u64) {
        self.0.set(value as f64);
    }

    /// Replaces the value by a time, in nanoseconds since the Unix epoch; nothing is 0.
    #[expect(clippy::cast_precision_loss, reason = "a microsecond is more than anybody looks at")]
    pub fn set_time(&self, nanos: Option<i64>) {
        self.0.set(nanos.map_or(0.0, |nanos| nanos as f64 / 1e9));
    }

    /// Replaces the value by a duration, in seconds.
    pub fn set_duration(&self, value: Duration) {
        self.0.set(value);
    }

    /// Replaces the value by 1 or 0.
    pub fn set_condition(&self, holds: bool) {
        self.set(u64::from(holds));
    }

    /// One more.
    pub fn increment(&self) {
        self.0.increment(1.0);
    }

    /// One less.
    pub fn decrement(&self) {
        self.0.decrement(1.0);
    }

    /// One more for as long as the returned guard lives.
    pub fn hold(&self) -> Held {
        self.increment();
        Held(self.clone())
    }
}

/// One unit of a [`Gauge`]; dropping it takes the unit back.
#[derive(Debug)]
#[must_use = "the unit is taken back when this is dropped"]
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement();
    }
}

/// One handle for each value of a closed label.
#[derive(Debug)]
pub struct Family<L, H> {
    handles: Box<[H]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label, H> Family<L, H> {
    /// Builds the handle of every value.
    pub(crate) fn new(handle: impl FnMut(L) -> H) -> Self {
        Self { handles: L::ALL.iter().copied().map(handle).collect(), label: PhantomData }
    }

    /// The handle of one value.
    pub fn of(&self, value: L) -> &H {
        &self.handles[value.index()]
    }
}

/// Tells the current recorder the help text of every metric.
pub(crate) fn describe(specs: &[MetricSpec]) {
    with_recorder(|recorder| {
        for spec in specs {
            let (name, help) = (spec.name.into(), spec.help.into());
            match spec.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram => recorder.describe_histogram(name, None, help),
            }
        }
    });
}

pub(crate) fn counter(spec: &MetricSpec, values: &[&str]) -> Counter {
    debug_assert_eq!(spec.kind, Kind::Counter, "{}", spec.name);
    with_recorder(|recorder| recorder.register_counter(&key(spec, values), &METADATA))
}

pub(crate) fn gauge(spec: &MetricSpec, values: &[&str]) -> Gauge {
    debug_assert_eq!(spec.kind, Kind::Gauge, "{}", spec.name);
    Gauge(with_recorder(|recorder| recorder.register_gauge(&key(spec, values), &METADATA)))
}

pub(crate) fn histogram(spec: &MetricSpec, values: &[&str]) -> Histogram {
    debug_assert_eq!(spec.kind, Kind::Histogram, "{}", spec.name);
    with_recorder(|recorder| recorder.register_histogram(&key(spec, values), &METADATA))
}

fn key(spec: &MetricSpec, values: &[&str]) -> Key {
    debug_assert_eq!(spec.labels.len(), values.len(), "{}", spec.name);
    let labels: Vec<metrics::Label> = spec
        .labels
        .iter()
        .zip(values)
        .map(|(&name, &value)| metrics::Label::new(name, value.to_owned()))
        .collect();
    Key::from_parts(spec.name, labels)
}
