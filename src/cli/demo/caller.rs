//! The demo as a caller of the gateway: nothing here that any other gRPC client could not do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use super::super::failed::Failed;
use super::picture::Picture;
use crate::domain::money::Credits;
use crate::proto;
use crate::proto::billing_service_client::BillingServiceClient;
use crate::proto::image_service_client::ImageServiceClient;
use crate::proto::organization_service_client::OrganizationServiceClient;
use crate::proto::tool_service_client::ToolServiceClient;

/// Who draws in the demo.
const ORGANIZATION: &str = "demo";
const AGENT: &str = "demo-agent";
/// The cheapest of the published models that looks right: 0.014 USD, 29 credits.
const MODEL: &str = "black-forest-labs/flux.2-klein-4b";
/// Credits below which a run tops up: enough for several pictures of any model.
const LOW: Credits = Credits::from_whole(1_000);
/// Credits of a top-up: five US dollars' worth.
const TOP_UP: Credits = Credits::from_whole(10_000);
/// A gateway on this machine that has not answered by then will not.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// A connection that carries a key.
type Connection = InterceptedService<Channel, Bearer>;

/// A caller with a key.
#[derive(Debug)]
pub(super) struct Caller {
    connection: Connection,
}

/// Adds the key to every call.
#[derive(Clone, Debug)]
pub(super) struct Bearer {
    /// Marked sensitive, so that neither a log nor a header table keeps it.
    header: MetadataValue<Ascii>,
}

/// The address by which this machine reaches a listener, which may listen on all addresses.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The body of the demo's call.
pub(super) fn order(prompt: &str) -> proto::GenerateImageRequest {
    proto::GenerateImageRequest {
        agent_id: AGENT.to_owned(),
        prompt: prompt.to_owned(),
        ..proto::GenerateImageRequest::default()
    }
}

// === impl Caller ===

impl Caller {
    /// Connects to the gateway with this key.
    pub(super) async fn connect(address: SocketAddr, key: &SecretString) -> Result<Self, Failed> {
        let unreachable = |error| Failed::new("cannot reach the gateway").because(error);
        let channel = Endpoint::from_shared(format!("http://{}", reachable(address)))
            .map_err(unreachable)?
            .connect_timeout(CONNECT_PATIENCE)
            .connect()
            .await
            .map_err(unreachable)?;
        let header = format!("Bearer {}", key.expose_secret());
        let mut header = MetadataValue::try_from(header)
            .map_err(|error| Failed::new("the key fits into no header").because(error))?;
        header.set_sensitive(true);
        Ok(Self {
            connection: InterceptedService::new(channel, Bearer { header }),
        })
    }

    /// As the operator: an organization with credits, and a key for it, which is returned.
    pub(super) async fn prepare(&self) -> Result<SecretString, Failed> {
        self.create_organization().await?;
        self.top_up_if_low().await?;
        let request = proto::CreateApiKeyRequest {
            organization_id: ORGANIZATION.to_owned(),
            name: "demo".to_owned(),
            role: proto::Role::Admin.into(),
            expire_time: None,
        };
        let mut client = OrganizationServiceClient::new(self.connection.clone());
        let made = client.create_api_key(request).await;
        let made = made.map_err(|status| Failed::refused("cannot make a key", &status))?;
        Ok(SecretString::from(made.into_inner().secret))
    }

    /// As an administrator: the agent may draw, with the demo's model.
    pub(super) async fn allow_drawing(&self) -> Result<(), Failed> {
        let tool = proto::GenerateImageTool {
            agent_id: AGENT.to_owned(),
            enabled: true,
            model: MODEL.to_owned(),
            ..proto::GenerateImageTool::default()
        };
        let request = proto::UpdateGenerateImageToolRequest {
            generate_image_tool: Some(tool),
            ..proto::UpdateGenerateImageToolRequest::default()
        };
        let mut client = ToolServiceClient::new(self.connection.clone());
        let updated = client.update_generate_image_tool(request).await;
        let refused = |status| Failed::refused("cannot switch the tool on", &status);
        updated.map(drop).map_err(refused)
    }

    /// As an agent: one picture.
    pub(super) async fn draw(&self, prompt: &str) -> Result<Picture, Failed> {
        let request = proto::GenerateImageRequest {
            request_id: format!("demo-{}", Uuid::now_v7()),
            channel: proto::Channel::Api.into(),
            origin: proto::Origin::Test.into(),
            ..order(prompt)
        };
        let mut client = ImageServiceClient::new(self.connection.clone());
        let events = client.generate_image(request).await;
        let events = events.map_err(|status| Picture::refused(&status))?;
        Picture::receive(events.into_inner()).await
    }

    async fn create_organization(&self) -> Result<(), Failed> {
        let request = proto::CreateOrganizationRequest {
            id: ORGANIZATION.to_owned(),
            name: "Demo".to_owned(),
        };
        let mut client = OrganizationServiceClient::new(self.connection.clone());
        match client.create_organization(request).await {
            Ok(_) => Ok(()),
            // Made by an earlier run.
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            Err(status) => Err(Failed::refused("cannot make an organization", &status)),
        }
    }

    async fn top_up_if_low(&self) -> Result<(), Failed> {
        let refused = |status: Status| Failed::refused("cannot add credits", &status);
        let mut client = BillingServiceClient::new(self.connection.clone());
        let request = proto::GetBalanceRequest {
            organization_id: ORGANIZATION.to_owned(),
        };
        let balance = client.get_balance(request).await.map_err(refused)?;
        let available = Credits::parse(&balance.into_inner().available).unwrap_or_default();
        if available >= LOW {
            return Ok(());
        }
        let request = proto::AddCreditsRequest {
            organization_id: ORGANIZATION.to_owned(),
            credits: TOP_UP.to_string(),
            // Every low balance is another reason to top up, so every top-up has its own name.
            reference: format!("demo-{}", Uuid::now_v7()),
            description: "Credits of the demo".to_owned(),
        };
        client.add_credits(request).await.map(drop).map_err(refused)
    }
}

// === impl Bearer ===

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = self.header.clone();
        request.metadata_mut().insert("authorization", header);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::Catalog;
    use crate::domain::ids::Slug;

    #[test]
    fn the_demos_model_is_on_the_list_and_a_top_up_pays_for_it() {
        let catalog = Catalog::built_in();
        let model = catalog.find(&Slug::parse(MODEL).unwrap()).unwrap();
        let estimate = model.estimate().unwrap();
        assert!(estimate.bounds.high < LOW, "{estimate:?}");
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_over_loopback() {
        for (listening, reached) in [
            ("0.0.0.0:50051", "127.0.0.1:50051"),
            ("[::]:50051", "[::1]:50051"),
            ("192.0.2.7:1", "192.0.2.7:1"),
        ] {
            assert_eq!(reachable(listening.parse().unwrap()).to_string(), reached);
        }
    }
}
