//! The settings in the words of the parts they are for.

use opgate_bus::{Backoff, Options as BusOptions};
use opgate_edge::HttpLimits;
use opgate_store::Options as StoreOptions;

use super::{Http, Settings};

impl Settings {
    pub(crate) fn store(&self) -> StoreOptions {
        let data = &self.data;
        StoreOptions {
            dir: data.dir.clone(),
            durability: data.durability,
            max_bytes: Some(data.max_bytes),
            resident_operations: data.resident_operations,
            body_bytes: data.body_bytes,
            live_operations: data.live_operations,
            queue: data.queue,
        }
    }

    pub(crate) fn bus(&self) -> BusOptions {
        let retry = self.retry;
        let backoff =
            Backoff { first: retry.first, longest: retry.longest, attempts: retry.attempts };
        BusOptions { waits: self.wait.open, watches: self.watches, backoff }
    }
}

impl Http {
    pub(crate) fn limits(&self) -> HttpLimits {
        HttpLimits {
            connections: self.connections,
            streams: self.streams,
            head_bytes: self.head_bytes,
            head_timeout: self.head_timeout,
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            stall_timeout: self.stall_timeout,
            stream_window_bytes: self.stream_window_bytes,
            connection_window_bytes: self.connection_window_bytes,
            connection_age: self.connection_age,
        }
    }
}
