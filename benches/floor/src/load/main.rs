//! The load generator of the side-by-side comparison.
//!
//! It reads the status and the length of every reply, so a server that answers errors quickly never looks fast.
//! It talks to loopback addresses only, and every run is bounded in count and in time.

mod amqp;
mod client;
mod hold;
mod shape;
mod tally;
mod through;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::{Args, Parser, Subcommand, ValueEnum};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::client::{Call, Client, Expect};

#[derive(Parser)]
#[command(about = "Drives one loopback server and prints one JSON line of results")]
struct Cli {
    /// Address of the server; loopback only.
    #[arg(long)]
    target: SocketAddr,
    #[command(flatten)]
    call: CallArgs,
    /// The run fails when it is not over after this many seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    deadline: u64,
    #[command(subcommand)]
    shape: Shape,
}

#[derive(Args)]
struct CallArgs {
    #[arg(long, value_enum, default_value = "grpc")]
    protocol: Protocol,
    /// Path of the request: `/package.Service/Method` for gRPC.
    #[arg(long, default_value = "/")]
    path: String,
    /// The request message in hexadecimal, without the five-byte gRPC prefix. With h1 and h2 it makes the request
    /// a POST of that JSON.
    #[arg(long, default_value = "")]
    message: String,
    /// A further header of every request, such as `date: Fri, 20 Nov 2026 11:24:16 GMT`; repeatable.
    #[arg(long, value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// A reply body of any other length counts as an error (gRPC: with its prefix).
    #[arg(long)]
    expect_bytes: Option<usize>,
    /// A reply with any other HTTP status counts as an error.
    #[arg(long, default_value_t = 200)]
    expect_status: u16,
}

/// How a request is put on the wire.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// POST over HTTP/2 with prior knowledge; success is `grpc-status: 0`.
    Grpc,
    /// GET or POST over HTTP/2 with prior knowledge.
    H2,
    /// GET or POST over HTTP/1.1.
    H1,
}

#[derive(Subcommand)]
enum Shape {
    /// One request; prints the reply body in hexadecimal.
    Call,
    /// A fixed number of requests kept in flight: the next leaves when one is answered.
    Closed {
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        connections: u32,
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4_096))]
        in_flight: u32,
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
        requests: u64,
    },
    /// A fixed rate, whatever the server does; latency counts from the moment a request was due.
    Open {
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        connections: u32,
        #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        rate: u32,
        #[arg(long, default_value_t = 40_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
        requests: u64,
    },
    /// Connections, one request on each, then pending waiters, then one release that answers all. Each stage is
    /// announced on standard output and the next begins when a line arrives on standard input.
    Hold(hold::Plan),
    /// As `closed`, by AMQP: management READs. `--expect-bytes` is the length of the whole message.
    Amqp(amqp::Plan),
    /// A closed loop of operations from start to end through opgate's own API, over HTTP/1.1.
    Through(through::Plan),
}

#[derive(Serialize)]
struct Single {
    body: String,
}

fn main() -> ExitCode {
    match drive() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report_failure(&error);
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stderr, reason = "the way a command line tool says why it failed")]
fn report_failure(error: &anyhow::Error) {
    eprintln!("load: {error:#}");
}

/// Says whether every reply was good.
fn drive() -> anyhow::Result<bool> {
    let cli = Cli::parse();
    ensure!(cli.target.ip().is_loopback(), "{} is not a loopback address", cli.target);
    let (call, expect) = (cli.call.build(cli.target)?, cli.call.expect_bytes);
    let deadline = Duration::from_secs(cli.deadline);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        tokio::time::timeout(deadline, run(cli.target, call, cli.shape, expect))
            .await
            .with_context(|| format!("not over after {} s", cli.deadline))?
    });
    // A line that nobody sends would keep the blocking reader of `hold`, and with it the process, alive.
    runtime.shutdown_background();
    outcome
}

async fn run(
    target: SocketAddr,
    call: Call,
    shape: Shape,
    expect: Option<usize>,
) -> anyhow::Result<bool> {
    let tally = match shape {
        Shape::Call => {
            let body = Client::connect(target, call.protocol()).await?.call(&call).await?;
            print(&Single { body: hex(&body) })?;
            return Ok(true);
        }
        Shape::Closed { connections, in_flight, requests } => {
            shape::closed(target, call, connections, in_flight, requests).await?
        }
        Shape::Open { connections, rate, requests } => {
            shape::open(target, call, connections, rate, requests).await?
        }
        Shape::Hold(plan) => hold::run(target, call, &plan).await?,
        Shape::Amqp(plan) => amqp::run(target, &plan, expect).await?,
        Shape::Through(plan) => through::run(target, &plan).await?,
    };
    let summary = tally.summary();
    print(&summary)?;
    Ok(summary.errors == 0)
}

impl CallArgs {
    fn build(&self, target: SocketAddr) -> anyhow::Result<Call> {
        let status = StatusCode::from_u16(self.expect_status)?;
        let expect = Expect { status, bytes: self.expect_bytes };
        Call::new(target, self.protocol, &self.path, &unhex(&self.message)?, &self.header, expect)
    }
}

fn header(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':').context("a name, a colon and a value are needed")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}

/// Writes one JSON line and flushes it: the runner waits for it.
pub(crate) fn print(value: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn unhex(text: &str) -> anyhow::Result<Bytes> {
    ensure!(text.is_ascii() && text.len().is_multiple_of(2), "not hexadecimal: {text}");
    let digit = |byte: u8| {
        char::from(byte).to_digit(16).with_context(|| format!("not hexadecimal: {text}"))
    };
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Ok(u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?)?))
        .collect::<anyhow::Result<Vec<u8>>>()
        .map(Bytes::from)
}
