//! Content as data sections.

use fe2o3_amqp_types::messaging::Data;
use opgate_core::Payload;
use serde_amqp::primitives::Binary;

/// The data sections of content, as many as it came in.
pub fn sections(payload: &Payload) -> Vec<Data> {
    let data = |bytes: &[u8]| Data(Binary::from(bytes.to_vec()));
    let mut rest = &*payload.bytes;
    let mut sections = Vec::with_capacity(payload.sections.len().max(1));
    for length in &payload.sections {
        let length = usize::try_from(*length).unwrap_or(usize::MAX).min(rest.len());
        let (section, after) = rest.split_at(length);
        sections.push(data(section));
        rest = after;
    }
    if sections.is_empty() || !rest.is_empty() {
        sections.push(data(rest));
    }
    sections
}
