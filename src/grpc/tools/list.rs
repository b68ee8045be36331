//! Lists of tools: by model, by status, and by what would become of them.

use std::sync::Arc;

use tonic::Request;

use super::show::show;
use crate::domain::catalog::{Catalog, Model, Usability};
use crate::domain::failure::Failure;
use crate::domain::ids::{AgentId, Slug};
use crate::domain::openrouter_key::KeyStatus;
use crate::domain::shape::Resolution;
use crate::generate::unsettled;
use crate::grpc::page::{Asked, Page};
use crate::grpc::{Service, caller, read};
use crate::ports::{StatusFilter, ToolFilter};
use crate::proto;

/// Tools that are in memory at a time, with texts of up to 16 KB each.
const AT_A_TIME: u32 = 64;

/// What was asked for.
#[derive(Debug)]
struct Wanted {
    model: Option<Slug>,
    status: Option<proto::ToolStatus>,
    affected_by: Option<Change>,
}

/// The status and the default sizes of the tools that a change touches.
type Touched = (proto::ToolStatus, Vec<Resolution>);

/// What the status of the organization's tools follows from.
struct Sight<'a> {
    catalog: &'a Catalog,
    switched_off: &'a [Slug],
    key: KeyStatus,
}

/// A model that is switched on or off.
#[derive(Debug)]
struct Change {
    model: Slug,
    available: bool,
}

impl Service {
    pub(super) async fn tools(
        &self,
        request: Request<proto::ListGenerateImageToolsRequest>,
    ) -> Result<proto::ListGenerateImageToolsResponse, Failure> {
        let organization = read::payer(&caller(&request)?)?;
        let request = request.into_inner();
        let wanted = Wanted::read(&request)?;
        let asked = ("ListGenerateImageTools", &organization, &wanted);
        let question = Asked::new(&self.parts.keyring, &asked);
        let mut page = Page::new(request.page_size)?;
        let last = question.place_of_any_length(&request.page_token)?;
        let mut last = last.map(|place| seen(&place)).transpose()?;
        let (list, key) = self.prices_of(&organization).await?;
        let settings = &self.parts.settings;
        let switched_off = settings.unavailable_models(&organization).await;
        let switched_off = switched_off.map_err(unsettled)?;
        let sight = Sight {
            catalog: &list.catalog,
            switched_off: &switched_off,
            key,
        };
        let Some(filter) = wanted.filter(&sight)? else {
            return Ok(proto::ListGenerateImageToolsResponse::default());
        };
        let more = 'filling: loop {
            let limit = page.wanted().min(AT_A_TIME);
            let found = settings.tools(&organization, filter.clone(), last.clone(), limit);
            let found = found.await.map_err(unsettled)?;
            let all = found.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            for tool in found {
                let model = tool.model.as_ref();
                let available = model.is_some_and(|model| !switched_off.contains(model));
                if !page.add(show(&tool, (&list, key), available)) {
                    break 'filling true;
                }
                last = Some(tool.agent);
            }
            if all {
                break false;
            }
        };
        let last = last.filter(|_| more);
        let token = last.map(|last| question.token(last.as_str().as_bytes()));
        Ok(proto::ListGenerateImageToolsResponse {
            generate_image_tools: page.items,
            next_page_token: token.unwrap_or_default(),
        })
    }
}

// === impl Wanted ===

impl Wanted {
    fn read(request: &proto::ListGenerateImageToolsRequest) -> Result<Self, Failure> {
        let model = Some(&request.model).filter(|model| !model.is_empty());
        let change = |change: &proto::AvailabilityChange| {
            Ok(Change {
                model: read::slug("affected_by.slug", &change.slug)?,
                available: change.available,
            })
        };
        let status = read::known("status", request.status)?;
        Ok(Self {
            model: model.map(|model| read::slug("model", model)).transpose()?,
            status: Some(status).filter(|status| *status != proto::ToolStatus::Unspecified),
            affected_by: request.affected_by.as_ref().map(change).transpose()?,
        })
    }

    /// The same question to the settings; `None` if there is no such tool.
    fn filter(&self, sight: &Sight<'_>) -> Result<Option<ToolFilter>, Failure> {
        let (model, status, sizes) = match &self.affected_by {
            None => (self.model.clone(), self.status, None),
            Some(change) => {
                let Some((now, sizes)) = change.touched(sight)? else {
                    return Ok(None);
                };
                let other_model = self.model.as_ref().is_some_and(|it| *it != change.model);
                if other_model || self.status.is_some_and(|status| status != now) {
                    return Ok(None);
                }
                (Some(change.model.clone()), Some(now), Some(sizes))
            }
        };
        let status = status.and_then(|status| match status {
            proto::ToolStatus::Unspecified => None,
            proto::ToolStatus::Disabled => Some(StatusFilter::Disabled),
            proto::ToolStatus::Ready => Some(StatusFilter::Ready(sight.usable())),
            proto::ToolStatus::NeedsConfiguration => {
                Some(StatusFilter::NeedsConfiguration(sight.usable()))
            }
        });
        Ok(Some(ToolFilter {
            model,
            status,
            sizes,
        }))
    }
}

// === impl Change ===

impl Change {
    /// The status that a tool must have now to be touched by this change, and one of which default
    /// sizes, apart from its model; `None` if it touches nobody.
    fn touched(&self, sight: &Sight<'_>) -> Result<Option<Touched>, Failure> {
        let found = sight.catalog.find(&self.model);
        let model = found.ok_or_else(|| Failure::model_not_found(self.model.as_str()))?;
        let before = model.usability(!sight.switched_off.contains(&self.model));
        Ok(match before {
            // A key that is of no use is in the way of every tool, whatever the model.
            _ if sight.key != KeyStatus::Active => None,
            same if same == model.usability(self.available) => None,
            Usability::Usable => Some((proto::ToolStatus::Ready, model.takes())),
            _ => Some((proto::ToolStatus::NeedsConfiguration, model.takes())),
        })
    }
}

// === impl Sight ===

impl Sight<'_> {
    /// The models that can be used, each with every default size that it takes.
    fn usable(&self) -> Vec<(Slug, Resolution)> {
        let usable = |model: &Model| {
            let available = !self.switched_off.contains(&model.slug);
            self.key == KeyStatus::Active && model.usability(available) == Usability::Usable
        };
        let models = self.catalog.models().iter();
        let usable = models.filter(|model| usable(model.as_ref()));
        let with_sizes = |model: &Arc<Model>| {
            let slug = model.slug.clone();
            let sizes = model.takes().into_iter();
            sizes.map(move |size| (slug.clone(), size))
        };
        usable.flat_map(with_sizes).collect()
    }
}

fn seen(place: &[u8]) -> Result<AgentId, Failure> {
    let agent = str::from_utf8(place).ok();
    let agent = agent.and_then(|agent| AgentId::parse(agent).ok());
    // Under the seal is the name of an agent.
    agent.ok_or_else(Failure::internal)
}
