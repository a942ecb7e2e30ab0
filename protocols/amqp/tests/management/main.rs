//! Management nodes over a bus of their own, asked without a connection.
#![cfg(test)]

mod bad;
mod domain;
mod entities;
mod fuzz;
mod node;
mod pages;
mod waits;
