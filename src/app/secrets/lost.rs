//! The way out when the key-encryption key is lost for good, or something in the books is damaged:
//! what opens no more is given up, and everything else goes on.

use std::path::PathBuf;

use super::super::StartError;
use super::super::folder::{lock, within};
use super::{Names, PEPPER, Sqlite, Vault, Whose, of_folder, of_pepper, owner, vault};
use crate::clock;
use crate::config::MasterKey;
use crate::domain::openrouter_key::Sealed;
use crate::domain::trail::{Actor, By};
use crate::keys::pepper_id;
use crate::store::sqlite::{InUse, Lost};

/// What is lost.
#[derive(Clone, Debug)]
pub struct GivenUp {
    /// What opens no more.
    pub lost: Lost,
    /// Whether it is given up now; else nothing has changed.
    pub done: bool,
    /// Whether there is a key-encryption key, given or in the folder; without one nothing opens.
    pub has_key: bool,
}

/// Finds what nothing opens in a data folder that no gateway uses, and gives it up if `confirmed`.
/// `given` is the key of now, if the settings name it; else it is the one in the folder, and one is made
/// there for what comes, if there is none and it is `confirmed`.
///
/// # Errors
/// [`StartError`]; then nothing is given up.
pub async fn give_up_lost(
    data_dir: PathBuf,
    given: Option<MasterKey>,
    confirmed: bool,
) -> Result<GivenUp, StartError> {
    let _lock = lock(&data_dir)?;
    let in_books = within("the database", &data_dir);
    let books = Sqlite::open(&data_dir).map_err(within("the database", &data_dir))?;
    let names = Names::in_books(&books).map_err(in_books)?;
    let in_folder = |error| within("the key-encryption key", &data_dir)(error);
    let key = match given {
        Some(key) => Some(key),
        None => of_folder(&data_dir, &names).map_err(in_folder)?,
    };
    let has_key = key.is_some();
    let key = match key {
        None if confirmed => Some(MasterKey::open(&data_dir).map_err(in_folder)?),
        key => key,
    };
    let in_use = key.as_ref().map(|key| InUse {
        kek: vault(key).id(),
        pepper: pepper_id(&key.derive(PEPPER)),
    });
    let vault = key.as_ref().map(vault);
    let opens = move |whose: &Whose, sealed: &Sealed| {
        let opens = |vault: &Vault| opens(vault, whose, sealed);
        vault.as_ref().is_some_and(opens)
    };
    let lost = match in_use {
        Some(in_use) if confirmed => {
            let by = By {
                actor: Actor::Operator,
                at: clock::now(),
            };
            books.give_up_lost(in_use, opens, by).await
        }
        in_use => books.lost(in_use, opens).await,
    };
    Ok(GivenUp {
        lost: lost.map_err(within("what is sealed", &data_dir))?,
        done: confirmed,
        has_key,
    })
}

fn opens(vault: &Vault, whose: &Whose, sealed: &Sealed) -> bool {
    match whose {
        Whose::OpenRouterKey { organization, id } => {
            let id = id.uuid();
            vault
                .open(owner(organization, id.as_bytes()), sealed)
                .is_ok()
        }
        Whose::Pepper { id } => {
            let opened = vault.open_bytes(of_pepper(id), sealed);
            opened.is_ok_and(|pepper| pepper.len() == 32)
        }
    }
}
