//! The life of one connection, from the lobby to its end, and why it ended.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::Hall;
use super::arrival::{self, ArrivalError, Stream};
use super::calls::Caller;
use super::conduct::Conduct;
use super::limits;
use super::origins::Visitor;
use super::seats::{Newcomer, Seat};
use crate::metrics::ConnectionEnd as End;

/// HTTP/2 over a stream.
type Connection = http2::Connection<TokioIo<Stream>, Caller, TokioExecutor>;

/// Serves a connection until it ends.
pub(super) async fn attend(hall: Arc<Hall>, socket: TcpStream, peer: SocketAddr, visitor: Visitor) {
    let visitor = Arc::new(visitor);
    let newcomer = hall.seats.arrive();
    let _open = hall.metrics.connection_opened();
    let end = match admit(&hall, &newcomer, &visitor, socket).await {
        Ok(stream) => serve(&hall, newcomer, &visitor, stream).await,
        Err(end) => end,
    };
    if end == End::Flood {
        hall.floods.flood(peer);
    }
    // What ends because this process does says nothing of the peer.
    if !hall.stop.is_cancelled() {
        visitor.left(end == End::Flood);
    }
    hall.metrics.connection_ended(end);
}

/// Turns somebody away as cheaply as can be: nothing is sent but a reset, and the system keeps
/// nothing of it.
pub(super) fn turn_away(hall: &Hall, socket: TcpStream, peer: SocketAddr) {
    // A socket that refuses that is gone already.
    let _ = socket.set_zero_linger();
    drop(socket);
    hall.refusals.turned_away(peer);
    hall.metrics.connection_ended(End::TurnedAway);
}

/// Waits in the lobby until its turn has come and it has arrived.
async fn admit(
    hall: &Hall,
    newcomer: &Newcomer,
    visitor: &Visitor,
    socket: TcpStream,
) -> Result<Stream, End> {
    let arriving = async {
        visitor.turn().await;
        arrival::arrive(socket, hall.tls.clone()).await
    };
    tokio::select! {
        () = hall.stop.cancelled() => Err(End::Closed),
        () = newcomer.put_out() => Err(End::PutOut),
        arrived = arriving => arrived.map_err(|error| {
            tracing::debug!(cause = error.source(), "a connection did not arrive: {error}");
            match error {
                ArrivalError::TimedOut => End::TimedOut,
                ArrivalError::Tls(_) => End::TlsFailed,
                ArrivalError::NotHttp2 => End::NotHttp2,
            }
        }),
    }
}

async fn serve(hall: &Hall, newcomer: Newcomer, visitor: &Arc<Visitor>, stream: Stream) -> End {
    let Some(seated) = newcomer.sit() else {
        return End::Full;
    };
    let conduct = stream.conduct();
    let seat = seated.seat();
    let caller = Caller::new(
        Arc::clone(&hall.calls),
        Arc::clone(seat),
        conduct.clone(),
        Arc::clone(visitor),
    );
    let connection = limits::http2().serve_connection(TokioIo::new(stream), caller);
    let end = live(hall, seat, &conduct, pin!(connection)).await;
    if conduct.is_flood() { End::Flood } else { end }
}

/// Until it ends by itself, is told to and does, or is cut.
async fn live(
    hall: &Hall,
    seat: &Seat,
    conduct: &Conduct,
    mut connection: Pin<&mut Connection>,
) -> End {
    let end = tokio::select! {
        biased;
        () = conduct.flooded() => return End::Flood,
        ended = connection.as_mut() => return why(ended),
        () = seat.put_out() => return End::PutOut,
        () = hall.stop.cancelled() => End::Closed,
        () = tokio::time::sleep(limits::age()) => End::Aged,
        () = seat.idle_for(limits::IDLE_MAX) => End::Idle,
        () = seat.stalls().stalled_for(limits::STALL_MAX) => End::Stalled,
    };
    // No call from now on, and those that run may end: others on it may read, where one does not.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        _ = connection => end,
        () = conduct.flooded() => End::Flood,
        () = seat.put_out() => end,
        () = seat.idle_for(limits::FAREWELL) => end,
        () = seat.deserted_for(limits::STALL_MAX) => End::Stalled,
        () = tokio::time::sleep(hall.longest_call + limits::GRACE) => End::CutOff,
    }
}

/// Why a connection ended that nobody told to.
fn why(ended: Result<(), hyper::Error>) -> End {
    let Err(error) = ended else {
        return End::Closed;
    };
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    tracing::debug!(%error, cause = error.source(), "a connection ended");
    let Some(cause): Option<&h2::Error> = cause else {
        // Keep-alive: nobody answers any more.
        return End::Lost;
    };
    if cause.is_io() {
        End::Lost
    } else if cause.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) && !cause.is_remote() {
        End::Flood
    } else {
        End::Broken
    }
}

#[cfg(test)]
mod tests;
