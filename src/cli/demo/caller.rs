//! The demo as a caller of the gateway: nothing here that any other gRPC client could not do.

use std::net::SocketAddr;

use secrecy::SecretString;
use tonic::{Code, Status};
use uuid::Uuid;

use super::super::client::{self, Connection};
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

/// A caller with a key.
#[derive(Debug)]
pub(super) struct Caller {
    connection: Connection,
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
        let connection = client::connect(&address.to_string(), key).await?;
        Ok(Self { connection })
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
}
