//! Pending waiters, and the one release that answers them all.

use std::io::BufRead as _;
use std::net::SocketAddr;

use anyhow::ensure;
use clap::Args;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::client::{Call, Client, Expect};
use crate::shape::{Shared, connect};
use crate::tally::Tally;
use crate::{Protocol, print, unhex};

#[derive(Args)]
pub(crate) struct Plan {
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Waiting requests in all, spread evenly; none: the run ends before that stage.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=200_000))]
    waiters: u32,
    #[arg(long, default_value = "/google.longrunning.Operations/WaitOperation")]
    wait_path: String,
    /// The waiting request's message in hexadecimal.
    #[arg(long, default_value = "")]
    wait_message: String,
    #[arg(long, default_value = "/google.longrunning.Operations/CancelOperation")]
    release_path: String,
    /// The releasing request's message in hexadecimal.
    #[arg(long, default_value = "")]
    release_message: String,
}

#[derive(Serialize)]
struct Stage {
    stage: &'static str,
}

/// `call` is a request that is answered at once. Before the release the runner also waits until the server rests: a
/// server that has read a request has not necessarily begun to wait for it.
pub(crate) async fn run(target: SocketAddr, call: Call, plan: &Plan) -> anyhow::Result<Tally> {
    ensure!(call.protocol() == Protocol::Grpc, "hold speaks gRPC only");
    let wait = Call::new(
        target,
        Protocol::Grpc,
        &plan.wait_path,
        &unhex(&plan.wait_message)?,
        &[],
        Expect::OK,
    )?;
    let release = Call::new(
        target,
        Protocol::Grpc,
        &plan.release_path,
        &unhex(&plan.release_message)?,
        &[],
        Expect::OK,
    )?;
    let clients = connect(target, &call, plan.connections).await?;
    let releaser = Client::connect(target, Protocol::Grpc).await?;
    stage("connected").await?;

    call_each(&clients, &call).await?;
    releaser.call(&call).await?;
    stage("used").await?;

    let shared = Shared::new(u64::from(plan.waiters))?;
    if plan.waiters == 0 {
        return Ok(shared.finish());
    }
    let mut pending = JoinSet::new();
    let (announce, released) = tokio::sync::watch::channel(None);
    for (client, _) in clients.iter().cycle().zip(0..plan.waiters) {
        let reply = client.begin(&wait).await?;
        let (shared, released) = (shared.clone(), released.clone());
        pending.spawn(async move {
            let outcome = reply.await.map(|body| body.len());
            let since = *released.borrow();
            match since {
                Some(since) => shared.record(since, outcome),
                None => shared.record(
                    std::time::Instant::now(),
                    Err(anyhow::anyhow!("a waiter was answered early: {outcome:?}")),
                ),
            }
        });
    }
    call_each(&clients, &call).await?;
    stage("pending").await?;

    announce.send_replace(Some(shared.restart()));
    releaser.call(&release).await?;
    pending.join_all().await;
    Ok(shared.finish())
}

async fn call_each(clients: &[Client], call: &Call) -> anyhow::Result<()> {
    for client in clients {
        client.call(call).await?;
    }
    Ok(())
}

/// Announces the stage and waits for a line, or the end, of standard input.
pub(crate) async fn stage(stage: &'static str) -> anyhow::Result<()> {
    print(&Stage { stage })?;
    let read =
        tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new()))
            .await??;
    ensure!(read > 0, "standard input ended at stage {stage}");
    Ok(())
}
