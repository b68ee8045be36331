//! `image-gateway generate`: draws through a running gateway, takes up again after a lost
//! connection, and keeps a picture only when it is whole and paid for.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::client;
use super::failed::Failed;
use super::shutdown::Signals;
use super::terminal;
use crate::config;
use crate::proto;
use drawing::Drawing;
use files::Files;

mod books;
mod drawing;
mod files;
mod paper;

/// What `generate` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Needs a key of the role RUNTIME. The same --request-id gives the same pictures for the same charge.
A picture is written as the provider made it: a name with another ending does not convert it.

Example:
  GATEWAY_KEY=sq_live_… image-gateway generate \"a red fox in the snow\" --agent painter --out fox.png")]
pub(super) struct Args {
    /// What to draw
    prompt: String,
    /// Whose Generate Image tool
    #[arg(long, value_name = "ID")]
    agent: String,
    /// The shape, such as 16:9
    #[arg(long, value_name = "RATIO")]
    aspect_ratio: Option<String>,
    /// The size class, such as 1K
    #[arg(long, value_name = "SIZE")]
    resolution: Option<String>,
    /// How many pictures, from 1 to 4
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4))]
    count: u16,
    /// A picture to work from; may be repeated
    #[arg(long, value_name = "FILE")]
    reference: Vec<PathBuf>,
    /// For models that take one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<i64>,
    /// The most credits to hold
    #[arg(long, value_name = "CREDITS")]
    max_credits: Option<String>,
    /// Refuse instead of adjusting shape or size
    #[arg(long)]
    strict: bool,
    /// The id of an earlier call, to take it up again
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// The file of one picture, which is replaced, or a folder; several pictures need a folder.
    /// Folders that are missing are made [default: named after the prompt]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// How long to go on without a sign of the gateway
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = patience)]
    patience: Duration,
    /// Print the generation and the files as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Args,
}

/// What was made, for programs.
#[derive(Serialize)]
struct Made {
    generation: serde_json::Value,
    files: Vec<String>,
}

/// Draws, and says what it cost.
pub(super) async fn run(args: Args) -> Result<(), Failed> {
    let request_id = args.request_id.clone();
    let request_id = request_id.unwrap_or_else(|| format!("cli-{}", Uuid::now_v7()));
    let request = args.request(&request_id)?;
    let files = Files::new(&args.prompt, args.out.clone(), args.count)?;
    // Before anything is sent: who is stopped then must be told what became of it.
    let mut signals = Signals::listen()?;
    let mut drawing = Drawing::new(&args.gateway, request, files, args.patience);
    let drawn = tokio::select! {
        drawn = drawing.finish() => Some(drawn?),
        () = signals.next() => None,
    };
    let Some(generation) = drawn else {
        return Err(drawing.interrupted());
    };
    let files = drawing.keep(&generation)?;
    if args.json {
        let generation = client::json(&generation, "Generation")?;
        return terminal::json(&Made { generation, files });
    }
    terminal::result(paper::receipt(&generation, &files))
}

// === impl Args ===

impl Args {
    fn request(&self, request_id: &str) -> Result<proto::GenerateImageRequest, Failed> {
        let references = self.reference.iter().map(|file| {
            let data = std::fs::read(file).map_err(|error| {
                Failed::new(format!("cannot read {}", file.display())).because(error)
            })?;
            Ok(proto::ReferenceImage {
                source: Some(proto::reference_image::Source::Data(data.into())),
                media_type: String::new(),
            })
        });
        Ok(proto::GenerateImageRequest {
            agent_id: self.agent.clone(),
            request_id: request_id.to_owned(),
            prompt: self.prompt.clone(),
            aspect_ratio: self.aspect_ratio.clone().unwrap_or_default(),
            resolution: self.resolution.clone().unwrap_or_default(),
            count: self.count.into(),
            reference_images: references.collect::<Result<_, Failed>>()?,
            seed: self.seed,
            max_credits: self.max_credits.clone().unwrap_or_default(),
            strict: self.strict,
            channel: proto::Channel::Api.into(),
            ..proto::GenerateImageRequest::default()
        })
    }
}

fn patience(text: &str) -> Result<Duration, String> {
    let duration = config::duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "must be a duration such as 30s or 5m".to_owned())
}
