//! The two doors: gRPC in front, health and metrics at the side; and how they are closed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::domain::address::Network;
use crate::grpc;
use crate::metrics::Metrics;
use crate::proto;
use crate::transport::{Door, Tls, Unrationed};

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

/// The door in front.
pub(super) fn grpc(
    routes: Routes,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
    longest_call: Duration,
    unrationed: Unrationed,
) -> Door {
    Door {
        routes: routes.into_axum_router(),
        tls,
        metrics,
        longest_call,
        overloaded: grpc::overloaded,
        shows_good_key: grpc::shows_good_key,
        unrationed,
    }
}

/// These networks, each by its first address and how many of the first bits its addresses share.
pub(super) fn unrationed(networks: &[(IpAddr, u8)]) -> Unrationed {
    let networks = networks.iter();
    let networks: Vec<_> = networks
        .map(|(base, prefix)| Network::new(*base, *prefix))
        .collect();
    Unrationed::new(move |peer| networks.iter().any(|network| network.contains(peer)))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::Router;
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;
    use tokio_util::task::TaskTracker;
    use tonic::transport::Channel;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus as Told;
    use tonic_health::pb::health_client::HealthClient;

    use super::*;
    use crate::transport;

    struct Front {
        address: SocketAddr,
        health: HealthReporter,
        stop: CancellationToken,
        server: JoinHandle<()>,
    }

    /// The gRPC door with nothing behind it but health.
    async fn open() -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (health, service) = tonic_health::server::health_reporter();
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::new());
        let door = grpc(
            Routes::new(service),
            None,
            metrics,
            Duration::ZERO,
            Unrationed::nobody(),
        );
        let server = transport::serve_calls(listener, door, stop.clone());
        Front {
            address,
            health,
            server: TaskTracker::new().spawn(server),
            stop,
        }
    }

    async fn connect(door: &Front) -> HealthClient<Channel> {
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
        let server =
            TaskTracker::new().spawn(transport::serve_pages(listener, pages, stop.clone()));
        let client = reqwest::Client::new();
        let page = client.get(url).send().await.unwrap();
        assert_eq!(page.text().await.unwrap(), "here");
        stop.cancel();
        server.await.unwrap();
    }
}
