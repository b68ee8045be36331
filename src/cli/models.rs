//! `image-gateway models`: the models of a running gateway, with what a picture costs, as a table or
//! as JSON.

use super::client;
use super::failed::Failed;
use super::terminal;
use crate::domain::shape::Resolution;
use crate::proto;
use crate::proto::model_service_client::ModelServiceClient;

mod paper;

/// The most models of one answer (`api.md`, Lists).
const PAGE: i32 = 1_000;

/// What `models` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Needs a key of the role RUNTIME, or the operator's key, which sees no availability.
Credits are those of one image; `~` marks models billed by token, whose real cost varies. With an
organization's own OpenRouter key every image is 1 credit.

Example:
  GATEWAY_KEY=sq_live_… image-gateway models --resolution 2K")]
pub(super) struct Args {
    /// Show what an image of this size costs, such as 2K
    #[arg(long, value_name = "SIZE", default_value = "1K", value_parser = resolution)]
    resolution: Resolution,
    /// Only models that make images
    #[arg(long)]
    images: bool,
    /// Only models that the organization may use and that are still offered
    #[arg(long)]
    available: bool,
    /// Print the answer as JSON, which has every size
    #[arg(long, conflicts_with = "resolution")]
    json: bool,
    #[command(flatten)]
    gateway: client::Args,
}

/// Asks, and prints.
pub(super) async fn run(args: Args) -> Result<(), Failed> {
    let answer = args.ask().await?;
    if args.json {
        return client::print_json(&answer, "ListModelsResponse");
    }
    let view = paper::View {
        resolution: args.resolution,
        now: crate::clock::now(),
        columns: terminal::columns(),
    };
    terminal::result(paper::table(&answer, &view))
}

// === impl Args ===

impl Args {
    /// Every page, as one answer.
    async fn ask(&self) -> Result<proto::ListModelsResponse, Failed> {
        let mut service = ModelServiceClient::new(self.gateway.connect().await?);
        let mut whole = proto::ListModelsResponse::default();
        for _ in 0..client::PAGES_MAX {
            let asked = self.page(whole.next_page_token);
            let page = service.list_models(asked).await;
            let page = page.map_err(|status| Failed::refused("cannot list the models", &status))?;
            let page = page.into_inner();
            let mut models = whole.models;
            models.extend(page.models);
            whole = proto::ListModelsResponse { models, ..page };
            if whole.next_page_token.is_empty() {
                return Ok(whole);
            }
        }
        Err(client::endless("models"))
    }

    fn page(&self, page_token: String) -> proto::ListModelsRequest {
        let capability = if self.images {
            proto::Capability::GeneratesImages
        } else {
            proto::Capability::Unspecified
        };
        proto::ListModelsRequest {
            capability: capability.into(),
            available_only: self.available,
            page_size: PAGE,
            page_token,
            ..proto::ListModelsRequest::default()
        }
    }
}

fn resolution(text: &str) -> Result<Resolution, String> {
    let known = Resolution::ALL.map(Resolution::as_str).join(", ");
    Resolution::parse(&text.to_ascii_uppercase()).ok_or_else(|| format!("must be one of {known}"))
}
