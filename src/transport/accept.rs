//! Takes connections. A failure here is never the end: the next one may work.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use super::limits::BACKLOG;

/// How long nothing is taken when the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// So many newcomers are taken together, then it is the turn of whoever was here before: a crowd at
/// the door must not make those wait who have calls. The system keeps the crowd meanwhile.
const TURN: usize = 16;

/// Listens, with room for whoever comes at once.
///
/// # Errors
/// What the system said: mostly, that the address is taken.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // What the process before this one left behind is in nobody's way.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Hands on what comes, until told to stop; then nobody is listening any more.
pub(super) async fn until(
    stop: &CancellationToken,
    listener: TcpListener,
    mut take: impl FnMut(TcpStream, SocketAddr),
) {
    let mut troubled = false;
    let mut taken = 0_usize;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                troubled = false;
                // Small messages leave at once: the first bytes of a picture must not wait for the
                // next. A socket that refuses that is gone already.
                let _ = socket.set_nodelay(true);
                take(socket, peer);
                taken = taken.wrapping_add(1);
                if taken.is_multiple_of(TURN) {
                    tokio::task::yield_now().await;
                }
            }
            Err(error) if is_its_own(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut troubled, true) {
                    tracing::error!(%error, "no connection can be taken; trying on");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
}

/// Whether an error concerns the one connection that was to be taken (`accept(2)`); all others,
/// such as too many open files, concern the next as well.
fn is_its_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
