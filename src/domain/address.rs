//! Which addresses are public: where a picture may be fetched from that a stranger names. The table
//! follows IANA's registries of special-purpose addresses (RFC 6890) and is stricter where they
//! leave room: nothing that only relays, measures or translates keeps pictures. What is not in the
//! table is public in IPv4, and in IPv6 only if it is global unicast, so that a range which is
//! assigned tomorrow is refused until somebody has thought of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses: all that share the first bits of its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// A block that is not public, and what it is.
struct Special {
    network: Network,
    what: &'static str,
}

/// What is not public in IPv4: IANA IPv4 Special-Purpose Address Registry, multicast (RFC 5771),
/// and addresses that a cloud keeps for itself.
const SPECIAL_V4: &[Special] = &[
    v4([0, 0, 0, 0], 8, "this network (RFC 791)"),
    v4([10, 0, 0, 0], 8, "private (RFC 1918)"),
    v4([100, 64, 0, 0], 10, "shared by a carrier (RFC 6598)"),
    v4([127, 0, 0, 0], 8, "loopback (RFC 1122)"),
    // The metadata services of most clouds are 169.254.169.254.
    v4([169, 254, 0, 0], 16, "link-local (RFC 3927)"),
    v4([172, 16, 0, 0], 12, "private (RFC 1918)"),
    v4([192, 0, 0, 0], 24, "protocol assignments (RFC 6890)"),
    v4([192, 0, 2, 0], 24, "documentation (RFC 5737)"),
    v4([192, 31, 196, 0], 24, "AS112 (RFC 7535)"),
    v4([192, 52, 193, 0], 24, "multicast relays (RFC 7450)"),
    v4([192, 88, 99, 0], 24, "6to4 relays (RFC 7526)"),
    v4([192, 168, 0, 0], 16, "private (RFC 1918)"),
    v4([192, 175, 48, 0], 24, "AS112 (RFC 7534)"),
    v4([198, 18, 0, 0], 15, "measurements (RFC 2544)"),
    v4([198, 51, 100, 0], 24, "documentation (RFC 5737)"),
    v4([203, 0, 113, 0], 24, "documentation (RFC 5737)"),
    v4([224, 0, 0, 0], 4, "multicast (RFC 5771)"),
    v4([240, 0, 0, 0], 4, "reserved, broadcast (RFC 1112, RFC 919)"),
    // Looks public; inside Azure it is the host of the virtual machine.
    v4([168, 63, 129, 16], 32, "Azure's host"),
];

/// What is not public in IPv6: IANA IPv6 Special-Purpose Address Registry, and ranges that were
/// taken out of use but may still be routed inside. 2001::/23 is refused whole: what it holds are
/// tunnels, relays and identifiers, none of which serves pictures.
const SPECIAL_V6: &[Special] = &[
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified (RFC 4291)"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback (RFC 4291)"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible (RFC 4291)"),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "IPv4-mapped (RFC 4291)"),
    v6(
        [0, 0, 0, 0, 0xffff, 0, 0, 0],
        96,
        "IPv4-translated (RFC 2765)",
    ),
    v6(
        [0x64, 0xff9b, 1, 0, 0, 0, 0, 0],
        48,
        "local translation (RFC 8215)",
    ),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discarded (RFC 6666)"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "dummy (RFC 9780)"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo (RFC 4380)"),
    v6(
        [0x2001, 0, 0, 0, 0, 0, 0, 0],
        23,
        "protocol assignments (RFC 2928)",
    ),
    v6(
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0],
        32,
        "documentation (RFC 3849)",
    ),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4 (RFC 3056)"),
    v6(
        [0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0],
        48,
        "AS112 (RFC 7534)",
    ),
    v6(
        [0x3fff, 0, 0, 0, 0, 0, 0, 0],
        20,
        "documentation (RFC 9637)",
    ),
    v6(
        [0x5f00, 0, 0, 0, 0, 0, 0, 0],
        16,
        "segment routing (RFC 9602)",
    ),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local (RFC 4193)"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local (RFC 4291)"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local (RFC 3879)"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast (RFC 4291)"),
];

/// The only part of IPv6 from which public addresses are given out (RFC 4291, IANA IPv6 Address
/// Space).
const GLOBAL_UNICAST: Network = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, "").network;

/// An IPv4 address as a network without IPv4 writes it (RFC 6052): as public as what it embeds.
const TRANSLATED: Network = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "").network;

/// Whether an address is on the public internet.
pub fn is_public(address: IpAddr) -> bool {
    not_public(address).is_none()
}

/// What an address is that is not public, for the log; `None` if it is public.
pub fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(_) => listed(SPECIAL_V4, address),
        IpAddr::V6(v6) if TRANSLATED.contains(address) => not_public(last_four(v6).into()),
        IpAddr::V6(v6) => listed(SPECIAL_V6, address)
            .or_else(|| is_isatap(v6).then_some("ISATAP (RFC 5214)"))
            .or_else(|| {
                let given_out = GLOBAL_UNICAST.contains(address);
                (!given_out).then_some("not global unicast (RFC 4291)")
            }),
    }
}

fn listed(table: &[Special], address: IpAddr) -> Option<&'static str> {
    let found = table
        .iter()
        .find(|special| special.network.contains(address));
    found.map(|special| special.what)
}

/// The IPv4 address at the end of an IPv6 address.
const fn last_four(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// Whether the second half is that of a tunnel to an IPv4 address inside a site (RFC 5214, 6.1).
const fn is_isatap(address: Ipv6Addr) -> bool {
    let [_, _, _, _, scope, tunnel, _, _] = address.segments();
    matches!(scope, 0 | 0x200) && tunnel == 0x5efe
}

const fn v4([a, b, c, d]: [u8; 4], prefix: u8, what: &'static str) -> Special {
    Special {
        network: Network {
            base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix,
        },
        what,
    }
}

const fn v6(base: [u16; 8], prefix: u8, what: &'static str) -> Special {
    let [a, b, c, d, e, f, g, h] = base;
    Special {
        network: Network {
            base: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)),
            prefix,
        },
        what,
    }
}

// === impl Network ===

impl Network {
    /// All addresses that share the first `prefix` bits with `base`; what else `base` has does not
    /// count.
    pub const fn new(base: IpAddr, prefix: u8) -> Self {
        Self { base, prefix }
    }

    /// Whether an address is one of these. An IPv4 address is never one of IPv6, however it is
    /// embedded.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = leftmost(self.base) ^ leftmost(address);
        let beyond = 128_u32.saturating_sub(self.prefix.into());
        let same_bits = differing.checked_shr(beyond).unwrap_or(0) == 0;
        self.base.is_ipv4() == address.is_ipv4() && same_bits
    }
}

/// The bits of an address from the left, so that both kinds are compared alike.
fn leftmost(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests;
