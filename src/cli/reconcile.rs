//! `image-gateway reconcile`: what our books say upstream has billed, against what it says itself.

use std::path::PathBuf;

use secrecy::SecretString;

use super::audit::{Books, unreadable};
use super::failed::Failed;
use super::terminal;
use crate::config;
use crate::openrouter::{Client, Config};
use crate::ports::{ImageProvider, UpstreamKey};
use bill::Bill;
use report::Report;

mod amounts;
mod bill;
mod periods;
mod report;

/// What `reconcile` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Use a key at OpenRouter for this deployment alone, so that nothing else is on its bill. Days are in
UTC. Ends with status 1 if there is a difference that no item explains.

Examples:
  image-gateway reconcile --data-dir ./data
  image-gateway reconcile --bill bill.json --json")]
pub(super) struct Args {
    #[command(flatten)]
    books: Books,
    /// Where OpenRouter is
    #[arg(long, env = "OPENROUTER_BASE_URL", value_name = "URL", default_value = config::OPENROUTER_BASE_URL)]
    openrouter_base_url: String,
    /// The key whose bill is looked at
    #[arg(
        long,
        env = "OPENROUTER_API_KEY",
        value_name = "KEY",
        hide_env_values = true,
        value_parser = config::secret
    )]
    openrouter_api_key: Option<SecretString>,
    /// A file that holds the key
    #[arg(long, env = "OPENROUTER_API_KEY_FILE", value_name = "FILE")]
    openrouter_api_key_file: Option<PathBuf>,
    /// Compare call by call with a bill as `mock-openrouter` gives it at /mock/bill
    #[arg(long, value_name = "FILE")]
    bill: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Compares, and says.
pub(super) async fn run(args: Args) -> Result<(), Failed> {
    let inspector = args.books.open()?;
    let client = args.client()?;
    let theirs = client
        .key_usage(&UpstreamKey::Platform)
        .await
        .map_err(|error| {
            Failed::new("OpenRouter does not tell what the key has spent").because(error)
        })?;
    let bill = args.bill.as_deref().map(Bill::read).transpose()?;
    let key = client.platform_fingerprint();
    let report = Report::compare(&inspector, &key, theirs, bill.as_ref()).map_err(unreadable)?;
    if args.json {
        terminal::json(&report)?;
    } else {
        terminal::result(report.table())?;
    }
    if report.explained {
        return Ok(());
    }
    Err(
        Failed::new("the books and the bill differ, and nothing explains it")
            .hint("is the key used by anything else? Is this all of the books?"),
    )
}

// === impl Args ===

impl Args {
    fn client(&self) -> Result<Client, Failed> {
        let key = match (&self.openrouter_api_key, &self.openrouter_api_key_file) {
            (Some(key), _) => key.clone(),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file);
                let text =
                    text.map_err(|error| Failed::new("cannot read the key").because(error))?;
                SecretString::from(text.trim())
            }
            (None, None) => {
                return Err(Failed::usage("no key was given").hint("set OPENROUTER_API_KEY"));
            }
        };
        let config = Config::new(self.openrouter_base_url.trim_end_matches('/'), key);
        Client::new(config)
            .map_err(|error| Failed::new("there is no way to OpenRouter").because(error))
    }
}
