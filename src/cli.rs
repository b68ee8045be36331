//! The command line: what was asked for, which command does it, and how it ends. Exit status 0 is
//! done, 1 failed, 2 wrong usage (`api.md`, The program and its settings).

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

mod audit;
mod client;
mod demo;
mod destination;
mod failed;
mod generate;
mod keyless;
mod keys;
mod memory;
mod mock_openrouter;
mod models;
mod reconcile;
mod serve;
mod shutdown;
mod terminal;
mod usage;

use failed::Failed;

/// Threads that may wait for the disk at a time: enough to keep one busy, and few enough that their
/// memory stays small beside that of the pictures.
const BLOCKING_THREADS: usize = 32;

/// How long the end of the process waits for threads that are still busy; what had to be durable
/// is by then.
const THREADS_PATIENCE: Duration = Duration::from_secs(1);

/// The image-generation gateway behind SquadOS: gRPC in, OpenRouter out, every credit accounted
/// for.
#[derive(Debug, Parser)]
#[command(name = "image-gateway", version, arg_required_else_help = true)]
#[command(after_help = "Example: image-gateway demo \"a red fox in the snow\"")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve gRPC, health and metrics until SIGTERM or Ctrl-C
    Serve(Box<serve::Args>),
    /// Make one picture through a gateway of its own, show what it cost, and keep serving
    Demo(Box<demo::Args>),
    /// Make pictures through a running gateway
    Generate(Box<generate::Args>),
    /// Check that the books agree with themselves, or compute one charge again
    Audit(Box<audit::Args>),
    /// Hold the books against what OpenRouter says it has billed
    Reconcile(Box<reconcile::Args>),
    /// Show what an organization has consumed, from a running gateway
    Usage(Box<usage::Args>),
    /// Lists the models of a running gateway, and what an image costs
    Models(Box<models::Args>),
    /// Make, show and end keys
    Keys(keys::Args),
    /// Serve a stand-in for OpenRouter that draws and prices, but costs nothing
    MockOpenrouter(mock_openrouter::Args),
}

/// Runs the program with the arguments and the environment of this process.
pub fn run() -> ExitCode {
    // First of all: the environment, which is read next, has secrets in it.
    memory::keep_to_itself();
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return terminal::usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return terminal::failed(&Failed::new("cannot start threads").because(error)),
    };
    let result = runtime.block_on(cli.command.run());
    runtime.shutdown_timeout(THREADS_PATIENCE);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => terminal::failed(&failed),
    }
}

/// What was asked for. Clap quotes what it cannot take, so it is told a second time, and printable:
/// what was mistyped may come from a file or from somebody else.
fn parse() -> Result<Cli, clap::Error> {
    Cli::try_parse().map_err(|error| {
        let seen =
            env::args_os().map(|word| terminal::printable(&word.to_string_lossy()).into_owned());
        Cli::try_parse_from(seen).err().unwrap_or(error)
    })
}

impl Command {
    async fn run(self) -> Result<(), Failed> {
        match self {
            Self::Serve(args) => serve::run(*args).await,
            Self::Demo(args) => demo::run(*args).await,
            Self::Generate(args) => generate::run(*args).await,
            Self::Audit(args) => audit::run(&args),
            Self::Reconcile(args) => reconcile::run(*args).await,
            Self::Usage(args) => usage::run(*args).await,
            Self::Models(args) => models::run(*args).await,
            Self::Keys(args) => keys::run(args).await,
            Self::MockOpenrouter(args) => mock_openrouter::run(args).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands_mut() {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            assert!(help.contains(&format!("image-gateway {name}")), "{help}");
            assert!(help.contains("Example"), "{help}");
        }
    }

    #[test]
    fn wrong_usage_ends_with_status_2_and_help_with_0() {
        for (arguments, status) in [
            (vec!["image-gateway", "serve", "--no-such-flag"], 2),
            (vec!["image-gateway", "paint"], 2),
            (vec!["image-gateway", "demo"], 2),
            (
                vec!["image-gateway", "mock-openrouter", "--latency", "soon"],
                2,
            ),
            (
                vec!["image-gateway", "models", "--json", "--resolution", "2K"],
                2,
            ),
            (vec!["image-gateway", "models", "--json", "--help"], 0),
            (vec!["image-gateway", "demo", "--help"], 0),
            (vec!["image-gateway", "--version"], 0),
        ] {
            let error = Cli::try_parse_from(&arguments).unwrap_err();
            assert_eq!(error.exit_code(), status, "{arguments:?}");
        }
    }
}
