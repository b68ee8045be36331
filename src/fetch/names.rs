//! From a name to addresses, by the system's resolver.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;

use crate::ports::FetchPlace;

/// A place among those that fetch.
pub(super) type Place = Arc<Held>;

/// What is given back when a fetch is over, and all it has begun.
pub(super) struct Held {
    /// The place here.
    _here: OwnedSemaphorePermit,
    /// The place of whoever wants the picture, so that nobody's slow names are forgotten when its
    /// turns are counted.
    _theirs: FetchPlace,
}

// === impl Held ===

impl Held {
    pub(super) fn new(here: OwnedSemaphorePermit, theirs: FetchPlace) -> Place {
        Arc::new(Self {
            _here: here,
            _theirs: theirs,
        })
    }
}

/// Whoever knows the addresses of names.
#[async_trait]
pub(super) trait Names: fmt::Debug + Send + Sync {
    /// All addresses of a name. The place is kept for as long as anything works on it, also when
    /// nobody waits for the answer any more.
    async fn addresses(&self, name: &str, place: Place) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver, with what it knows of hosts and search domains.
#[derive(Debug)]
pub(super) struct System;

#[async_trait]
impl Names for System {
    async fn addresses(&self, name: &str, place: Place) -> io::Result<Vec<IpAddr>> {
        let name = name.to_owned();
        // The system's call blocks and cannot be taken back: the place bounds how many threads it
        // may hold.
        let work = move || {
            let _place = place;
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}
