//! What is logged: where it went wrong and why, and never the query of an address.

use std::io::Write;
use std::sync::PoisonError;

use tracing_subscriber::util::SubscriberInitExt as _;

use super::server::Site;
use super::*;

/// A log in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_signature_is_never_logged() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = log.set_default();
    let book = Book::with([]);
    let client = client(&book, Rules::new(&[network("127.0.0.1", 32)]));
    let missing = Site::answering("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").await;
    let garbage = Site::answering("garbage").await;
    let closed = Site::answering("").await.address;
    let port = missing.address.port();
    let urls = [
        format!("{}?signature=hunter2", missing.url()),
        format!("{}?signature=hunter2", garbage.url()),
        format!("http://{closed}/?signature=hunter2"),
        format!("https://127.0.0.1:{port}/?signature=hunter2"),
        "https://nowhere.example.com/?signature=hunter2".to_owned(),
        "https://10.0.0.1/?signature=hunter2".to_owned(),
        "https://user:hunter2@example.com/".to_owned(),
        "http://example.com:1/?signature=hunter2".to_owned(),
    ];
    // A line that another test logs for the first time just when this log begins may be taken for
    // one that nobody wants: the second time it is known that somebody does.
    for _ in 0..2 {
        tracing::callsite::rebuild_interest_cache();
        for url in &urls {
            let error = fetch(&client, url).await.expect_err("nothing is there");
            let told = format!("{error} {error:?}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
    let bytes = lines.0.lock().unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("status 404"), "{text}");
    assert!(text.contains("nowhere.example.com"), "{text}");
    assert!(text.contains("private (RFC 1918)"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
