//! The connections: how they are taken, encrypted, kept within bounds and ended. Nothing is known
//! here of what is said on them; whoever speaks may be a stranger, and strangers are many.
//!
//! A newcomer waits in a lobby until it has shown that it speaks HTTP/2, for five seconds at most,
//! and is put out by later ones if the lobby is full. Then it has a seat. Seats are few; a
//! connection without calls loses its seat to one that has just come, and so does one of whoever has
//! most of them. Frames that carry nothing are counted, calls are counted, and each connection ends
//! after an hour, or a minute after the first of its calls has stopped moving. Who is put out is remembered
//! by address, and those who come from there take turns at the door.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;

mod accept;
mod answers;
mod arrival;
mod asked;
mod calls;
mod complaint;
mod conduct;
mod life;
mod limits;
mod meter;
mod origins;
mod pages;
mod seats;
mod stalls;
mod strangers;
mod tls;

pub use accept::listen;
use calls::{Calls, Words};
use complaint::Complaint;
pub use limits::raise_open_files;
use origins::Origins;
pub use origins::Unrationed;
pub use pages::serve as serve_pages;
pub use seats::Introduction;
use seats::Seats;
pub use tls::{Files, Tls, TlsError};

/// What the door for calls is made of.
#[derive(Debug)]
pub struct Door {
    /// Everything that is served. What is fastened to an answer, among its extensions, is kept until
    /// the last byte of it is gone, or nobody wants it.
    pub routes: Router,
    /// What encrypts connections; `None` is plaintext.
    pub tls: Option<Arc<Tls>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The longest a call may take: an aged connection waits so long for those it has.
    pub longest_call: Duration,
    /// The answer to a call for which there is no room.
    pub overloaded: fn() -> Response,
    /// Whether an answer says that its caller has shown a good key.
    pub shows_good_key: fn(&Response) -> bool,
    /// Whose newcomers never take turns.
    pub unrationed: Unrationed,
}

/// What every connection of the door for calls is handed.
struct Hall {
    calls: Arc<Calls>,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
    seats: Arc<Seats>,
    longest_call: Duration,
    floods: Complaint,
    refusals: Complaint,
    stop: CancellationToken,
}

/// Serves calls over HTTP/2 until told to stop, then until every call has ended.
pub async fn serve_calls(listener: TcpListener, door: Door, stop: CancellationToken) {
    let words = Words {
        overloaded: door.overloaded,
        shows_good_key: door.shows_good_key,
    };
    let hall = Arc::new(Hall {
        calls: Calls::new(door.routes, Arc::clone(&door.metrics), words),
        tls: door.tls,
        metrics: Arc::clone(&door.metrics),
        seats: Seats::new(limits::lobby_max(), limits::seats_max()),
        longest_call: door.longest_call,
        floods: Complaint::default(),
        refusals: Complaint::default(),
        stop: stop.clone(),
    });
    let origins = Origins::new(door.unrationed, door.metrics);
    let connections = TaskTracker::new();
    accept::until(&stop, listener, |socket, peer| {
        match origins.knock(peer.ip()) {
            Some(visitor) => {
                connections.spawn(life::attend(Arc::clone(&hall), socket, peer, visitor));
            }
            None => life::turn_away(&hall, socket, peer),
        }
    })
    .await;
    connections.close();
    connections.wait().await;
}
