//! Those who attack: on a thread of their own, so that they get in the way of the gateway alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::DOSE;
use crate::attacks::{Attack, Source, Step};

/// The first of a million addresses of this machine.
const EVERYWHERE: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 0);

/// An attack under way.
#[derive(Debug)]
pub(crate) struct Attackers {
    thread: JoinHandle<()>,
    sent: Arc<Sent>,
}

/// What was sent so far.
#[derive(Debug, Default)]
struct Sent {
    connections: AtomicU64,
    things: AtomicU64,
}

/// What was sent in all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Total {
    /// Connections that came about.
    pub(crate) connections: u64,
    /// Things that the system took: some were on their way when their connection ended.
    pub(crate) things: u64,
}

impl Attackers {
    /// Begins, and goes on for so long.
    pub(crate) fn begin(attack: Arc<Attack>, to: SocketAddr, time: Duration) -> Self {
        let sent = Arc::<Sent>::default();
        let counted = Arc::clone(&sent);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(all(&attack, to, time, &counted));
        });
        Self { thread, sent }
    }

    /// Waits for the end.
    pub(crate) fn end(self) -> Total {
        self.thread.join().unwrap();
        Total {
            connections: self.sent.connections.load(Ordering::Relaxed),
            things: self.sent.things.load(Ordering::Relaxed),
        }
    }
}

async fn all(attack: &Arc<Attack>, to: SocketAddr, time: Duration, sent: &Arc<Sent>) {
    let until = Instant::now() + time;
    let tasks = TaskTracker::new();
    for number in 0..attack.sockets {
        let (attack, sent) = (Arc::clone(attack), Arc::clone(sent));
        let one = async move {
            loop {
                let from = address(attack.from, number, &sent);
                if let Ok(socket) = connect(from, to).await {
                    sent.connections.fetch_add(1, Ordering::Relaxed);
                    play(socket, attack.script(number), &sent).await;
                }
                tokio::time::sleep(attack.comeback).await;
            }
        };
        tasks.spawn(tokio::time::timeout_at(until, one));
    }
    tasks.close();
    tasks.wait().await;
}

/// Where one of them comes from this time.
fn address(from: Source, number: usize, sent: &Sent) -> Ipv4Addr {
    match from {
        Source::Everywhere => {
            let number = sent.connections.load(Ordering::Relaxed);
            Ipv4Addr::from_bits(EVERYWHERE.to_bits() + u32::try_from(number).unwrap())
        }
        Source::Elsewhere(network) => {
            let host = u8::try_from(number % DOSE.attackers).unwrap();
            Ipv4Addr::new(127, 0, network, host + 1)
        }
        Source::AmongHonest => Ipv4Addr::LOCALHOST,
    }
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// Sends everything, reads whatever comes, and stays until it is put out.
async fn play(socket: TcpStream, script: &[Step], sent: &Sent) {
    let (mut from, mut to) = socket.into_split();
    tokio::select! {
        () = drain(&mut from) => {}
        () = send_all(&mut to, script, sent) => {}
    }
}

async fn drain(from: &mut OwnedReadHalf) {
    let mut buffer = [0; 4096];
    while from.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

async fn send_all(to: &mut OwnedWriteHalf, script: &[Step], sent: &Sent) {
    for step in script {
        if send(to, step, sent).await.is_err() {
            return;
        }
        tokio::time::sleep(step.pause).await;
    }
    std::future::pending().await
}

/// Sends one step, and counts as it goes.
async fn send(to: &mut OwnedWriteHalf, step: &Step, sent: &Sent) -> std::io::Result<()> {
    let whole = |bytes: usize| step.things * bytes / step.bytes.len();
    let mut gone = 0;
    while gone < step.bytes.len() {
        let now = gone + to.write(&step.bytes[gone..]).await?;
        let things = u64::try_from(whole(now) - whole(gone)).unwrap();
        sent.things.fetch_add(things, Ordering::Relaxed);
        gone = now;
    }
    Ok(())
}
