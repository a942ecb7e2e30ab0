//! Claims-based security (OASIS AMQP CBS, draft): tokens put to `$cbs`, as Azure's clients do.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fe2o3_amqp_types::messaging::{Body, Message};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_core::{Error, ErrorKind};
use percent_encoding::percent_decode_str;
use ring::hmac;
use serde_amqp::Value;

use super::sasl::Identity;
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

/// Looks at a request to `$cbs`: whom its token proves its sender to be. A token of a kind that opgate cannot
/// check proves nobody.
pub(super) fn put(
    message: &Message<Body<Value>>,
    users: &Users,
    now: SystemTime,
) -> Result<Option<Identity>, NotTaken> {
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
    let Some(signed) = token.strip_prefix("SharedAccessSignature ") else { return Ok(None) };
    signature(signed, users, now).map(Some)
}

/// A shared access signature: `sr=RESOURCE&sig=SIGNATURE&se=EXPIRY&skn=KEY`. It is an HMAC of the resource, as it
/// is written there, and the expiry (Azure Service Bus, "Service Bus access control with SAS").
fn signature(token: &str, users: &Users, now: SystemTime) -> Result<Identity, NotTaken> {
    const REFUSED: NotTaken =
        NotTaken { kind: ErrorKind::Unauthenticated, text: "the token is not valid" };
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
    let (identity, _) = signer.filter(|_| right).ok_or(REFUSED)?;
    let seconds: u64 = expiry.parse().map_err(|_| REFUSED)?;
    let until = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(REFUSED)?;
    if until < now {
        return Err(NotTaken { kind: ErrorKind::Unauthenticated, text: "the token has expired" });
    }
    Ok(identity)
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
pub(super) fn reply(taken: &Result<Option<Identity>, NotTaken>) -> Reply {
    let status = match taken {
        Ok(_) => Status::ACCEPTED,
        Err(refused) => Status::of_error(&Error::new(refused.kind, refused.text)),
    };
    Reply {
        subject: None,
        content_type: None,
        application_properties: status.properties(),
        body: Body::Empty,
    }
}
