//! An address as a caller types it, read once and strictly, and the rules about where it may lead.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};

use reqwest::Url;

use super::failed::Failed;
use crate::config::Allowed;
use crate::domain::address::{Network, not_public};
use crate::ports::FetchError;

/// The longest address that is taken.
const URL_BYTES_MAX: usize = 2_048;

/// The only port of what is not allowed by name (RFC 9110, 4.2.2).
const HTTPS_PORT: u16 = 443;

/// The most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

const TOO_LONG: &str = "has a url of more than 2048 bytes";
const UNREADABLE: &str = "has a url that cannot be read: write it as https://host/path";
const NOT_HTTPS: &str = "has a url that does not begin with https://";
const CREDENTIALS: &str = "has a url with a user name or password; use one that needs none";
const OTHER_PORT: &str = "has a url with another port than 443";

/// An address that may be looked up.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) host: Host,
    pub(super) port: u16,
    reach: Reach,
}

/// The host of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// A name, to be resolved.
    Name(String),
    /// An address, in whatever spelling.
    Address(IpAddr),
}

/// Where an address may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// To public addresses, and to allowed ones.
    Public,
    /// To allowed addresses only: its scheme or port is not for strangers.
    Allowed,
    /// Anywhere: the operator has named it.
    Anywhere,
}

/// Where addresses may lead.
#[derive(Debug)]
pub(super) struct Rules {
    hosts: Vec<(String, Option<u16>)>,
    networks: Vec<(Network, Option<u16>)>,
    https_port: u16,
}

// === impl Rules ===

impl Rules {
    pub(super) fn new(allow: &[Allowed]) -> Self {
        let mut rules = Self {
            hosts: Vec::new(),
            networks: Vec::new(),
            https_port: HTTPS_PORT,
        };
        for allowed in allow {
            match allowed {
                Allowed::Host { name, port } => rules.hosts.push((name.clone(), *port)),
                Allowed::Network { base, prefix, port } => {
                    rules.networks.push((Network::new(*base, *prefix), *port));
                }
            }
        }
        rules
    }

    /// The same, with another port in the place of 443, where a test can listen.
    #[cfg(test)]
    pub(super) const fn with_https_port(mut self, port: u16) -> Self {
        self.https_port = port;
        self
    }

    /// Reads an address. What it leads to is not asked yet, unless the address says so itself.
    pub(super) fn read(&self, text: &str) -> Result<Target, FetchError> {
        let url = parse(text)?;
        let port = url.port_or_known_default().ok_or(UNREADABLE);
        let port = port.map_err(FetchError::Address)?;
        let host = host(&url)?;
        agree(&url, port)?;
        let reach = self.reach(&url, &host, port)?;
        let target = Target {
            url,
            host,
            port,
            reach,
        };
        if let Host::Address(address) = target.host {
            self.admit(&target, &[address])
                .map_err(|failed| target.give_up(failed))?;
        }
        Ok(target)
    }

    /// The addresses to connect to. One that may not be connected to spoils the others: whoever
    /// answers with both wants us to try.
    pub(super) fn admit(
        &self,
        target: &Target,
        addresses: &[IpAddr],
    ) -> Result<Vec<SocketAddr>, Failed> {
        if addresses.is_empty() {
            return Err(Failed::NotPublic("none at all"));
        }
        for address in addresses {
            self.admit_one(target, *address)?;
        }
        let some = addresses.iter().take(ADDRESSES_MAX);
        Ok(some
            .map(|address| SocketAddr::new(*address, target.port))
            .collect())
    }

    fn admit_one(&self, target: &Target, address: IpAddr) -> Result<(), Failed> {
        let allowed = self.networks.iter().any(|(network, port)| {
            network.contains(address) && port.is_none_or(|port| port == target.port)
        });
        if allowed || target.reach == Reach::Anywhere {
            return Ok(());
        }
        match not_public(address) {
            Some(what) => Err(Failed::NotPublic(what)),
            None if target.reach == Reach::Public => Ok(()),
            None => Err(Failed::NotPublic("public, but not by this scheme and port")),
        }
    }

    fn reach(&self, url: &Url, host: &Host, port: u16) -> Result<Reach, FetchError> {
        let named = match host {
            Host::Address(_) => false,
            Host::Name(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                self.hosts
                    .iter()
                    .any(|(allowed, only)| allowed == name && only.is_none_or(|only| only == port))
            }
        };
        if named {
            return Ok(Reach::Anywhere);
        }
        let ordinary = if url.scheme() != "https" {
            Err(NOT_HTTPS)
        } else if port != self.https_port {
            Err(OTHER_PORT)
        } else {
            Ok(Reach::Public)
        };
        match ordinary {
            Err(_) if !self.networks.is_empty() => Ok(Reach::Allowed),
            ordinary => ordinary.map_err(FetchError::Address),
        }
    }
}

// === impl Target ===

impl Target {
    /// Writes the line in the log, and gives what the caller is told.
    pub(super) fn give_up(&self, failed: Failed) -> FetchError {
        tracing::info!(
            host = self.url.host_str().unwrap_or_default(),
            port = self.port,
            error = &failed as &dyn Error,
            "a reference image was not fetched"
        );
        failed.told()
    }
}

/// Reads the text as browsers do (the URL standard), but takes none of the liberties that they
/// take: no white space, no backslashes, no missing slashes, no credentials.
fn parse(text: &str) -> Result<Url, FetchError> {
    if text.len() > URL_BYTES_MAX {
        return Err(FetchError::Address(TOO_LONG));
    }
    let odd = |letter: char| letter.is_control() || letter.is_whitespace() || letter == '\\';
    if text.contains(odd) {
        return Err(FetchError::Address(UNREADABLE));
    }
    let (scheme, rest) = text
        .split_once("://")
        .ok_or(NOT_HTTPS)
        .map_err(FetchError::Address)?;
    let web = ["https", "http"]
        .iter()
        .any(|web| scheme.eq_ignore_ascii_case(web));
    if !web {
        return Err(FetchError::Address(NOT_HTTPS));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(FetchError::Address(CREDENTIALS));
    }
    if authority.is_empty() {
        return Err(FetchError::Address(UNREADABLE));
    }
    Url::parse(text).map_err(|_| FetchError::Address(UNREADABLE))
}

/// The host that was read: an address if it is one in any spelling, otherwise a name as name
/// servers have them.
fn host(url: &Url) -> Result<Host, FetchError> {
    let text = url.host_str().unwrap_or_default();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(text).parse() {
        return Ok(Host::Address(address));
    }
    let letter = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let good = |label: &str| !label.is_empty() && label.bytes().all(letter);
    if name.split('.').all(good) {
        Ok(Host::Name(text.to_owned()))
    } else {
        Err(FetchError::Address(UNREADABLE))
    }
}

/// The HTTP client reads the address again, by other rules; both must have read the same place.
fn agree(url: &Url, port: u16) -> Result<(), FetchError> {
    let uri: Option<http::Uri> = url.as_str().parse().ok();
    let same = uri.is_some_and(|uri| {
        let there = uri.port_u16().or(match uri.scheme_str() {
            Some("https") => Some(443),
            Some("http") => Some(80),
            _ => None,
        });
        uri.host() == url.host_str()
            && there == Some(port)
            && uri.scheme_str() == Some(url.scheme())
    });
    same.then_some(()).ok_or(FetchError::Address(UNREADABLE))
}
