//! Content that is JSON stands in replies as JSON, as it is.
//!
//! A message knows JSON as `google.protobuf.Value` only, which would cost its order, its digits and
//! many times its size in memory. So a place is kept for it in the message, and once the message is
//! text, the content is put there.

use bytes::Bytes;
use std::ops::BitOr;

use opgate_core::{Error, ErrorKind, Loss, Losses};
use prost::Message as _;
use prost_types::value::Kind;

use super::exact;
use crate::api::client::payload::Body;
use crate::api::client::{LeaseOperationsResponse, ListOperationsResponse, Operation, Payload};
use crate::api::method::Method;

/// Keeps places, and fills them.
#[derive(Debug)]
pub(super) struct Inline {
    /// What a place is told by. Nobody can guess it, so no content can hold one.
    mark: String,
}

/// A message in which places are kept, what belongs there, the version of the operation where it is one,
/// and what was lost by that.
type Kept = (Bytes, Vec<Vec<u8>>, Option<u64>, Losses);

impl Inline {
    pub(super) fn new() -> Result<Self, String> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        Ok(Self { mark: format!("opgate-{:032x}-", u128::from_ne_bytes(random)) })
    }

    /// The answer of a method.
    pub(super) fn message(&self, method: Method, message: Bytes) -> Result<Kept, Error> {
        let broken =
            |error| Error::new(ErrorKind::Internal, "a reply could not be read").with_source(error);
        let (mut inlined, mut lost) = (Vec::new(), Losses::NONE);
        let (message, version) = match method {
            Method::List => {
                let mut page = ListOperationsResponse::decode(message).map_err(broken)?;
                for shown in &mut page.operations {
                    self.keep(shown, &mut inlined);
                }
                (page.encode_to_vec().into(), None)
            }
            Method::Lease => {
                let mut answer = LeaseOperationsResponse::decode(message).map_err(broken)?;
                let leased = answer.leases.iter_mut().filter_map(|lease| lease.operation.as_mut());
                lost = leased.map(|shown| self.keep(shown, &mut inlined)).fold(lost, BitOr::bitor);
                (answer.encode_to_vec().into(), None)
            }
            Method::Delete | Method::Report | Method::Release => (message, None),
            Method::Start
            | Method::Get
            | Method::Wait
            | Method::Watch
            | Method::WatchAll
            | Method::Cancel
            | Method::Complete
            | Method::Redrive
            | Method::Finish => {
                let mut shown = Operation::decode(message).map_err(broken)?;
                lost = self.keep(&mut shown, &mut inlined);
                (shown.encode_to_vec().into(), Some(shown.version))
            }
        };
        Ok((message, inlined, version, lost))
    }

    /// One operation.
    pub(super) fn operation(&self, mut shown: Operation) -> (Bytes, Vec<Vec<u8>>) {
        let mut inlined = Vec::new();
        self.keep(&mut shown, &mut inlined);
        (shown.encode_to_vec().into(), inlined)
    }

    /// The blanks between the parts of JSON are not kept: that is returned, and said.
    fn keep(&self, shown: &mut Operation, inlined: &mut Vec<Vec<u8>>) -> Losses {
        let mut lost = Losses::NONE;
        let payloads = [(&mut shown.input, Loss::InputText), (&mut shown.result, Loss::ResultText)];
        for (payload, loss) in payloads {
            let Some(payload) = payload else { continue };
            if let Some(json) = json(payload) {
                let same = matches!(&payload.body, Some(Body::Data(data)) if *data == *json);
                lost = lost.with(loss, !same);
                let place = format!("{}{}", self.mark, inlined.len());
                let place = prost_types::Value { kind: Some(Kind::StringValue(place)) };
                payload.body = Some(Body::Json(place));
                inlined.push(json);
            }
        }
        let new = lost
            .iter()
            .map(Loss::token)
            .filter(|token| !shown.lost.iter().any(|known| known == token));
        let new: Vec<String> = new.map(str::to_owned).collect();
        shown.lost.extend(new);
        lost
    }

    /// Fills the places of a message that is text now.
    pub(super) fn put(&self, text: Vec<u8>, inlined: &[Vec<u8>]) -> Vec<u8> {
        if inlined.is_empty() {
            return text;
        }
        let Ok(text) = String::from_utf8(text) else { return Vec::new() };
        let mark = format!("\"{}", self.mark);
        let mut parts = text.split(&*mark);
        let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let (index, rest) = part.split_once('"').unwrap_or((part, ""));
            let json = index.parse().ok().and_then(|index: usize| inlined.get(index));
            out.extend_from_slice(json.map_or(b"null", Vec::as_slice));
            out.extend_from_slice(rest.as_bytes());
        }
        out
    }
}

/// The content as it can stand in a reply.
fn json(payload: &Payload) -> Option<Vec<u8>> {
    let essence = payload.media_type.split(';').next().unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || essence.to_ascii_lowercase().ends_with("+json");
    match &payload.body {
        Some(Body::Data(data)) if is_json && payload.encoding.is_empty() => exact::compact(data),
        Some(Body::Data(_) | Body::Json(_) | Body::Text(_)) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(media_type: &str, data: &'static [u8]) -> Payload {
        let body = Some(Body::Data(Bytes::from_static(data)));
        Payload {
            media_type: media_type.to_owned(),
            encoding: String::new(),
            body,
            sections: Vec::new(),
        }
    }

    #[test]
    fn every_place_is_filled_with_what_belongs_there() {
        let inline = Inline::new().unwrap();
        let shown = Operation {
            input: Some(payload("application/json; charset=utf-8", b"[1, 2]")),
            result: Some(payload("application/problem+json", br#"{"b":1,"a":"\n"}"#)),
            ..Operation::default()
        };
        let (message, inlined) = inline.operation(shown);
        let kept = Operation::decode(message).unwrap();
        let place = |payload: &Option<Payload>| match payload.as_ref().unwrap().body.as_ref() {
            Some(Body::Json(value)) => serde_json::to_string(&match &value.kind {
                Some(Kind::StringValue(place)) => place,
                other => panic!("{other:?}"),
            })
            .unwrap(),
            other => panic!("{other:?}"),
        };
        let text = format!("{{\"x\":{},\"y\":{}}}", place(&kept.input), place(&kept.result));
        let filled = inline.put(text.into_bytes(), &inlined);
        assert_eq!(filled, br#"{"x":[1,2],"y":{"b":1,"a":"\n"}}"#);
    }

    #[test]
    fn what_is_no_json_or_would_lose_something_stays_bytes() {
        let inline = Inline::new().unwrap();
        for (media_type, data) in [
            ("text/plain", &b"1"[..]),
            ("application/json", b"{"),
            ("application/json", b"12345678901234567890"),
            ("application/jsonx", b"1"),
        ] {
            let shown =
                Operation { input: Some(payload(media_type, data)), ..Operation::default() };
            let (message, inlined) = inline.operation(shown.clone());
            assert!(inlined.is_empty());
            assert_eq!(Operation::decode(message).unwrap(), shown);
        }
        let mut encoded = payload("application/json", b"1");
        encoded.encoding = "gzip".to_owned();
        let shown = Operation { input: Some(encoded), ..Operation::default() };
        assert!(inline.operation(shown).1.is_empty());
    }
}
