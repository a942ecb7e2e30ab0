//! The listener, as its clients see it: fe2o3-amqp's own client, and frames written by hand.
#![cfg(test)]

mod client;
mod dispositions;
mod drain;
mod limits;
mod links;
mod raw;
mod replies;
mod requests;
mod server;
mod sign_in;
