//! The stream itself.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::ledger::{Gathered, Ledger};
use super::reading::{Next, Reading};
use super::writing::Writing;
use super::{Limits, Refusal, Transport, Watch};

/// Reads from the stream after which something is written, though there may be more to read.
const READS: u32 = 8;

/// Turns in a row in which what is written waits for more.
const GATHERS: u32 = 64;

/// Bytes of a peer that is being told why it is cut which are read and thrown away.
const DISCARDED: usize = 256 * 1024;

/// How a peer begins, by the eight bytes of its protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// `AMQP 3 1.0.0`: SASL first.
    Sasl,
    /// `AMQP 0 1.0.0`: AMQP at once.
    Amqp,
    /// Anything else.
    Other([u8; 8]),
}

impl Opening {
    pub(super) fn of(header: [u8; 8]) -> Self {
        match &header {
            b"AMQP\x03\x01\x00\x00" => Self::Sasl,
            b"AMQP\x00\x01\x00\x00" => Self::Amqp,
            _ => Self::Other(header),
        }
    }
}

/// How far the end of a connection is that the fence has decided on.
#[derive(Debug)]
enum Ending {
    /// The peer is being told.
    Telling,
    /// It was told; what it still sends is thrown away, so that the kernel does not reset the connection and the
    /// reason with it.
    Lingering { discarded: usize },
    /// Over.
    Over,
}

/// A stream of bytes with a fence around it. Give it to the crate in place of the stream.
///
/// What comes and goes passes unchanged, but for this:
///
/// - Extended headers are taken out; the crate reads none.
/// - An idle-time-out in an Open frame is halved, and not below [`Limits::idle`]: the crate sends one heartbeat in
///   each, where peers expect two.
/// - The max-frame-size of an Open is some bytes less: a number may become longer that the crate has written.
/// - An idle-time-out in our own Open is halved where [`Limits::announces_half`] says so.
/// - Of an Open of more than 512 bytes only the first five fields pass; the crate reads no more. [`Watch::peer`] has all.
/// - Properties and capabilities of a Begin, an Attach and a Flow, an Attach's unsettled deliveries and a source's filter
///   are left out: nobody here looks at them, and the crate would keep them. So a filter is never said to be applied.
/// - A link whose name the session has in the other direction gets another one, and its own again in our Attach: the
///   crate would not answer it. [`super::LinkWatch::name`] is its own.
/// - The second of two links of one name and direction gets another name, too, so that it can be refused:
///   [`super::LinkWatch::is_second`].
/// - A Detach waits until the link is attached by us; the crate would forget it. An End, and all that follows, waits
///   until the session is begun by us; the crate could close the connection.
/// - A request to drain a link of ours passes as one for credit, and as what it is when its server says that what is
///   ready has been sent ([`super::LinkWatch::drained`]), or after [`Limits::drain`]: the crate would give the credit
///   back before that.
/// - An outcome that is told of a delivery of ours and does not settle it passes as one that does, and is answered
///   here: see [`super::LinkWatch::settle`]. The crate would answer some, too early, and remember all.
/// - Transfers that resume a delivery are left out, as nothing is ever resumed.
/// - Of a message that is larger than our Attach says the rest is left out, once the crate knows.
/// - A target that is a coordinator of transactions becomes an address that is none: the crate cannot read it.
/// - On a link that we refuse nothing passes, and of ours no credit: the crate would give it before it detaches.
/// - Messages of one frame go to their link's server, where it takes them, and what it posts is sent, both past the
///   crate: see [`super::LinkWatch::take_shorts`] and [`super::LinkWatch::send_past_crate`]. What Flow frames and
///   Dispositions of either side say is set right for that.
///
/// What is written is gathered: flushes do nothing once the connection is open, and all is written when there is
/// nothing more to read and the tasks that are ready have added nothing more, or 64 KiB are full. So the task that
/// writes must also read, as the crate does.
#[derive(Debug)]
pub struct Fence<Io> {
    io: Io,
    ledger: Ledger,
    reading: Reading,
    writing: Writing,
    /// Reads since something was written.
    reads: u32,
    /// Turns in which nothing was put in that what is written waits for,
    turns: u32,
    /// and how often in a row it has waited.
    gathers: u32,
    ended: bool,
    /// What is wrong with the next frame; all before it is still being served.
    doomed: Option<Refusal>,
    ending: Option<Ending>,
    /// When something came last,
    heard: Instant,
    /// and whether the peer may wait to hear that it has.
    unacknowledged: bool,
    timer: Option<(Timer, Pin<Box<Sleep>>)>,
    /// Until the next link is to be drained.
    drain: Option<Pin<Box<Sleep>>>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// That the peer takes something, of which it had taken so much.
    Stall(usize),
    /// That the peer answers our Close, or closes.
    Close,
}

impl<Io: Transport> Fence<Io> {
    /// Puts a fence around `io`, of which `head` has been read already: it is read again.
    pub fn new(io: Io, head: &[u8], limits: Limits) -> Self {
        Self {
            io,
            ledger: Ledger::new(limits),
            reading: Reading::new(head),
            writing: Writing::default(),
            reads: 0,
            turns: 0,
            gathers: 0,
            ended: false,
            doomed: None,
            ending: None,
            heard: Instant::now(),
            unacknowledged: false,
            timer: None,
            drain: None,
        }
    }

    /// What the fence sees, for those who serve the connection.
    pub fn watch(&self) -> Watch {
        self.ledger.watch.clone()
    }

    /// Waits for the peer's protocol header, which is read again by whoever reads next.
    ///
    /// There is no time limit here.
    pub async fn opening(&mut self) -> io::Result<Opening> {
        poll_fn(|cx| {
            loop {
                if let Some(opening) = self.reading.opening() {
                    return Poll::Ready(Ok(opening));
                }
                if ready!(self.poll_fill(cx))? == 0 {
                    return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
                }
            }
        })
        .await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(self.reading.room());
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut room))?;
        let count = room.filled().len();
        self.reading.filled(count);
        if count > 0 {
            self.heard = Instant::now();
            self.unacknowledged = true;
        }
        Poll::Ready(Ok(count))
    }

    /// Has the kernel say that something has come, unless there will be an answer that says so: that would be one more
    /// packet for each request.
    fn acknowledge(&mut self) {
        let answers = std::mem::take(&mut self.ledger.delivered);
        if std::mem::take(&mut self.unacknowledged) && !answers {
            self.io.acknowledge();
        }
    }

    fn start_timer(&mut self, timer: Timer, after: Duration) {
        if self.timer.as_ref().is_none_or(|(running, _)| *running != timer) {
            self.timer = Some((timer, Box::pin(tokio::time::sleep(after))));
        }
    }

    /// Whether the time is over in which something had to happen.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Option<Timer> {
        let (timer, sleep) = self.timer.as_mut()?;
        let timer = *timer;
        sleep.as_mut().poll(cx).is_ready().then(|| {
            self.timer = None;
            timer
        })
    }

    /// Writes all out. A peer that takes nothing for too long is given up.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ledger.gathered = Gathered::default();
        let drained = self.writing.poll_drain(&mut self.io, cx);
        let stalls = matches!(self.timer, Some((Timer::Stall(_), _)));
        if drained.is_ready() {
            if stalls {
                self.timer = None;
            }
            return drained;
        }
        if self.timer.is_none() || stalls {
            self.start_timer(Timer::Stall(self.writing.taken), self.ledger.limits.stall);
        }
        if let Some(Timer::Stall(_)) = self.poll_timer(cx) {
            self.ledger.watch.end(Refusal::Stalled);
            self.ending = Some(Ending::Over);
            return Poll::Ready(Err(self.error()));
        }
        Poll::Pending
    }

    /// The peer is to be told that its connection ends.
    fn end(&mut self, refusal: Refusal) {
        if self.ledger.open_sent && !self.ledger.close_sent {
            self.writing.put_last(&refusal.close());
            self.ledger.close_sent = true;
        }
        self.ledger.watch.end(refusal);
        self.ending = Some(Ending::Telling);
        self.timer = None;
        self.start_timer(Timer::Close, self.ledger.limits.closing);
    }

    fn error(&self) -> io::Error {
        let refusal = self.ledger.watch.ended().cloned().unwrap_or(Refusal::Unread);
        io::Error::new(ErrorKind::InvalidData, refusal)
    }

    /// Brings the end about. Ready when it is over.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.ending {
                None | Some(Ending::Over) => return Poll::Ready(()),
                Some(Ending::Telling) => {
                    let mut told = self.writing.poll_drain(&mut self.io, cx);
                    if let Poll::Ready(Ok(())) = told {
                        told = Pin::new(&mut self.io).poll_shutdown(cx);
                    }
                    match told {
                        Poll::Ready(Ok(())) => {
                            self.ending = Some(Ending::Lingering { discarded: 0 });
                        }
                        Poll::Ready(Err(_)) => self.ending = Some(Ending::Over),
                        Poll::Pending => break,
                    }
                }
                Some(Ending::Lingering { discarded }) => {
                    let mut thrown = [0; 1024];
                    let mut thrown = ReadBuf::new(&mut thrown);
                    match Pin::new(&mut self.io).poll_read(cx, &mut thrown) {
                        Poll::Ready(Ok(())) if !thrown.filled().is_empty() => {
                            *discarded += thrown.filled().len();
                            if *discarded > DISCARDED {
                                self.ending = Some(Ending::Over);
                            }
                        }
                        Poll::Ready(_) => self.ending = Some(Ending::Over),
                        Poll::Pending => break,
                    }
                }
            }
        }
        if self.poll_timer(cx).is_some() {
            self.ending = Some(Ending::Over);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        loop {
            if self.ending.is_some() {
                break;
            }
            if self.reading.has_judged() {
                self.reading.hand(into);
                if into.remaining() == 0 {
                    break;
                }
                continue;
            }
            let mut waits = false;
            if self.doomed.is_none() {
                match self.reading.judge(&mut self.ledger) {
                    Ok(Next::Judged) => continue,
                    Ok(Next::Partial) => {}
                    Ok(Next::Waits) => waits = true,
                    Err(refusal) => self.doomed = Some(refusal),
                }
            }
            if into.filled().len() > before || self.ended {
                break;
            }
            if let Some(refusal) = self.doomed.take() {
                if self.reading.is_sasl() {
                    // Whoever speaks it may still say how that ended; what has not been read is thrown away then.
                    self.ended = true;
                    self.ledger.watch.end(refusal);
                    return Poll::Ready(Err(self.error()));
                }
                self.end(refusal);
                break;
            }
            if waits {
                // The task that reads is the one that writes, and then reads on.
                if self.poll_drains(cx).is_pending() {
                    return self.poll_idle(cx);
                }
                continue;
            }
            if self.writing.room() == 0 {
                // A peer that does not take what it is sent is not read: each frame of its may want an answer.
                if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
                    return Poll::Ready(Err(error));
                }
                if self.writing.room() == 0 {
                    return Poll::Pending;
                }
            }
            self.reads += 1;
            if self.reads > READS && self.writing.is_dirty() {
                self.reads = 0;
                if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
                    return Poll::Ready(Err(error));
                }
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => {
                    self.acknowledge();
                    let served = !self.ledger.watch.wait_for_server(cx.waker());
                    self.settle();
                    let drains = self.poll_drains(cx).is_ready();
                    if !served && !drains && self.ledger.due.is_empty() {
                        return self.poll_idle(cx);
                    }
                }
            }
        }
        if into.filled().len() > before || self.ending.is_none() {
            return Poll::Ready(Ok(()));
        }
        let over = matches!(self.ending, Some(Ending::Over));
        ready!(self.poll_end(cx));
        // An error once, and then the end of the stream.
        if over { Poll::Ready(Ok(())) } else { Poll::Ready(Err(self.error())) }
    }

    /// Whether the time has come to drain a link.
    fn poll_drains(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(when) = self.ledger.next_drain() else { return Poll::Pending };
        let drain = self.drain.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(when)));
        if drain.deadline() != when {
            drain.as_mut().reset(when);
        }
        ready!(drain.as_mut().poll(cx));
        self.ledger.drain(Instant::now());
        if self.ledger.drains.is_empty() {
            self.drain = None;
        }
        Poll::Ready(())
    }

    /// Puts in the frames that settle deliveries. Those that find no place now, in the middle of a frame, do at the
    /// latest when the crate has written it and reads again.
    fn settle(&mut self) {
        self.ledger.serve();
        let is_open = self.ledger.open_sent && !self.ledger.close_sent;
        while let Some(frame) = self.ledger.settlements.front() {
            if is_open && !self.writing.put_between(frame) {
                return;
            }
            // The reply to what it settles may be about to come.
            self.turns = 1;
            self.ledger.settlements.pop_front();
        }
        while let Some(flow) = self.ledger.echo() {
            if is_open && !self.writing.put_between(&flow) {
                return;
            }
            self.ledger.echoes.pop_front();
        }
        if is_open {
            self.ledger.send(&mut self.writing);
        }
    }

    /// There is nothing to read.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reads = 0;
        self.reading.rest();
        if self.writing.is_dirty() {
            if self.turns > 0 && self.gathers < GATHERS && !self.ledger.gathered.is_whole() {
                // Whatever else is ready comes first: it may have more to say to the peer.
                self.turns -= 1;
                self.gathers += 1;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.gathers = 0;
            while self.writing.is_dirty() {
                match self.poll_drain(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                }
                // There is room again.
                self.settle();
            }
        }
        if self.ledger.close_sent && !self.writing.is_dirty() {
            self.start_timer(Timer::Close, self.ledger.limits.closing);
            if self.poll_timer(cx) == Some(Timer::Close) {
                if !self.ledger.close_received {
                    self.ledger.watch.end(Refusal::Unanswered);
                }
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }
}

impl<Io: Transport> AsyncRead for Fence<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_frames(cx, into)
    }
}

impl<Io: Transport> AsyncWrite for Fence<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        match this.ending {
            Some(Ending::Over) => return Poll::Ready(Err(this.error())),
            // Nobody is there any more to read it.
            Some(_) => return Poll::Ready(Ok(bytes.len())),
            None => {}
        }
        // Before what the crate says after it: that the link is detached, or the connection closed.
        this.settle();
        if this.writing.room() == 0 {
            let drained = this.poll_drain(cx);
            if let Poll::Ready(Err(error)) = drained {
                return Poll::Ready(Err(error));
            }
            if this.writing.room() == 0 {
                return Poll::Pending;
            }
        }
        this.turns = 1;
        Poll::Ready(Ok(this.writing.put(bytes, &mut this.ledger)))
    }

    /// Says yes once the connection is open: see [`Fence`].
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ending.is_some() {
            return Poll::Ready(Ok(()));
        }
        let gathers = self.ledger.open_sent && self.ledger.open_received && !self.ledger.close_sent;
        if gathers { Poll::Ready(Ok(())) } else { self.poll_drain(cx) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mute = this.ledger.open_sent && !this.ledger.close_sent && !this.ended;
        if this.ending.is_none() && this.reading.is_sasl() {
            // Whoever is refused is to hear it: no reset is to overtake that for what was not read.
            this.end(Refusal::Unread);
        }
        if this.ending.is_none() && mute {
            // The crate stops without a word when it cannot read a frame, and when nothing came for too long.
            let idle = this.ledger.idle.map(|idle| Duration::from_millis(idle.into()));
            let silent = idle.is_some_and(|idle| this.heard.elapsed() >= idle);
            this.end(if silent { Refusal::Idle } else { Refusal::Unread });
        }
        if this.ending.is_some() {
            ready!(this.poll_end(cx));
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}
