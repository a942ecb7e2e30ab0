//! Which addresses are of the public internet.
//!
//! From IANA's registries of special-purpose addresses (RFC 6890 and what came after). IPv6 is the
//! other way round: only what lies in `2000::/3` is handed out at all, so anything else is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Blocks of IPv4 that are not of the public internet: network, bits, and what it is.
const V4: [(Ipv4Addr, u32, &str); 17] = [
    (Ipv4Addr::UNSPECIFIED, 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "an address shared behind a carrier's NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    // The host's own agent on one cloud's machines: it looks public and is not.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud platform's own address"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "an address for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay for 6to4"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "an address for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address"),
    (Ipv4Addr::BROADCAST, 32, "the broadcast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address"),
];

/// Blocks of IPv6 that are not of the public internet. The first that has an address names it.
const V6: [(Ipv6Addr, u32, &str); 16] = [
    (Ipv6Addr::UNSPECIFIED, 128, "the unspecified address"),
    (Ipv6Addr::LOCALHOST, 128, "a loopback address"),
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4 address in disguise"),
    (v6([0, 0, 0, 0, 0xffff]), 96, "an IPv4 address in disguise"),
    (v6([0x64, 0xff9b, 1, 0, 0]), 48, "an IPv4 address behind a local translator"),
    (v6([0x100, 0, 0, 0, 0]), 64, "an address that discards"),
    (v6([0x2001, 0, 0, 0, 0]), 32, "a Teredo address"),
    (v6([0x2001, 0, 0, 0, 0]), 23, "an address for protocols"),
    (v6([0x2001, 0xdb8, 0, 0, 0]), 32, "an address for documentation"),
    (v6([0x2002, 0, 0, 0, 0]), 16, "a 6to4 address"),
    (v6([0x3fff, 0, 0, 0, 0]), 20, "an address for documentation"),
    (v6([0xfc00, 0, 0, 0, 0]), 7, "a unique local address"),
    (v6([0xfe80, 0, 0, 0, 0]), 10, "a link-local address"),
    (v6([0xfec0, 0, 0, 0, 0]), 10, "a site-local address"),
    (v6([0xff00, 0, 0, 0, 0]), 8, "a multicast address"),
    (v6([0x5f00, 0, 0, 0, 0]), 16, "a segment routing address"),
];

/// What `64:ff9b::/96` begins with: an IPv4 address behind the well-known translator (RFC 6052).
const NAT64: u128 = v6([0x64, 0xff9b, 0, 0, 0]).to_bits() >> 32;
/// How `2000::/3` begins.
const GLOBAL: u128 = 0b001;

/// An address by its first five of eight parts.
const fn v6(parts: [u16; 5]) -> Ipv6Addr {
    Ipv6Addr::new(parts[0], parts[1], parts[2], parts[3], parts[4], 0, 0, 0)
}

/// What an address is that is not of the public internet; none for one that is.
pub(super) fn not_public(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => not_public_v4(address),
        IpAddr::V6(address) => not_public_v6(address),
    }
}

fn not_public_v4(address: Ipv4Addr) -> Option<&'static str> {
    let begins = |network: Ipv4Addr, bits: u32| {
        (address.to_bits() ^ network.to_bits()).leading_zeros() >= bits
    };
    V4.iter().find(|(network, bits, _)| begins(*network, *bits)).map(|(_, _, kind)| *kind)
}

fn not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    let begins = |network: Ipv6Addr, bits: u32| {
        (address.to_bits() ^ network.to_bits()).leading_zeros() >= bits
    };
    if address.to_bits() >> 32 == NAT64 {
        let [.., a, b, c, d] = address.octets();
        return not_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    // An interface id of ISATAP holds an IPv4 address, whatever network is before it (RFC 5214).
    if matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _]) {
        return Some("an IPv4 address in disguise");
    }
    let special = V6.iter().find(|(network, bits, _)| begins(*network, *bits));
    let reserved = (address.to_bits() >> 125 != GLOBAL).then_some("a reserved address");
    special.map(|(_, _, kind)| *kind).or(reserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(address: &str) -> Option<&'static str> {
        not_public(address.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_public() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00::1",
            "2001:200::1",
            "2001:db9::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert_eq!(kind(address), None, "{address}");
        }
    }

    #[test]
    fn the_edges_of_every_block_are_not() {
        for (network, bits, expected) in V4 {
            let last = network.to_bits() | u32::MAX.checked_shr(bits).unwrap_or(0);
            for address in [network, Ipv4Addr::from_bits(last)] {
                assert!(not_public_v4(address).is_some(), "{address} {expected}");
                let mapped = address.to_ipv6_mapped();
                assert_eq!(not_public(mapped.into()), not_public_v4(address), "{mapped}");
                let nat64 = Ipv6Addr::from_bits(NAT64 << 32 | u128::from(address.to_bits()));
                assert_eq!(not_public(nat64.into()), not_public_v4(address), "{nat64}");
            }
        }
        for (network, bits, expected) in V6 {
            let last = network.to_bits() | u128::MAX.checked_shr(bits).unwrap_or(0);
            for address in [network, Ipv6Addr::from_bits(last)] {
                assert!(not_public(address.into()).is_some(), "{address} {expected}");
            }
        }
    }

    #[test]
    fn what_carries_another_address_is_told_by_it_or_refused() {
        for (address, expected) in [
            ("::ffff:10.0.0.1", "a private address"),
            ("::127.0.0.1", "an IPv4 address in disguise"),
            ("::ffff:0:127.0.0.1", "an IPv4 address in disguise"),
            ("64:ff9b::a9fe:a9fe", "a link-local address"),
            ("64:ff9b:1::8.8.8.8", "an IPv4 address behind a local translator"),
            ("2002:7f00:1::", "a 6to4 address"),
            ("2001:0:7f00:1::", "a Teredo address"),
            ("2a00::5efe:7f00:1", "an IPv4 address in disguise"),
            ("2a00::200:5efe:a9fe:a9fe", "an IPv4 address in disguise"),
            ("4000::1", "a reserved address"),
        ] {
            assert_eq!(kind(address), Some(expected), "{address}");
        }
    }
}
