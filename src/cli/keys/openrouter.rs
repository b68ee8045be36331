//! An organization's own OpenRouter key. It comes from a file or from stdin, never from a flag, which
//! everybody on the machine could read.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::{Whose, paper};
use crate::cli::failed::Failed;
use crate::cli::{client, terminal};
use crate::config;
use crate::keys::ours::looks_ours;
use crate::proto;
use crate::proto::organization_service_client::OrganizationServiceClient;

/// What `keys set-openrouter` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Needs a key of the role ADMIN, or the operator's key. OpenRouter is asked whether it takes the key
before it is kept, encrypted; it is never shown again. OpenRouter then bills the organization itself,
and here each image costs 1 credit.

Examples:
  GATEWAY_KEY=sq_live_… image-gateway keys set-openrouter openrouter.key
  pass show openrouter | image-gateway keys set-openrouter - --key-file admin.key")]
pub(super) struct Set {
    #[command(flatten)]
    whose: Whose,
    /// A file that holds the OpenRouter key; `-` is stdin
    #[arg(value_name = "FILE")]
    openrouter_key_file: PathBuf,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Args,
}

/// What `keys delete-openrouter` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Needs a key of the role ADMIN, or the operator's key. What runs goes on with the key it was begun
with. Without a key nothing happens.

Example:
  GATEWAY_KEY=sq_live_… image-gateway keys delete-openrouter")]
pub(super) struct Delete {
    #[command(flatten)]
    whose: Whose,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Args,
}

pub(super) async fn set(args: Set) -> Result<(), Failed> {
    let key = read(&args.openrouter_key_file)?;
    if looks_ours(key.expose_secret()) {
        return Err(Failed::new(
            "this is a key of the gateway itself, not one of OpenRouter's; nothing was sent",
        )
        .hint("make a key at https://openrouter.ai/keys and give the file that holds it"));
    }
    let mut client = OrganizationServiceClient::new(args.gateway.connect().await?);
    let asked = proto::SetOpenRouterKeyRequest {
        organization_id: args.whose.organization,
        key: key.expose_secret().to_owned(),
    };
    let set = client.set_open_router_key(asked).await;
    let set = set.map_err(|status| Failed::refused("cannot set the OpenRouter key", &status))?;
    show(&set.into_inner(), args.json)
}

pub(super) async fn delete(args: Delete) -> Result<(), Failed> {
    let mut client = OrganizationServiceClient::new(args.gateway.connect().await?);
    let asked = proto::DeleteOpenRouterKeyRequest {
        organization_id: args.whose.organization,
    };
    let deleted = client.delete_open_router_key(asked).await;
    let deleted =
        deleted.map_err(|status| Failed::refused("cannot delete the OpenRouter key", &status))?;
    show(&deleted.into_inner(), args.json)
}

fn show(organization: &proto::Organization, json: bool) -> Result<(), Failed> {
    if json {
        return client::print_json(organization, "Organization");
    }
    terminal::result(paper::pays_with(organization))
}

/// The key without the white space around it.
fn read(file: &Path) -> Result<SecretString, Failed> {
    let read = config::secret_in_file(file);
    read.map_err(|why| Failed::new(format!("cannot read the OpenRouter key: {why}")))
}
