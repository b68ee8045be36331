//! Organizations' own OpenRouter keys: who pays whom, what is checked, what is kept, what is never
//! done in their place.

use std::time::Duration;

use image_gateway::mock::Script;
use image_gateway::proto;
use rust_decimal::Decimal;
use tonic::{Code, Status};

use crate::helpers::{
    AGENT, GPT, House, KLEIN, OPERATOR_KEY, PLATFORM_KEY, SEEDREAM, Setup, detail, reason, request,
};

mod checked;
mod instead;
mod kept;
mod paying;
mod refused;
mod unreadable;

pub(crate) const OWN: &str = "sk-or-v1-acmes-own-key-0123456789abcdef-c0de";
const OTHER: &str = "sk-or-v1-another-key-of-acme-0123456789-beef";

/// How long a note that nobody waits for may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl House {
    pub(crate) async fn set_openrouter_key(
        &self,
        with: &str,
        key: &str,
    ) -> Result<proto::Organization, Status> {
        let request = proto::SetOpenRouterKeyRequest {
            organization_id: "acme".to_owned(),
            key: key.to_owned(),
        };
        let set = self.organizations(with).set_open_router_key(request).await;
        set.map(tonic::Response::into_inner)
    }

    pub(crate) async fn delete_openrouter_key(
        &self,
        with: &str,
    ) -> Result<proto::Organization, Status> {
        let request = proto::DeleteOpenRouterKeyRequest {
            organization_id: "acme".to_owned(),
        };
        let mut organizations = self.organizations(with);
        let deleted = organizations.delete_open_router_key(request).await;
        deleted.map(tonic::Response::into_inner)
    }

    pub(crate) async fn organization(&self) -> proto::Organization {
        let request = proto::GetOrganizationRequest::default();
        let mut organizations = self.organizations(&self.admin);
        let found = organizations.get_organization(request).await;
        found.expect("an organization").into_inner()
    }

    /// The newest entries of the organization's audit trail, the newest first.
    async fn newest_entries(&self, page_size: i32) -> Vec<proto::AuditEntry> {
        let request = proto::ListAuditEntriesRequest {
            page_size,
            ..Default::default()
        };
        let mut organizations = self.organizations(&self.admin);
        let read = organizations.list_audit_entries(request).await;
        read.expect("a trail").into_inner().entries
    }

    async fn painter(&self) -> proto::GenerateImageTool {
        let request = proto::GetGenerateImageToolRequest {
            agent_id: AGENT.to_owned(),
        };
        let mut tools = self.tools(&self.runtime);
        let tool = tools.get_generate_image_tool(request).await;
        tool.expect("a tool").into_inner()
    }

    async fn painters(&self, status: proto::ToolStatus) -> usize {
        let request = proto::ListGenerateImageToolsRequest {
            status: status.into(),
            ..Default::default()
        };
        let mut tools = self.tools(&self.runtime);
        let listed = tools.list_generate_image_tools(request).await;
        listed
            .expect("a list")
            .into_inner()
            .generate_image_tools
            .len()
    }

    /// The keys of the bill, each once, by what paid.
    fn payers(&self) -> Vec<String> {
        let bill = self.mock.bill();
        let mut keys: Vec<_> = bill.into_iter().map(|call| call.key_fingerprint).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// Waits until the key has this status.
    async fn key_becomes(&self, status: proto::OpenRouterKeyStatus) {
        let becoming = async {
            while self.organization().await.openrouter_key_status() != status {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let became = tokio::time::timeout(PATIENCE, becoming).await;
        became.unwrap_or_else(|_| panic!("never {status:?}"));
    }

    /// Whether any file of the data folder holds these bytes.
    fn keeps(&self, secret: &str) -> bool {
        let files = std::fs::read_dir(self.dir.path()).expect("the folder");
        let mut files = files.map(|file| file.expect("a file").path());
        files.any(|path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            let secret = secret.as_bytes();
            bytes.windows(secret.len()).any(|window| window == secret)
        })
    }
}
