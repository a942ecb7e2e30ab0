//! Floor servers: the least a server of the same protocol can cost, for ratios.
//!
//! Each binds one loopback port chosen by the system, prints `{"http":"127.0.0.1:PORT"}` and serves until it is
//! killed. `log` is not a server: it measures durable commits of a bare preallocated file.

mod amqp;
mod framing;
mod log;
mod operation;
mod raw;
mod rest;
mod stock;
mod upstream;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde::Serialize;
use tokio::net::TcpListener;

#[derive(Parser)]
#[command(about = "Floor servers for side-by-side measurements", version)]
struct Cli {
    #[command(subcommand)]
    floor: Floor,
}

#[derive(Subcommand)]
enum Floor {
    /// Bare tonic on its own transport, answering a constant Operation.
    Stock(Size),
    /// Constant bytes in a hand-written gRPC service behind the daemon's own edge.
    Raw(Size),
    /// HTTP/2 framing alone: prebuilt frames, no header decoding, no flow control. A lower bound, not a target.
    Framing(Size),
    /// Bare hyper answering constant JSON over HTTP/1.1 and HTTP/2.
    Rest(Size),
    /// A bare fe2o3-amqp listener, defaults untouched, answering constant messages.
    Amqp(Size),
    /// Everything opgate calls upstream over HTTP, at no cost of its own: a gRPC service, a Nexus handler, an API of
    /// OCI's kind.
    Upstream(Size),
    /// Durable commits of 400-byte records to a preallocated file.
    Log {
        /// Directory on the disk to measure.
        #[arg(long)]
        dir: PathBuf,
        /// Seconds for each batch size.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
        seconds: u64,
    },
}

#[derive(clap::Args)]
struct Size {
    /// Bytes of the constant reply message (gRPC: without its five-byte prefix).
    #[arg(long, default_value_t = 294, value_parser = clap::value_parser!(u32).range(120..=1_000_000))]
    size: u32,
}

impl Size {
    fn operation(&self) -> anyhow::Result<operation::Operation> {
        operation::constant(self.size)
    }
}

#[derive(Serialize)]
struct Ready {
    http: SocketAddr,
}

// The multi-threaded runtime on purpose: the daemon uses it, and TOKIO_WORKER_THREADS sets both alike.
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().floor {
        Floor::Stock(size) => stock::serve(listen().await?, size.operation()?).await,
        Floor::Raw(size) => raw::serve(&size.operation()?).await,
        Floor::Framing(size) => framing::serve(listen().await?, &size.operation()?).await,
        Floor::Rest(size) => rest::serve(listen().await?, size.size).await,
        Floor::Amqp(size) => amqp::serve(&listen().await?, size.size).await,
        Floor::Upstream(size) => upstream::serve(size.operation()?).await,
        Floor::Log { dir, seconds } => log::run(&dir, Duration::from_secs(seconds)),
    }
}

async fn listen() -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    announce(listener.local_addr()?)?;
    Ok(listener)
}

fn announce(http: SocketAddr) -> anyhow::Result<()> {
    print(&Ready { http })
}

fn print(value: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}
