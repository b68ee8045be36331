//! Names that take longer than anybody waits.

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::*;

/// A resolver that answers when it is told to, and works on until then, as the system's does.
#[derive(Debug, Default)]
struct Slow {
    tell: Arc<Notify>,
    looking_up: AtomicUsize,
}

#[async_trait]
impl Names for Slow {
    async fn addresses(&self, _name: &str, place: Place) -> io::Result<Vec<IpAddr>> {
        self.looking_up.fetch_add(1, Ordering::SeqCst);
        let told = Arc::clone(&self.tell);
        // Not dropped with the fetch, like a call of the system that cannot be taken back.
        let work = TaskTracker::new().spawn(async move {
            told.notified().await;
            drop(place);
        });
        let _ = work.await;
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
}

#[tokio::test]
async fn a_place_is_free_again_when_its_name_is_no_longer_looked_up() {
    let limits = Limits {
        total: Duration::from_millis(100),
        at_once: 2,
        ..LIMITS
    };
    let slow = Arc::new(Slow::default());
    let http = builder(limits).tls_certs_only([]).build();
    let names: Arc<dyn Names> = slow.clone();
    let client = Client::of(http.expect("a client"), names, Rules::new(&[]), limits);
    let theirs = Arc::new("a place of an organization");
    let fetch = || async {
        let url = "https://slow.example.com/a.png";
        client.fetch(url, &room(), theirs.clone()).await
    };
    for _ in 0..2 {
        assert_eq!(fetch().await, Err(FetchError::Unreachable));
    }
    assert_eq!(slow.looking_up.load(Ordering::SeqCst), 2);
    // Both fetches are over, and both names still take a place, here and at whoever asked.
    assert_eq!(Arc::strong_count(&theirs), 1 + 2);
    assert_eq!(fetch().await, Err(FetchError::Overloaded));
    assert_eq!(slow.looking_up.load(Ordering::SeqCst), 2);
    slow.tell.notify_waiters();
    let free = async {
        while Arc::strong_count(&theirs) > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), free)
        .await
        .expect("given back");
    assert_eq!(fetch().await, Err(FetchError::Unreachable));
    slow.tell.notify_waiters();
}
