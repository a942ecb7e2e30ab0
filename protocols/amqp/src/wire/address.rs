//! Addresses of nodes.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The last segment of a management node's address.
pub const MANAGEMENT: &str = "$management";

/// The path of an address: clients of Azure's send whole URLs, such as `amqps://host:port/q1`.
pub fn path(address: &str) -> &str {
    let path = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => address,
    };
    path.strip_prefix('/').unwrap_or(path)
}

/// The entity of a management node, by the node's path: what stands in front of `$management`, empty
/// for the node of all; none for any other node.
pub fn entity(path: &str) -> Option<&str> {
    let rest = path.strip_suffix(MANAGEMENT)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_suffix('/') }
}

/// An entity as it is called elsewhere: what is percent-encoded in an address is not in a name.
pub fn decoded(entity: &str) -> Cow<'_, str> {
    percent_decode_str(entity).decode_utf8().unwrap_or(Cow::Borrowed(entity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_authority_are_no_part_of_the_path() {
        for (address, expected) in [
            ("$management", "$management"),
            ("/management", "management"),
            ("amqps://host:5671/q1/$management", "q1/$management"),
            ("sb://host/q1", "q1"),
            ("amqp://host", ""),
            ("", ""),
        ] {
            assert_eq!(path(address), expected, "{address}");
        }
    }

    #[test]
    fn a_management_node_is_known_by_its_last_segment() {
        assert_eq!(entity("$management"), Some(""));
        assert_eq!(entity("projects/p/$management"), Some("projects/p"));
        for other in ["management", "x$management", "$management/x", "queue/q", ""] {
            assert_eq!(entity(other), None, "{other}");
        }
        assert_eq!(decoded("a%20b/c%2Fd"), "a b/c/d");
        assert_eq!(decoded("a%ff"), "a%ff");
    }
}
