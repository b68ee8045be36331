//! The window to the street: brings reference pictures from addresses that callers name. It keeps
//! [`ReferenceFetcher`], and treats every address as an attack (server-side request forgery).
//!
//! An address is read once, here. Its name is resolved once; every address that it has must be
//! public ([`crate::domain::address`]) or allowed by the operator, and the connection is made to
//! these addresses and no others, so that a second answer of the name server changes nothing. No
//! redirect is followed, no proxy asked, nothing sent that says who asks for whom. The answer has
//! ten seconds and ten megabytes, and must begin like a picture. Whatever goes wrong between is one
//! and the same error to the caller; the log says what it was, and never the query of an address,
//! which may hold a signature.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::Allowed;
use crate::ports::{FetchError, FetchPlace, ReferenceFetcher, Room};
use answer::picture;
use failed::Failed;
use names::{Held, Names, Place, System};
use pinned::{Checked, Pinned};
use target::{Host, Rules, Target};

mod answer;
mod failed;
mod names;
mod pinned;
mod target;

/// How much is fetched, and how long it may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// How long a connection may take to be made, TLS included.
    connect: Duration,
    /// How long all of it may take (`reliability.md` §6).
    total: Duration,
    /// Pictures at a time: each holds a socket, and perhaps a thread that waits for a name server.
    at_once: usize,
}

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(10),
    at_once: 64,
};

/// The most header lines of an answer.
const HEADERS_MAX: usize = 64;

/// Fetches pictures from the web.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    names: Arc<dyn Names>,
    rules: Rules,
    limits: Limits,
    places: Arc<Semaphore>,
}

// === impl Client ===

impl Client {
    /// A client that goes to public places, and to those that are allowed though they are not.
    ///
    /// # Errors
    /// If TLS cannot be set up: the system has no root certificates.
    pub fn new(allow: &[Allowed]) -> Result<Self, reqwest::Error> {
        let http = builder(LIMITS).build()?;
        Ok(Self::of(http, Arc::new(System), Rules::new(allow), LIMITS))
    }

    fn of(http: reqwest::Client, names: Arc<dyn Names>, rules: Rules, limits: Limits) -> Self {
        Self {
            http,
            names,
            rules,
            limits,
            places: Arc::new(Semaphore::new(limits.at_once)),
        }
    }

    /// From an address that was read to the bytes behind it.
    async fn bring(&self, target: &Target, room: &dyn Room, place: Place) -> Result<Bytes, Failed> {
        let addresses = match &target.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let found = self.names.addresses(name, place).await;
                found.map_err(Failed::Name)?
            }
        };
        let checked = Checked {
            name: target.url.host_str().unwrap_or_default().to_owned(),
            addresses: self.rules.admit(target, &addresses)?,
        };
        let request = self
            .http
            .get(target.url.clone())
            .header(ACCEPT, "image/png,image/jpeg,image/webp,image/gif")
            .header(ACCEPT_ENCODING, "identity");
        let response = pinned::only(checked.clone(), request.send()).await?;
        // Nothing should have led elsewhere; if anything has, its bytes go no further.
        match response.remote_addr() {
            Some(peer) if checked.addresses.contains(&peer) => picture(response, room).await,
            peer => Err(Failed::Elsewhere(peer)),
        }
    }
}

#[async_trait]
impl ReferenceFetcher for Client {
    fn check(&self, url: &str) -> Result<(), FetchError> {
        self.rules.read(url).map(|_| ())
    }

    async fn fetch(
        &self,
        url: &str,
        room: &dyn Room,
        place: FetchPlace,
    ) -> Result<Bytes, FetchError> {
        let target = self.rules.read(url)?;
        let here = Arc::clone(&self.places).try_acquire_owned();
        let place = Held::new(here.map_err(|_| FetchError::Overloaded)?, place);
        // Kept until the answer is read, and by a look-up that is still under way after that.
        let work = self.bring(&target, room, Arc::clone(&place));
        let brought = timeout(self.limits.total, work).await;
        drop(place);
        let brought = brought.unwrap_or(Err(Failed::TimedOut));
        brought.map_err(|failed| target.give_up(failed))
    }
}

/// How every fetch is made. One connection each, kept for nobody: what was checked for one address
/// must not serve another.
fn builder(limits: Limits) -> reqwest::ClientBuilder {
    // Without a choice of cryptography the client would panic; an error means it was made before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("image-gateway/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Pinned)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .retry(reqwest::retry::never())
        .http1_only()
        .http1_max_headers(HEADERS_MAX)
        .pool_max_idle_per_host(0)
        .connect_timeout(limits.connect)
}

#[cfg(test)]
mod tests;
