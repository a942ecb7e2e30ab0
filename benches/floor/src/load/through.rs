//! Operations from their start to their end, through opgate's own API: a start, then a wait. Both count as one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Protocol;
use crate::client::{Call, Client, Expect};
use crate::shape::Shared;
use crate::tally::Tally;

const STARTS: &str = "/opgate/v1/operations";

/// What is started, and how often.
#[derive(Clone, clap::Args)]
pub(crate) struct Plan {
    /// The route that is started.
    #[arg(long)]
    route: String,
    /// Operations that are under way at once, each over a connection of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    requests: u64,
}

pub(crate) async fn run(target: SocketAddr, plan: &Plan) -> anyhow::Result<Tally> {
    let message = json!({"route": plan.route, "input": {"json": {}}}).to_string();
    let start = Call::new(target, Protocol::H1, STARTS, message.as_bytes(), &[], Expect::OK)?;
    let mut clients = Vec::new();
    for _ in 0..plan.connections {
        clients.push(Client::connect(target, Protocol::H1).await?);
    }
    let shared = Shared::new(plan.requests)?;
    let left = Arc::new(AtomicU64::new(plan.requests));
    let mut lanes = JoinSet::new();
    shared.restart();
    for client in clients {
        let (start, shared, left) = (start.clone(), shared.clone(), Arc::clone(&left));
        lanes.spawn(async move {
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
            {
                let began = Instant::now();
                let ended = through(&client, target, &start).await;
                shared.record(began, ended.map(|body| body.len()));
            }
        });
    }
    lanes.join_all().await;
    Ok(shared.finish())
}

/// One operation, which must succeed; the last reply.
async fn through(client: &Client, target: SocketAddr, start: &Call) -> anyhow::Result<Bytes> {
    let started: Value = serde_json::from_slice(&client.call(start).await?)?;
    let id = started["id"].as_str().context("a start without an id")?;
    let path = format!("{STARTS}/{id}:wait?timeout=30s");
    let wait = Call::new(target, Protocol::H1, &path, b"", &[], Expect::OK)?;
    let ended = client.call(&wait).await?;
    let shown: Value = serde_json::from_slice(&ended)?;
    ensure!(shown["state"] == "SUCCEEDED", "{shown}");
    Ok(ended)
}
