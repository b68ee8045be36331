//! The resolver of the HTTP client, which resolves nothing: it gives out the addresses that were
//! checked for the request that asks, and only those. A request for which none were checked, or
//! for another name, connects nowhere.

use std::future::{Future, ready};
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

tokio::task_local! {
    /// What was checked for the request that is being sent. The client asks from within the
    /// request's own future, because it keeps no connections; if that ever changes, it is told no
    /// address at all.
    static CHECKED: Checked;
}

/// A name, and the addresses it may be connected to.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    /// As the URL has it.
    pub(super) name: String,
    /// With the URL's port.
    pub(super) addresses: Vec<SocketAddr>,
}

/// Gives out what was checked.
#[derive(Debug)]
pub(super) struct Pinned;

/// Sends a request that may connect to these addresses and nowhere else.
pub(super) async fn only<F: Future>(checked: Checked, request: F) -> F::Output {
    CHECKED.scope(checked, request).await
}

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        let checked = CHECKED.try_with(|checked| {
            let same = checked.name.eq_ignore_ascii_case(name.as_str());
            same.then(|| checked.addresses.clone())
        });
        let answer = match checked.ok().flatten() {
            Some(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
            None => Err("no address was checked for this name".into()),
        };
        Box::pin(ready(answer))
    }
}
