//! Queues, as workers see them that use fe2o3-amqp's own client.
#![cfg(test)]

mod gateway;
mod lost;
mod many;
mod results;
mod work;
