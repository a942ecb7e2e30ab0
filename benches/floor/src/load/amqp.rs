//! AMQP 1.0 requests, by frames written by hand: a client of the vendors' would be what is measured.
//!
//! One session and two links on each connection: requests go over one, unsettled or settled, and replies come
//! over the other. Replies are counted and measured in the order they come.

mod encode;
mod frames;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::shape::Shared;
use crate::tally::Tally;
use frames::{Frame, Frames};

/// What is asked, and how often.
#[derive(Clone, clap::Args)]
pub(crate) struct Plan {
    /// The node that is asked.
    #[arg(long, default_value = "$management")]
    node: String,
    /// The identity of the operation that is read; without one it is the node itself.
    #[arg(long, default_value = "")]
    identity: String,
    /// Requests are sent settled.
    #[arg(long)]
    settled: bool,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    in_flight: u32,
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    requests: u64,
    /// Only opens the connections with their links, announces that, and waits for a line on standard input.
    #[arg(long)]
    hold: bool,
}

/// A connection whose links are attached.
struct Link {
    stream: TcpStream,
    frames: Frames,
    /// Requests that the server takes in all.
    limit: u64,
    sent: u64,
    request: Vec<u8>,
}

pub(crate) async fn run(
    target: SocketAddr,
    plan: &Plan,
    expect: Option<usize>,
) -> anyhow::Result<Tally> {
    let shared = Shared::new(plan.requests)?;
    let mut links = Vec::new();
    for _ in 0..plan.connections {
        links.push(Link::open(target, plan).await?);
    }
    if plan.hold {
        crate::hold::stage("open").await?;
        return Ok(shared.finish());
    }
    let share = plan.requests.div_ceil(u64::from(plan.connections));
    let mut lanes = JoinSet::new();
    shared.restart();
    for mut link in links {
        let (shared, in_flight) = (shared.clone(), u64::from(plan.in_flight));
        lanes.spawn(async move { link.drive(&shared, in_flight, share, expect).await });
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    Ok(shared.finish())
}

impl Link {
    async fn open(target: SocketAddr, plan: &Plan) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(target).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&encode::opening(&plan.node)).await?;
        let mut frames = Frames::default();
        let mut link = Self {
            limit: 0,
            sent: 0,
            request: encode::request(&plan.identity, plan.settled),
            frames: Frames::default(),
            stream,
        };
        let mut attached = 0;
        while attached < 2 || link.limit == 0 {
            match frames.next(&mut link.stream).await? {
                Frame::Attach => attached += 1,
                Frame::Flow { limit: Some(limit) } => link.limit = limit,
                Frame::Other | Frame::Flow { limit: None } => {}
                frame @ (Frame::Transfer { .. } | Frame::End(_)) => {
                    bail!("{frame:?} at the opening")
                }
            }
        }
        link.frames = frames;
        Ok(link)
    }

    async fn drive(
        &mut self,
        shared: &Shared,
        in_flight: u64,
        requests: u64,
        expect: Option<usize>,
    ) -> anyhow::Result<()> {
        let mut waiting: VecDeque<Instant> = VecDeque::new();
        let (mut done, mut out) = (0, Vec::new());
        while done < requests {
            let flying = u64::try_from(waiting.len())?;
            let room = (in_flight - flying).min(self.limit - self.sent).min(requests - self.sent);
            for _ in 0..room {
                encode::numbered(&mut out, &self.request, self.sent)?;
                self.sent += 1;
                waiting.push_back(Instant::now());
            }
            if !out.is_empty() {
                self.stream.write_all(&out).await?;
                out.clear();
            }
            let mut unsettled = None;
            loop {
                match self.frames.next(&mut self.stream).await? {
                    Frame::Transfer { delivery, settled, bytes, code } => {
                        if !settled {
                            let first = unsettled.map_or(delivery, |(first, _)| first);
                            unsettled = Some((first, delivery));
                        }
                        let sent = waiting.pop_front().context("a reply that nobody asked for")?;
                        let good = expect.is_none_or(|expect| expect == bytes) && code == Some(200);
                        shared.record(
                            sent,
                            if good {
                                Ok(bytes)
                            } else {
                                Err(anyhow::anyhow!(
                                    "a reply of {bytes} bytes with status {code:?}"
                                ))
                            },
                        );
                        done += 1;
                    }
                    Frame::Flow { limit: Some(limit) } => self.limit = limit,
                    Frame::End(frame) => {
                        bail!("the server ended it: {}", String::from_utf8_lossy(&frame))
                    }
                    Frame::Attach | Frame::Flow { limit: None } | Frame::Other => {}
                }
                // What has come is dealt with before more is sent.
                if !self.frames.has_next() {
                    break;
                }
            }
            if let Some((first, last)) = unsettled {
                encode::settle(&mut out, first, last);
            }
        }
        if !out.is_empty() {
            self.stream.write_all(&out).await?;
        }
        ensure!(waiting.is_empty(), "requests without a reply");
        Ok(())
    }
}

/// Time for the server to say something.
const SILENCE: Duration = Duration::from_secs(20);
