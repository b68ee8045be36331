//! The two servers: gRPC in front, health and metrics at the side. The numbers are the promises
//! of how much one caller can make the process hold.

use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::proto;

/// Calls at a time on one connection (HTTP/2 knows no limit by itself).
const STREAMS_MAX: u32 = 200;
/// Streams that were reset before they were looked at; more close the connection (CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 20;
/// Streams that this side reset for errors of the other; more close the connection
/// (RUSTSEC-2024-0003).
const LOCAL_RESETS_MAX: usize = 1024;
/// Bytes of one request that may arrive unread: enough for a fast upload of a reference image.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes of all requests of one connection that may arrive unread.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes of all headers of a call; keys and metadata are far below.
const HEADERS_MAX_BYTES: u32 = 16 * 1024;
/// Silence after which the other side is asked whether it is there: proxies drop silent
/// connections after a minute or more, and drawing takes longer.
const PING_AFTER: Duration = Duration::from_secs(30);
/// How long it may take to answer that.
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// A connection at the side is told to end after this, so that idle ones do not pile up.
const SIDE_CONNECTION_AGE: Duration = Duration::from_secs(60);

/// The services whose health is told, beside the whole (`""`).
const SERVICES: [&str; 6] = [
    "",
    proto::image_service_server::SERVICE_NAME,
    proto::tool_service_server::SERVICE_NAME,
    proto::model_service_server::SERVICE_NAME,
    proto::billing_service_server::SERVICE_NAME,
    proto::organization_service_server::SERVICE_NAME,
];

/// Takes no new connection and no new call from now on, and says so to whoever watches. Watches
/// would go on for ever, so they are ended: nobody waits for them.
pub(super) async fn turn_away(mut health: HealthReporter, draining: &CancellationToken) {
    for service in SERVICES {
        health
            .set_service_status(service, ServingStatus::NotServing)
            .await;
    }
    draining.cancel();
    for service in SERVICES {
        health.clear_service_status(service).await;
    }
}

/// Serves gRPC until told to stop, then until every stream has ended.
pub(super) async fn grpc(listener: TcpListener, routes: Routes, stop: CancellationToken) {
    let server = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADERS_MAX_BYTES)
        .http2_keepalive_interval(Some(PING_AFTER))
        .http2_keepalive_timeout(Some(PING_PATIENCE))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming(listener), stop.cancelled_owned());
    report("gRPC", server.await);
}

/// Serves the pages until told to stop, then until nobody reads. The same server as for gRPC,
/// because it sets the time limits for reading headers that others leave out.
pub(super) async fn http(listener: TcpListener, pages: Router, stop: CancellationToken) {
    let server = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
        .http2_max_header_list_size(HEADERS_MAX_BYTES)
        .max_connection_age(SIDE_CONNECTION_AGE)
        .serve_with_incoming_shutdown(pages, incoming(listener), stop.cancelled_owned());
    report("HTTP", server.await);
}

/// Small messages leave at once: the first bytes of a picture must not wait for the next.
fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}

fn report(door: &'static str, result: Result<(), tonic::transport::Error>) {
    if let Err(error) = result {
        tracing::error!(%error, "the {door} server failed");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::task::JoinHandle;
    use tokio_util::task::TaskTracker;
    use tonic::transport::Channel;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus as Told;
    use tonic_health::pb::health_client::HealthClient;

    use super::*;

    struct Door {
        address: SocketAddr,
        health: HealthReporter,
        stop: CancellationToken,
        server: JoinHandle<()>,
    }

    /// The gRPC door with nothing behind it but health.
    async fn open() -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (health, service) = tonic_health::server::health_reporter();
        let stop = CancellationToken::new();
        let routes = Routes::new(service);
        Door {
            address,
            health,
            server: TaskTracker::new().spawn(grpc(listener, routes, stop.clone())),
            stop,
        }
    }

    async fn connect(door: &Door) -> HealthClient<Channel> {
        let address = format!("http://{}", door.address);
        let endpoint = Channel::from_shared(address).unwrap();
        HealthClient::new(endpoint.connect().await.unwrap())
    }

    #[tokio::test]
    async fn whoever_watches_health_is_told_and_does_not_delay_the_end() {
        let door = open().await;
        let mut client = connect(&door).await;
        let watch = client.watch(HealthCheckRequest::default()).await;
        let mut watch = watch.unwrap().into_inner();
        let seen = watch.message().await.unwrap().unwrap().status;
        assert_eq!(seen, Told::Serving as i32);
        turn_away(door.health, &door.stop).await;
        let seen = watch.message().await.unwrap().unwrap().status;
        assert_eq!(seen, Told::NotServing as i32);
        assert!(watch.message().await.unwrap().is_none());
        door.server.await.unwrap();
    }

    #[tokio::test]
    async fn a_closed_door_takes_neither_a_call_nor_a_connection() {
        let door = open().await;
        let mut client = connect(&door).await;
        client.check(HealthCheckRequest::default()).await.unwrap();
        turn_away(door.health, &door.stop).await;
        door.server.await.unwrap();
        let status = client.check(HealthCheckRequest::default()).await;
        assert_eq!(status.unwrap_err().code(), tonic::Code::Unavailable);
        assert!(tokio::net::TcpStream::connect(door.address).await.is_err());
    }

    #[tokio::test]
    async fn the_side_door_speaks_http_and_ends_though_a_connection_is_kept_open() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let pages = Router::new().route("/", axum::routing::get(async || "here"));
        let server = TaskTracker::new().spawn(http(listener, pages, stop.clone()));
        let client = reqwest::Client::new();
        let page = client.get(url).send().await.unwrap();
        assert_eq!(page.text().await.unwrap(), "here");
        stop.cancel();
        server.await.unwrap();
    }
}
