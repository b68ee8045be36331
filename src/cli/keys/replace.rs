//! Replaces the key-encryption key.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Serialize;

use crate::app::{self, Replaced, StartError};
use crate::cli::failed::Failed;
use crate::cli::terminal;
use crate::config::{self, MasterKey};

/// A data folder that no gateway uses, and the key of its books.
#[derive(clap::Args, Debug)]
pub(super) struct Folder {
    /// Folder of the database
    #[arg(long, env = "DATA_DIR", value_name = "DIR", default_value = config::DATA_DIR)]
    data_dir: PathBuf,
    /// The key in use, if it is not the one in the data folder
    #[arg(
        long,
        env = "KEY_ENCRYPTION_KEY",
        value_name = "KEY",
        hide_env_values = true,
        value_parser = config::secret
    )]
    key_encryption_key: Option<SecretString>,
    /// A file that holds the key in use
    #[arg(
        long,
        env = "KEY_ENCRYPTION_KEY_FILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    key_encryption_key_file: Option<String>,
}

/// What `keys replace-encryption` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The gateway must be stopped. Everything that is encrypted with the key is encrypted anew, in one
step: if it is cut short, the next start finds out which key is in use. API keys go on as they are.
Without --new-key-file a new key is made in the data folder, in place of the one there.

Examples:
  image-gateway keys replace-encryption --data-dir ./data
  image-gateway keys replace-encryption --key-encryption-key-file old.key --new-key-file new.key")]
pub(super) struct Args {
    #[command(flatten)]
    folder: Folder,
    /// A file that holds the new key: 32 bytes as 64 hexadecimal digits or in base64
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The result, for programs.
#[derive(Serialize)]
struct Told {
    openrouter_keys: u32,
    peppers: u32,
    kept_in_folder: bool,
}

pub(super) async fn run(args: Args) -> Result<(), Failed> {
    let (data_dir, old) = args.folder.open()?;
    let new = config::master_key("NEW_KEY", (None, args.new_key_file))?;
    if old.is_some() && new.is_none() {
        let what = "the key in use is given by the settings, so the new one must be given too";
        return Err(Failed::usage(what).hint("name it with --new-key-file"));
    }
    let replaced = app::replace_key(data_dir, old, new).await;
    let replaced = replaced.map_err(|error| unfit("cannot replace the key", error))?;
    let Replaced {
        handed_over,
        kept_in_folder,
    } = replaced;
    if args.json {
        return terminal::json(&Told {
            openrouter_keys: handed_over.openrouter_keys,
            peppers: handed_over.peppers,
            kept_in_folder,
        });
    }
    let keys = match handed_over.openrouter_keys {
        1 => "1 OpenRouter key is".to_owned(),
        keys => format!("{keys} OpenRouter keys are"),
    };
    terminal::result(format!("replaced: {keys} encrypted anew; API keys go on"))?;
    if !kept_in_folder {
        terminal::note(
            "Start the gateway with KEY_ENCRYPTION_KEY_FILE naming the new key from now on.",
        );
    }
    Ok(())
}

/// Why nothing was done in a data folder.
pub(super) fn unfit(what: &str, error: StartError) -> Failed {
    let runs = matches!(error, StartError::InUse { .. });
    let failed = Failed::new(what).because(error);
    if runs {
        failed.hint("stop the gateway that runs on this folder, and start it again afterwards")
    } else {
        failed
    }
}

// === impl Folder ===

impl Folder {
    /// The folder, if it is there, and the key that was given for it.
    ///
    /// # Errors
    /// If there is no such folder, or what was given is no key.
    pub(super) fn open(self) -> Result<(PathBuf, Option<MasterKey>), Failed> {
        let Self {
            data_dir,
            key_encryption_key,
            key_encryption_key_file,
        } = self;
        let given = (key_encryption_key, key_encryption_key_file);
        let given = config::master_key("KEY_ENCRYPTION_KEY", given)?;
        if !data_dir.is_dir() {
            let what = format!("there is no data folder {}", data_dir.display());
            return Err(Failed::new(what).hint("name it with --data-dir"));
        }
        Ok((data_dir, given))
    }
}
