//! Keys: how they are made and recognized (`text` says how they look). A key is shown once; only a
//! keyed hash of it is kept, so that a stolen database opens nothing.
//!
//! The hash is keyed with a pepper, whose id is kept with each key: another pepper can come later
//! without making the keys of this one useless.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::domain::ids::OrganizationId;
pub use text::{NoRandomness, Presented, mint_operator};
pub use vault::{KekId, Owner, Unopened, Vault};

pub mod ours;
mod text;
mod vault;

/// What is compared with where no hash is kept; the answer is no whatever it equals.
const NOBODY: [u8; 32] = [0; 32];

/// Bytes of the [fingerprint](Keyring::fingerprint) of an OpenRouter key: enough to tell keys apart.
const FINGERPRINT_BYTES: usize = 8;

/// Bytes of a [seal](Keyring::seal): guessing one takes 2^64 calls.
pub const SEAL_BYTES: usize = 8;

/// The name of a pepper: a hash keyed with it, from which nobody can tell it.
pub type PepperId = [u8; 8];

/// What keys are made and checked with.
pub struct Keyring {
    pepper: [u8; 32],
    pepper_id: PepperId,
    /// What keys were hashed with before the key of keys was replaced.
    former: Vec<(PepperId, [u8; 32])>,
    operator: Option<[u8; 32]>,
}

/// A fresh key.
#[derive(Debug)]
pub struct Minted {
    /// The public beginning, unique: `sq_live_` and the id.
    pub prefix: String,
    /// The whole key; shown once.
    pub secret: SecretString,
    /// What is kept of it.
    pub mac: [u8; 32],
    /// What it was hashed with.
    pub pepper: PepperId,
}

// === impl Keyring ===

impl Keyring {
    /// A keyring. `pepper` is secret and must stay the same for the keys made with it.
    pub fn new(pepper: [u8; 32], operator_key: Option<&SecretString>) -> Self {
        let mut keyring = Self {
            pepper_id: pepper_id(&pepper),
            pepper,
            former: Vec::new(),
            operator: None,
        };
        keyring.operator = operator_key.map(|key| keyring.mac("operator", key.expose_secret()));
        keyring
    }

    /// The same, which also knows the keys that were made with these peppers.
    #[must_use]
    pub fn with_former(mut self, peppers: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let named = peppers
            .into_iter()
            .map(|pepper| (pepper_id(&pepper), pepper));
        self.former.extend(named);
        self
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn mint(&self) -> Result<Minted, NoRandomness> {
        let (prefix, secret) = text::fresh()?;
        Ok(Minted {
            prefix,
            mac: self.mac("api-key", secret.expose_secret()),
            pepper: self.pepper_id,
            secret,
        })
    }

    /// Whether this key is the one of which a hash was kept. The same work is done, in the same
    /// time, whether nothing was kept, something else, or this.
    pub fn opens(&self, presented: &Presented, kept: Option<(&PepperId, &[u8; 32])>) -> bool {
        let known = kept.and_then(|(id, mac)| Some((self.pepper(id)?, mac)));
        let (pepper, expected) = known.unwrap_or((&self.pepper, &NOBODY));
        let sent = keyed_hash(pepper, "api-key", presented.whole().expose_secret());
        is_same(&sent, expected) & known.is_some()
    }

    /// The pepper of this name.
    fn pepper(&self, id: &PepperId) -> Option<&[u8; 32]> {
        if *id == self.pepper_id {
            return Some(&self.pepper);
        }
        let mut former = self.former.iter();
        former
            .find(|(name, _)| name == id)
            .map(|(_, pepper)| pepper)
    }

    /// Whether this is the operator's key.
    pub fn is_operator(&self, text: &str) -> bool {
        let sent = self.mac("operator", text);
        self.operator.is_some_and(|known| is_same(&known, &sent))
    }

    /// A name for an organization that upstream may know: the same for all its calls, and nobody
    /// can tell the organization from it.
    pub fn tag(&self, organization: &OrganizationId) -> String {
        hex(&self.mac("organization-tag", organization.as_str())[..16])
    }

    /// By what the books know an organization's own OpenRouter key: 16 hexadecimal digits, the same for
    /// the same key under one pepper, and nobody else can compute them (`reliability.md` §6).
    pub fn fingerprint(&self, key: &SecretString) -> String {
        fingerprint(&self.pepper, key)
    }

    /// Whether the books know this key of an organization by these words, under this pepper or one of
    /// before the key of keys was replaced.
    pub fn is_known_by(&self, key: &SecretString, words: &str) -> bool {
        let former = self.former.iter().map(|(_, pepper)| pepper);
        let mut peppers = former.chain([&self.pepper]);
        peppers.any(|pepper| fingerprint(pepper, key) == words)
    }

    /// Whether keys of organizations may be known by words under another pepper than this one: the key
    /// of keys was replaced once.
    pub const fn has_former(&self) -> bool {
        !self.former.is_empty()
    }

    /// The seal of what was handed out and comes back: nobody else can make it.
    pub fn seal(&self, text: &str) -> [u8; SEAL_BYTES] {
        first(&self.mac("seal", text))
    }

    fn mac(&self, purpose: &str, text: &str) -> [u8; 32] {
        keyed_hash(&self.pepper, purpose, text)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

/// The name of an operator's key under a pepper: by it two keys are told apart, and neither is known.
pub fn operator_key_name(pepper: &[u8; 32], key: &SecretString) -> [u8; 8] {
    first(&keyed_hash(pepper, "operator-name", key.expose_secret()))
}

/// The name of a pepper.
pub fn pepper_id(pepper: &[u8; 32]) -> PepperId {
    first(&keyed_hash(pepper, "pepper-id", ""))
}

fn keyed_hash(pepper: &[u8; 32], purpose: &str, text: &str) -> [u8; 32] {
    // An HMAC takes keys of any length, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(pepper) else {
        return [0; 32];
    };
    mac.update(purpose.as_bytes());
    mac.update(&[0]);
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Whether two hashes agree to the last bit; it takes as long wherever they differ.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

fn fingerprint(pepper: &[u8; 32], key: &SecretString) -> String {
    let mac = keyed_hash(pepper, "openrouter-key", key.expose_secret());
    hex(&mac[..FINGERPRINT_BYTES])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn first<const N: usize>(mac: &[u8; 32]) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, from) in bytes.iter_mut().zip(mac) {
        *byte = *from;
    }
    bytes
}

#[cfg(test)]
mod tests;
