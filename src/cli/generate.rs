//! `image-gateway generate`: draws through a running gateway, takes up again after a lost
//! connection, and keeps a picture only when it is whole and paid for.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::client::{self, Connection};
use super::failed::Failed;
use super::terminal;
use crate::config;
use crate::proto;
use crate::proto::generation_event::Event;
use crate::proto::image_service_client::ImageServiceClient;
use files::Files;

mod files;

/// The largest message: references are sent in one.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// The first wait after a lost connection, doubled up to [`WAIT_MAX`].
const WAIT: Duration = Duration::from_millis(200);

/// The longest wait between tries.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What `generate` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Needs a key of the role RUNTIME. The same --request-id gives the same pictures for the same charge.

Example:
  GATEWAY_KEY=sq_live_… image-gateway generate \"a red fox in the snow\" --agent painter --out fox.png")]
pub(super) struct Args {
    /// What to draw
    prompt: String,
    /// Whose Generate Image tool
    #[arg(long, value_name = "ID")]
    agent: String,
    #[command(flatten)]
    gateway: client::Args,
    /// The shape, such as 16:9
    #[arg(long, value_name = "RATIO", default_value = "")]
    aspect_ratio: String,
    /// The size class, such as 1K
    #[arg(long, value_name = "SIZE", default_value = "")]
    resolution: String,
    /// How many pictures
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u16,
    /// A picture to work from; may be repeated
    #[arg(long, value_name = "FILE")]
    reference: Vec<PathBuf>,
    /// For models that take one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<i64>,
    /// The most credits to hold
    #[arg(long, value_name = "CREDITS", default_value = "")]
    max_credits: String,
    /// Refuse instead of adjusting shape or size
    #[arg(long)]
    strict: bool,
    /// The id of an earlier call, to take it up again
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// The file of one picture, or the folder of several [default: named after the prompt]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// How long to go on trying after a lost connection
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = patience)]
    patience: Duration,
    /// Print the generation and the files as JSON
    #[arg(long)]
    json: bool,
}

/// What was made, for programs.
#[derive(Serialize)]
struct Made {
    generation: serde_json::Value,
    files: Vec<String>,
}

/// How one stream ended.
enum Ended {
    Completed(Box<proto::Generation>),
    /// The connection, not the generation.
    Lost(Status),
    /// The gateway does not know the request: it never arrived.
    Unknown,
    Refused(Status),
}

/// Draws, and says what it cost.
pub(super) async fn run(args: Args) -> Result<(), Failed> {
    let request_id = args.request_id.clone();
    let request_id = request_id.unwrap_or_else(|| format!("cli-{}", Uuid::now_v7()));
    let mut files = Files::new(&args.prompt, args.out.clone(), args.count);
    let drawing = draw(&args, &request_id, &mut files);
    let generation = tokio::select! {
        drawn = drawing => drawn?,
        _ = tokio::signal::ctrl_c() => {
            return Err(Failed::new("interrupted; the generation goes on and is charged").hint(
                format!("the same command with --request-id {request_id} gives its pictures"),
            ));
        }
    };
    let names = files.keep(&generation.images)?;
    if args.json {
        let generation = client::json(&generation, "Generation")?;
        return terminal::json(&Made {
            generation,
            files: names,
        });
    }
    terminal::result(terminal::table(&receipt(&generation, &names)))
}

/// Watches until the end, over as many connections as it takes.
async fn draw(
    args: &Args,
    request_id: &str,
    files: &mut Files,
) -> Result<proto::Generation, Failed> {
    let request = args.request(request_id)?;
    let bar = progress();
    let mut begun = false;
    let mut wait = WAIT;
    let mut give_up = Instant::now() + args.patience;
    loop {
        let connection = match args.gateway.connect().await {
            Ok(connection) => connection,
            // The first connection must work: nothing has been begun.
            Err(failed) if !begun => return Err(failed),
            Err(failed) if Instant::now() > give_up => return Err(failed),
            Err(_) => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
                continue;
            }
        };
        let had = files.bytes();
        match attempt(connection, &request, begun, files, &bar).await {
            Ended::Completed(generation) => {
                bar.finish_and_clear();
                return Ok(*generation);
            }
            Ended::Refused(status) => {
                return Err(Failed::refused("cannot make the picture", &status));
            }
            Ended::Unknown => begun = false,
            Ended::Lost(status) => {
                begun = true;
                bar.set_message("the connection is lost; taking up again");
                if files.bytes() > had {
                    (wait, give_up) = (WAIT, Instant::now() + args.patience);
                } else if Instant::now() > give_up {
                    let lost = Failed::refused("the connection is lost", &status);
                    return Err(lost.hint(format!("try again with --request-id {request_id}")));
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
            }
        }
    }
}

/// One connection: the call itself, or what it still lacks.
async fn attempt(
    connection: Connection,
    request: &proto::GenerateImageRequest,
    begun: bool,
    files: &mut Files,
    bar: &ProgressBar,
) -> Ended {
    let mut client =
        ImageServiceClient::new(connection).max_encoding_message_size(MESSAGE_BYTES_MAX);
    let stream = if begun {
        use proto::watch_generation_request::Which;
        let watch = proto::WatchGenerationRequest {
            which: Some(Which::RequestId(request.request_id.clone())),
            resume: files.offsets(),
        };
        client.watch_generation(watch).await
    } else {
        files.forget();
        client.generate_image(request.clone()).await
    };
    match stream {
        Ok(stream) => follow(stream.into_inner(), files, bar).await,
        Err(status) => ended(status),
    }
}

async fn follow(
    mut stream: Streaming<proto::GenerationEvent>,
    files: &mut Files,
    bar: &ProgressBar,
) -> Ended {
    loop {
        let event = match stream.message().await {
            Ok(Some(event)) => event.event,
            Ok(None) => return Ended::Lost(Status::unavailable("the stream ended early")),
            Err(status) => return ended(status),
        };
        let written = match event {
            Some(Event::Accepted(accepted)) => {
                bar.set_message(format!("{} is asked", accepted.model));
                Ok(())
            }
            Some(Event::Progress(progress)) => {
                bar.set_message(progress.text);
                Ok(())
            }
            Some(Event::ImageStarted(started)) => files.begin(started.index),
            Some(Event::ImageChunk(chunk)) => {
                bar.inc(u64::try_from(chunk.data.len()).unwrap_or(0));
                files.write(chunk.index, &chunk.data)
            }
            Some(Event::Completed(generation)) => return Ended::Completed(generation),
            Some(Event::ImageFinished(_)) | None => Ok(()),
        };
        if let Err(error) = written {
            return Ended::Refused(Status::internal(format!(
                "cannot write the picture: {error}"
            )));
        }
    }
}

/// The gateway's own refusals carry a reason; what does not is the connection's.
fn ended(status: Status) -> Ended {
    let details = status.get_error_details();
    match details.error_info().map(|info| info.reason.as_str()) {
        Some("GENERATION_NOT_FOUND") => Ended::Unknown,
        Some(_) => Ended::Refused(status),
        None if status.code() == Code::Unauthenticated => Ended::Refused(status),
        None => Ended::Lost(status),
    }
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
            aspect_ratio: self.aspect_ratio.clone(),
            resolution: self.resolution.clone(),
            count: self.count.into(),
            reference_images: references.collect::<Result<_, Failed>>()?,
            seed: self.seed,
            max_credits: self.max_credits.clone(),
            strict: self.strict,
            channel: proto::Channel::Api.into(),
            ..proto::GenerateImageRequest::default()
        })
    }
}

/// What was made and what it cost.
fn receipt(generation: &proto::Generation, names: &[String]) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    for (image, name) in generation.images.iter().zip(names) {
        let size = terminal::bytes(u64::try_from(image.size_bytes).unwrap_or(0));
        rows.push((
            "Picture",
            format!("{name} ({} × {}, {size})", image.width, image.height),
        ));
    }
    for adjustment in &generation.adjustments {
        let used = if adjustment.used.is_empty() {
            "the provider's choice"
        } else {
            &adjustment.used
        };
        let what = format!("{} {used}: {}", adjustment.field, adjustment.reason);
        rows.push(("Adjusted", what));
    }
    rows.push(("Model", generation.model_name.clone()));
    if let Some(charge) = &generation.charge {
        if charge.pending {
            rows.push((
                "Charged",
                format!(
                    "at most {} credits; the cost is not known yet",
                    charge.credits
                ),
            ));
        } else {
            rows.push((
                "Charged",
                format!("{} credits: {}", charge.credits, charge.explanation),
            ));
            rows.push(("Balance", format!("{} credits", charge.balance_after)));
        }
    }
    rows.push(("Request", generation.request_id.clone()));
    rows
}

/// Bytes and words on a terminal, nothing elsewhere.
fn progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bytes:>10} {elapsed:>4} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn patience(text: &str) -> Result<Duration, String> {
    config::duration(text).ok_or_else(|| "must be a duration such as 30s or 5m".to_owned())
}
