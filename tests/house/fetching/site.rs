//! A web server that pictures to work from are named at.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// A web server with one answer at a time, and a count of those who came.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    answer: Arc<Mutex<Option<Vec<u8>>>>,
    guests: Arc<AtomicUsize>,
    /// A guest has asked, and another has hung up without an answer.
    pub(super) asked: Arc<Notify>,
    pub(super) gone: Arc<Notify>,
    late: watch::Sender<Option<Vec<u8>>>,
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
        let (late, hears) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a guest");
                let answer = says.lock().expect("an answer").clone();
                count.fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(stream, (answer, hears.clone()), signals.clone()));
            }
        });
        Self {
            address,
            answer,
            guests,
            asked,
            gone,
            late,
            _tasks: tasks,
        }
    }

    /// From now on, this is the answer.
    pub(super) fn says(&self, headers: &str, body: &[u8]) {
        *self.answer.lock().expect("an answer") = Some(answer(headers, body));
    }

    /// Those who wait for an answer have this one.
    pub(super) fn answer_all(&self, headers: &str, body: &[u8]) {
        self.late.send_replace(Some(answer(headers, body)));
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

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {headers}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Answers one request; without an answer it waits for a late one, or until the guest hangs up.
async fn serve(
    mut stream: TcpStream,
    (answer, mut late): (Option<Vec<u8>>, watch::Receiver<Option<Vec<u8>>>),
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
    let mut rest = Vec::new();
    let answer = tokio::select! {
        answer = late.wait_for(Option::is_some) => answer.ok().and_then(|answer| answer.clone()),
        _ = stream.read_to_end(&mut rest) => None,
    };
    match answer {
        Some(answer) => drop(stream.write_all(&answer).await),
        None => gone.notify_one(),
    }
}
