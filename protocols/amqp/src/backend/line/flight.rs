//! The requests that wait for their replies on one connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fe2o3_amqp_types::messaging::MessageId;
use tokio::sync::oneshot;

/// Requests in flight, by their message ids. As many as wait for replies, which the line bounds.
#[derive(Debug)]
pub(super) struct Flight<R>(Mutex<HashMap<Box<str>, oneshot::Sender<R>>>);

/// A request in flight. Dropped, its reply is a stray.
#[derive(Debug)]
pub(super) struct Expected<R> {
    flight: Arc<Flight<R>>,
    id: Box<str>,
    reply: oneshot::Receiver<R>,
}

impl<R> Default for Flight<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<R> Flight<R> {
    /// Waits for the reply to the request of this id. An id is used once.
    pub(super) fn expect(self: &Arc<Self>, id: &str) -> Expected<R> {
        let (sender, reply) = oneshot::channel();
        self.table().insert(id.into(), sender);
        Expected { flight: Arc::clone(self), id: id.into(), reply }
    }

    /// Gives a reply to the request that it says it is for; returns it where there is no such one.
    ///
    /// The id comes back in the type it was sent in, by the draft. A node that keeps ids as bytes is
    /// understood as well.
    pub(super) fn answer(&self, correlation: Option<&MessageId>, reply: R) -> Result<(), R> {
        let id = match correlation {
            Some(MessageId::String(id)) => id.as_str(),
            Some(MessageId::Binary(id)) => match std::str::from_utf8(id) {
                Ok(id) => id,
                Err(_) => return Err(reply),
            },
            Some(MessageId::Ulong(_) | MessageId::Uuid(_)) | None => return Err(reply),
        };
        let waiting = self.table().remove(id);
        match waiting {
            Some(waiting) => waiting.send(reply),
            None => Err(reply),
        }
    }

    /// How many there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.table().len()
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Box<str>, oneshot::Sender<R>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Expected<R> {
    /// The reply. Never, where the connection ends before it came.
    pub(super) async fn reply(&mut self) -> R {
        match (&mut self.reply).await {
            Ok(reply) => reply,
            // Its sender is in the table, which is kept by this one.
            Err(_) => std::future::pending().await,
        }
    }

    /// The reply, where it is there.
    pub(super) fn ready(&mut self) -> Option<R> {
        self.reply.try_recv().ok()
    }
}

impl<R> Drop for Expected<R> {
    fn drop(&mut self) {
        self.flight.table().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fe2o3_amqp_types::primitives::Binary;
    use proptest::prelude::*;

    use super::*;

    fn text(id: &str) -> MessageId {
        MessageId::String(id.to_owned())
    }

    #[test]
    fn a_reply_finds_its_request_by_text_or_bytes_once() {
        let flight = Arc::new(Flight::default());
        let (mut a, mut b) = (flight.expect("a"), flight.expect("b"));
        assert_eq!(flight.answer(Some(&text("b")), 1), Ok(()));
        let bytes = Some(MessageId::Binary(Binary::from(b"a".to_vec())));
        assert_eq!(flight.answer(bytes.as_ref(), 2), Ok(()));
        assert_eq!((a.ready(), b.ready()), (Some(2), Some(1)));
        assert_eq!(flight.answer(Some(&text("a")), 3), Err(3));
        assert_eq!(flight.len(), 0);
    }

    #[test]
    fn what_nobody_waits_for_is_a_stray() {
        let flight = Arc::new(Flight::default());
        drop(flight.expect("gone"));
        let kept = flight.expect("kept");
        let invalid = MessageId::Binary(Binary::from(vec![0xff]));
        let known = [text("gone"), text("what"), MessageId::Ulong(1), invalid];
        for id in known.map(Some).into_iter().chain([None]) {
            assert_eq!(flight.answer(id.as_ref(), ()), Err(()), "{id:?}");
        }
        assert_eq!(flight.len(), 1);
        drop(kept);
        assert_eq!(flight.len(), 0);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Expect(u8),
        Drop(u8),
        Answer(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..6).prop_map(Step::Expect),
            (0_u8..6).prop_map(Step::Drop),
            (0_u8..8).prop_map(Step::Answer),
        ]
    }

    proptest! {
        /// However they are mixed: a reply goes to the one that waits for it, or is a stray; nothing
        /// stays behind.
        #[test]
        fn replies_go_where_they_belong(steps in prop::collection::vec(step(), 0..64)) {
            let flight = Arc::new(Flight::default());
            // Ids are used once: each is a name and how often that was taken.
            let mut waiting: BTreeMap<u8, (u32, Expected<u32>)> = BTreeMap::new();
            let mut used = 0_u32;
            for step in steps {
                match step {
                    Step::Expect(name) => {
                        used += 1;
                        waiting.insert(name, (used, flight.expect(&format!("{name}/{used}"))));
                    }
                    Step::Drop(name) => drop(waiting.remove(&name)),
                    Step::Answer(name) => {
                        let found = waiting.remove(&name);
                        let number = found.as_ref().map_or(u32::MAX, |(number, _)| *number);
                        let answered = flight.answer(Some(&text(&format!("{name}/{number}"))), number);
                        prop_assert_eq!(answered.is_ok(), found.is_some());
                        if let Some((number, mut expected)) = found {
                            prop_assert_eq!(expected.ready(), Some(number));
                        }
                    }
                }
                prop_assert_eq!(flight.len(), waiting.len());
            }
        }
    }
}
