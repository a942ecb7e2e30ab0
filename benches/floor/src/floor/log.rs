//! A bare preallocated log: what the disk allows a journal that commits with `fdatasync`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Bytes of one record: the size of a typical journal record of the daemon.
const RECORD: usize = 400;
const BATCHES: [usize; 4] = [1, 16, 64, 1024];
/// Bytes of the file; the log starts again from its beginning when it is full.
const SEGMENT: u64 = 64 * 1024 * 1024;

#[derive(Serialize)]
struct Line {
    batch: usize,
    commits_per_second: f64,
    records_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

/// Prints one JSON line for each batch size.
pub(crate) fn run(dir: &Path, seconds: Duration) -> anyhow::Result<()> {
    let path = dir.join(format!("floor-{}.log", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    let measured = measure(&file, seconds);
    std::fs::remove_file(&path)?;
    measured
}

fn measure(file: &File, seconds: Duration) -> anyhow::Result<()> {
    // Written once in full: a log over blocks that already hold data needs no metadata write at a commit.
    let zeros = vec![0; 1024 * 1024];
    let mut at = 0;
    while at < SEGMENT {
        file.write_all_at(&zeros, at)?;
        at += u64::try_from(zeros.len())?;
    }
    file.sync_all()?;
    for batch in BATCHES {
        crate::print(&commits(file, batch, seconds)?)?;
    }
    Ok(())
}

fn commits(file: &File, batch: usize, seconds: Duration) -> anyhow::Result<Line> {
    let records = vec![b'r'; RECORD * batch];
    let length = u64::try_from(records.len())?;
    let mut latencies = Vec::new();
    let mut at = 0;
    let started = Instant::now();
    while started.elapsed() < seconds {
        let begun = Instant::now();
        file.write_all_at(&records, at)?;
        file.sync_data()?;
        latencies.push(begun.elapsed());
        at = if at + 2 * length > SEGMENT { 0 } else { at + length };
    }
    let elapsed = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    let (count, per_batch) = (latencies.len() as f64, batch as f64);
    let rank = |percent: usize| {
        let at = (latencies.len() * percent).div_ceil(100).saturating_sub(1);
        latencies.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    };
    Ok(Line {
        batch,
        commits_per_second: count / elapsed,
        records_per_second: count * per_batch / elapsed,
        p50_us: rank(50),
        p99_us: rank(99),
        max_us: rank(100),
    })
}
