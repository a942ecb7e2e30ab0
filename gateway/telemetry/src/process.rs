//! The process itself, as the kernel shows it under `/proc`. Read at each scrape.

use std::fmt;
use std::fs;
use std::time::Duration;

use crate::catalogue::{
    MetricSpec, PROCESS_CPU, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT, PROCESS_START,
    PROCESS_THREADS, PROCESS_VIRTUAL,
};
use crate::exposition::{family, sample};

/// Linux reports process times in hundredths of a second (`USER_HZ`) on every architecture opgate is built for.
const TICK: Duration = Duration::from_millis(10);

/// Writes the `process_*` families. What the kernel does not show (another system, a hidden `/proc`) is left out.
pub fn render(out: &mut impl fmt::Write) -> fmt::Result {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let times = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| Times::parse(&stat));
    let boot = fs::read_to_string("/proc/stat").ok().and_then(|stat| field(&stat, "btime "));
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    // The directory handle of this very count is one of the entries.
    let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1));

    one(out, &PROCESS_CPU, times.as_ref().map(|times| times.cpu.as_secs_f64()))?;
    one(
        out,
        &PROCESS_START,
        times
            .zip(boot)
            .map(|(times, boot)| (Duration::from_secs(boot) + times.start).as_secs_f64()),
    )?;
    one(out, &PROCESS_RESIDENT, field(&status, "VmRSS:").map(|kibibytes| kibibytes * 1024))?;
    one(out, &PROCESS_VIRTUAL, field(&status, "VmSize:").map(|kibibytes| kibibytes * 1024))?;
    one(out, &PROCESS_THREADS, field(&status, "Threads:"))?;
    one(out, &PROCESS_OPEN_FDS, open)?;
    one(out, &PROCESS_MAX_FDS, field(&limits, "Max open files"))
}

fn one(
    out: &mut impl fmt::Write,
    spec: &MetricSpec,
    value: Option<impl fmt::Display>,
) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    family(out, spec)?;
    sample(out, spec, "", &[], value)
}

/// The first number after `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

struct Times {
    cpu: Duration,
    /// Since the machine started.
    start: Duration,
}

impl Times {
    /// Fields 14, 15 and 22 of proc(5) `stat`; the command name before them may hold spaces and parentheses.
    fn parse(stat: &str) -> Option<Self> {
        let (_, after_name) = stat.rsplit_once(')')?;
        let ticks = |number: usize| -> Option<u32> {
            after_name.split_whitespace().nth(number - 3)?.parse().ok()
        };
        Some(Self { cpu: TICK * (ticks(14)?.saturating_add(ticks(15)?)), start: TICK * ticks(22)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_command_name_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 4 0 1000 9 9";
        let times = Times::parse(stat).unwrap();
        assert_eq!(times.cpu, Duration::from_secs(2));
        assert_eq!(times.start, Duration::from_secs(10));
        assert!(Times::parse("7 (opgate) S 1").is_none());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn everything_is_there_on_linux() {
        let mut text = String::new();
        render(&mut text).unwrap();
        let value = |name: &str| -> f64 {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .unwrap()
                .parse()
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_open_fds") >= 1.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let age = now - value("process_start_time_seconds");
        assert!((-2.0..3600.0).contains(&age), "started {age} s ago");
    }
}
