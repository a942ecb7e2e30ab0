//! opgate's own API as clients see it.
#![cfg(test)]

mod callbacks;
mod callers;
mod changes;
mod console;
mod gateway;
mod json;
mod reads;
mod starts;
mod watches;
mod workers;
