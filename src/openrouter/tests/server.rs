//! An HTTP server that says exactly what a test tells it to, byte for byte, and remembers what it
//! was asked. No framework: a test may want to break off in the middle of anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

pub(super) struct Server {
    pub(super) url: String,
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// What to answer.
#[derive(Clone, Debug)]
pub(super) struct Reply(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    /// Until the test says so.
    Hold(Arc<Notify>),
    Pause(Duration),
    /// Until the client has gone.
    Hang,
}

impl Reply {
    /// A status, headers and a body with its length.
    pub(super) fn new(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self(vec![Step::Send(
            [&head(status, headers, body.len())[..], body].concat(),
        )])
    }

    pub(super) fn json(body: &[u8]) -> Self {
        Self::new(200, &[("content-type", "application/json")], body)
    }

    pub(super) fn events(body: &[u8]) -> Self {
        Self::new(
            200,
            &[("content-type", "text/event-stream; charset=utf-8")],
            body,
        )
    }

    /// Announces more than it sends.
    pub(super) fn cut(body: &[u8], at: usize) -> Self {
        let headers = [
            ("content-type", "application/json"),
            ("x-generation-id", "gen-1-cut"),
        ];
        let head = head(200, &headers, body.len());
        Self(vec![Step::Send([&head[..], &body[..at]].concat())])
    }

    /// Announces a body and says nothing.
    pub(super) fn headers_only(headers: &[(&str, &str)], length: usize) -> Self {
        Self(vec![Step::Send(head(200, headers, length))])
    }

    /// Closes the connection at once.
    pub(super) const fn nothing() -> Self {
        Self(Vec::new())
    }

    pub(super) fn then(mut self, bytes: &[u8]) -> Self {
        self.0.push(Step::Send(bytes.to_vec()));
        self
    }

    pub(super) fn hold(mut self, until: &Arc<Notify>) -> Self {
        self.0.push(Step::Hold(Arc::clone(until)));
        self
    }

    pub(super) fn pause(mut self, wait: Duration) -> Self {
        self.0.push(Step::Pause(wait));
        self
    }

    pub(super) fn hang(mut self) -> Self {
        self.0.push(Step::Hang);
        self
    }
}

fn head(status: u16, headers: &[(&str, &str)], length: usize) -> Vec<u8> {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let length = format!("content-length: {length}\r\nconnection: close\r\n");
    format!("HTTP/1.1 {status} As Told\r\n{headers}{length}\r\n").into_bytes()
}

impl Server {
    /// Gives these replies in turn, the last one for ever.
    pub(super) async fn replying(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/api/v1", listener.local_addr().expect("bound"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let tracker = TaskTracker::new();
        tracker.clone().spawn(async move {
            let mut count = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let reply = replies[count.min(replies.len() - 1)].clone();
                count += 1;
                tracker.spawn(serve(stream, reply, Arc::clone(&log)));
            }
        });
        Self { url, seen }
    }

    pub(super) fn requests(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    /// The address with TLS, which this server does not speak.
    pub(super) fn https(&self) -> String {
        self.url.replace("http:", "https:")
    }
}

async fn serve(mut stream: TcpStream, Reply(steps): Reply, log: Arc<Mutex<Vec<Seen>>>) {
    let seen = read_request(&mut stream).await;
    log.lock().expect("no panic").push(seen);
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Step::Hold(until) => until.notified().await,
            Step::Pause(wait) => tokio::time::sleep(wait).await,
            Step::Hang => {
                let mut nothing = [0; 64];
                while stream.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
            }
        }
    }
    // Otherwise a reset may overtake the last bytes.
    let _ = stream.shutdown().await;
}

/// As much of a request as comes.
async fn read_request(stream: &mut TcpStream) -> Seen {
    let mut bytes = Vec::new();
    loop {
        let ended = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = ended {
            let (line, headers) = parse_head(&bytes[..end]);
            let length: usize = headers
                .get("content-length")
                .map_or(0, |length| length.parse().expect("a number"));
            let mut body = bytes.split_off(end + 4);
            while body.len() < length {
                if stream.read_buf(&mut body).await.is_ok_and(|read| read == 0) {
                    break;
                }
            }
            return Seen {
                line,
                headers,
                body,
            };
        }
        match stream.read_buf(&mut bytes).await {
            Ok(read) if read > 0 => {}
            _ => {
                return Seen {
                    line: "no request".to_owned(),
                    headers: BTreeMap::new(),
                    body: bytes,
                };
            }
        }
        if bytes
            .first()
            .is_some_and(|first| !first.is_ascii_uppercase())
        {
            // A TLS greeting.
            return Seen {
                line: "no HTTP".to_owned(),
                headers: BTreeMap::new(),
                body: bytes,
            };
        }
    }
}

fn parse_head(head: &[u8]) -> (String, BTreeMap<String, String>) {
    let text = std::str::from_utf8(head).expect("UTF-8");
    let mut lines = text.split("\r\n");
    let line = lines.next().expect("a first line").to_owned();
    let headers = lines
        .map(|line| line.split_once(": ").expect("a header"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    (line, headers)
}
