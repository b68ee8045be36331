//! Making images: the stream of events, the record of a generation, the estimate before it.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::Deadline;
use super::body::Share;
use super::{Service, caller, read, write};
use crate::domain::failure::Failure;
use crate::domain::ids::{AgentId, GenerationId, OrganizationId, RequestId};
use crate::domain::job::{ImageRequest, Job, ReferenceFacts, usable_model};
use crate::domain::shape::{PixelSize, Resolution};
use crate::domain::tool::{IMAGES_PER_CALL_MAX, Tool};
use crate::generate::{Call, unsettled};
use crate::ports::Which;
use crate::proto;
use crate::proto::image_service_server::ImageService;
use crate::watch::Watch;

use events::{Events, Patience, Viewer};
use reading::Pieces;

mod events;
mod jobs;
mod reading;
mod references;
mod request;

#[tonic::async_trait]
impl ImageService for Service {
    type GenerateImageStream = Events;
    type WatchGenerationStream = Events;
    type ReadImageStream = Pieces;

    async fn generate_image(
        &self,
        request: Request<proto::GenerateImageRequest>,
    ) -> Result<Response<Events>, Status> {
        let patience = Patience::of(&request);
        let watch = self.begin(request).await;
        self.stream("GenerateImage", watch, patience)
    }

    async fn start_generation(
        &self,
        request: Request<proto::GenerateImageRequest>,
    ) -> Result<Response<proto::Generation>, Status> {
        self.answer("StartGeneration", self.start(request).await)
    }

    async fn watch_generation(
        &self,
        request: Request<proto::WatchGenerationRequest>,
    ) -> Result<Response<Events>, Status> {
        let patience = Patience::of(&request);
        let watch = self.watch(request).await;
        self.stream("WatchGeneration", watch, patience)
    }

    async fn cancel_generation(
        &self,
        request: Request<proto::CancelGenerationRequest>,
    ) -> Result<Response<proto::Generation>, Status> {
        self.answer("CancelGeneration", self.cancel(request).await)
    }

    async fn get_generation(
        &self,
        request: Request<proto::GetGenerationRequest>,
    ) -> Result<Response<proto::Generation>, Status> {
        self.answer("GetGeneration", self.generation(request).await)
    }

    async fn list_generations(
        &self,
        request: Request<proto::ListGenerationsRequest>,
    ) -> Result<Response<proto::ListGenerationsResponse>, Status> {
        self.answer("ListGenerations", self.generations(request).await)
    }

    async fn read_image(
        &self,
        request: Request<proto::ReadImageRequest>,
    ) -> Result<Response<Pieces>, Status> {
        self.answer("ReadImage", self.read_image(request).await)
    }

    async fn estimate_image(
        &self,
        request: Request<proto::EstimateImageRequest>,
    ) -> Result<Response<proto::Estimate>, Status> {
        self.answer("EstimateImage", self.estimate(request).await)
    }
}

impl Service {
    /// The events of a call, or its failure.
    fn stream(
        &self,
        rpc: &'static str,
        watch: Result<Watch, Failure>,
        patience: Patience,
    ) -> Result<Response<Events>, Status> {
        match watch {
            Ok(watch) => Ok(Response::new(events::events(Viewer {
                watch,
                patience,
                metrics: Arc::clone(&self.parts.metrics),
                rpc,
            }))),
            Err(failure) => self.answer(rpc, Err(failure)),
        }
    }

    async fn begin(&self, request: Request<proto::GenerateImageRequest>) -> Result<Watch, Failure> {
        let caller = caller(&request)?;
        let organization = read::payer(&caller)?;
        let extensions = request.extensions();
        let deadline = extensions.get::<Deadline>().map(|deadline| deadline.0);
        let share = extensions.get::<Arc<Share>>().cloned();
        let mut message = request.into_inner();
        let sent = std::mem::take(&mut message.reference_images);
        let mut request = request::image_request(message)?;
        let references = self.references(&organization, sent, share).await?;
        request.references = references.iter().map(|(facts, _)| *facts).collect();
        let call = Call {
            organization,
            request,
            references: references
                .into_iter()
                .map(|(_, reference)| reference)
                .collect(),
            deadline,
        };
        // Looking up and fetching take their time: what ends in it begins nothing.
        let begun = self.parts.generator.generate(call);
        match caller.lease() {
            Some(lease) => tokio::select! {
                biased;
                () = lease.over() => Err(Failure::unauthenticated()),
                begun = begun => begun,
            },
            None => begun.await,
        }
    }

    async fn generation(
        &self,
        request: Request<proto::GetGenerationRequest>,
    ) -> Result<proto::Generation, Failure> {
        use proto::get_generation_request::Which as Wire;
        let organization = read::payer(&caller(&request)?)?;
        let which = match request.into_inner().which {
            Some(Wire::GenerationId(id)) => by_id(&id)?,
            Some(Wire::RequestId(id)) => by_request(&id)?,
            None => return Err(nothing_named()),
        };
        self.found(&organization, &which).await
    }

    async fn estimate(
        &self,
        request: Request<proto::EstimateImageRequest>,
    ) -> Result<proto::Estimate, Failure> {
        let organization = read::payer(&caller(&request)?)?;
        let request = request.into_inner();
        let tool = self.estimated_tool(&organization, &request).await?;
        let available = match &tool.model {
            Some(model) => {
                let settings = &self.parts.settings;
                settings
                    .is_available(&organization, model)
                    .await
                    .map_err(unsettled)?
            }
            None => false,
        };
        let (list, _) = self.prices_of(&organization).await?;
        let model = usable_model(&tool, &list.catalog, available)?;
        let count = read::amount("count", request.count)?.max(1);
        let references = read::amount("reference_image_count", request.reference_image_count)?;
        let asked = ImageRequest {
            aspect_ratio: read::aspect_ratio("aspect_ratio", &request.aspect_ratio)?,
            resolution: read::resolution("resolution", &request.resolution)?,
            count,
            references: vec![
                A_REFERENCE;
                usize::try_from(references.min(REFERENCES_COUNTED)).unwrap_or(0)
            ],
            ..ImageRequest::bare(tool.agent.clone())?
        };
        let job = Job::plan(&asked, &tool, model, &list)?;
        Ok(write::estimate(&job.estimate, job.price_time))
    }

    /// The agent's tool, or one that may do everything with the model that was named.
    async fn estimated_tool(
        &self,
        organization: &OrganizationId,
        request: &proto::EstimateImageRequest,
    ) -> Result<Tool, Failure> {
        use proto::estimate_image_request::Subject;
        let quality = read::quality(&request.quality)?;
        let tool = match &request.subject {
            Some(Subject::AgentId(id)) => {
                let agent = read::agent_id(id)?;
                let found = self.parts.settings.tool(organization, &agent).await;
                let tool = found.map_err(unsettled)?;
                tool.ok_or_else(|| Failure::agent_not_found(&agent))?
            }
            Some(Subject::Model(slug)) => {
                let slug = read::slug("model", slug)?;
                let list = self.parts.prices.current();
                if list.catalog.find(&slug).is_none() {
                    return Err(Failure::model_not_found(slug.as_str()));
                }
                let anybody = read::name("agent_id", "estimate", AgentId::parse)?;
                Tool {
                    model: Some(slug),
                    max_resolution: Resolution::R4K,
                    max_images_per_call: IMAGES_PER_CALL_MAX,
                    allow_reference_images: true,
                    ..Tool::new(anybody, list.catalog.as_of)
                }
            }
            None => return Err(Failure::invalid("agent_id", "or model must be set")),
        };
        // What it would cost does not depend on whether the tool is switched on.
        Ok(Tool {
            enabled: true,
            quality: quality.or(tool.quality),
            ..tool
        })
    }
}

/// A generation named by the gateway's id.
fn by_id(id: &str) -> Result<Which, Failure> {
    let what = "is not an id that this gateway makes";
    let id = GenerationId::parse(id);
    Ok(Which::Id(
        id.ok_or_else(|| Failure::invalid("generation_id", what))?,
    ))
}

/// A generation named by the caller's id.
fn by_request(id: &str) -> Result<Which, Failure> {
    Ok(Which::Request(read::name(
        "request_id",
        id,
        RequestId::parse,
    )?))
}

fn nothing_named() -> Failure {
    Failure::invalid("generation_id", "or request_id must be set")
}

/// More references than any model takes are all the same error.
const REFERENCES_COUNTED: u32 = 100;

/// A reference of about a megapixel, for estimates.
const A_REFERENCE: ReferenceFacts = ReferenceFacts {
    sha256: [0; 32],
    pixels: PixelSize {
        width: 1024,
        height: 1024,
    },
    from: None,
};
