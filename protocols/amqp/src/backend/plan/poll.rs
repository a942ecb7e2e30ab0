//! What a route says of upstream operations that are long running themselves.

use std::collections::BTreeMap;

use super::POLL;

/// What is asked to look at one.
const OPERATION: &str = "poll.operation";
/// Its type.
const TYPE: &str = "poll.type";
/// Where the reply to the start has its identity: JSON pointers, here and below.
const IDENTITY: &str = "poll.identity";
/// Where its attributes have the state,
const STATE: &str = "poll.state";
/// the result of a success,
const RESULT: &str = "poll.result";
/// the error of a failure,
const ERROR: &str = "poll.error";
/// the percentage
const PERCENT: &str = "poll.percent";
/// the words for people,
const MESSAGE: &str = "poll.message";
/// the lines of its log
const LOG: &str = "poll.log";
/// and what it works on.
const RESOURCES: &str = "poll.resources";
/// The states that are an end, as lists separated by commas.
const SUCCEEDED: &str = "poll.succeeded";
const FAILED: &str = "poll.failed";
const CANCELED: &str = "poll.canceled";
/// What is asked to cancel one; empty where nothing is.
const CANCEL: &str = "poll.cancel";

/// The options, each with what it is where a route leaves it out: opgate's own type of entity.
const OPTIONS: [(&str, &str); 14] = [
    (OPERATION, "READ"),
    (TYPE, "org.opgate.operation"),
    (IDENTITY, "/identity"),
    (STATE, "/state"),
    (RESULT, "/result"),
    (ERROR, "/error"),
    (PERCENT, "/progress/percent"),
    (MESSAGE, "/progress/message"),
    (LOG, "/log"),
    (RESOURCES, "/resources"),
    (SUCCEEDED, "SUCCEEDED"),
    (FAILED, "FAILED"),
    (CANCELED, "CANCELED,CANCELLED"),
    (CANCEL, "CANCEL"),
];

/// How operations upstream are looked at.
#[derive(Clone, Debug)]
pub(in crate::backend) struct Poll<'a> {
    /// What is asked to look at one.
    pub(in crate::backend) operation: &'a str,
    /// Its type.
    pub(in crate::backend) kind: &'a str,
    /// Where the reply to a start has its identity.
    pub(in crate::backend) identity: &'a str,
    /// Where its attributes have the state.
    pub(in crate::backend) state: &'a str,
    /// The result.
    pub(in crate::backend) result: &'a str,
    /// The error.
    pub(in crate::backend) error: &'a str,
    /// The percentage.
    pub(in crate::backend) percent: &'a str,
    /// The words for people.
    pub(in crate::backend) message: &'a str,
    /// The lines of its log.
    pub(in crate::backend) log: &'a str,
    /// What it works on.
    pub(in crate::backend) resources: &'a str,
    succeeded: &'a str,
    failed: &'a str,
    canceled: &'a str,
    /// What is asked to cancel one; none where the node cancels nothing.
    pub(in crate::backend) cancel: Option<&'a str>,
}

/// What a state upstream means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Phase {
    /// It goes on: by all words that are not said to be an end.
    Running,
    /// It has ended with success.
    Succeeded,
    /// It has ended without.
    Failed,
    /// It has ended because somebody asked.
    Canceled,
}

/// Whether a key is one of these.
pub(super) fn is_option(key: &str) -> bool {
    OPTIONS.iter().any(|(known, _)| *known == key)
}

/// The keys of `poll`, without what they begin with: what a configuration may say.
pub fn keys() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().filter_map(|(key, _)| key.strip_prefix(POLL))
}

impl<'a> Poll<'a> {
    /// Reads the options that begin with `poll.`.
    pub(super) fn of(options: &'a BTreeMap<String, String>) -> Result<Self, (&'a str, String)> {
        let option = |key: &'static str| {
            let default = OPTIONS.iter().find(|(known, _)| *known == key);
            let default = default.map_or("", |(_, default)| default);
            options.get(key).map_or(default, String::as_str)
        };
        let word = |key| match option(key) {
            "" => Err((key, "must not be empty".to_owned())),
            word => Ok(word),
        };
        let pointer = |key| match option(key) {
            pointer if pointer.is_empty() || pointer.starts_with('/') => Ok(pointer),
            _ => Err((key, "must be a JSON pointer, such as \"/state\"".to_owned())),
        };
        Ok(Self {
            operation: word(OPERATION)?,
            kind: option(TYPE),
            identity: pointer(IDENTITY)?,
            state: pointer(STATE)?,
            result: pointer(RESULT)?,
            error: pointer(ERROR)?,
            percent: pointer(PERCENT)?,
            message: pointer(MESSAGE)?,
            log: pointer(LOG)?,
            resources: pointer(RESOURCES)?,
            succeeded: word(SUCCEEDED)?,
            failed: word(FAILED)?,
            canceled: option(CANCELED),
            cancel: Some(option(CANCEL)).filter(|cancel| !cancel.is_empty()),
        })
    }

    /// What a state means, whatever its case.
    pub(in crate::backend) fn phase(&self, state: &str) -> Phase {
        let ends = [
            (self.succeeded, Phase::Succeeded),
            (self.failed, Phase::Failed),
            (self.canceled, Phase::Canceled),
        ];
        let known = |word: &&str| !word.is_empty() && word.eq_ignore_ascii_case(state);
        let is = |list: &'a str| list.split(',').any(|word| known(&word));
        ends.into_iter().find(|(list, _)| is(list)).map_or(Phase::Running, |(_, phase)| phase)
    }
}
