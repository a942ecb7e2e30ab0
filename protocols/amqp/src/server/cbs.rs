//! Claims-based security (OASIS AMQP CBS, draft): tokens put to `$cbs`, as Azure's clients do.
//!
//! | The connection is | a token of a user | of another user | that proves nobody |
//! |---|---|---|---|
//! | nobody's yet | 202: is that user, until the token expires | | 401 |
//! | let in without a name | 202: is that user, until the token expires | | 202: stays as it is |
//! | a user's, by tokens | 202: until the last of them expires | 403 | 401 |
//! | a user's, by a password or certificate | 202: stays as it is | 403 | 401 |
//!
//! With the last of its tokens a connection ends. For whom and for what a token is (`name`, and `sr` in the token) is
//! not looked at: a user may do the same at every address, so Azure's clients put one for each without effect.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fe2o3_amqp_types::messaging::{Body, Message};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_bus::Caller;
use opgate_core::{Error, ErrorKind};
use percent_encoding::percent_decode_str;
use ring::hmac;
use serde_amqp::Value;

use super::users::Users;
use crate::node::Reply;
use crate::wire::status::Status;

/// Longest token looked at.
const TOKEN_MAX: usize = 8 << 10;

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotTaken {
    kind: ErrorKind,
    text: &'static str,
}

impl NotTaken {
    /// Whether it is the proof that does not hold: the request is as it should be.
    pub(super) const fn is_proof(&self) -> bool {
        matches!(self.kind, ErrorKind::Unauthenticated)
    }
}

const fn bad(text: &'static str) -> NotTaken {
    NotTaken { kind: ErrorKind::InvalidArgument, text }
}

const fn no_proof(text: &'static str) -> NotTaken {
    NotTaken { kind: ErrorKind::Unauthenticated, text }
}

/// The connection is a user's already.
pub(super) const OF_ANOTHER: NotTaken = NotTaken {
    kind: ErrorKind::PermissionDenied,
    text: "the token is of another user than the connection",
};

/// Whom a token proves its sender to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proven {
    pub(super) caller: Caller,
    pub(super) until: SystemTime,
}

/// Looks at a request to `$cbs`: whom its token proves its sender to be. A token of a kind that opgate cannot
/// check proves nobody.
pub(super) fn put(
    message: &Message<Body<Value>>,
    users: &Users,
    now: SystemTime,
) -> Result<Proven, NotTaken> {
    let properties = message.application_properties.as_ref();
    let operation = properties.and_then(|properties| properties.get("operation"));
    if operation.and_then(text).as_deref() != Some("put-token") {
        return Err(NotTaken {
            kind: ErrorKind::Unsupported,
            text: "operation: must be put-token",
        });
    }
    let Body::Value(value) = &message.body else {
        return Err(bad("the body must be the token, a string"));
    };
    let token = if let Value::String(token) = &value.0 {
        token.as_str()
    } else if let Value::Binary(token) = &value.0 {
        std::str::from_utf8(token).unwrap_or_default()
    } else {
        return Err(bad("the body must be the token, a string"));
    };
    if token.len() > TOKEN_MAX {
        return Err(bad("the token is too long"));
    }
    let signed = token.strip_prefix("SharedAccessSignature ");
    signature(signed.ok_or(no_proof("the token is no shared access signature"))?, users, now)
}

/// A shared access signature: `sr=RESOURCE&sig=SIGNATURE&se=EXPIRY&skn=KEY`. It is an HMAC of the resource, as it
/// is written there, and the expiry (Azure Service Bus, "Service Bus access control with SAS").
fn signature(token: &str, users: &Users, now: SystemTime) -> Result<Proven, NotTaken> {
    const REFUSED: NotTaken = no_proof("the token is not valid");
    let part = |name: &str| {
        token.split('&').find_map(|part| part.split_once('=').filter(|(key, _)| *key == name))
    };
    let decoded = |name: &str| {
        let (_, value) = part(name)?;
        percent_decode_str(value).decode_utf8().ok()
    };
    let (_, resource) = part("sr").ok_or(REFUSED)?;
    let expiry: Cow<'_, str> = decoded("se").ok_or(REFUSED)?;
    let given = BASE64_STANDARD.decode(&*decoded("sig").ok_or(REFUSED)?).map_err(|_| REFUSED)?;
    let name = decoded("skn").ok_or(REFUSED)?;
    let signer = users.signer(&name);
    let key = signer.as_ref().map_or(&[][..], |(_, password)| password.as_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let right = hmac::verify(&key, format!("{resource}\n{expiry}").as_bytes(), &given).is_ok();
    let (caller, _) = signer.filter(|_| right).ok_or(REFUSED)?;
    let seconds: u64 = expiry.parse().map_err(|_| REFUSED)?;
    let until = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(REFUSED)?;
    if until <= now {
        return Err(no_proof("the token has expired"));
    }
    Ok(Proven { caller, until })
}

fn text(value: &SimpleValue) -> Option<Cow<'_, str>> {
    if let SimpleValue::String(text) = value {
        Some(Cow::Borrowed(text))
    } else if let SimpleValue::Symbol(text) = value {
        Some(Cow::Borrowed(text.as_str()))
    } else if let SimpleValue::Binary(bytes) = value {
        Some(String::from_utf8_lossy(bytes))
    } else {
        None
    }
}

/// What is answered.
pub(super) fn reply(taken: Result<(), NotTaken>) -> Reply {
    let status = match taken {
        Ok(()) => Status::ACCEPTED,
        Err(refused) => Status::of_error(&Error::new(refused.kind, refused.text)),
    };
    Reply {
        subject: None,
        content_type: None,
        content_encoding: None,
        application_properties: status.properties(),
        body: Body::Empty,
    }
}
