//! The tests of the whole: settings, command line, structure, and the daemon as a process.
#![cfg(test)]

mod amqp;
mod architecture;
mod chain;
mod cli;
mod clients;
mod crash;
mod deploy;
mod drain;
mod examples;
mod faces;
mod faults;
mod fidelity;
mod go;
mod grpc;
mod loss;
mod manner;
mod matrix;
mod nexus;
mod oci;
mod oci_backend;
mod ops;
mod outage;
mod pairings;
mod process;
mod reload;
mod settings;
mod shared;
mod starts;
mod tls;
mod tour;
mod unified;
mod upstream;
mod watchers;
mod worker;
