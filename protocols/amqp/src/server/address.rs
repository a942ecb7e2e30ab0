//! What opgate's addresses lead to.

use crate::wire::address;

/// What an address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A management node: `$management` or `{entity}/$management`.
    Management,
    /// The node of HTTP over AMQP.
    Http,
    /// Where tokens are put.
    Cbs,
    /// A queue, by name.
    Queue(&'a str),
}

/// Where the path of an address leads; none if nowhere.
pub(super) fn place(path: &str) -> Option<Place<'_>> {
    if address::entity(path).is_some() {
        return Some(Place::Management);
    }
    match path {
        "$cbs" => Some(Place::Cbs),
        "management" => Some(Place::Http),
        _ => {
            // `queues/` is how RabbitMQ 4's clients name a queue.
            let name = path.strip_prefix("queue/").or_else(|| path.strip_prefix("queues/"))?;
            (!name.is_empty() && !name.contains('/')).then_some(Place::Queue(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_the_same_place_however_it_is_written() {
        for (address, leads_to) in [
            ("$management", Some(Place::Management)),
            ("/$management", Some(Place::Management)),
            ("amqps://127.0.0.1:5671/q1/$management", Some(Place::Management)),
            ("projects/p/$management", Some(Place::Management)),
            ("_topo/0/r/$management", Some(Place::Management)),
            ("$managements", None),
            ("/management", Some(Place::Http)),
            ("$cbs", Some(Place::Cbs)),
            ("sb://host/$cbs", Some(Place::Cbs)),
            ("queue/encode", Some(Place::Queue("encode"))),
            ("/queue/encode", Some(Place::Queue("encode"))),
            ("/queues/encode", Some(Place::Queue("encode"))),
            ("queue/", None),
            ("queues/", None),
            ("queue/a/b", None),
            ("amqp://host", None),
            ("", None),
        ] {
            assert_eq!(place(address::path(address)), leads_to, "{address}");
        }
    }
}
