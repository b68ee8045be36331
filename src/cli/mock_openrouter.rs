//! `image-gateway mock-openrouter`: the stand-in for OpenRouter, until it is told to end.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::failed::Failed;
use super::shutdown::Signals;
use super::terminal;
use crate::config;
use crate::mock::{Mock, Options};

/// What `mock-openrouter` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Any key is taken. The address to use as OPENROUTER_BASE_URL is printed on stdout.

Example:
  image-gateway mock-openrouter --listen 127.0.0.1:4010 --size-bytes 1500000 --latency 2s
  OPENROUTER_BASE_URL=http://127.0.0.1:4010/api/v1 OPENROUTER_API_KEY=any image-gateway serve")]
pub(super) struct Args {
    /// Where to listen; port 0 picks a free one and prints it
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:4010")]
    listen: SocketAddr,
    /// The least size of each picture in bytes; smaller ones are padded
    #[arg(long, value_name = "N")]
    size_bytes: Option<usize>,
    /// How long each picture takes before its first byte: a number and ms, s or m
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = latency)]
    latency: Duration,
    /// Print the address as JSON
    #[arg(long)]
    json: bool,
}

/// Where the stand-in is, for programs.
#[derive(Serialize)]
struct Listening {
    base_url: String,
}

/// Serves until a signal comes.
pub(super) async fn run(args: Args) -> Result<(), Failed> {
    let mut signals = Signals::listen()?;
    let options = Options {
        size_bytes: args.size_bytes,
        latency_ms: u64::try_from(args.latency.as_millis()).unwrap_or(u64::MAX),
        ..Options::default()
    };
    let mock = Mock::start(args.listen, options).await.map_err(|error| {
        Failed::new(format!("cannot listen on {}", args.listen))
            .because(error)
            .hint("choose another address with --listen 127.0.0.1:0, where 0 takes a free port")
    })?;
    let base_url = mock.base_url();
    if args.json {
        terminal::json(&Listening { base_url })?;
    } else {
        terminal::result(terminal::table(&[("mock OpenRouter", base_url)]))?;
    }
    signals.next().await;
    mock.stop().await;
    Ok(())
}

fn latency(text: &str) -> Result<Duration, &'static str> {
    config::duration(text).ok_or("must be a duration such as 250ms, 2s or 1m")
}
