//! Workers that lease operations from queues.

mod hold;
mod lease;
mod support;
