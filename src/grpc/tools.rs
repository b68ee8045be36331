//! The Generate Image tool of each agent.

use tonic::{Request, Response, Status};

use super::{Service, caller, read};
use crate::domain::failure::Failure;
use crate::domain::ids::OrganizationId;
use crate::domain::tool::Tool;
use crate::generate::unsettled;
use crate::proto;
use crate::proto::tool_service_server::ToolService;
use show::show;

mod fields;
mod list;
mod show;

#[tonic::async_trait]
impl ToolService for Service {
    async fn get_generate_image_tool(
        &self,
        request: Request<proto::GetGenerateImageToolRequest>,
    ) -> Result<Response<proto::GenerateImageTool>, Status> {
        self.answer("GetGenerateImageTool", self.get_tool(request).await)
    }

    async fn list_generate_image_tools(
        &self,
        request: Request<proto::ListGenerateImageToolsRequest>,
    ) -> Result<Response<proto::ListGenerateImageToolsResponse>, Status> {
        self.answer("ListGenerateImageTools", self.tools(request).await)
    }

    async fn update_generate_image_tool(
        &self,
        request: Request<proto::UpdateGenerateImageToolRequest>,
    ) -> Result<Response<proto::GenerateImageTool>, Status> {
        self.answer("UpdateGenerateImageTool", self.update_tool(request).await)
    }

    async fn delete_generate_image_tool(
        &self,
        request: Request<proto::DeleteGenerateImageToolRequest>,
    ) -> Result<Response<()>, Status> {
        self.answer("DeleteGenerateImageTool", self.delete_tool(request).await)
    }
}

impl Service {
    async fn get_tool(
        &self,
        request: Request<proto::GetGenerateImageToolRequest>,
    ) -> Result<proto::GenerateImageTool, Failure> {
        let organization = read::payer(&caller(&request)?)?;
        let agent = read::agent_id(&request.get_ref().agent_id)?;
        let found = self.parts.settings.tool(&organization, &agent).await;
        let tool = found
            .map_err(unsettled)?
            .ok_or_else(|| Failure::agent_not_found(&agent))?;
        let available = self.model_available(&organization, &tool).await?;
        let (list, key) = self.prices_of(&organization).await?;
        Ok(show(&tool, (&list, key), available))
    }

    async fn update_tool(
        &self,
        request: Request<proto::UpdateGenerateImageToolRequest>,
    ) -> Result<proto::GenerateImageTool, Failure> {
        let caller = caller(&request)?;
        let organization = read::payer(&caller)?;
        let request = request.into_inner();
        let missing = || Failure::invalid("generate_image_tool", "must be set");
        let wanted = request.generate_image_tool.ok_or_else(missing)?;
        let agent = read::agent_id(&wanted.agent_id)?;
        let fields = fields::changed(&wanted, request.update_mask)?;
        let (list, key) = self.prices_of(&organization).await?;
        let settings = &self.parts.settings;
        loop {
            let before = settings.tool(&organization, &agent).await;
            let before = before.map_err(unsettled)?;
            let tool = fields::apply(before.as_ref(), &wanted, &fields)?;
            let available = self.model_available(&organization, &tool).await?;
            tool.check(&list.catalog, available)?;
            if request.validate_only {
                return Ok(show(&tool, (&list, key), available));
            }
            let saved = settings.save_tool(&organization, before, tool.clone(), caller.by());
            if saved.await.map_err(unsettled)? {
                return Ok(show(&tool, (&list, key), available));
            }
            // Another change was faster; this one is made to what it has left.
        }
    }

    async fn delete_tool(
        &self,
        request: Request<proto::DeleteGenerateImageToolRequest>,
    ) -> Result<(), Failure> {
        let caller = caller(&request)?;
        let organization = read::payer(&caller)?;
        let agent = read::agent_id(&request.get_ref().agent_id)?;
        let settings = &self.parts.settings;
        let deleted = settings.delete_tool(&organization, &agent, caller.by());
        let found = deleted.await.map_err(unsettled)?;
        found
            .then_some(())
            .ok_or_else(|| Failure::agent_not_found(&agent))
    }

    async fn model_available(
        &self,
        organization: &OrganizationId,
        tool: &Tool,
    ) -> Result<bool, Failure> {
        match &tool.model {
            Some(model) => {
                let available = self.parts.settings.is_available(organization, model).await;
                available.map_err(unsettled)
            }
            None => Ok(false),
        }
    }
}
