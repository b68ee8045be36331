//! Every call is let in on a lease that ends with its key: when the key is revoked, or expires. A
//! call takes its place before its key is looked up, so that a revocation that the look-up does not
//! see finds the call here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::loud::Loud;
use crate::clock;
use crate::domain::failure::Failure;
use crate::domain::ids::ApiKeyId;
use crate::domain::trail::Actor;
use crate::ports::{ApiKey, KeyHash};

/// The longest sleep until a key expires: the clock that it expires by may be set meanwhile, and goes
/// on while a machine is suspended.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The keys with which calls are open; no more than there are calls. Nothing that is remembered of
/// keys lets anybody in: with every call the database is asked, which takes less than a tenth of a
/// millisecond.
#[derive(Debug, Default)]
pub(super) struct Leases {
    open: Mutex<HashMap<String, Key>>,
    loud: Loud,
}

/// A key with open calls.
#[derive(Debug)]
struct Key {
    calls: usize,
    revoked: CancellationToken,
}

/// A call whose key is not yet known to be good.
#[derive(Debug)]
pub(super) struct Place {
    leases: Arc<Leases>,
    prefix: String,
    revoked: CancellationToken,
}

/// A call with a good key, as long as it is.
#[derive(Debug)]
pub(super) struct Lease {
    place: Place,
    key: ApiKeyId,
    expires: Option<Timestamp>,
}

// === impl Leases ===

impl Leases {
    /// Takes a place for a call with the key of this prefix, whether there is such a key or not.
    pub(super) fn enter(self: &Arc<Self>, prefix: &str) -> Place {
        let mut open = self.lock();
        let key = open.entry(prefix.to_owned()).or_insert_with(|| Key {
            calls: 0,
            revoked: CancellationToken::new(),
        });
        key.calls += 1;
        Place {
            leases: Arc::clone(self),
            prefix: prefix.to_owned(),
            revoked: key.revoked.clone(),
        }
    }

    /// Keys that turn their calls away without being looked up.
    pub(super) const fn loud(&self) -> &Loud {
        &self.loud
    }

    /// Ends all calls with a key whose revocation is durable.
    pub(super) fn revoke(&self, prefix: &str) {
        if let Some(key) = self.lock().get(prefix) {
            key.revoked.cancel();
        }
        self.loud.forget(prefix);
    }

    fn leave(&self, prefix: &str) {
        let mut open = self.lock();
        let Some(key) = open.get_mut(prefix) else {
            return;
        };
        key.calls = key.calls.saturating_sub(1);
        if key.calls == 0 {
            open.remove(prefix);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Key>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Place ===

impl Place {
    /// Leaves because the organization of the key that was found has no call left.
    pub(super) fn leave_loud(self, key: ApiKey, hash: KeyHash) {
        let loud = &self.leases.loud;
        loud.note(key, hash, Instant::now());
        // A revocation that came between the look-up and this had nothing to forget.
        if self.revoked.is_cancelled() {
            loud.forget(&self.prefix);
        }
    }

    /// Goes on with the key that was found.
    pub(super) fn with(self, key: &ApiKey) -> Lease {
        Lease {
            place: self,
            key: key.id,
            expires: key.expires,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leases.leave(&self.prefix);
    }
}

// === impl Lease ===

impl Lease {
    /// Whose key it is.
    pub(super) fn actor(&self) -> Actor {
        Actor::Key {
            id: self.key,
            prefix: self.place.prefix.clone(),
        }
    }

    /// Whether the key is still good.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let expired = self.expires.is_some_and(|at| at <= clock::now());
        if expired || self.place.revoked.is_cancelled() {
            return Err(Failure::unauthenticated());
        }
        Ok(())
    }

    /// Resolves when the key is no longer good.
    pub(super) async fn over(&self) {
        tokio::select! {
            () = self.place.revoked.cancelled() => (),
            () = expiry(self.expires) => (),
        }
    }
}

async fn expiry(expires: Option<Timestamp>) {
    let Some(expires) = expires else {
        return std::future::pending().await;
    };
    loop {
        let left = Duration::try_from(expires.duration_since(clock::now()));
        match left {
            Ok(left) if !left.is_zero() => tokio::time::sleep(left.min(LOOK_AGAIN)).await,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::made_up::key;
    use super::*;

    #[tokio::test]
    async fn a_revocation_ends_the_calls_of_its_key_and_no_other() {
        let leases = Arc::new(Leases::default());
        let [one, two, other] = ["a", "a", "b"].map(|prefix| {
            let place = leases.enter(prefix);
            place.with(&key(prefix, None).0)
        });
        assert!(one.over().now_or_never().is_none());
        leases.revoke("a");
        one.over().await;
        two.over().await;
        assert!(one.check().is_err() && two.check().is_err());
        assert!(other.check().is_ok() && other.over().now_or_never().is_none());
    }

    #[test]
    fn a_call_that_came_in_before_the_revocation_is_ended_though_its_key_was_looked_up_before() {
        let leases = Arc::new(Leases::default());
        let place = leases.enter("a");
        let (found, _) = key("a", None);
        leases.revoke("a");
        assert!(place.with(&found).check().is_err());
    }

    #[test]
    fn a_key_that_was_revoked_is_not_remembered_whichever_came_first() {
        let leases = Arc::new(Leases::default());
        let (found, hash) = key("a", None);
        let is_known = || leases.loud().find("a", Instant::now()).is_some();
        leases.enter("a").leave_loud(found.clone(), hash);
        assert!(is_known());
        leases.revoke("a");
        assert!(!is_known());
        let place = leases.enter("a");
        leases.revoke("a");
        place.leave_loud(found, hash);
        assert!(!is_known());
    }

    #[test]
    fn nothing_is_remembered_of_calls_that_are_over() {
        let leases = Arc::new(Leases::default());
        for n in 0..1000 {
            drop(leases.enter(&format!("unknown-{n}")));
        }
        let places = [leases.enter("a"), leases.enter("a")];
        leases.revoke("a");
        leases.revoke("never seen");
        assert_eq!(leases.lock().len(), 1);
        drop(places);
        assert_eq!(leases.lock().len(), 0);
    }

    #[tokio::test]
    async fn a_lease_ends_when_its_key_expires() {
        let leases = Arc::new(Leases::default());
        let now = clock::now();
        let soon = now + jiff::SignedDuration::from_millis(20);
        let lease = leases.enter("a").with(&key("a", Some(soon)).0);
        lease.over().await;
        assert!(clock::now() >= soon && lease.check().is_err());
        let late = leases.enter("b").with(&key("b", Some(Timestamp::MAX)).0);
        assert!(late.check().is_ok() && late.over().now_or_never().is_none());
        let past = leases.enter("c").with(&key("c", Some(now)).0);
        past.over().await;
    }
}
