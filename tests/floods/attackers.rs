//! Those who attack: on a thread of their own, so that they get in the way of the gateway alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::attacks::Attack;

/// An attack under way.
#[derive(Debug)]
pub(crate) struct Attackers {
    thread: JoinHandle<()>,
    connected: Arc<AtomicU64>,
}

impl Attackers {
    /// Begins, and goes on for so long.
    pub(crate) fn begin(attack: Attack, address: &str, time: Duration) -> Self {
        let connected = Arc::<AtomicU64>::default();
        let (counter, address) = (Arc::clone(&connected), Arc::<str>::from(address));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(all(Arc::new(attack), &address, time, &counter));
        });
        Self { thread, connected }
    }

    /// Waits for the end; told is how many connections there were.
    pub(crate) fn end(self) -> u64 {
        self.thread.join().unwrap();
        self.connected.load(Ordering::Relaxed)
    }
}

async fn all(attack: Arc<Attack>, address: &Arc<str>, time: Duration, connected: &Arc<AtomicU64>) {
    let until = Instant::now() + time;
    let tasks = TaskTracker::new();
    for _ in 0..attack.sockets {
        let (attack, address) = (Arc::clone(&attack), Arc::clone(address));
        let connected = Arc::clone(connected);
        let one = async move {
            loop {
                if let Ok(socket) = TcpStream::connect(&*address).await {
                    connected.fetch_add(1, Ordering::Relaxed);
                    play(socket, &attack).await;
                }
                tokio::time::sleep(attack.comeback).await;
            }
        };
        tasks.spawn(tokio::time::timeout_at(until, one));
    }
    tasks.close();
    tasks.wait().await;
}

/// Sends everything, reads whatever comes, and stays until it is put out.
async fn play(socket: TcpStream, attack: &Attack) {
    let (mut from, mut to) = socket.into_split();
    tokio::select! {
        () = drain(&mut from) => {}
        () = send(&mut to, attack) => {}
    }
}

async fn drain(from: &mut OwnedReadHalf) {
    let mut buffer = [0; 4096];
    while from.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

async fn send(to: &mut OwnedWriteHalf, attack: &Attack) {
    for (bytes, pause) in &attack.script {
        if to.write_all(bytes).await.is_err() {
            return;
        }
        tokio::time::sleep(*pause).await;
    }
    std::future::pending().await
}
