//! The window under attack: real sockets, real HTTP; only names are made up.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

mod answers;
mod attempts;
mod quiet;
mod rebinding;
mod secure;
mod server;
mod slow;
mod targets;

/// What names lead to: each answer once, the last one again and again.
#[derive(Debug, Default)]
struct Book {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

/// A room with so many bytes.
#[derive(Debug)]
struct Bytesful {
    left: Mutex<usize>,
}

#[async_trait]
impl Names for Book {
    async fn addresses(&self, _name: &str, _place: Place) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        answer.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Room for Bytesful {
    fn take(&self, bytes: usize) -> bool {
        let mut left = self.left.lock().unwrap();
        let rest = left.checked_sub(bytes);
        *left = rest.unwrap_or(*left);
        rest.is_some()
    }
}

// === impl Book ===

impl Book {
    fn with(answers: impl IntoIterator<Item = Vec<IpAddr>>) -> Arc<Self> {
        let book = Self::default();
        book.say(answers);
        Arc::new(book)
    }

    fn say(&self, answers: impl IntoIterator<Item = Vec<IpAddr>>) {
        *self.answers.lock().unwrap() = answers.into_iter().collect();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A network that is allowed, on every port.
fn network(base: &str, prefix: u8) -> Allowed {
    Allowed::Network {
        base: ip(base),
        prefix,
        port: None,
    }
}

/// A client that trusts nobody's certificate.
fn client(book: &Arc<Book>, rules: Rules) -> Client {
    let limits = Limits {
        connect: Duration::from_secs(10),
        total: Duration::from_secs(10),
        at_once: 8,
    };
    client_within(limits, book, rules)
}

fn client_within(limits: Limits, book: &Arc<Book>, rules: Rules) -> Client {
    let http = builder(limits).tls_certs_only([]).build();
    let names: Arc<dyn Names> = book.clone();
    Client::of(http.expect("a client"), names, rules, limits)
}

/// Room for more than anybody sends.
fn room() -> Bytesful {
    Bytesful {
        left: Mutex::new(usize::MAX),
    }
}

/// Fetches as the gateway does: what the text alone refuses is refused first.
async fn fetch(client: &Client, url: &str) -> Result<Bytes, FetchError> {
    client.check(url)?;
    client.fetch(url, &room(), Arc::new(())).await
}

/// The beginning of a PNG of this size: enough to be one for whoever looks at the header.
fn png(width: u32, height: u32, length: usize) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0]);
    bytes.resize(length.max(bytes.len()), 0);
    bytes
}
