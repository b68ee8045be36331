//! Servers that answer as a test wants, and count who comes.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A server, until it is dropped.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    accepts: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
    tasks: JoinSet<()>,
}

impl Site {
    /// Answers every request with these bytes, and hangs up.
    pub(super) async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::on("127.0.0.1:0", move |mut stream| {
            let bytes = Arc::clone(&bytes);
            async move {
                // A client that has heard enough hangs up.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        })
        .await
    }

    /// Answers with 200 and these header lines, each ended by CRLF, and this body.
    pub(super) async fn with_body(headers: &str, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
        Self::answering([head.as_bytes(), body].concat()).await
    }

    /// Does what it is told, once the head of a request was read.
    pub(super) async fn on<F, A>(address: &str, act: A) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
        A: Fn(TcpStream) -> F + Send + Sync + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let accepts: Arc<AtomicUsize> = Arc::default();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut site = Self {
            address,
            accepts: Arc::clone(&accepts),
            heads: Arc::clone(&heads),
            tasks: JoinSet::new(),
        };
        let act = Arc::new(act);
        let serve = async move {
            let mut guests = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.expect("a guest");
                accepts.fetch_add(1, Ordering::SeqCst);
                let (heads, act) = (Arc::clone(&heads), Arc::clone(&act));
                guests.spawn(async move {
                    let head = head(&mut stream).await;
                    heads.lock().expect("a list").push(head);
                    act(stream).await;
                });
            }
        };
        site.tasks.spawn(serve);
        site
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/a.png", self.address)
    }

    /// Connections that were made.
    pub(super) fn accepts(&self) -> usize {
        self.accepts.load(Ordering::SeqCst)
    }

    /// The heads of all requests.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("a list").clone()
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}
