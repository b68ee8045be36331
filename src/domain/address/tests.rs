use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

/// IANA's registries as they stand (IPv4 and IPv6 Special-Purpose Address Space, IPv6 Global
/// Unicast Address Assignments), typed in apart from the table: block, globally reachable.
const REGISTRY: &[(&str, bool)] = &[
    ("0.0.0.0/8", false),
    ("0.0.0.0/32", false),
    ("10.0.0.0/8", false),
    ("100.64.0.0/10", false),
    ("127.0.0.0/8", false),
    ("169.254.0.0/16", false),
    ("172.16.0.0/12", false),
    ("192.0.0.0/24", false),
    ("192.0.0.0/29", false),
    ("192.0.0.8/32", false),
    ("192.0.0.9/32", true),
    ("192.0.0.10/32", true),
    ("192.0.0.170/32", false),
    ("192.0.0.171/32", false),
    ("192.0.2.0/24", false),
    ("192.31.196.0/24", true),
    ("192.52.193.0/24", true),
    ("192.88.99.0/24", false),
    ("192.168.0.0/16", false),
    ("192.175.48.0/24", true),
    ("198.18.0.0/15", false),
    ("198.51.100.0/24", false),
    ("203.0.113.0/24", false),
    ("240.0.0.0/4", false),
    ("255.255.255.255/32", false),
    ("::1/128", false),
    ("::/128", false),
    ("::ffff:0:0/96", false),
    ("64:ff9b:1::/48", false),
    ("100::/64", false),
    ("100:0:0:1::/64", false),
    ("2001::/23", false),
    ("2001::/32", false),
    ("2001:1::1/128", true),
    ("2001:1::2/128", true),
    ("2001:1::3/128", true),
    ("2001:2::/48", false),
    ("2001:3::/32", true),
    ("2001:4:112::/48", true),
    ("2001:10::/28", false),
    ("2001:20::/28", true),
    ("2001:30::/28", true),
    ("2001:db8::/32", false),
    ("2002::/16", false),
    ("2620:4f:8000::/48", true),
    ("3fff::/20", false),
    ("5f00::/16", false),
    ("fc00::/7", false),
    ("fe80::/10", false),
];

fn block(text: &str) -> Network {
    let (base, prefix) = text.split_once('/').expect("a prefix");
    let base = base.parse().expect("an address");
    Network::new(base, prefix.parse().expect("a number"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The first and the last address of a block, and the ones before and behind it.
fn edges(Network { base, prefix }: Network) -> ([IpAddr; 2], Vec<IpAddr>) {
    let (first, bits, of): (u128, u32, fn(u128) -> IpAddr) = match base {
        IpAddr::V4(base) => (base.to_bits().into(), 32, |bits| {
            Ipv4Addr::from_bits(u32::try_from(bits).expect("an IPv4 address")).into()
        }),
        IpAddr::V6(base) => (base.to_bits(), 128, |bits| Ipv6Addr::from_bits(bits).into()),
    };
    let size = 1_u128 << (bits - u32::from(prefix));
    let last = first + (size - 1);
    let largest = u128::MAX >> (128 - bits);
    let before = first.checked_sub(1);
    let behind = last.checked_add(1).filter(|next| *next <= largest);
    let outside = [before, behind].into_iter().flatten().map(of).collect();
    ([of(first), of(last)], outside)
}

#[test]
fn nothing_that_the_registries_set_apart_is_public() {
    for (text, _) in REGISTRY {
        let (inside, _) = edges(block(text));
        for address in inside {
            assert!(!is_public(address), "{address} of {text}");
        }
    }
}

#[test]
fn every_block_ends_where_its_registry_says() {
    let all = SPECIAL_V4.iter().chain(SPECIAL_V6);
    for special in all {
        let (inside, outside) = edges(special.network);
        for address in inside {
            assert!(!is_public(address), "{address} is {}", special.what);
        }
        for address in outside {
            let elsewhere = SPECIAL_V4.iter().chain(SPECIAL_V6);
            let listed = elsewhere
                .into_iter()
                .any(|other| other.network.contains(address));
            let expected = !listed && (address.is_ipv4() || GLOBAL_UNICAST.contains(address));
            assert_eq!(
                is_public(address),
                expected,
                "{address} beside {}",
                special.what
            );
        }
    }
}

#[test]
fn no_block_has_bits_beyond_its_prefix() {
    for special in SPECIAL_V4.iter().chain(SPECIAL_V6) {
        let Network { base, prefix } = special.network;
        let beyond = leftmost(base).checked_shl(prefix.into()).unwrap_or(0);
        assert_eq!(beyond, 0, "{base}/{prefix}");
    }
}

#[test]
fn well_known_servers_are_public() {
    for text in [
        "1.1.1.1",
        "8.8.8.8",
        "9.9.9.9",
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "2a00:1450:4001:829::200e",
        "2620:fe::fe",
        "64:ff9b::8.8.8.8",
    ] {
        assert!(is_public(ip(text)), "{text}");
    }
}

#[test]
fn metadata_services_are_not_public() {
    for text in [
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::a9fe:a9fe",
    ] {
        assert!(!is_public(ip(text)), "{text}");
    }
}

#[test]
fn a_tunnel_into_a_site_is_not_public() {
    for text in [
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:10.0.0.1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "::127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:8.8.8.8",
    ] {
        assert!(!is_public(ip(text)), "{text}");
    }
}

#[test]
fn a_network_holds_its_own_kind_only() {
    let all = Network::new(ip("0.0.0.0"), 0);
    assert!(all.contains(ip("255.1.2.3")));
    assert!(!all.contains(ip("::1")) && !all.contains(ip("::ffff:1.2.3.4")));
    let one = Network::new(ip("fd00::1"), 128);
    assert!(one.contains(ip("fd00::1")) && !one.contains(ip("fd00::2")));
    let loopback = Network::new(ip("127.0.0.1"), 32);
    assert!(loopback.contains(ip("127.0.0.1")) && !loopback.contains(ip("127.0.0.2")));
}

/// Addresses near the edges of blocks, and anywhere.
fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
    let near = (0..SPECIAL_V4.len(), any::<u32>(), 0..32_u32).prop_map(|(which, noise, shift)| {
        let IpAddr::V4(base) = SPECIAL_V4[which].network.base else {
            unreachable!("a table of IPv4")
        };
        Ipv4Addr::from_bits(base.to_bits() ^ (noise >> shift))
    });
    prop_oneof![near, any::<u32>().prop_map(Ipv4Addr::from_bits)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_the_standard_library_sets_apart_is_not_public(address in any_v4()) {
        let apart = address.is_private()
            || address.is_loopback()
            || address.is_link_local()
            || address.is_broadcast()
            || address.is_documentation()
            || address.is_multicast()
            || address.is_unspecified();
        prop_assert!(!apart || !is_public(address.into()), "{address}");
    }

    #[test]
    fn membership_is_a_comparison_of_first_bits(address in any_v4(), which in 0..SPECIAL_V4.len()) {
        let Network { base, prefix } = SPECIAL_V4[which].network;
        let IpAddr::V4(base) = base else { unreachable!("a table of IPv4") };
        let digits = |address: Ipv4Addr| format!("{:032b}", address.to_bits());
        let same = digits(base)[..prefix.into()] == digits(address)[..prefix.into()];
        prop_assert_eq!(SPECIAL_V4[which].network.contains(address.into()), same);
    }

    #[test]
    fn an_embedded_address_is_never_more_public_than_itself(address in any_v4()) {
        let [high, low] = [address.to_bits() >> 16, address.to_bits() & 0xffff]
            .map(|half| u16::try_from(half).expect("sixteen bits"));
        let public = |segments: [u16; 8]| is_public(Ipv6Addr::from(segments).into());
        prop_assert_eq!(public([0x64, 0xff9b, 0, 0, 0, 0, high, low]), is_public(address.into()));
        prop_assert!(!public([0, 0, 0, 0, 0, 0xffff, high, low]), "mapped");
        prop_assert!(!public([0, 0, 0, 0, 0, 0, high, low]), "compatible");
        prop_assert!(!public([0, 0, 0, 0, 0xffff, 0, high, low]), "translated");
        prop_assert!(!public([0x2002, high, low, 0, 0, 0, 0, 1]), "6to4");
        prop_assert!(!public([0x2001, 0, high, low, 0, 0, !high, !low]), "Teredo");
        prop_assert!(!public([0x64, 0xff9b, 1, 0, 0, 0, high, low]), "local translation");
        prop_assert!(!public([0x2a00, 1, 2, 3, 0, 0x5efe, high, low]), "ISATAP");
    }

    #[test]
    fn no_address_outside_global_unicast_is_public(bits in any::<u128>()) {
        let address = IpAddr::from(Ipv6Addr::from_bits(bits));
        let first = bits >> 125;
        prop_assert!(!is_public(address) || first == 1 || TRANSLATED.contains(address), "{address}");
    }
}
