//! A web server that pictures to work from are named at.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// A web server with one answer at a time, and a count of those who came.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    answer: Arc<Mutex<Option<Vec<u8>>>>,
    guests: Arc<AtomicUsize>,
    /// A guest has asked, and another has hung up without an answer.
    pub(super) asked: Arc<Notify>,
    pub(super) gone: Arc<Notify>,
    _tasks: JoinSet<()>,
}

impl Site {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answer: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let guests: Arc<AtomicUsize> = Arc::default();
        let (asked, gone): (Arc<Notify>, Arc<Notify>) = Default::default();
        let (says, count) = (Arc::clone(&answer), Arc::clone(&guests));
        let signals = (Arc::clone(&asked), Arc::clone(&gone));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a guest");
                let answer = says.lock().expect("an answer").clone();
                count.fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(stream, answer, signals.clone()));
            }
        });
        Self {
            address,
            answer,
            guests,
            asked,
            gone,
            _tasks: tasks,
        }
    }

    /// From now on, this is the answer.
    pub(super) fn says(&self, headers: &str, body: &[u8]) {
        let length = body.len();
        let head = format!("HTTP/1.1 {headers}\r\nContent-Length: {length}\r\n\r\n");
        *self.answer.lock().expect("an answer") = Some([head.as_bytes(), body].concat());
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/fox.png?signature=hunter2", self.address)
    }

    pub(super) fn guests(&self) -> usize {
        self.guests.load(Ordering::SeqCst)
    }

    /// Waits until so many guests have come, each to the answer of its time.
    pub(super) async fn come(&self, guests: usize) {
        while self.guests() < guests {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Answers one request; without an answer it waits until the guest hangs up.
async fn serve(
    mut stream: TcpStream,
    answer: Option<Vec<u8>>,
    (asked, gone): (Arc<Notify>, Arc<Notify>),
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    asked.notify_one();
    if let Some(answer) = answer {
        // A guest that has heard enough hangs up.
        let _ = stream.write_all(&answer).await;
        return;
    }
    let _ = stream.read_to_end(&mut Vec::new()).await;
    gone.notify_one();
}
