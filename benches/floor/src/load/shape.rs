//! The two ways of offering load: closed loop and open loop.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;

use crate::client::{Call, Client};
use crate::tally::Tally;

/// An open loop that the server cannot follow ends here instead of in memory.
const OUTSTANDING: usize = 50_000;

pub(crate) async fn connect(
    target: SocketAddr,
    call: &Call,
    connections: u32,
) -> anyhow::Result<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(target, call.protocol()).await?);
    }
    Ok(clients)
}

pub(crate) async fn closed(
    target: SocketAddr,
    call: Call,
    connections: u32,
    in_flight: u32,
    requests: u64,
) -> anyhow::Result<Tally> {
    let clients = connect(target, &call, connections).await?;
    let shared = Shared::new(requests)?;
    let left = Arc::new(AtomicU64::new(requests));
    let mut lanes = JoinSet::new();
    shared.restart();
    for client in &clients {
        for _ in 0..in_flight {
            let (client, call, shared, left) =
                (client.clone(), call.clone(), shared.clone(), Arc::clone(&left));
            lanes.spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    let sent = Instant::now();
                    let outcome = client.call(&call).await;
                    shared.record(sent, outcome.map(|body| body.len()));
                }
            });
        }
    }
    lanes.join_all().await;
    Ok(shared.finish())
}

pub(crate) async fn open(
    target: SocketAddr,
    call: Call,
    connections: u32,
    rate: u32,
    requests: u64,
) -> anyhow::Result<Tally> {
    let clients = connect(target, &call, connections).await?;
    let shared = Shared::new(requests)?;
    let gap = Duration::from_secs(1) / rate;
    let mut due = shared.restart();
    let mut outstanding = JoinSet::new();
    for (client, _) in clients.iter().cycle().zip(0..requests) {
        // The runtime's timer counts in milliseconds. Yielding until the request is due polls the sockets on each
        // turn, and the generator has a core of its own to burn.
        while Instant::now() < due {
            tokio::task::yield_now().await;
        }
        while outstanding.try_join_next().is_some() {}
        ensure!(
            outstanding.len() < OUTSTANDING,
            "the server cannot follow: {OUTSTANDING} requests outstanding"
        );
        let (client, call, shared) = (client.clone(), call.clone(), shared.clone());
        outstanding.spawn(async move {
            let outcome = client.call(&call).await;
            shared.record(due, outcome.map(|body| body.len()));
        });
        due += gap;
    }
    outstanding.join_all().await;
    Ok(shared.finish())
}

/// The tally of all lanes. They share one thread, so the lock is never contended.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Tally>>);

impl Shared {
    pub(crate) fn new(requests: u64) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Tally::start(usize::try_from(requests)?)))))
    }

    pub(crate) fn record(&self, since: Instant, outcome: anyhow::Result<usize>) {
        self.lock().record(since, outcome);
    }

    pub(crate) fn restart(&self) -> Instant {
        self.lock().restart()
    }

    pub(crate) fn finish(self) -> Tally {
        std::mem::replace(&mut *self.lock(), Tally::start(0))
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
