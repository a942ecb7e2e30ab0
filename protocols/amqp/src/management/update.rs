//! UPDATE: what a client may change of an operation. It may ask for its cancellation, and it may end it
//! by hand; everything else is the work's to tell.

use opgate_bus::Action;
use opgate_core::{Code, Error, Failure, Operation, Outcome, State};
use serde_amqp::Value;

use super::answer::Answered;
use super::operations::Given as _;
use super::request::{Asked, Fields};
use super::{Inner, attributes, content};
use crate::wire::came::Values;
use crate::wire::status::Status;
use crate::wire::{names, text};

/// Every attribute that an UPDATE may change.
pub(super) const CHANGED: [&str; 5] = ["state", "result", "resultType", "error", "cancelRequested"];

/// What an UPDATE asks for.
enum Change {
    None,
    Cancel,
    End(Outcome),
}

impl Inner {
    pub(super) async fn update(&self, asked: &Asked) -> Answered {
        let mut subject = self.subject(asked)?;
        let given = asked.attributes()?;
        let action = if given.contains_key("state") { Action::Complete } else { Action::Cancel };
        let refused = |error: &Error| {
            self.bus.refused(action, &asked.caller, subject.id, error.kind);
        };
        let found = self.found(asked).await.inspect_err(refused)?;
        let version = given.get("version").filter(|value| **value != Value::Null);
        if let Some(version) = version {
            let wrong = || Error::invalid(names::VERSION, "must be a whole number");
            subject.expect = Some(opgate_core::Version(text::count(version).ok_or_else(wrong)?));
        }
        let snapshot = match self.change(&given, asked.values(), &found)? {
            // A version that is given must be the operation's, whatever is changed.
            Change::None if subject.expect.is_none_or(|version| version == found.version) => found,
            Change::None => {
                let mut stale = Error::new(
                    opgate_core::ErrorKind::Conflict,
                    format!("version: the operation has version {} by now", found.version.0),
                );
                stale.current = Some(found.version);
                return Err(stale);
            }
            Change::Cancel => {
                let reason = asked.text(names::REASON)?.unwrap_or_default();
                self.bus.cancel(&asked.caller, subject, reason).await?.snapshot
            }
            Change::End(outcome) => {
                self.bus.finish(&asked.caller, subject, outcome).await?.snapshot
            }
        };
        Ok(self.shown(Status::OK, snapshot))
    }

    /// What is asked for. An attribute that has the value already is none: clients send back all that
    /// they have read.
    fn change(
        &self,
        given: &Fields,
        came: Option<&Values>,
        current: &Operation,
    ) -> Result<Change, Error> {
        let is_new = |name: &str, value: &Value| {
            name != names::VERSION && attributes::one(current, &self.names, name) != *value
        };
        let mut new = Fields::new();
        for (name, value) in given.iter().filter(|(name, value)| is_new(name, value)) {
            if !CHANGED.contains(&name.as_str()) {
                let end = name.floor_char_boundary(80);
                let problem = format!(
                    "cannot be updated; what can is {}: cancelRequested = true asks for the \
                     cancellation, state ends the operation by hand",
                    CHANGED.join(", ")
                );
                let name = name.get(..end).unwrap_or_default().to_owned();
                return Err(Error::invalid(name, problem));
            }
            new.insert(name.clone(), value.clone());
        }
        let cancel = match new.get("cancelRequested") {
            None => false,
            Some(value) if text::flag(value) == Some(true) => true,
            Some(_) => {
                let problem = "must be true: a request to cancel cannot be taken back";
                return Err(Error::invalid("cancelRequested", problem));
            }
        };
        let Some(word) = new.text("state")? else {
            let needs =
                ["result", "resultType", "error"].iter().find(|name| new.contains_key(**name));
            return match needs {
                Some(name) => {
                    let problem = "comes with a state that ends the operation: SUCCEEDED for a result, \
                                   FAILED or CANCELED for an error";
                    Err(Error::invalid(*name, problem))
                }
                None if cancel => Ok(Change::Cancel),
                None => Ok(Change::None),
            };
        };
        outcome(word, &new, came).map(Change::End)
    }
}

fn outcome(word: &str, new: &Fields, came: Option<&Values>) -> Result<Outcome, Error> {
    let state = State::ALL.into_iter().find(|state| state.name().eq_ignore_ascii_case(word));
    let no = |name: &'static str, allowed: &str| {
        if new.contains_key(name) {
            return Err(Error::invalid(name, format!("goes with state = {allowed}")));
        }
        Ok(())
    };
    match state {
        Some(State::Succeeded) => {
            no("error", "FAILED or CANCELED")?;
            let result = new.get("result").filter(|value| **value != Value::Null);
            let kind = new.text("resultType")?;
            let result = result.map(|value| content::payload("result", value, came, kind));
            let result = result.transpose()?;
            Ok(Outcome::Succeeded(result))
        }
        Some(State::Failed) => {
            no("result", "SUCCEEDED")?;
            Ok(Outcome::Failed(
                failure(new, Code::Unknown)?.unwrap_or_else(|| {
                    Failure::new(Code::Unknown, "the operation was ended by hand")
                }),
            ))
        }
        Some(State::Canceled) => {
            no("result", "SUCCEEDED")?;
            Ok(Outcome::Canceled(failure(new, Code::Cancelled)?))
        }
        Some(State::Accepted | State::Running) | None => {
            let problem = "must be SUCCEEDED, FAILED or CANCELED: an UPDATE of the state ends the \
                           operation by hand";
            Err(Error::invalid("state", problem))
        }
    }
}

/// The failure that is told: a text, or a map with code, message, reason and retryable.
fn failure(new: &Fields, default: Code) -> Result<Option<Failure>, Error> {
    let value = match new.get("error") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    if let Some(message) = text::of(value) {
        return Ok(Some(Failure::new(default, message)));
    }
    let Value::Map(fields) = value else {
        let problem = "must be a text, or a map with code, message, reason and retryable";
        return Err(Error::invalid("error", problem));
    };
    let mut failure = Failure::new(default, "");
    for (name, value) in fields {
        match (text::of(name).unwrap_or_default(), value) {
            (_, Value::Null) => {}
            ("code", value) => failure.code = code(value)?,
            ("message", value) => failure.message = said("error.message", value)?,
            ("reason", value) => failure.reason = Some(said("error.reason", value)?),
            ("retryable", value) => {
                let wrong = || Error::invalid("error.retryable", "must be true or false");
                failure.retryable = Some(text::flag(value).ok_or_else(wrong)?);
            }
            _ => {
                let problem = "has a field that is none of code, message, reason and retryable";
                return Err(Error::invalid("error", problem));
            }
        }
    }
    Ok(Some(failure))
}

fn said(field: &'static str, value: &Value) -> Result<String, Error> {
    text::of(value).map(str::to_owned).ok_or_else(|| Error::invalid(field, "must be a text"))
}

fn code(value: &Value) -> Result<Code, Error> {
    let number = text::count(value).and_then(|number| i32::try_from(number).ok());
    let known = number.and_then(Code::from_number).or_else(|| Code::from_name(text::of(value)?));
    known.ok_or_else(|| {
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        Error::invalid("error.code", format!("must be one of {}", names.join(", ")))
    })
}
