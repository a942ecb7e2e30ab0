//! The backend against an API that does as the test says, on real sockets, over a real store.
#![cfg(test)]

mod cancel;
mod lists;
mod one;
mod refuse;
mod restart;
mod side;
mod start;
mod upstream;
mod watch;
