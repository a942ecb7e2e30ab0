//! What is asked of every cell: the same of each, as far as its face and its backend have words for it.

mod ends;
mod running;

use super::{Cell, Started};

/// Something that an operation of any face, carried out by any backend, has.
pub(super) struct Feature {
    /// What it is called.
    pub(super) name: &'static str,
    /// What is looked at.
    pub(super) what: &'static str,
    /// How it is looked at.
    pub(super) look: Look,
}

/// How a feature is looked at. It panics where it is not there.
#[derive(Clone, Copy)]
pub(super) enum Look {
    /// While the daemon lives.
    Once(fn(&Cell<'_>)),
    /// Before it is killed, and in the process that comes after.
    Across(fn(&Cell<'_>) -> Started, fn(&Cell<'_>, &Started)),
}

const fn once(name: &'static str, what: &'static str, look: fn(&Cell<'_>)) -> Feature {
    Feature { name, what, look: Look::Once(look) }
}

/// All there are, in the order of the report.
pub(super) const FEATURES: [Feature; 15] = [
    once("start", "An operation is started; its input arrives as it was, once.", running::starts),
    once(
        "repeat",
        "The same start again, under the same key, is the same operation, and is not begun twice.",
        running::is_started_once,
    ),
    once("percentage", "While it runs, it is shown how far it is.", running::has_a_percentage),
    once("message", "While it runs, it is shown what it says for people.", running::has_a_message),
    once("log", "While it runs, its log is shown.", running::has_a_log),
    once(
        "resources",
        "What it works on is shown while it runs, and what became of it when it has ended.",
        running::has_resources,
    ),
    once(
        "result",
        "A success is awaited, and its result is what was made of it there.",
        ends::succeeds,
    ),
    once("failure", "A failure is awaited, and has the code and the text of there.", ends::fails),
    once("details", "What a failure brings beside code and text arrives.", ends::has_details),
    once(
        "retryability",
        "Whether the same may succeed later is shown as told.",
        ends::may_be_repeated,
    ),
    once(
        "cancel",
        "A cancel arrives there, and the operation ends as canceled.",
        ends::is_canceled,
    ),
    once(
        "refused cancel",
        "A cancel that is not honored changes nothing: the operation ends by itself.",
        ends::is_not_canceled,
    ),
    once(
        "deadline",
        "An operation whose time is over has failed for that reason, and nobody goes on with it.",
        ends::is_late,
    ),
    once(
        "trace",
        "The trace that its start is of is that of each request about it there, in the words of W3C Trace Context, and \
         of its callback.",
        ends::is_traced,
    ),
    Feature {
        name: "restart",
        what: "The daemon is killed while the operation runs. The next one knows it by the same name, and brings its \
               end; it is not begun twice.",
        look: Look::Across(running::runs, ends::succeeds_after_all),
    },
];
