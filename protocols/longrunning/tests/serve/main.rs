//! The face as clients see it: a real listener, bus and store, and tonic's client.
#![cfg(test)]

mod buildgrid;
mod bytes;
mod callers;
mod client;
mod gateway;
mod lists;
mod operations;
mod raw;
mod rest;
mod rest_bytes;
mod services;
mod starts;
