//! Names and sockets, as the client sees them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Lookups at a time. One holds a thread of the C library's resolver until it ends, however long
/// nobody has been waiting for it.
const LOOKUPS: usize = 32;

/// What is under way on the network.
pub type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// Looks names up and connects. A trait so that tests decide what names lead to. Both may take
/// their time: the client bounds it.
pub trait Network: Send + Sync + 'static {
    /// Every address a name has, each with the port.
    fn resolve(&self, name: &str, port: u16) -> Pending<Vec<SocketAddr>>;

    /// A connection to an address.
    fn connect(&self, address: SocketAddr) -> Pending<TcpStream>;
}

/// The network of the operating system.
#[derive(Debug)]
pub struct System {
    lookups: Arc<Semaphore>,
}

impl Default for System {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

impl Network for System {
    fn resolve(&self, name: &str, port: u16) -> Pending<Vec<SocketAddr>> {
        let (lookups, name) = (Arc::clone(&self.lookups), name.to_owned());
        Box::pin(async move {
            let permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
            // A task of its own holds the permit: the thread goes on when the caller has given up.
            let lookup = tokio::spawn(async move {
                let found = tokio::net::lookup_host((name, port)).await.map(Iterator::collect);
                drop(permit);
                found
            });
            lookup.await.map_err(io::Error::other)?
        })
    }

    fn connect(&self, address: SocketAddr) -> Pending<TcpStream> {
        Box::pin(TcpStream::connect(address))
    }
}
