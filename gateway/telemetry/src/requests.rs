//! Requests by protocol, method and code: the only metrics every request touches.
//!
//! A shared counter costs 150 ns when two cores write it, a shared histogram more; a whole request costs 4 us. So
//! these cells live here and not in the recorder: each thread writes to its own shard, and only a scrape adds the
//! shards up. Recording one request costs two clock reads and five uncontended atomic additions.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::catalogue::{REQUEST_DURATION, REQUEST_SECONDS, REQUESTS, REQUESTS_IN_FLIGHT};
use crate::exposition::{family, sample};
use crate::label::{Code, Label, Method, Protocol};

/// More threads than this share shards, which costs speed, never counts.
const SHARDS: usize = 16;
const BUCKETS: usize = REQUEST_SECONDS.len() + 1;
const METHODS: usize = Protocol::COUNT * Method::COUNT;

static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SHARD: usize = NEXT_SHARD.fetch_add(1, Relaxed) % SHARDS;
}

/// Two cache lines apart: processors fetch lines in pairs.
#[repr(align(128))]
struct Shard {
    codes: [AtomicU64; METHODS * Code::COUNT],
    buckets: [AtomicU64; METHODS * BUCKETS],
    /// Wraps after 584 years of summed waiting; Prometheus reads a wrap as a restart.
    nanoseconds: [AtomicU64; METHODS],
    /// A request may begin on one thread and end on another: only the wrapping sum over the shards means something.
    in_flight: [AtomicU64; Protocol::COUNT],
}

impl Shard {
    fn new() -> Self {
        Self {
            codes: [const { AtomicU64::new(0) }; METHODS * Code::COUNT],
            buckets: [const { AtomicU64::new(0) }; METHODS * BUCKETS],
            nanoseconds: [const { AtomicU64::new(0) }; METHODS],
            in_flight: [const { AtomicU64::new(0) }; Protocol::COUNT],
        }
    }
}

/// Counts, durations and requests in flight.
pub struct Requests {
    shards: Box<[Shard]>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::new()).collect() }
    }

    /// Counts a request in. The guard counts it out: with [`InFlight::finish`], or, when the client goes away and the
    /// request's future is dropped, as [`Code::Cancelled`].
    pub fn begin(&self, protocol: Protocol, method: Method) -> InFlight<'_> {
        self.shard().in_flight[protocol.index()].fetch_add(1, Relaxed);
        InFlight { requests: self, protocol, method, code: Code::Cancelled, began: Instant::now() }
    }

    /// Requests of one protocol answered with one code so far, over all methods.
    pub fn answered(&self, protocol: Protocol, code: Code) -> u64 {
        Method::ALL
            .iter()
            .map(|&method| {
                self.sum(|shard| &shard.codes[pair(protocol, method) * Code::COUNT + code.index()])
            })
            .fold(0, u64::wrapping_add)
    }

    /// Requests of one protocol being worked on.
    pub fn in_flight(&self, protocol: Protocol) -> u64 {
        self.sum(|shard| &shard.in_flight[protocol.index()])
    }

    fn shard(&self) -> &Shard {
        &self.shards[SHARD.with(|shard| *shard)]
    }

    fn end(&self, request: &InFlight<'_>) {
        let elapsed = request.began.elapsed();
        let pair = pair(request.protocol, request.method);
        let seconds = elapsed.as_secs_f64();
        let bucket = REQUEST_SECONDS.partition_point(|&bound| bound < seconds);
        let nanoseconds = elapsed
            .as_secs()
            .wrapping_mul(1_000_000_000)
            .wrapping_add(u64::from(elapsed.subsec_nanos()));
        let shard = self.shard();
        shard.codes[pair * Code::COUNT + request.code.index()].fetch_add(1, Relaxed);
        shard.buckets[pair * BUCKETS + bucket].fetch_add(1, Relaxed);
        shard.nanoseconds[pair].fetch_add(nanoseconds, Relaxed);
        shard.in_flight[request.protocol.index()].fetch_sub(1, Relaxed);
    }

    fn sum<'a>(&'a self, cell: impl Fn(&'a Shard) -> &'a AtomicU64) -> u64 {
        self.shards.iter().map(|shard| cell(shard).load(Relaxed)).fold(0, u64::wrapping_add)
    }

    /// What is shown: what a protocol has, from the first scrape on, and whatever was counted all the same.
    fn shown(&self) -> impl Iterator<Item = (Protocol, Method)> {
        pairs().filter(|&(protocol, method)| {
            has(protocol, method)
                || (0..BUCKETS).any(|bucket| {
                    self.sum(|shard| &shard.buckets[pair(protocol, method) * BUCKETS + bucket]) > 0
                })
        })
    }

    /// Writes the three families in the Prometheus text format.
    pub(crate) fn render(&self, out: &mut impl fmt::Write) -> fmt::Result {
        family(out, &REQUESTS)?;
        for (protocol, method) in self.shown() {
            for &code in Code::ALL {
                let count = self
                    .sum(|shard| &shard.codes[pair(protocol, method) * Code::COUNT + code.index()]);
                let labels: [(&str, &dyn fmt::Display); 3] = [
                    ("protocol", &protocol.text()),
                    ("method", &method.text()),
                    ("code", &code.text()),
                ];
                sample(out, &REQUESTS, "", &labels, count)?;
            }
        }
        family(out, &REQUESTS_IN_FLIGHT)?;
        for &protocol in Protocol::ALL {
            sample(
                out,
                &REQUESTS_IN_FLIGHT,
                "",
                &[("protocol", &protocol.text())],
                self.in_flight(protocol),
            )?;
        }
        family(out, &REQUEST_DURATION)?;
        for (protocol, method) in self.shown() {
            self.render_duration(out, protocol, method)?;
        }
        Ok(())
    }

    fn render_duration(
        &self,
        out: &mut impl fmt::Write,
        protocol: Protocol,
        method: Method,
    ) -> fmt::Result {
        let pair = pair(protocol, method);
        let labels: [(&str, &dyn fmt::Display); 2] =
            [("protocol", &protocol.text()), ("method", &method.text())];
        let mut count = 0;
        for bucket in 0..BUCKETS {
            count += self.sum(|shard| &shard.buckets[pair * BUCKETS + bucket]);
            let bound: &dyn fmt::Display = match REQUEST_SECONDS.get(bucket) {
                Some(bound) => bound,
                None => &"+Inf",
            };
            sample(
                out,
                &REQUEST_DURATION,
                "_bucket",
                &[labels[0], labels[1], ("le", bound)],
                count,
            )?;
        }
        let seconds =
            Duration::from_nanos(self.sum(|shard| &shard.nanoseconds[pair])).as_secs_f64();
        sample(out, &REQUEST_DURATION, "_sum", &labels, seconds)?;
        sample(out, &REQUEST_DURATION, "_count", &labels, count)
    }
}

fn pair(protocol: Protocol, method: Method) -> usize {
    protocol.index() * Method::COUNT + method.index()
}

fn pairs() -> impl Iterator<Item = (Protocol, Method)> {
    Protocol::ALL
        .iter()
        .flat_map(|&protocol| Method::ALL.iter().map(move |&method| (protocol, method)))
}

/// Whether a protocol has a method. Series that nothing can ever count are noise on every scrape.
const fn has(protocol: Protocol, method: Method) -> bool {
    match protocol {
        Protocol::Native => true,
        Protocol::Amqp => !matches!(method, Method::Watch | Method::Complete | Method::Redrive),
        // Completions of what it asked of others are shown once there are any.
        Protocol::Nexus => {
            matches!(method, Method::Start | Method::Get | Method::Wait | Method::Cancel)
        }
        Protocol::Oci => {
            matches!(method, Method::Start | Method::Get | Method::List | Method::Cancel)
        }
        Protocol::Grpc | Protocol::Http => !matches!(
            method,
            Method::Complete
                | Method::Redrive
                | Method::Lease
                | Method::Report
                | Method::Finish
                | Method::Release
        ),
    }
}

/// A request being worked on.
#[derive(Debug)]
#[must_use = "dropping it counts the request as cancelled"]
pub struct InFlight<'a> {
    requests: &'a Requests,
    protocol: Protocol,
    method: Method,
    code: Code,
    began: Instant,
}

impl InFlight<'_> {
    /// Counts the request out with its code.
    pub fn finish(mut self, code: Code) {
        self.code = code;
    }

    /// The request began already then.
    pub fn since(self, began: Instant) -> Self {
        let mut counting = self;
        counting.began = began;
        counting
    }

    /// What is asked for, as it is counted.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Time since the request began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.requests.end(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(requests: &Requests) -> String {
        let mut text = String::new();
        requests.render(&mut text).unwrap();
        text
    }

    #[test]
    fn a_finished_request_is_counted_once_and_a_dropped_one_as_cancelled() {
        let requests = Requests::new();
        requests.begin(Protocol::Grpc, Method::Get).finish(Code::Ok);
        let waiting = requests.begin(Protocol::Grpc, Method::Wait);
        assert_eq!(requests.in_flight(Protocol::Grpc), 1);
        drop(waiting);
        assert_eq!(requests.in_flight(Protocol::Grpc), 0);
        let text = rendered(&requests);
        for line in [
            r#"opgate_requests_total{protocol="grpc",method="get",code="OK"} 1"#,
            r#"opgate_requests_total{protocol="grpc",method="wait",code="CANCELLED"} 1"#,
            r#"opgate_requests_total{protocol="http",method="get",code="OK"} 0"#,
            r#"opgate_request_duration_seconds_bucket{protocol="grpc",method="get",le="+Inf"} 1"#,
            r#"opgate_request_duration_seconds_count{protocol="grpc",method="get"} 1"#,
            r#"opgate_requests_in_flight{protocol="grpc"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing");
        }
    }

    #[test]
    fn counts_from_many_threads_add_up() {
        let requests = Requests::new();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| {
                    for _ in 0..100 {
                        requests.begin(Protocol::Http, Method::List).finish(Code::NotFound);
                    }
                });
            }
        });
        assert_eq!(requests.answered(Protocol::Http, Code::NotFound), 200 * SHARDS as u64);
        assert_eq!(requests.in_flight(Protocol::Http), 0);
    }

    #[test]
    fn a_request_may_end_on_another_thread() {
        let requests = Requests::new();
        std::thread::scope(|scope| {
            let request = requests.begin(Protocol::Amqp, Method::Start);
            scope.spawn(move || request.finish(Code::Ok));
        });
        assert_eq!(requests.in_flight(Protocol::Amqp), 0);
    }

    #[test]
    fn buckets_are_cumulative_and_sum_is_in_seconds() {
        let requests = Requests::new();
        let request = requests.begin(Protocol::Native, Method::Get);
        while request.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        request.finish(Code::Ok);
        let text = rendered(&requests);
        let value = |start: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        let bucket = |le: &str| {
            value(&format!(
                r#"opgate_request_duration_seconds_bucket{{protocol="native",method="get",le="{le}"}}"#
            ))
        };
        assert!(bucket("0.001") < 0.5, "2 ms is above the 1 ms bucket");
        assert!((bucket("60") - 1.0).abs() < 0.1);
        let sum = value(r#"opgate_request_duration_seconds_sum{protocol="native",method="get"}"#);
        assert!((0.002..1.0).contains(&sum), "{sum}");
    }
}
