//! From a destination to a connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::destination::{Destination, Host};
use crate::network::Network;
use crate::problem::Problem;

/// Addresses of one name that are tried.
const TRIES: usize = 4;

/// What makes a connection of a socket.
pub(crate) type Shaking<'a, C> = Pin<Box<dyn Future<Output = io::Result<C>> + Send + 'a>>;

/// Every address of a destination; at least one.
pub(crate) async fn resolve(
    network: &dyn Network,
    destination: &Destination,
    within: Duration,
) -> Result<Vec<SocketAddr>, Problem> {
    let name = match &destination.host {
        Host::Address(address) => return Ok(vec![(*address, destination.port).into()]),
        Host::Name(name) => name,
    };
    let unknown = |problem: &dyn fmt::Display| {
        Problem::Unreachable(format!("{destination}: the name cannot be looked up: {problem}"))
    };
    let lookup = network.resolve(name, destination.port);
    let found = match timeout(within, lookup).await {
        Ok(found) => found.map_err(|error| unknown(&error))?,
        Err(_) => return Err(unknown(&format_args!("no answer within {within:?}"))),
    };
    if found.is_empty() { Err(unknown(&"it has no address")) } else { Ok(found) }
}

/// Opens a connection to the first of the addresses where that, and shaking hands, succeeds. Each has its
/// share of what is left of the time.
pub(crate) async fn first<'a, C>(
    network: &dyn Network,
    destination: &Destination,
    addresses: &[SocketAddr],
    until: Instant,
    shake: impl Fn(TcpStream, SocketAddr) -> Shaking<'a, C>,
) -> Result<C, String> {
    let tries = addresses.len().min(TRIES);
    let mut problem = String::new();
    for (index, address) in addresses.iter().take(tries).enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(tries - index).unwrap_or(1);
        let open = async { shake(network.connect(*address).await?, *address).await };
        problem = match timeout_at(Instant::now() + share, open).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => format!("{destination}: no connection to {address}: {error}"),
            Err(_) => format!("{destination}: no connection to {address} within {share:?}"),
        };
    }
    Err(problem)
}
