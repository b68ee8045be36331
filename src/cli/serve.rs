//! `image-gateway serve`: the gateway, until it is told to end.

use serde::Serialize;

use super::failed::Failed;
use super::shutdown::{self, Signals};
use super::terminal;
use crate::app::App;
use crate::config::{Config, Given, LogFormat};
use crate::domain::catalog::Catalog;
use crate::logging;
use crate::transport;

/// What `serve` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Every setting is read from the environment or from the flag of the same name, which overrides it.
The two addresses are printed on stdout as soon as calls are taken. SIGTERM and Ctrl-C let running
generations finish (DRAIN_TIMEOUT); a second signal ends at once.

Example:
  OPENROUTER_API_KEY_FILE=/run/secrets/openrouter OPERATOR_KEY_FILE=/run/secrets/operator \\
    image-gateway serve --data-dir /var/lib/image-gateway --listen-addr 0.0.0.0:50051 \\
    --tls-cert-file /etc/image-gateway/cert.pem --tls-key-file /etc/image-gateway/key.pem")]
pub(super) struct Args {
    #[command(flatten)]
    given: Given,
}

/// Where calls are taken, for programs.
#[derive(Serialize)]
struct Addresses {
    grpc: String,
    http: String,
}

/// Serves until a signal comes, then drains.
pub(super) async fn run(args: Args) -> Result<(), Failed> {
    let config = Config::parse(args.given)?;
    logging::start(&config.log)?;
    transport::raise_open_files();
    let mut signals = Signals::listen()?;
    let (format, drain_timeout) = (config.log.format, config.drain_timeout);
    let app = App::start(config, Catalog::built_in()).await?;
    announce(&app, format)?;
    signals.next().await;
    shutdown::drain(app, drain_timeout, &mut signals).await
}

fn announce(app: &App, format: LogFormat) -> Result<(), Failed> {
    let (grpc, http) = (
        app.grpc_address().to_string(),
        app.http_address().to_string(),
    );
    tracing::info!(grpc, http, "serving");
    match format {
        LogFormat::Text => terminal::result(terminal::table(&[("gRPC", grpc), ("HTTP", http)])),
        LogFormat::Json => terminal::json(&Addresses { grpc, http }),
    }
}
