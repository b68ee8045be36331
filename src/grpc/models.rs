//! The models an organization can choose from.

use std::collections::HashMap;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::page::{Asked, Page};
use super::{Service, caller, read, write};
use crate::domain::catalog::Model;
use crate::domain::failure::Failure;
use crate::domain::ids::{OrganizationId, Slug};
use crate::domain::openrouter_key::KeyStatus;
use crate::domain::tool::Status as ToolState;
use crate::generate::unsettled;
use crate::ports::Agents;
use crate::proto;
use crate::proto::model_service_server::ModelService;
use show::{capabilities, show};

mod changes;
mod show;

/// The most agents that are named in one answer.
const AGENTS_MAX: u32 = 1000;

/// How an organization sees the catalog; the operator sees it bare.
struct View {
    organization: Option<Organization>,
}

struct Organization {
    switched_off: Vec<Slug>,
    agents: HashMap<Slug, u32>,
}

#[tonic::async_trait]
impl ModelService for Service {
    async fn list_models(
        &self,
        request: Request<proto::ListModelsRequest>,
    ) -> Result<Response<proto::ListModelsResponse>, Status> {
        self.answer("ListModels", self.models(request).await)
    }

    async fn get_model(
        &self,
        request: Request<proto::GetModelRequest>,
    ) -> Result<Response<proto::Model>, Status> {
        self.answer("GetModel", self.model(request).await)
    }

    async fn update_model_availability(
        &self,
        request: Request<proto::UpdateModelAvailabilityRequest>,
    ) -> Result<Response<proto::UpdateModelAvailabilityResponse>, Status> {
        self.answer("UpdateModelAvailability", self.availability(request).await)
    }

    async fn list_price_changes(
        &self,
        request: Request<proto::ListPriceChangesRequest>,
    ) -> Result<Response<proto::ListPriceChangesResponse>, Status> {
        self.answer("ListPriceChanges", self.price_changes(request).await)
    }

    async fn sync_models(
        &self,
        request: Request<proto::SyncModelsRequest>,
    ) -> Result<Response<proto::SyncModelsResponse>, Status> {
        self.answer("SyncModels", self.sync(request).await)
    }

    async fn confirm_price(
        &self,
        request: Request<proto::ConfirmPriceRequest>,
    ) -> Result<Response<proto::Model>, Status> {
        self.answer("ConfirmPrice", self.confirm(request).await)
    }
}

impl Service {
    async fn models(
        &self,
        request: Request<proto::ListModelsRequest>,
    ) -> Result<proto::ListModelsResponse, Failure> {
        let caller = caller(&request)?;
        let view = self.view(&caller).await?;
        let request = request.into_inner();
        let capability = read::known("capability", request.capability)?;
        let tier: proto::Tier = read::known("tier", request.tier)?;
        let asked = (
            "ListModels",
            read::payer(&caller).ok(),
            capability,
            tier,
            request.available_only,
        );
        let question = Asked::new(&self.parts.keyring, &asked);
        let mut page = Page::new(request.page_size)?;
        let shown = question.place_of_any_length(&request.page_token)?;
        let list = self.prices_for(&caller).await?;
        let wanted = |model: &Model| {
            has(model, capability)
                && (tier == proto::Tier::Unspecified || model.tier().map(write::tier) == Some(tier))
                && (!request.available_only || (view.available(&model.slug) && !model.withdrawn))
        };
        let mut next_page_token = String::new();
        let mut last: &[u8] = &[];
        for model in after(list.catalog.models(), shown.as_deref()).filter(|model| wanted(model)) {
            if !page.add(show(model, &list, &view)) {
                next_page_token = question.token(last);
                break;
            }
            last = model.slug.as_str().as_bytes();
        }
        Ok(proto::ListModelsResponse {
            models: page.items,
            next_page_token,
            last_sync: list.last_sync.map(write::timestamp),
            stale: self.parts.prices.is_stale(&list, crate::clock::now()),
            sync_error: list.trouble.clone().unwrap_or_default(),
        })
    }

    async fn model(
        &self,
        request: Request<proto::GetModelRequest>,
    ) -> Result<proto::Model, Failure> {
        let caller = caller(&request)?;
        let view = self.view(&caller).await?;
        let slug = read::slug("slug", &request.get_ref().slug)?;
        let list = self.prices_for(&caller).await?;
        let found = list.catalog.find(&slug);
        let model = found.ok_or_else(|| Failure::model_not_found(slug.as_str()))?;
        Ok(show(model, &list, &view))
    }

    async fn availability(
        &self,
        request: Request<proto::UpdateModelAvailabilityRequest>,
    ) -> Result<proto::UpdateModelAvailabilityResponse, Failure> {
        let caller = caller(&request)?;
        let organization = read::payer(&caller)?;
        let request = request.into_inner();
        let slug = read::slug("slug", &request.slug)?;
        let settings = &self.parts.settings;
        let (list, key) = self.prices_of(&organization).await?;
        let found = list.catalog.find(&slug);
        let model = found.ok_or_else(|| Failure::model_not_found(slug.as_str()))?;
        let wanted = request.available;
        let changes = if request.validate_only {
            let available = settings.is_available(&organization, &slug).await;
            available.map_err(unsettled)? != wanted
        } else {
            let change = settings
                .set_available(&organization, &slug, wanted, caller.by())
                .await;
            change.map_err(unsettled)?
        };
        // A tool whose model is withdrawn does not work either way, nor does any with a refused key,
        // nor one whose size the model does not have.
        let touches = changes
            && key == KeyStatus::Active
            && model.usability(wanted) != model.usability(!wanted);
        let touched = if touches {
            let sizes = model.takes();
            let agents = settings.agents_enabled_with(&organization, (&slug, &sizes), AGENTS_MAX);
            agents.await.map_err(unsettled)?
        } else {
            Agents::default()
        };
        let status = (touched.count > 0)
            .then(|| write::tool_status(ToolState::with_model(&slug, model.usability(wanted))));
        let (status, status_reason) = status.unwrap_or_default();
        let mut shown = show(model, &list, &self.view(&caller).await?);
        shown.available = Some(wanted);
        Ok(proto::UpdateModelAvailabilityResponse {
            model: Some(shown),
            agents_affected: touched.first.iter().map(ToString::to_string).collect(),
            agents_affected_count: write::int(touched.count),
            affected_status: status.into(),
            affected_status_reason: status_reason,
        })
    }

    async fn view(&self, caller: &Caller) -> Result<View, Failure> {
        let organization = match caller {
            Caller::Organization { id, .. } => Some(self.organization_view(id).await?),
            Caller::Operator => None,
        };
        Ok(View { organization })
    }

    async fn organization_view(&self, id: &OrganizationId) -> Result<Organization, Failure> {
        let settings = &self.parts.settings;
        let switched_off = settings.unavailable_models(id).await.map_err(unsettled)?;
        let agents = settings.agents_by_model(id).await.map_err(unsettled)?;
        Ok(Organization {
            switched_off,
            agents: agents.into_iter().collect(),
        })
    }
}

/// The models behind the one that was last shown, in the order of today: a sync between two pages
/// may move a model to the other side, but none is ever gone.
fn after<'a>(
    models: &'a [Arc<Model>],
    shown: Option<&[u8]>,
) -> impl Iterator<Item = &'a Arc<Model>> {
    let place = |slug: &[u8]| {
        let mut slugs = models.iter().map(|model| model.slug.as_str().as_bytes());
        slugs.position(|one| one == slug)
    };
    let begin = shown.map_or(0, |slug| {
        place(slug).map_or(models.len(), |place| place + 1)
    });
    models.iter().skip(begin)
}

// === impl View ===

impl View {
    const fn shows_availability(&self) -> bool {
        self.organization.is_some()
    }

    fn available(&self, slug: &Slug) -> bool {
        let organization = self.organization.as_ref();
        organization.is_none_or(|organization| !organization.switched_off.contains(slug))
    }

    fn agents(&self, slug: &Slug) -> u32 {
        let organization = self.organization.as_ref();
        let count = organization.and_then(|organization| organization.agents.get(slug));
        count.copied().unwrap_or(0)
    }
}

fn has(model: &Model, capability: proto::Capability) -> bool {
    capability == proto::Capability::Unspecified || capabilities(model).contains(&capability)
}
