//! `image-gateway keys`: makes a key for the operator; makes, lists and ends those of organizations
//! at a running gateway; sets and deletes their own OpenRouter keys there; replaces the key that
//! protects all of them, or gives up what it protected if it is lost.

use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::client::{self, Connection};
use super::failed::Failed;
use super::terminal::{self, Text};
use super::usage;
use crate::keys;
use crate::proto;
use crate::proto::organization_service_client::OrganizationServiceClient;

mod lost;
mod openrouter;
mod paper;
mod replace;

/// The most keys of one answer (`api.md`, Lists).
const PAGE: i32 = 1_000;

/// What `keys` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  (umask 077; image-gateway keys create-operator > operator.key)
  image-gateway keys create --key-file operator.key --organization acme --role admin --name ops
  GATEWAY_KEY=sq_live_… image-gateway keys list")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a new key for the operator; no gateway is asked
    CreateOperator(Operator),
    /// Make a key of an organization, and print it this once
    Create(Box<Create>),
    /// Show the keys of an organization, the newest first
    List(Box<List>),
    /// End a key for good, and its open streams with it
    Revoke(Box<Revoke>),
    /// Draw with the organization's own OpenRouter key from now on: 1 credit per image
    SetOpenrouter(Box<openrouter::Set>),
    /// Delete the organization's own OpenRouter key: images are charged by cost again
    DeleteOpenrouter(Box<openrouter::Delete>),
    /// Replace the key-encryption key of a data folder that no gateway uses
    ReplaceEncryption(Box<replace::Args>),
    /// Give up what opens no more in a data folder that no gateway uses
    GiveUpLost(Box<lost::Args>),
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
The key goes to stdout, what to do with it to stderr.

Example:
  (umask 077; image-gateway keys create-operator > operator.key)
  OPERATOR_KEY_FILE=operator.key image-gateway serve")]
struct Operator {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Needs a key of the role ADMIN, or the operator's key. Owners' keys are made by owners and the
operator alone. The key goes to stdout, the rest to stderr.

Example:
  image-gateway keys create --key-file operator.key --organization acme --role runtime --name agents")]
struct Create {
    #[command(flatten)]
    whose: Whose,
    /// What the key may do
    #[arg(long, value_enum)]
    role: Role,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// When it stops working: at the end of this day (2026-12-31), or at this instant
    #[arg(long, value_name = "DATE", value_parser = usage::end)]
    expires: Option<Timestamp>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Args,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Needs a key of the role ADMIN, or the operator's key.

Example:
  GATEWAY_KEY=sq_live_… image-gateway keys list")]
struct List {
    #[command(flatten)]
    whose: Whose,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Args,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Needs a key of the role ADMIN, or the operator's key. Generations that the key began go on and are
charged. Ending it again changes nothing.

Example:
  GATEWAY_KEY=sq_live_… image-gateway keys revoke 01a20abe-faa3-73eb-b77e-93bfb04ba1b7")]
struct Revoke {
    #[command(flatten)]
    whose: Whose,
    /// The id of the key, as `keys list` shows it
    #[arg(value_name = "ID")]
    id: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Args,
}

/// Whose keys.
#[derive(clap::Args, Debug)]
struct Whose {
    /// Whose keys; with the operator's key it must be named
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    organization: String,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    /// Agent runtimes: make and read images
    Runtime,
    /// Administrators: also tools, models, the balance, keys
    Admin,
    /// Owners: also owners' keys
    Owner,
}

/// The operator's key, for programs.
#[derive(Serialize)]
struct OperatorKey<'a> {
    operator_key: &'a str,
}

/// Does what was asked.
pub(super) async fn run(args: Args) -> Result<(), Failed> {
    match args.command {
        Command::CreateOperator(args) => create_operator(&args),
        Command::Create(args) => create(*args).await,
        Command::List(args) => list(*args).await,
        Command::Revoke(args) => revoke(*args).await,
        Command::SetOpenrouter(args) => openrouter::set(*args).await,
        Command::DeleteOpenrouter(args) => openrouter::delete(*args).await,
        Command::ReplaceEncryption(args) => replace::run(*args).await,
        Command::GiveUpLost(args) => lost::run(*args).await,
    }
}

fn create_operator(args: &Operator) -> Result<(), Failed> {
    let key =
        keys::mint_operator().map_err(|error| Failed::new("cannot make a key").because(error))?;
    let operator_key = key.expose_secret();
    if args.json {
        return terminal::json(&OperatorKey { operator_key });
    }
    terminal::result(operator_key)?;
    terminal::note(Text::ours(paper::OPERATOR));
    Ok(())
}

async fn create(args: Create) -> Result<(), Failed> {
    let mut client = OrganizationServiceClient::new(args.gateway.connect().await?);
    let asked = proto::CreateApiKeyRequest {
        organization_id: args.whose.organization,
        name: args.name,
        role: args.role.wire().into(),
        expire_time: args.expires.map(usage::wire),
    };
    let made = client.create_api_key(asked).await;
    let made = made.map_err(|status| Failed::refused("cannot make a key", &status))?;
    let made = made.into_inner();
    if args.json {
        return client::print_json(&made, "CreateApiKeyResponse");
    }
    terminal::result(&made.secret)?;
    terminal::note(paper::made(&made.api_key.unwrap_or_default()));
    Ok(())
}

async fn list(args: List) -> Result<(), Failed> {
    let mut client = OrganizationServiceClient::new(args.gateway.connect().await?);
    let whole = every_page(&mut client, &args.whose.organization).await?;
    if args.json {
        return client::print_json(&whole, "ListApiKeysResponse");
    }
    terminal::result(paper::table(&whole.api_keys, crate::clock::now()))
}

/// All keys, as one answer.
async fn every_page(
    service: &mut OrganizationServiceClient<Connection>,
    organization: &str,
) -> Result<proto::ListApiKeysResponse, Failed> {
    let mut whole = proto::ListApiKeysResponse::default();
    for _ in 0..client::PAGES_MAX {
        let asked = proto::ListApiKeysRequest {
            organization_id: organization.to_owned(),
            page_size: PAGE,
            page_token: whole.next_page_token,
        };
        let page = service.list_api_keys(asked).await;
        let page = page.map_err(|status| Failed::refused("cannot list the keys", &status))?;
        let page = page.into_inner();
        whole.api_keys.extend(page.api_keys);
        whole.next_page_token = page.next_page_token;
        if whole.next_page_token.is_empty() {
            return Ok(whole);
        }
    }
    Err(client::endless("keys"))
}

async fn revoke(args: Revoke) -> Result<(), Failed> {
    let mut client = OrganizationServiceClient::new(args.gateway.connect().await?);
    let asked = proto::RevokeApiKeyRequest {
        organization_id: args.whose.organization,
        api_key_id: args.id,
    };
    let ended = client.revoke_api_key(asked).await;
    let ended = ended.map_err(|status| Failed::refused("cannot revoke the key", &status))?;
    let ended = ended.into_inner();
    if args.json {
        return client::print_json(&ended, "ApiKey");
    }
    terminal::result(paper::ended(&ended))
}

// === impl Role ===

impl Role {
    const fn wire(self) -> proto::Role {
        match self {
            Self::Runtime => proto::Role::Runtime,
            Self::Admin => proto::Role::Admin,
            Self::Owner => proto::Role::Owner,
        }
    }
}
