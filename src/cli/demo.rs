//! `image-gateway demo PROMPT`: everything at once on one machine. A gateway, and a stand-in for
//! OpenRouter unless a key is given; an organization with credits and an agent that may draw; one
//! picture, ordered through real gRPC as any caller would; and the receipt.

use std::path::{Path, PathBuf};

use super::destination;
use super::failed::Failed;
use super::shutdown::{self, Signals};
use super::terminal::{self, Text};
use crate::config::Given;

mod caller;
mod picture;
mod progress;
mod receipt;
mod stage;

use caller::Caller;
use receipt::Receipt;
use stage::Stage;

/// What `demo` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Draws with a stand-in for OpenRouter, which costs nothing, unless OPENROUTER_API_KEY is set. Keeps
serving until Ctrl-C, so that the printed grpcurl line can be tried. Three defaults are others than
those of `serve`: HTTP_ADDR is 127.0.0.1:0, RUST_LOG is warn, OPERATOR_KEY is made for each run. It
is never encrypted.

Examples:
  image-gateway demo \"a red fox in the snow\"
  image-gateway demo --once --json --output fox.png \"a red fox in the snow\"")]
pub(super) struct Args {
    /// What to draw
    prompt: String,
    /// End when the picture is there, instead of serving on
    #[arg(long)]
    once: bool,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
    /// Where to write the picture; replaces what is there [default: named after the prompt, in
    /// the current folder]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    given: Given,
}

/// Draws, shows, and serves on.
pub(super) async fn run(args: Args) -> Result<(), Failed> {
    // Before anything is paid for, and before anything is started.
    match &args.output {
        Some(path) => destination::try_file(path)?,
        None => destination::try_folder(Path::new("."))?,
    }
    let mut signals = Signals::listen()?;
    let stage = Stage::build(args.given.clone()).await?;
    let shown = tokio::select! {
        shown = draw_and_show(&args, &stage) => shown,
        () = signals.next() => Err(Failed::new("stopped before the picture was there")),
    };
    if shown.is_ok() && !args.once {
        if !args.json {
            terminal::note(Text::ours("\nServing until Ctrl-C."));
        }
        signals.next().await;
    }
    let Stage {
        app,
        mock,
        drain_timeout,
        ..
    } = stage;
    let drained = shutdown::drain(app, drain_timeout, &mut signals).await;
    if let Some(mock) = mock {
        mock.stop().await;
    }
    shown.and(drained)
}

async fn draw_and_show(args: &Args, stage: &Stage) -> Result<(), Failed> {
    let address = stage.app.grpc_address();
    let operator = Caller::connect(address, &stage.operator_key).await?;
    let key = operator.prepare().await?;
    let caller = Caller::connect(address, &key).await?;
    caller.allow_drawing().await?;
    let picture = caller.draw(&args.prompt).await?;
    let file = match &args.output {
        Some(path) => path.clone(),
        None => PathBuf::from(picture.file_name(&args.prompt)),
    };
    picture.save(&file)?;
    let receipt = Receipt::new(&picture, &file, address);
    if args.json {
        return terminal::json(&receipt);
    }
    if args.once {
        return terminal::result(receipt.table(None));
    }
    terminal::result(receipt.table(Some(stage.app.http_address())))?;
    let again = receipt::grpcurl(address, &key, &args.prompt)?;
    terminal::result(Text::lines([String::new(), again]))
}

#[cfg(test)]
mod tests;
