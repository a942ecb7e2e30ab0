//! Warnings that repeat: the first is logged at once, the others are counted, and told of every ten seconds.
//!
//! A warning is the same as another if it comes from the same place in the code with the same message; what it is about
//! may differ. Of each there is a line with its count for as long as it goes on, and the next after a quiet time is a
//! first one again. So a storm costs six lines a minute, and none of its kinds is lost; the line names the first
//! operations that it was about.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, error, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::EXIT;

/// The target of lines that tell of what was counted.
pub(crate) const REPEATED: &str = "opgate::repeated";
/// How often they come.
const EVERY: Duration = Duration::from_secs(10);
/// Kinds that are known at a time. Of more, each line is logged.
const KINDS: usize = 1024;
/// Operations that a line with a count names.
const NAMED: usize = 16;

/// Counts what repeats. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fold(Arc<Mutex<HashMap<Kind, Count>>>);

/// Where a line comes from, and what it says.
type Kind = (Identifier, Box<str>);

#[derive(Debug)]
struct Count {
    /// When a line of the kind was logged last.
    told: Instant,
    /// How many were not since.
    folded: u64,
    /// The first operations those were about.
    operations: Vec<Box<str>>,
    is_error: bool,
    target: &'static str,
}

/// A kind of which some were counted.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    message: Box<str>,
    folded: u64,
    operations: Vec<Box<str>>,
    is_error: bool,
    target: &'static str,
}

impl Fold {
    /// Whether a line is logged; else it is counted.
    fn passes(&self, meta: &'static Metadata<'static>, said: Said, now: Instant) -> bool {
        let mut counts = self.lock();
        let kind = (meta.callsite(), said.message.into());
        if let Some(count) = counts.get_mut(&kind) {
            count.folded += 1;
            let operation = said.operation.into_boxed_str();
            if count.operations.len() < NAMED
                && !operation.is_empty()
                && !count.operations.contains(&operation)
            {
                count.operations.push(operation);
            }
            return false;
        }
        if counts.len() < KINDS {
            let is_error = *meta.level() == Level::ERROR;
            let target = meta.target();
            let count = Count { told: now, folded: 0, operations: Vec::new(), is_error, target };
            counts.insert(kind, count);
        }
        true
    }

    /// What is to be told of now; what was quiet is forgotten.
    fn due(&self, now: Instant, every: Duration) -> Vec<Told> {
        let mut due = Vec::new();
        self.lock().retain(|(_, message), count| {
            if now.saturating_duration_since(count.told) < every {
                return true;
            }
            let Count { folded, is_error, target, .. } = *count;
            if folded > 0 {
                let operations = std::mem::take(&mut count.operations);
                due.push(Told { message: message.clone(), folded, operations, is_error, target });
            }
            (count.told, count.folded) = (now, 0);
            folded > 0
        });
        due
    }

    /// Tells of what was counted for long enough. To be called about once a second.
    pub(crate) fn tell(&self) {
        tell(&self.due(Instant::now(), EVERY));
    }

    /// Tells of all that was counted: nothing follows.
    pub(crate) fn finish(&self) {
        tell(&self.due(Instant::now(), Duration::ZERO));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Outside of the lock: these are lines themselves.
fn tell(due: &[Told]) {
    for Told { message, folded, operations, is_error, target } in due {
        let named = (!operations.is_empty()).then(|| operations.join(" "));
        let operations = named.as_deref();
        if *is_error {
            error!(target: REPEATED, repeated = folded, of = target, operations, "{message}");
        } else {
            warn!(target: REPEATED, repeated = folded, of = target, operations, "{message}");
        }
    }
}

impl<S: Subscriber> Layer<S> for Fold {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let meta = event.metadata();
        // Most are compared by their level alone.
        if *meta.level() > Level::WARN || [EXIT, REPEATED].contains(&meta.target()) {
            return true;
        }
        let mut said = Said::default();
        event.record(&mut said);
        self.passes(meta, said, Instant::now())
    }
}

/// The message of an event, and the operation it is about.
#[derive(Default)]
struct Said {
    message: String,
    operation: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "operation" => self.operation = format!("{value:?}"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Counts what gets through.
    #[derive(Clone, Default)]
    struct Seen(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Seen {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_repeats_is_logged_once_and_counted() {
        let (fold, seen) = (Fold::default(), Seen::default());
        let subscriber = tracing_subscriber::registry().with(seen.clone()).with(fold.clone());
        with_default(subscriber, || {
            for n in 0..50 {
                warn!(operation = %n, "away");
                error!("broken");
                warn!("about {}", n % 2);
                tracing::info!("fine");
                warn!(target: EXIT, "why it ended");
            }
        });
        // Two, one for each of the two messages of one place, and all that are not folded.
        assert_eq!(seen.0.load(Ordering::Relaxed), 4 + 100);
        let now = Instant::now();
        assert_eq!(fold.due(now, EVERY), []);
        let mut due = fold.due(now + EVERY, EVERY);
        due.sort_by(|a, b| a.message.cmp(&b.message));
        let told = |message: &str, folded, is_error| Told {
            message: message.into(),
            folded,
            operations: match message {
                "away" => (1..=NAMED).map(|n| n.to_string().into()).collect(),
                _ => Vec::new(),
            },
            is_error,
            target: module_path!(),
        };
        let expected = [
            told("about 0", 24, false),
            told("about 1", 24, false),
            told("away", 49, false),
            told("broken", 49, true),
        ];
        assert_eq!(due, expected);
        // Quiet since: forgotten, and the next is a first one.
        assert_eq!(fold.due(now + EVERY * 2, EVERY), []);
        assert!(fold.lock().is_empty());
    }

    #[test]
    fn a_storm_of_kinds_takes_a_bounded_room() {
        let (fold, seen) = (Fold::default(), Seen::default());
        let subscriber = tracing_subscriber::registry().with(seen.clone()).with(fold.clone());
        with_default(subscriber, || {
            for n in 0..KINDS + 10 {
                for _ in 0..2 {
                    warn!("kind {n}");
                }
            }
        });
        assert_eq!(fold.lock().len(), KINDS);
        assert_eq!(seen.0.load(Ordering::Relaxed), KINDS + 20);
    }
}
