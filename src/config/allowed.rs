//! `REFERENCE_URL_ALLOW`: where the addresses of reference images may lead though they are not
//! public.

use std::net::{IpAddr, SocketAddr};

/// The longest name of a host (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// The longest part of a name between dots (RFC 1035, 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// A place that a reference URL may lead to though it is not public; also with `http`, and on
/// other ports than 443.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Wherever this name leads.
    Host {
        /// In lower case, without a dot at its end.
        name: String,
        /// The only port; `None` is any.
        port: Option<u16>,
    },
    /// These addresses, given as themselves or by a name that leads nowhere else.
    Network {
        /// The first of them.
        base: IpAddr,
        /// How many of the first bits they share: at most 32 or 128.
        prefix: u8,
        /// The only port; `None` is any.
        port: Option<u16>,
    },
}

impl Allowed {
    /// Reads a list, separated by commas; white space around an entry does not count.
    pub(super) fn list(text: &str) -> Option<Vec<Self>> {
        if text.trim().is_empty() {
            return Some(Vec::new());
        }
        text.split(',')
            .map(|entry| Self::one(entry.trim()))
            .collect()
    }

    /// Reads a list of networks and addresses alone, each as its base and its prefix.
    pub(super) fn networks(text: &str) -> Option<Vec<(IpAddr, u8)>> {
        let network = |allowed| match allowed {
            Self::Network {
                base,
                prefix,
                port: None,
            } => Some((base, prefix)),
            Self::Network { port: Some(_), .. } | Self::Host { .. } => None,
        };
        Self::list(text)?.into_iter().map(network).collect()
    }

    fn one(text: &str) -> Option<Self> {
        if let Some((base, prefix)) = text.split_once('/') {
            return network(base, prefix);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return (address.port() > 0).then(|| one_address(address.ip(), Some(address.port())));
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Some(one_address(address, None));
        }
        let (name, port) = match text.split_once(':') {
            Some((name, digits)) => (name, Some(port(digits)?)),
            None => (text, None),
        };
        Some(Self::Host {
            name: host_name(name)?,
            port,
        })
    }
}

const fn one_address(base: IpAddr, port: Option<u16>) -> Allowed {
    let prefix = if base.is_ipv4() { 32 } else { 128 };
    Allowed::Network { base, prefix, port }
}

/// Bits beyond the prefix are a slip: `10.0.0.1/8` may mean one address or sixteen million.
fn network(base: &str, digits: &str) -> Option<Allowed> {
    let base: IpAddr = base.parse().ok()?;
    let prefix: u8 = decimal(digits)?;
    let (bits, beyond) = match base {
        IpAddr::V4(base) => {
            let beyond = base.to_bits().checked_shl(prefix.into());
            (32, u128::from(beyond.unwrap_or(0)))
        }
        IpAddr::V6(base) => {
            let beyond = base.to_bits().checked_shl(prefix.into());
            (128, beyond.unwrap_or(0))
        }
    };
    (prefix <= bits && beyond == 0).then_some(Allowed::Network {
        base,
        prefix,
        port: None,
    })
}

fn port(digits: &str) -> Option<u16> {
    decimal(digits).filter(|port| *port > 0)
}

/// A number as people write it: no sign.
fn decimal<T: std::str::FromStr>(digits: &str) -> Option<T> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// A name as URLs have it after reading: in lower case, ASCII. One that ends with a number would be
/// an address in another spelling.
fn host_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let fits =
        |label: &str| (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(letter);
    let last = name.rsplit('.').next()?;
    let number = last.starts_with(|first: char| first.is_ascii_digit());
    let good = name.len() <= NAME_BYTES_MAX && name.split('.').all(fits) && !number;
    good.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: Option<u16>) -> Allowed {
        Allowed::Host {
            name: name.to_owned(),
            port,
        }
    }

    fn addresses(base: &str, prefix: u8, port: Option<u16>) -> Allowed {
        Allowed::Network {
            base: base.parse().expect("an address"),
            prefix,
            port,
        }
    }

    #[test]
    fn hosts_addresses_and_networks_are_told_apart() {
        let text = "files.internal, Minio:9000,10.0.0.0/8 ,127.0.0.1:8443,fd00::/8,[::1]:81,::1,[::2],192.0.2.7,a.b.";
        let expected = vec![
            host("files.internal", None),
            host("minio", Some(9000)),
            addresses("10.0.0.0", 8, None),
            addresses("127.0.0.1", 32, Some(8443)),
            addresses("fd00::", 8, None),
            addresses("::1", 128, Some(81)),
            addresses("::1", 128, None),
            addresses("::2", 128, None),
            addresses("192.0.2.7", 32, None),
            host("a.b", None),
        ];
        assert_eq!(Allowed::list(text), Some(expected));
        assert_eq!(Allowed::list(""), Some(vec![]));
        assert_eq!(Allowed::list("0.0.0.0/0").map(|list| list.len()), Some(1));
    }

    #[test]
    fn networks_are_neither_hosts_nor_ports() {
        let read = |text: &str| Allowed::networks(text).map(|networks| networks.len());
        assert_eq!(read("10.0.0.0/8, 192.0.2.7,fd00::/8,::1"), Some(4));
        assert_eq!(read(""), Some(0));
        for text in ["proxy.internal", "10.0.0.0/8,192.0.2.7:80", "10.0.0.1/8"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_none_of_them_is_refused_with_the_whole_list() {
        for text in [
            ",",
            "a,",
            "a,,b",
            "10.0.0.1/8",
            "fd00::1/64",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8:80",
            "host:0",
            "host:65536",
            "host:",
            "host:+80",
            "127.0.0.1:0",
            "https://files.internal",
            "files.internal/path",
            "user@host",
            "*.internal",
            "a b",
            "bücher.example",
            "127.1",
            "2130706433",
            "0x7f000001",
            "a..b",
            ".a",
            ".",
            "[::1",
            "fe80::1%eth0",
        ] {
            assert_eq!(Allowed::list(text), None, "{text}");
        }
    }
}
