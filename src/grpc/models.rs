//! The models an organization can choose from.

use std::collections::HashMap;

use tonic::{Request, Response, Status};

use super::access::Caller;
use super::page::{Asked, Page};
use super::{Service, caller, read, write};
use crate::domain::catalog::Model;
use crate::domain::failure::Failure;
use crate::domain::ids::{OrganizationId, Slug};
use crate::domain::job::REFERENCES_MAX;
use crate::domain::pricing::Question;
use crate::domain::tool::IMAGES_PER_CALL_MAX;
use crate::generate::unsettled;
use crate::proto;
use crate::proto::model_service_server::ModelService;

/// The most agents that are named or counted.
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
        let shown = question.place(&request.page_token)?;
        let shown = shown.map_or(0, u32::from_be_bytes);
        let wanted = |model: &Model| {
            has(model, capability)
                && (tier == proto::Tier::Unspecified || model.tier().map(write::tier) == Some(tier))
                && (!request.available_only || (view.available(&model.slug) && !model.withdrawn))
        };
        let mut next_page_token = String::new();
        let mut last = shown;
        // Places in the whole list, which is the same for all while the gateway runs: switching a
        // model off between two pages moves nothing.
        for (place, model) in (1u32..).zip(self.parts.catalog.models()) {
            if place <= shown || !wanted(model) {
                continue;
            }
            if !page.add(self.show(model, &view)) {
                next_page_token = question.token(&last.to_be_bytes());
                break;
            }
            last = place;
        }
        Ok(proto::ListModelsResponse {
            models: page.items,
            next_page_token,
        })
    }

    async fn model(
        &self,
        request: Request<proto::GetModelRequest>,
    ) -> Result<proto::Model, Failure> {
        let view = self.view(&caller(&request)?).await?;
        let slug = read::slug("slug", &request.get_ref().slug)?;
        let found = self.parts.catalog.find(&slug);
        let model = found.ok_or_else(|| Failure::model_not_found(slug.as_str()))?;
        Ok(self.show(model, &view))
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
        let found = self.parts.catalog.find(&slug);
        let model = found.ok_or_else(|| Failure::model_not_found(slug.as_str()))?;
        let agents = settings
            .agents_using(&organization, &slug, AGENTS_MAX)
            .await;
        let agents = agents.map_err(unsettled)?;
        if !request.validate_only {
            let change = settings
                .set_available(&organization, &slug, request.available)
                .await;
            change.map_err(unsettled)?;
        }
        let mut shown = self.show(model, &self.view(&caller).await?);
        shown.available = Some(request.available);
        Ok(proto::UpdateModelAvailabilityResponse {
            model: Some(shown),
            agents_affected: agents.iter().map(ToString::to_string).collect(),
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

    fn show(&self, model: &Model, view: &View) -> proto::Model {
        let price_time = self.parts.catalog.as_of;
        let estimate = model.estimate();
        let by_resolution = model.resolutions().into_iter().filter_map(|resolution| {
            let estimate = model.estimate_for(&Question::one(resolution))?;
            Some((
                resolution.to_string(),
                write::estimate(&estimate, price_time),
            ))
        });
        let billing_type = model
            .pricing
            .as_ref()
            .map(|pricing| write::billing_type(pricing.billing_type()));
        let parameters = &model.parameters;
        let draws = model.pricing.is_some();
        proto::Model {
            slug: model.slug.to_string(),
            name: model.name.clone(),
            capabilities: capabilities(model).into_iter().map(Into::into).collect(),
            billing_type: billing_type.unwrap_or_default().into(),
            estimate: estimate
                .as_ref()
                .map(|estimate| write::estimate(estimate, price_time)),
            estimates_by_resolution: by_resolution.collect(),
            tier: model.tier().map(write::tier).unwrap_or_default().into(),
            aspect_ratios: parameters
                .aspect_ratios
                .iter()
                .map(ToString::to_string)
                .collect(),
            resolutions: if draws {
                model
                    .resolutions()
                    .iter()
                    .map(ToString::to_string)
                    .collect()
            } else {
                Vec::new()
            },
            max_count: if draws {
                write::int(IMAGES_PER_CALL_MAX)
            } else {
                0
            },
            max_reference_images: write::int(parameters.references.min(REFERENCES_MAX)),
            available: view
                .organization
                .is_some()
                .then(|| view.available(&model.slug)),
            agents_using: write::int(view.agents(&model.slug)),
            withdrawn: model.withdrawn,
        }
    }
}

// === impl View ===

impl View {
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

fn capabilities(model: &Model) -> Vec<proto::Capability> {
    let has = model.capabilities;
    [
        (has.generates_images, proto::Capability::GeneratesImages),
        (has.reads_images, proto::Capability::ReadsImages),
        (has.text, proto::Capability::Text),
        (has.files, proto::Capability::Files),
    ]
    .into_iter()
    .filter_map(|(has, capability)| has.then_some(capability))
    .collect()
}

fn has(model: &Model, capability: proto::Capability) -> bool {
    capability == proto::Capability::Unspecified || capabilities(model).contains(&capability)
}
