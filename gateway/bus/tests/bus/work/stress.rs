//! Many workers at once, on many threads, that come and go.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use opgate_bus::core::{Epoch, OperationId};
use opgate_bus::{Ask, Bus, Pull};
use tempfile::tempdir;
use tokio::task::JoinSet;

use super::support::{Setup, ask, poll_once, succeeded};
use crate::support::LONG;

const OPERATIONS: usize = 2_000;
const WORKERS: usize = 32;

type Given = Arc<Mutex<HashSet<(OperationId, Epoch)>>>;

/// Leases, and then as its round says: completes, gives back, or goes in the middle of the ask. It
/// never ends by itself.
async fn work(bus: Bus, name: usize, given: Given) {
    for round in name.. {
        let max = round % 5 + 1;
        let ask = Ask { max, wait: LONG, ..ask() };
        let leased = if round % 3 == 0 {
            match poll_once(bus.lease(ask)).await {
                Some(leased) => leased.unwrap(),
                None => continue,
            }
        } else {
            bus.lease(ask).await.unwrap()
        };
        assert!(leased.len() <= max);
        for leased in leased {
            let lease = (leased.snapshot.id, leased.snapshot.epoch);
            assert!(given.lock().unwrap().insert(lease), "{lease:?} was given out twice");
            if round % 4 == 0 {
                bus.release(&leased.token, None, None).await.unwrap();
            } else {
                bus.complete(&leased.token, succeeded()).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_comes_and_goes_each_lease_is_given_once_and_everything_ends() {
    let dir = tempdir().unwrap();
    let pull = Pull { concurrency: 40, ..Pull::default() };
    let shop = Setup { pull, ..Setup::at(&dir) }.open();
    let given = Given::default();
    let mut workers = JoinSet::new();
    for name in 0..WORKERS {
        workers.spawn(work(shop.bus.clone(), name, Arc::clone(&given)));
    }
    let mut started = Vec::new();
    for _ in 0..OPERATIONS {
        started.push(shop.start().await);
    }
    for id in started {
        shop.ended(id).await;
    }
    workers.abort_all();
    while let Some(worker) = workers.join_next().await {
        assert!(worker.unwrap_err().is_cancelled());
    }
    shop.leased_out(0).await;
    assert_eq!(shop.value("opgate_operations_queued"), 0);
    assert_eq!(shop.value("opgate_leases_expired_total"), 0);
    assert_eq!(shop.value("opgate_lease_asks"), 0);
}
