//! The accept loop of every listener.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opgate_telemetry::{Cut, Gauge, Label as _, Listener, Metrics, Place};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::drain::Drain;
use crate::frontend::Peer;

/// First pause after a failed accept; doubles with each further failure.
const BACKOFF_MIN: Duration = Duration::from_millis(5);
/// Longest pause: descriptors come free when connections end, and clients wait in the kernel's queue meanwhile.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Shortest time between two log lines about failing accepts.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Where connections come from: a TCP listener, or a script in a test.
pub trait Accept: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The next connection. Must be cancel-safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Peer)> {
        let (stream, remote) = TcpListener::accept(self).await?;
        // Replies are gathered before they are written; Nagle would only add the peer's delayed acknowledgement.
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok((stream, Peer::plain(remote, local)))
    }
}

/// A bound socket that accepts connections up to a limit and runs each as a task of its own.
#[derive(Debug)]
pub struct Acceptor<A = TcpListener> {
    socket: A,
    listener: Listener,
    most: Most,
    metrics: Arc<Metrics>,
}

/// How many connections a listener keeps open at most. Clones share it.
#[derive(Clone, Debug)]
pub struct Most {
    connections: Arc<AtomicUsize>,
    shown: Gauge,
}

impl Most {
    fn new(connections: usize, listener: Listener, metrics: &Metrics) -> Self {
        let shown = metrics.edge.connections_max.of(listener).clone();
        let most = Self { connections: Arc::default(), shown };
        most.set(connections);
        most
    }

    /// Keeps so many from now on. Where more are open they stay so, and no other one is taken until there is room.
    pub fn set(&self, connections: usize) {
        self.connections.store(connections, Ordering::Relaxed);
        self.shown.set(connections as u64);
    }

    fn allows(&self, open: usize) -> bool {
        open < self.connections.load(Ordering::Relaxed)
    }
}

impl Acceptor {
    /// Binds `address` (port 0 for any). Connections wait in the kernel's queue until [`Acceptor::serve`].
    pub async fn bind(
        address: SocketAddr,
        listener: Listener,
        connections_max: usize,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self::new(socket, listener, connections_max, metrics))
    }

    /// The address bound, with the port the kernel chose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl<A: Accept> Acceptor<A> {
    /// Accepts from a socket that exists already.
    pub fn new(
        socket: A,
        listener: Listener,
        connections_max: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        let most = Most::new(connections_max, listener, &metrics);
        Self { socket, listener, most, metrics }
    }

    /// How many connections it keeps open, which can be another number at any time.
    pub fn most(&self) -> Most {
        self.most.clone()
    }

    /// Accepts until the drain begins, then closes the socket and waits for the connections, which it cuts when the
    /// drain's time is over.
    ///
    /// No failure ends the loop: a failed accept is counted and retried after a pause that grows, a connection over
    /// the limit is counted and closed, and a panic in `connection` ends that connection. Dropping this future cuts
    /// all connections.
    pub async fn serve<F, C>(self, drain: Drain, connection: F)
    where
        F: Fn(A::Stream, Peer) -> C + Send,
        C: Future<Output = ()> + Send + 'static,
    {
        let Self { mut socket, listener, most, metrics } = self;
        let mut connections = Connections { tasks: JoinSet::new(), listener, metrics };
        let mut failures = Failures::default();
        let mut started = pin!(drain.started());
        loop {
            tokio::select! {
                biased;
                () = &mut started => break,
                // Before accept: a connection that ended makes room for the next.
                Some(()) = connections.next_ended() => {}
                accepted = next(&mut socket, failures.resume_at) => match accepted {
                    Ok((stream, peer)) => {
                        failures.resume_at = None;
                        if most.allows(connections.tasks.len()) {
                            connections.spawn(connection(stream, peer));
                        } else {
                            connections.metrics.edge.rejected.of(listener).increment(1);
                        }
                    }
                    Err(error) => {
                        connections.metrics.edge.accept_errors.of(listener).increment(1);
                        failures.note(listener, &error);
                    }
                },
            }
        }
        // Closes the port: who comes now must go elsewhere.
        drop(socket);
        connections.finish(drain.deadline().unwrap_or_else(Instant::now)).await;
    }
}

async fn next<A: Accept>(
    socket: &mut A,
    resume_at: Option<Instant>,
) -> io::Result<(A::Stream, Peer)> {
    if let Some(resume_at) = resume_at {
        tokio::time::sleep_until(resume_at).await;
    }
    socket.accept().await
}

/// The open connections of one listener.
struct Connections {
    tasks: JoinSet<()>,
    listener: Listener,
    metrics: Arc<Metrics>,
}

impl Connections {
    fn spawn(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        let open = self.metrics.edge.connections.of(self.listener).hold();
        self.tasks.spawn(async move {
            let _open = open;
            connection.await;
        });
    }

    /// Waits for the next connection to end; none if no connection is open.
    async fn next_ended(&mut self) -> Option<()> {
        let ended = self.tasks.join_next().await?;
        if ended.is_err_and(|error| error.is_panic()) {
            self.metrics.edge.panics.of(Place::Connection).increment(1);
            error!(listener = self.listener.text(), "a connection panicked and was closed");
        }
        Some(())
    }

    /// Waits for all connections to end; cuts what is left at `deadline`.
    async fn finish(mut self, deadline: Instant) {
        let all = async { while self.next_ended().await.is_some() {} };
        if tokio::time::timeout_at(deadline, all).await.is_ok() {
            return;
        }
        let left = self.tasks.len();
        self.metrics.edge.cut.of(self.listener).of(Cut::Drain).increment(left as u64);
        warn!(listener = self.listener.text(), connections = left, "cut at the end of the drain");
        self.tasks.abort_all();
        while self.next_ended().await.is_some() {}
    }
}

/// Failed accepts since the last success.
#[derive(Default)]
struct Failures {
    /// No accept before this time.
    resume_at: Option<Instant>,
    pause: Duration,
    /// Failures not logged yet.
    unlogged: u64,
    logged_at: Option<Instant>,
}

impl Failures {
    fn note(&mut self, listener: Listener, error: &io::Error) {
        // The peer gave up before we took the connection: no reason to keep the next one waiting.
        if matches!(
            error.kind(),
            ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::NotConnected
        ) {
            return;
        }
        let now = Instant::now();
        self.pause = match self.resume_at {
            Some(_) => (self.pause * 2).min(BACKOFF_MAX),
            None => BACKOFF_MIN,
        };
        self.resume_at = Some(now + self.pause);
        self.unlogged += 1;
        if self.logged_at.is_none_or(|logged_at| now - logged_at >= LOG_INTERVAL) {
            warn!(listener = listener.text(), failures = self.unlogged, %error, "cannot accept connections");
            (self.unlogged, self.logged_at) = (0, Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::io::DuplexStream;
    use tokio::sync::{Semaphore, mpsc};

    use super::*;

    /// Accepts what it is told to, in order, then nothing more.
    struct Script {
        steps: VecDeque<io::Result<DuplexStream>>,
        accepted_at: mpsc::UnboundedSender<Instant>,
    }

    impl Accept for Script {
        type Stream = DuplexStream;

        async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
            let Some(step) = self.steps.pop_front() else { return std::future::pending().await };
            self.accepted_at.send(Instant::now()).unwrap();
            let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
            step.map(|stream| (stream, Peer::plain(nowhere, nowhere)))
        }
    }

    fn fixture(
        steps: Vec<io::Result<DuplexStream>>,
        connections_max: usize,
    ) -> (Acceptor<Script>, mpsc::UnboundedReceiver<Instant>, crate::Exporter) {
        let exporter = crate::Exporter::new(&[]).unwrap();
        let (accepted_at, times) = mpsc::unbounded_channel();
        let script = Script { steps: steps.into(), accepted_at };
        let acceptor = Acceptor::new(script, Listener::Http, connections_max, exporter.metrics());
        (acceptor, times, exporter)
    }

    fn stream() -> DuplexStream {
        tokio::io::duplex(1).0
    }

    fn too_many_files() -> io::Result<DuplexStream> {
        Err(io::Error::from_raw_os_error(24))
    }

    #[tokio::test(start_paused = true)]
    async fn failed_accepts_are_retried_ever_later_and_never_end_the_loop() {
        let mut steps: Vec<_> = (0..12).map(|_| too_many_files()).collect();
        steps.push(Ok(stream()));
        steps.push(too_many_files());
        steps.push(Ok(stream()));
        let (acceptor, mut times, exporter) = fixture(steps, 10);
        let (trigger, drain) = Drain::new();
        let (served, mut serving) = mpsc::unbounded_channel();
        let task = tokio::spawn(acceptor.serve(drain, move |_, _| {
            let served = served.clone();
            async move { served.send(()).unwrap() }
        }));
        serving.recv().await.unwrap();
        serving.recv().await.unwrap();
        trigger.begin(Duration::ZERO);
        task.await.unwrap();

        let mut attempts = Vec::new();
        while let Some(time) = times.recv().await {
            attempts.push(time);
        }
        let pauses: Vec<_> =
            attempts.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
        let expected = [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000, 0, 5];
        assert_eq!(pauses.len(), expected.len());
        for (pause, expected) in pauses.iter().zip(expected) {
            // The timer wheel rounds up to a millisecond.
            assert!((expected..=expected + 1).contains(pause), "{pauses:?}");
        }
        let text = exporter.render().unwrap();
        assert!(text.contains("opgate_accept_errors_total{listener=\"http\"} 13\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_gave_up_costs_no_pause() {
        let gone = Err(ErrorKind::ConnectionAborted.into());
        let (acceptor, mut times, _exporter) = fixture(vec![gone, Ok(stream())], 10);
        let (trigger, drain) = Drain::new();
        let task = tokio::spawn(acceptor.serve(drain, |_, _| async {}));
        let (first, second) = (times.recv().await.unwrap(), times.recv().await.unwrap());
        assert_eq!(first, second);
        trigger.begin(Duration::ZERO);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn over_the_limit_is_closed_and_counted_and_a_free_place_is_used() {
        let (acceptor, mut times, exporter) = fixture((0..4).map(|_| Ok(stream())).collect(), 2);
        let metrics = exporter.metrics();
        let (trigger, drain) = Drain::new();
        let (served, mut serving) = mpsc::unbounded_channel();
        let release = Arc::new(Semaphore::new(0));
        let task = tokio::spawn(acceptor.serve(drain, {
            let release = Arc::clone(&release);
            move |_, _| {
                served.send(()).unwrap();
                let release = Arc::clone(&release);
                async move { release.acquire().await.unwrap().forget() }
            }
        }));
        for _ in 0..4 {
            times.recv().await.unwrap();
        }
        release.add_permits(2);
        trigger.begin(Duration::from_mins(1));
        task.await.unwrap();
        let mut count = 0;
        while serving.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, 2);
        let text = exporter.render().unwrap();
        assert!(text.contains("opgate_connections_rejected_total{listener=\"http\"} 2\n"));
        assert!(text.contains("opgate_connections{listener=\"http\"} 0\n"));
        drop(metrics);
    }

    #[tokio::test]
    async fn a_panic_ends_one_connection_and_is_counted() {
        let (acceptor, _times, exporter) = fixture(vec![Ok(stream()), Ok(stream())], 10);
        let (trigger, drain) = Drain::new();
        let (served, mut serving) = mpsc::unbounded_channel();
        let calls = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(acceptor.serve(drain, move |_, _| {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            let served = served.clone();
            async move {
                assert!(call != 0, "expected in this test");
                served.send(()).unwrap();
            }
        }));
        serving.recv().await.unwrap();
        trigger.begin(Duration::from_mins(1));
        task.await.unwrap();
        let text = exporter.render().unwrap();
        assert!(text.contains("opgate_panics_contained_total{place=\"connection\"} 1\n"));
        assert!(text.contains("opgate_connections{listener=\"http\"} 0\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_outlives_the_drain_is_cut() {
        let (acceptor, mut times, exporter) = fixture(vec![Ok(stream())], 10);
        let (trigger, drain) = Drain::new();
        let task = tokio::spawn(acceptor.serve(drain, |_, _| std::future::pending()));
        times.recv().await.unwrap();
        let began = Instant::now();
        trigger.begin(Duration::from_secs(3));
        task.await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 3);
        let text = exporter.render().unwrap();
        assert!(
            text.contains("opgate_connections_cut_total{listener=\"http\",reason=\"drain\"} 1\n")
        );
        assert!(text.contains("opgate_connections{listener=\"http\"} 0\n"));
    }
}
