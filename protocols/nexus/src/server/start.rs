//! Starts.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Response};
use opgate_bus::{RepeatKey, Start};
use opgate_core::{Callback, Error, ErrorKind, Face, KeySpace, Loss, Losses, limits};
use opgate_edge::{Body, BodyError, RequestBody, collect_limited};
use opgate_rpc::headers as shared;
use opgate_rpc::wire::Deadline;
use sha2::{Digest as _, Sha256};

use super::ask::Ask;
use super::path::Target;
use super::{Inner, Refusal, head, reply};
use crate::token;
use crate::wire::{content, link, names};

/// The family of this face's dedupe keys.
const KEYS: &str = "nexus";

impl Inner {
    /// Starts an operation, or finds the one that its request id has started.
    pub(super) async fn start(
        &self,
        target: &Target,
        ask: &Ask,
        headers: &HeaderMap,
        body: RequestBody,
        deadline: Deadline,
    ) -> Result<Response<Body>, Refusal> {
        let settings = &self.settings;
        let body = Box::pin(async {
            Ok(collect_limited(body, settings.request_bytes, settings.request_timeout).await)
        });
        // Read before anything is refused: who still sends may not hear an answer.
        let body = deadline.bound(body).await.map_err(Refusal::Unread)?;
        let body = body.map_err(|error| unread(&error))?;
        let start = self.asked(target, ask, headers, body)?;
        let receipt = deadline.bound(self.bus.start(&self.caller, start)).await?;
        let token = token::of(&self.bus, &receipt.snapshot)?;
        Ok(reply::started(&receipt, &token))
    }

    fn asked(
        &self,
        target: &Target,
        ask: &Ask,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Start, Error> {
        let route = self.route(target)?;
        let input = content::read(headers, body)?;
        let mut start = Start::new(Face::Nexus, target.endpoint(), route, input);
        start.parent = target.parent.clone();
        let request_id = head::request_id(headers)?;
        start.request_id = request_id.map(Box::from);
        start.dedupe = request_id.map(|id| RepeatKey {
            own: Some(id.into()),
            ..RepeatKey::new(KeySpace::new(KEYS), key(target, id))
        });
        start.deadline = head::operation_timeout(headers);
        start.headers = head::kept(headers);
        start.links = link::read(headers)?;
        start.trace = shared::trace(headers);
        start.tells_end = true;
        start.lost = Losses::NONE.with(Loss::InputType, content::is_more(headers));
        if let Some(url) = &ask.callback {
            let refused = |problem| Error::invalid(names::CALLBACK, problem);
            if url.len() > limits::TEXT_BYTES {
                let allowed = limits::TEXT_BYTES;
                let problem = format!("is {} bytes long, at most {allowed} are allowed", url.len());
                return Err(refused(problem));
            }
            (self.settings.admit)(url).map_err(refused)?;
            start.callbacks = vec![Callback::new(url.as_str(), head::of_callback(headers))];
        }
        Ok(start)
    }

    /// The only route of a kind.
    fn route(&self, target: &Target) -> Result<Arc<str>, Error> {
        let routes = self.bus.routes_of(target.kind.service(), target.kind.operation());
        match &*routes {
            [] => {
                let text = "there is no such operation of such a service";
                Err(Error::new(ErrorKind::NotFound, text))
            }
            [only] => Ok(Arc::clone(&only.name)),
            several => {
                let names: Vec<&str> = several.iter().map(|route| &*route.name).collect();
                let problem = format!("could be any of the routes {}", names.join(", "));
                Err(Error::invalid("operation", problem))
            }
        }
    }
}

/// A request id counts among the starts of one operation of one service behind one endpoint.
fn key(target: &Target, request_id: &str) -> String {
    let mut hash = Sha256::new();
    let kind = &target.kind;
    for part in [target.parent.as_str(), kind.service(), kind.operation(), request_id] {
        // Each behind its length, so that ("ab", "c") and ("a", "bc") differ.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

fn unread(error: &BodyError) -> Refusal {
    match error {
        BodyError::TooLarge { .. } => {
            Refusal::Unread(Error::new(ErrorKind::PayloadTooLarge, error.to_string()))
        }
        BodyError::Timeout { .. } => {
            Refusal::Unread(Error::new(ErrorKind::DeadlineExceeded, error.to_string()))
        }
        BodyError::Broken(_) => Refusal::Withdrawn,
    }
}

#[cfg(test)]
mod tests {
    use opgate_core::{Kind, Parent};

    use super::*;

    #[test]
    fn a_key_is_good_for_its_operation_only() {
        let target = |parent: &str, service: &str, operation: &str| Target {
            kind: Kind::new(service, operation).unwrap(),
            parent: Parent::new(parent).unwrap(),
        };
        let here = key(&target("", "s", "o"), "id");
        assert_eq!(here, key(&target("", "s", "o"), "id"));
        for other in [
            key(&target("endpoints/e", "s", "o"), "id"),
            key(&target("", "so", "o"), "id"),
            key(&target("", "s", "oi"), "d"),
            key(&target("", "s", "o"), "di"),
        ] {
            assert_ne!(here, other);
        }
        assert_eq!(here.len(), 43);
    }
}
