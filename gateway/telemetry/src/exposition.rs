//! The Prometheus text format (version 0.0.4), for the families this crate renders by itself.
//!
//! Label values and help texts of the catalogue are plain words: nothing here needs escaping.

use std::fmt;

use crate::catalogue::{Kind, MetricSpec};

/// The two lines that open a family.
pub(crate) fn family(out: &mut impl fmt::Write, spec: &MetricSpec) -> fmt::Result {
    let kind = match spec.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let name = spec.name;
    writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", spec.help)
}

/// One sample; `suffix` is `""`, or `_bucket`, `_sum`, `_count` of a histogram.
pub(crate) fn sample(
    out: &mut impl fmt::Write,
    spec: &MetricSpec,
    suffix: &str,
    labels: &[(&str, &dyn fmt::Display)],
    value: impl fmt::Display,
) -> fmt::Result {
    write!(out, "{}{suffix}", spec.name)?;
    for (position, (name, text)) in labels.iter().enumerate() {
        let open = if position == 0 { '{' } else { ',' };
        write!(out, "{open}{name}=\"{text}\"")?;
    }
    let close = if labels.is_empty() { "" } else { "}" };
    writeln!(out, "{close} {value}")
}
