//! Messages that go to the server of their link past the crate.
//!
//! The crate decodes the frame of each, and hands it through two of its tasks: that is most of what a short request
//! costs. So one that has come in a single frame is given to whoever serves its link as it is, once it says that it
//! takes such ([`LinkWatch::take_shorts`](super::LinkWatch::take_shorts)); the crate never hears of it. Credit and
//! sessions' numbers, of which the crate knows too little then, are set right in what it writes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// Messages of a link, and bytes of them, that may wait for its server. What comes then goes by the crate, which reads no
/// more of the connection where too much waits.
const MESSAGES: usize = 1024;
const BYTES: usize = 256 * 1024;

/// Something that came past the crate.
#[derive(Debug)]
pub enum Short {
    /// A message, whole.
    Message {
        /// The delivery's.
        id: u32,
        /// Whether its sender has settled it.
        settled: bool,
        /// All its sections.
        payload: Bytes,
    },
    /// One for which there was no credit. What came after it is lost.
    Beyond,
}

/// What has come over a link and its server has not got yet.
#[derive(Debug, Default)]
pub(super) struct Shorts(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Short>,
    bytes: usize,
    /// Deliveries that were left to the crate: those that come after them must not overtake them.
    with_crate: u32,
    server: Option<Waker>,
}

impl Shorts {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives one to the server; false where it is to go by the crate.
    pub(super) fn give(&self, id: u32, settled: bool, payload: &[u8]) -> bool {
        let mut state = self.state();
        let full = state.waiting.len() >= MESSAGES || state.bytes >= BYTES;
        if state.with_crate > 0 || full {
            return false;
        }
        state.bytes += payload.len();
        let payload = Bytes::copy_from_slice(payload);
        state.push(Short::Message { id, settled, payload });
        true
    }

    /// There was no credit for what came last.
    pub(super) fn exceed(&self) {
        self.state().push(Short::Beyond);
    }

    /// A delivery is left to the crate.
    pub(super) fn leave(&self) {
        self.state().with_crate += 1;
    }

    /// The server has got one from the crate, or its sender has taken it back.
    pub(super) fn left(&self) {
        let mut state = self.state();
        state.with_crate = state.with_crate.saturating_sub(1);
    }

    /// How many deliveries the server has not got yet.
    pub(super) fn unread(&self) -> u32 {
        let state = self.state();
        u32::try_from(state.waiting.len()).unwrap_or(u32::MAX).saturating_add(state.with_crate)
    }

    /// The next.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Short> {
        let mut state = self.state();
        if let Some(short) = state.waiting.pop_front() {
            if let Short::Message { payload, .. } = &short {
                state.bytes -= payload.len();
            }
            return Poll::Ready(short);
        }
        if state.server.as_ref().is_none_or(|server| !server.will_wake(cx.waker())) {
            state.server = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl State {
    fn push(&mut self, short: Short) {
        self.waiting.push_back(short);
        if let Some(server) = self.server.take() {
            server.wake();
        }
    }
}
