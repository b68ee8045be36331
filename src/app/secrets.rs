//! The key-encryption key and what follows from it: what API keys are hashed with, and what
//! organizations' OpenRouter keys are sealed with; and how it is replaced.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::StartError;
use super::folder::{lock, within};
use crate::config::{MasterKey, MasterKeyError};
use crate::domain::openrouter_key::Sealed;
use crate::domain::trail::{Actor, By};
use crate::generate::owner;
use crate::keys::{KekId, Keyring, Owner, PepperId, Unopened, Vault, operator_key_name, pepper_id};
use crate::ports::SettingsError;
use crate::store::sqlite::{HandedOver, OperatorKeyName, Replacing, Sqlite, Whose};

pub use lost::{GivenUp, give_up_lost};

mod lost;

/// What API keys are hashed with is derived from the key of keys under these words; changing them
/// makes every key useless.
const PEPPER: &str = "image-gateway api keys v1";

/// What is sealed is sealed with what is derived under these words, and named by what is derived
/// under those; likewise.
const KEK: &str = "image-gateway key encryption v1";
const KEK_ID: &str = "image-gateway key encryption id v1";

/// What peppers are sealed for, likewise.
const FORMER_PEPPER: &str = "pepper";

/// The key-encryption key, and the peppers that API keys were hashed with before it.
pub(super) struct Secrets {
    key: MasterKey,
    former: Vec<[u8; 32]>,
}

/// What of the key the books name.
struct Names {
    sealed_with: Vec<KekId>,
    hashed_with: Vec<PepperId>,
}

/// What a replacement did.
#[derive(Clone, Copy, Debug)]
pub struct Replaced {
    /// What was sealed anew.
    pub handed_over: HandedOver,
    /// Whether the new key stands in the data folder; else the settings must name it from now on.
    pub kept_in_folder: bool,
}

/// Why the key does not fit the books.
#[derive(Debug, thiserror::Error)]
enum Misfit {
    /// What is in the books was sealed with another key.
    #[error(
        "the books were sealed with another key; give the one they were sealed with (KEY_ENCRYPTION_KEY, or the file key-encryption-key), or, if it is lost for good, give up what it protected (image-gateway keys give-up-lost)"
    )]
    OtherKey,
    /// The folder has no key, but its books had one.
    #[error(
        "the file key-encryption-key is missing, and what the books hold opens with no other key; restore it from a backup, set KEY_ENCRYPTION_KEY to what it held, or, if it is lost for good, give up what it protected (image-gateway keys give-up-lost)"
    )]
    Missing,
    /// The new key is the one that is in use.
    #[error("the new key is the one in use; nothing is changed")]
    SameKey,
    /// What is in the books does not open.
    #[error(
        "what API keys were hashed with does not open; restore the books, or give up what does not open (image-gateway keys give-up-lost)"
    )]
    Pepper(#[source] Unopened),
    /// A row cannot be sealed anew, because it does not open.
    #[error(
        "{whose} does not open, and nothing is changed; restore the books, or give up what does not open (image-gateway keys give-up-lost)"
    )]
    Row {
        whose: String,
        #[source]
        source: Unopened,
    },
    /// A pepper has an odd length.
    #[error("a pepper is damaged")]
    Damaged,
}

// === impl Names ===

impl Names {
    fn in_books(books: &Sqlite) -> Result<Self, SettingsError> {
        Ok(Self {
            sealed_with: books.key_encryption_keys()?,
            hashed_with: books.peppers_of_api_keys()?,
        })
    }

    /// Whether the key of these names is the one of the books. With a single name that is another's,
    /// it may still be: then that row is damaged, which is told to its organization, and no reason to
    /// stop all others. It is proven by another row that is sealed with it, or by API keys that are
    /// hashed with its pepper, unless that is a former one: whoever replaces a key leaves it.
    fn are_of(&self, key: KekId, pepper: PepperId, is_former: bool) -> bool {
        let others = self.sealed_with.iter().any(|name| *name != key);
        let hashed = !is_former && self.hashed_with.contains(&pepper);
        !others || self.sealed_with.contains(&key) || hashed
    }

    /// Whether the books had a key at all.
    const fn any(&self) -> bool {
        !(self.sealed_with.is_empty() && self.hashed_with.is_empty())
    }
}

// === impl Secrets ===

impl Secrets {
    /// The key that was given, or the one in the data folder, if it is the one of these books. A
    /// replacement that was cut short is finished. Blocks.
    pub(super) fn open(
        data_dir: &Path,
        given: Option<MasterKey>,
        books: &Sqlite,
    ) -> Result<Self, StartError> {
        let misfit = |misfit: Misfit| within("the key-encryption key", data_dir)(misfit);
        let names = Names::in_books(books).map_err(within("the database", data_dir))?;
        let key = match given {
            Some(key) => Some(key),
            None => {
                let found = of_folder(data_dir, &names);
                found.map_err(within("the key-encryption key", data_dir))?
            }
        };
        let key = key.ok_or_else(|| misfit(Misfit::Missing))?;
        let kept = books.peppers().map_err(within("the database", data_dir))?;
        let pepper = pepper_id(&key.derive(PEPPER));
        let is_former = kept.iter().any(|(id, _)| *id == pepper);
        if !names.are_of(vault(&key).id(), pepper, is_former) {
            return Err(misfit(Misfit::OtherKey));
        }
        let former = former(kept, &vault(&key), data_dir)?;
        let secrets = Self { key, former };
        // Where nothing is sealed, the hashes alone tell another key from theirs.
        let known = secrets.peppers();
        if names.hashed_with.iter().any(|name| !known.contains(name)) {
            return Err(misfit(Misfit::OtherKey));
        }
        let dropped = drop_next(data_dir, &names);
        dropped.map_err(within("the key-encryption key", data_dir))?;
        Ok(secrets)
    }

    /// The names of the peppers that are known.
    fn peppers(&self) -> Vec<PepperId> {
        let mut peppers: Vec<_> = self.former.iter().map(pepper_id).collect();
        peppers.push(pepper_id(&self.key.derive(PEPPER)));
        peppers
    }

    /// Makes and checks keys of ours.
    pub(super) fn keyring(&self, operator_key: Option<&SecretString>) -> Keyring {
        let keyring = Keyring::new(self.key.derive(PEPPER), operator_key);
        keyring.with_former(self.former.iter().copied())
    }

    /// The names of the operator's key, if there is one: first the one it has now, then those it had
    /// before the key-encryption key was replaced.
    pub(super) fn operator_key_names(
        &self,
        operator_key: Option<&SecretString>,
    ) -> Vec<OperatorKeyName> {
        let former = self.former.iter().copied();
        let peppers = std::iter::once(self.key.derive(PEPPER)).chain(former);
        let named = |key| {
            let name = |pepper| OperatorKeyName {
                pepper: pepper_id(&pepper),
                name: operator_key_name(&pepper, key),
            };
            peppers.map(name).collect()
        };
        operator_key.map(named).unwrap_or_default()
    }

    /// Seals and opens keys of others.
    pub(super) fn vault(&self) -> Vault {
        vault(&self.key)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// Replaces the key-encryption key of a data folder that no gateway uses. `given` is the key of now,
/// if the settings name it; `new` the next one, or one is made in the folder.
///
/// All is sealed anew in one transaction, between two steps on the disk: the new key waits beside
/// the old one before it, and takes its place after it. Whoever opens the folder in between finds
/// out from the books which of the two is theirs.
///
/// # Errors
/// [`StartError`]; the key of before is still the one in use.
pub async fn replace_key(
    data_dir: PathBuf,
    given: Option<MasterKey>,
    new: Option<MasterKey>,
) -> Result<Replaced, StartError> {
    let _lock = lock(&data_dir)?;
    let books = Sqlite::open(&data_dir).map_err(within("the database", &data_dir))?;
    let in_folder = new.is_none();
    let failed = |error| within("the key-encryption key", &data_dir)(error);
    let old = Secrets::open(&data_dir, given, &books)?;
    let new = match new {
        Some(new) if vault(&new).id() == old.vault().id() => {
            return Err(within("the new key", &data_dir)(Misfit::SameKey));
        }
        Some(new) => new,
        None => MasterKey::make_next(&data_dir).map_err(failed)?,
    };
    let handed_over = match hand_over(&books, &old, vault(&new)).await {
        Ok(handed_over) => handed_over,
        Err(error) => {
            // If nobody knows whether the books are changed, the next start finds out, and may need it.
            if in_folder && !matches!(error, SettingsError::Uncertain(_)) {
                MasterKey::drop_next(&data_dir).map_err(failed)?;
            }
            return Err(within("what is sealed", &data_dir)(error));
        }
    };
    if in_folder {
        MasterKey::take_place(&data_dir).map_err(failed)?;
    }
    Ok(Replaced {
        handed_over,
        kept_in_folder: in_folder,
    })
}

/// Seals anew for `to` what the books hold, and what API keys are hashed with until now.
async fn hand_over(books: &Sqlite, old: &Secrets, to: Vault) -> Result<HandedOver, SettingsError> {
    let from = old.vault();
    let pepper = old.key.derive(PEPPER);
    let id = pepper_id(&pepper);
    let sealed = to.seal_bytes(of_pepper(&id), &pepper);
    let sealed = sealed.map_err(|error| SettingsError::Broken(Box::new(error)))?;
    let replacing = Replacing {
        old: from.id(),
        pepper: (id, sealed),
        by: By {
            actor: Actor::Operator,
            at: crate::clock::now(),
        },
    };
    let reseal = move |whose: &Whose, sealed: &Sealed| {
        let (anew, whose) = match whose {
            Whose::OpenRouterKey { organization, id } => {
                let id = id.uuid();
                let anew = from.hand_over(owner(organization, id.as_bytes()), sealed, &to);
                (anew, format!("the OpenRouter key of {organization}"))
            }
            Whose::Pepper { id } => {
                let anew = from.hand_over(of_pepper(id), sealed, &to);
                (anew, "what API keys were hashed with".to_owned())
            }
        };
        anew.map_err(|source| Misfit::Row { whose, source })
    };
    books.hand_over(replacing, reseal).await
}

/// The key in the folder; the one that waits, if the books were already sealed with that. None is
/// made for books that had another.
fn of_folder(data_dir: &Path, names: &Names) -> Result<Option<MasterKey>, MasterKeyError> {
    // One that was never written whole is one that nothing was sealed with.
    let next = match MasterKey::next(data_dir) {
        Err(MasterKeyError::Damaged { .. }) if MasterKey::is_kept(data_dir)? => None,
        next => next?,
    };
    if let Some(next) = next {
        let id = vault(&next).id();
        if names.sealed_with.contains(&id) {
            tracing::info!("a replacement of the key-encryption key is finished");
            MasterKey::take_place(data_dir)?;
            return Ok(Some(next));
        }
    }
    if names.any() && !MasterKey::is_kept(data_dir)? {
        return Ok(None);
    }
    MasterKey::open(data_dir).map(Some)
}

/// Removes the key that waits, if nothing in the books was sealed with it: the replacement that made it
/// was cut short before it changed anything. Asked once the key in use is known to be theirs.
fn drop_next(data_dir: &Path, names: &Names) -> Result<(), MasterKeyError> {
    match MasterKey::next(data_dir) {
        Ok(Some(next)) if names.sealed_with.contains(&vault(&next).id()) => Ok(()),
        Ok(Some(_)) | Err(MasterKeyError::Damaged { .. }) => MasterKey::drop_next(data_dir),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    }
}

fn former(
    kept: Vec<(PepperId, Sealed)>,
    vault: &Vault,
    data_dir: &Path,
) -> Result<Vec<[u8; 32]>, StartError> {
    let open = |(id, sealed)| {
        let opened = vault.open_bytes(of_pepper(&id), &sealed);
        let opened = opened.map_err(Misfit::Pepper)?;
        <[u8; 32]>::try_from(opened.as_slice()).map_err(|_| Misfit::Damaged)
    };
    let peppers: Result<_, Misfit> = kept.into_iter().map(open).collect();
    peppers.map_err(within("what API keys are hashed with", data_dir))
}

fn vault(key: &MasterKey) -> Vault {
    let [a, b, c, d, e, f, g, h, ..] = key.derive(KEK_ID);
    Vault::new(key.derive(KEK), [a, b, c, d, e, f, g, h])
}

const fn of_pepper(id: &[u8; 8]) -> Owner<'_> {
    Owner {
        purpose: FORMER_PEPPER,
        organization: "",
        id,
    }
}
