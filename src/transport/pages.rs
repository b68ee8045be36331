//! The side door: pages over HTTP/1.1, in plaintext. It shows nothing of any customer.

use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept;
use super::limits::{self, PAGE_CONNECTION_AGE, PAGE_CONNECTIONS_MAX, PAGE_GRACE};
use super::seats::Seats;

/// Serves pages until told to stop, then until nobody reads. A connection that comes when there are
/// too many puts out the oldest, so that whoever watches over this process is never kept out.
pub async fn serve(listener: TcpListener, pages: Router, stop: CancellationToken) {
    let seats = Seats::new(PAGE_CONNECTIONS_MAX, 0);
    let pages = TowerToHyperService::new(pages.with_state(()));
    let connections = TaskTracker::new();
    accept::until(&stop, listener, |socket, _| {
        let reading = read(socket, pages.clone(), stop.clone());
        let seats = Arc::clone(&seats);
        connections.spawn(async move {
            let reader = seats.arrive();
            tokio::select! {
                () = reader.put_out() => {}
                () = reading => {}
            }
        });
    })
    .await;
    connections.close();
    connections.wait().await;
}

async fn read(socket: TcpStream, pages: TowerToHyperService<Router>, stop: CancellationToken) {
    let mut connection = pin!(limits::http1().serve_connection(TokioIo::new(socket), pages));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = tokio::time::sleep(PAGE_CONNECTION_AGE) => {}
    }
    connection.as_mut().graceful_shutdown();
    // What goes wrong on the way to a reader concerns the reader alone.
    let _ = tokio::time::timeout(PAGE_GRACE, connection).await;
}
