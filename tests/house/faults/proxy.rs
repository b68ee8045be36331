//! A TCP proxy between the gateway and the mock: real sockets that break as sockets do. Every
//! connection carries one request, because the proxy asks the upstream to close behind it; whatever
//! a fault does to the answer, the upstream has sent all of it, so that the bill is always the same.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Where the head of a message ends.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What was sent has to be there before the connection is reset, which throws away the rest.
const FLUSH: Duration = Duration::from_millis(5);

/// What happens to one paid call. Places count the bytes of a whole HTTP message, its head
/// included.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Resets the connection as soon as it is made.
    ResetAtOnce,
    /// Resets it after so many bytes of the request. The upstream is never asked.
    ResetRequest(usize),
    /// Half open: after so many bytes of the request it neither reads nor answers.
    Deaf(usize),
    /// Ends the answer after so many bytes.
    Ends(usize, End),
    /// Gives the whole answer so much later.
    Late(Duration),
    /// Gives the answer from this place on in pieces of so many bytes, each so much later.
    Slow(usize, usize, Duration),
    /// Puts these bytes in the place of as many at this place.
    Overwrites(usize, Vec<u8>),
    /// Puts these bytes in at this place.
    Inserts(usize, Vec<u8>),
    /// Sends so many bytes from this place on twice.
    Repeats(usize, usize),
    /// An upstream that says something else, in a message that is whole: text for text.
    Says(Vec<(String, String)>),
    /// The head of the answer with this content type, a beginning, and then a piece for ever.
    Endless(&'static str, Vec<u8>, Vec<u8>, Duration),
}

/// How an answer that is not whole ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// The connection is closed in order.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing more comes, and the connection stays.
    Silence,
}

/// A running proxy. Dropping it ends all its connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    desk: Arc<Desk>,
    _stop: DropGuard,
}

/// What the connections share.
#[derive(Debug, Default)]
struct Desk {
    upstream: OnceLock<SocketAddr>,
    faults: Mutex<VecDeque<Fault>>,
    answers: Mutex<Vec<Vec<u8>>>,
    paid: watch::Sender<usize>,
    stop: CancellationToken,
}

// === impl Proxy ===

impl Proxy {
    /// Listens; where it leads to is told by [`Proxy::lead_to`].
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let desk = Arc::new(Desk::default());
        let tracker = TaskTracker::new();
        let connections = tracker.clone();
        let shared = Arc::clone(&desk);
        let accepting = async move {
            while let Ok((client, _)) = listener.accept().await {
                let desk = Arc::clone(&shared);
                let stop = desk.stop.clone();
                let serving = async move { desk.serve(client).await };
                // What breaks a connection is the purpose of it.
                connections.spawn(async move { stop.run_until_cancelled(serving).await });
            }
        };
        let stop = desk.stop.clone();
        let guard = stop.clone().drop_guard();
        tracker.spawn(async move { stop.run_until_cancelled(accepting).await });
        Self {
            address,
            desk,
            _stop: guard,
        }
    }

    pub(crate) fn lead_to(&self, upstream: SocketAddr) {
        self.desk.upstream.set(upstream).expect("told once");
    }

    /// What the gateway takes for the upstream.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/api/v1", self.address)
    }

    /// What happens to the next paid call that nothing is planned for; others pass unharmed.
    pub(crate) fn next(&self, fault: Fault) {
        lock(&self.desk.faults).push_back(fault);
    }

    /// How many paid calls have come, answered or not.
    pub(crate) fn paid_calls(&self) -> usize {
        *self.desk.paid.borrow()
    }

    /// Resolves when so many paid calls have come since the start, each with its fault.
    pub(crate) async fn wait_for_paid_calls(&self, count: usize) {
        let mut paid = self.desk.paid.subscribe();
        paid.wait_for(|now| *now >= count).await.expect("counting");
    }

    /// The last whole answer of the upstream to a paid call, before any harm came to it.
    pub(crate) fn last_answer(&self) -> Vec<u8> {
        lock(&self.desk.answers).last().expect("an answer").clone()
    }
}

// === impl Desk ===

impl Desk {
    async fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        if self
            .takes(|fault| matches!(fault, Fault::ResetAtOnce))
            .is_some()
        {
            self.paid.send_modify(|count| *count += 1);
            return client.set_zero_linger();
        }
        let request = read_head(&mut client).await?;
        let is_paid = request.starts_with(b"POST ");
        if !is_paid {
            let answer = self.ask(&mut client, &request).await?;
            return client.write_all(&answer).await;
        }
        let fault = self.takes(|_| true);
        self.paid.send_modify(|count| *count += 1);
        match fault {
            Some(Fault::ResetRequest(at)) => {
                skip(&mut client, at.saturating_sub(request.len())).await?;
                client.set_zero_linger()
            }
            Some(Fault::Deaf(at)) => {
                skip(&mut client, at.saturating_sub(request.len())).await?;
                self.stop.cancelled().await;
                Ok(())
            }
            fault => {
                let answer = self.ask(&mut client, &request).await?;
                lock(&self.answers).push(answer.clone());
                give(&mut client, answer, fault).await
            }
        }
    }

    /// The next fault, if it is such a one.
    fn takes(&self, is_meant: impl FnOnce(&Fault) -> bool) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        faults
            .front()
            .is_some_and(is_meant)
            .then(|| faults.pop_front())
            .flatten()
    }

    /// Hands the request on while it comes, and reads the whole answer.
    async fn ask(&self, client: &mut TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
        let address = self.upstream.get().expect("told where to lead");
        let mut upstream = TcpStream::connect(address).await?;
        upstream.set_nodelay(true)?;
        let line = find(request, b"\r\n").map_or(0, |at| at + 2);
        upstream.write_all(&request[..line]).await?;
        upstream.write_all(b"connection: close\r\n").await?;
        upstream.write_all(&request[line..]).await?;
        let (mut from, mut to) = upstream.split();
        let (mut rest, _) = client.split();
        let mut answer = Vec::new();
        let handing_on = async {
            let _ = tokio::io::copy(&mut rest, &mut to).await;
            // A caller that is gone does not stop the upstream.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            read = from.read_to_end(&mut answer) => read.map(|_| answer),
            () = handing_on => unreachable!("it never ends by itself"),
        }
    }
}

/// Gives the answer as the fault says.
async fn give(client: &mut TcpStream, mut answer: Vec<u8>, fault: Option<Fault>) -> io::Result<()> {
    match fault {
        Some(Fault::Ends(at, end)) => {
            answer.truncate(at);
            client.write_all(&answer).await?;
            return match end {
                End::Close => Ok(()),
                End::Reset => {
                    tokio::time::sleep(FLUSH).await;
                    client.set_zero_linger()
                }
                // Until the other side hangs up.
                End::Silence => skip(client, usize::MAX).await,
            };
        }
        Some(Fault::Late(wait)) => tokio::time::sleep(wait).await,
        Some(Fault::Slow(from, bytes, every)) => {
            let slow = answer.split_off(from.min(answer.len()));
            client.write_all(&answer).await?;
            for piece in slow.chunks(bytes) {
                tokio::time::sleep(every).await;
                client.write_all(piece).await?;
            }
            return Ok(());
        }
        Some(Fault::Overwrites(at, bytes)) => {
            let end = (at + bytes.len()).min(answer.len());
            answer.splice(at..end, bytes);
        }
        Some(Fault::Inserts(at, bytes)) => {
            answer.splice(at..at, bytes);
        }
        Some(Fault::Repeats(at, length)) => {
            let piece = answer[at..at + length].to_vec();
            answer.splice(at..at, piece);
        }
        Some(Fault::Says(texts)) => answer = reworded(&answer, &texts),
        Some(Fault::Endless(content_type, beginning, piece, every)) => {
            let head = answer[..body_of(&answer)].to_vec();
            client.write_all(&unbounded(&head, content_type)).await?;
            client.write_all(&beginning).await?;
            loop {
                tokio::time::sleep(every).await;
                client.write_all(&piece).await?;
            }
        }
        Some(Fault::ResetAtOnce | Fault::ResetRequest(_) | Fault::Deaf(_)) | None => {}
    }
    client.write_all(&answer).await
}

/// Where the body of a message begins.
pub(crate) fn body_of(message: &[u8]) -> usize {
    find(message, HEAD_END).expect("a head") + HEAD_END.len()
}

/// Where something is first found.
pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}

/// Replaces every text by another, and tells the length that comes of it.
fn reworded(answer: &[u8], texts: &[(String, String)]) -> Vec<u8> {
    let mut text = String::from_utf8(answer.to_vec()).expect("text");
    for (from, to) in texts {
        assert!(text.contains(from), "the answer does not say {from}");
        text = text.replace(from, to);
    }
    let (head, body) = text.split_at(body_of(text.as_bytes()));
    let told = format!("content-length: {}", body.len());
    let lines = head.split("\r\n").map(|line| {
        if line.starts_with("content-length:") {
            told.as_str()
        } else {
            line
        }
    });
    let head = lines.collect::<Vec<_>>().join("\r\n");
    format!("{head}{body}").into_bytes()
}

/// A head whose body ends with the connection.
fn unbounded(head: &[u8], content_type: &str) -> Vec<u8> {
    let head = std::str::from_utf8(head).expect("text");
    let kept = |line: &&str| {
        !line.starts_with("content-length:")
            && !line.starts_with("content-type:")
            && !line.is_empty()
    };
    let lines: Vec<&str> = head.split("\r\n").filter(kept).collect();
    format!(
        "{}\r\ncontent-type: {content_type}\r\n\r\n",
        lines.join("\r\n")
    )
    .into_bytes()
}

/// Reads until the head is there; what follows it may be there in part.
async fn read_head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    while find(&request, HEAD_END).is_none() {
        let is_over = client.read_buf(&mut request).await? == 0;
        // Whoever greets in TLS begins with a byte that no method begins with.
        if is_over || !request[0].is_ascii_uppercase() {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(request)
}

/// Reads so many bytes, or to the end.
async fn skip(client: &mut TcpStream, bytes: usize) -> io::Result<()> {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    tokio::io::copy(&mut client.take(bytes), &mut tokio::io::sink()).await?;
    Ok(())
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
