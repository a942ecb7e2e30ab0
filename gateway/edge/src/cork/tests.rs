use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;

/// Counts the writes that reach the stream.
struct Counting {
    stream: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

fn counting(stream: DuplexStream) -> (Counting, Arc<AtomicUsize>) {
    let writes = Arc::new(AtomicUsize::new(0));
    (Counting { stream, writes: Arc::clone(&writes) }, writes)
}

#[tokio::test]
async fn replies_of_one_round_go_out_in_one_write() {
    let (server, mut client) = tokio::io::duplex(1024);
    let (stream, writes) = counting(server);
    let (mut io, drainer) = cork(stream, Bytes::new());
    let (reply, mut replies) = tokio::sync::mpsc::channel::<&'static [u8]>(8);
    let connection = async move {
        while let Some(reply) = replies.recv().await {
            io.write_all(reply).await.unwrap();
            io.flush().await.unwrap();
        }
    };
    let mut corked = Box::pin(Corked::new(connection, drainer, PATIENCE));
    let mut poll = || corked.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
    reply.try_send(b"one ").unwrap();
    reply.try_send(b"two ").unwrap();
    assert!(poll().is_pending());
    assert_eq!(writes.load(Relaxed), 0, "a reply that is ready by the next poll must get in");
    reply.try_send(b"three").unwrap();
    assert!(poll().is_pending());
    assert_eq!(writes.load(Relaxed), 1);
    let mut read = [0; 13];
    client.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"one two three");
    assert!(poll().is_pending());
    assert_eq!(writes.load(Relaxed), 1, "nothing to write, nothing written");
}

#[tokio::test]
async fn a_slow_reader_meets_a_bounded_buffer_and_gets_every_byte() {
    let (server, mut client) = tokio::io::duplex(100);
    let (mut io, drainer) = cork(server, Bytes::new());
    let put = Arc::new(AtomicUsize::new(0));
    let total = 10 * BUFFER_BYTES + 7;
    let connection = {
        let put = Arc::clone(&put);
        async move {
            let bytes: Vec<u8> = (0..total).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let count = io.write(rest).await.unwrap();
                put.fetch_add(count, Relaxed);
                rest = &rest[count..];
            }
        }
    };
    let corked = tokio::spawn(Corked::new(connection, drainer, PATIENCE));
    let mut read = 0;
    let mut piece = [0; 64];
    loop {
        let count = client.read(&mut piece).await.unwrap();
        if count == 0 {
            break;
        }
        for byte in &piece[..count] {
            assert_eq!(usize::from(*byte), read % 251);
            read += 1;
        }
        assert!(put.load(Relaxed) - read <= BUFFER_BYTES + 100, "gathered more than the buffer");
    }
    assert_eq!(read, total);
    assert_eq!(corked.await.unwrap(), End::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_is_given_up_but_a_slow_one_is_not() {
    let (server, mut client) = tokio::io::duplex(10);
    let (mut io, drainer) = cork(server, Bytes::new());
    let connection = async move {
        io.write_all(&[1; 50]).await.unwrap();
        std::future::pending::<()>().await;
    };
    let corked = tokio::spawn(Corked::new(connection, drainer, PATIENCE));
    let began = Instant::now();
    let mut piece = [0; 10];
    for _ in 0..3 {
        tokio::time::sleep(PATIENCE / 2).await;
        client.read_exact(&mut piece).await.unwrap();
    }
    assert!(!corked.is_finished());
    assert_eq!(corked.await.unwrap(), End::Stalled);
    let waited = began.elapsed();
    assert!(waited >= 3 * PATIENCE / 2 + PATIENCE, "{waited:?}");
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_reply_ends_the_connection() {
    let (server, mut client) = tokio::io::duplex(10);
    let (mut io, drainer) = cork(server, Bytes::new());
    let connection = async move {
        io.write_all(&[1; 50]).await.unwrap();
        std::future::pending::<()>().await;
    };
    let corked = tokio::spawn(Corked::new(connection, drainer, PATIENCE));
    client.read_u8().await.unwrap();
    drop(client);
    assert_eq!(corked.await.unwrap(), End::Gone);
}

#[tokio::test]
async fn what_the_connection_left_behind_is_still_written() {
    let (server, mut client) = tokio::io::duplex(10);
    let (mut io, drainer) = cork(server, Bytes::new());
    let connection = async move { io.write_all(b"the last words of a connection").await.unwrap() };
    let corked = tokio::spawn(Corked::new(connection, drainer, PATIENCE));
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "the last words of a connection");
    assert_eq!(corked.await.unwrap(), End::Closed);
}

#[tokio::test]
async fn shutdown_writes_everything_first() {
    let (server, mut client) = tokio::io::duplex(10);
    let (mut io, drainer) = cork(server, Bytes::new());
    let connection = async move {
        io.write_all(&[7; 5_000]).await.unwrap();
        io.shutdown().await.unwrap();
        std::future::pending::<()>().await;
    };
    let corked = tokio::spawn(Corked::new(connection, drainer, PATIENCE));
    let mut read = Vec::new();
    client.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, [7; 5_000]);
    corked.abort();
}

#[tokio::test]
async fn the_head_is_read_before_the_stream_and_an_idle_buffer_is_small() {
    let (server, mut client) = tokio::io::duplex(BUFFER_BYTES);
    let (mut io, drainer) = cork(server, Bytes::from_static(b"head "));
    client.write_all(b"tail").await.unwrap();
    let mut read = [0; 9];
    io.read_exact(&mut read[..2]).await.unwrap();
    io.read_exact(&mut read[2..]).await.unwrap();
    assert_eq!(&read, b"head tail");

    io.write_all(&vec![1; BUFFER_BYTES]).await.unwrap();
    poll_fn(|cx| lock(&drainer.0).poll_drain(cx)).await.unwrap();
    assert!(lock(&drainer.0).buffer.capacity() <= KEPT_BYTES);
}
