//! Keys: how they look, how they are made, how they are recognized. A key is shown once; only a
//! keyed hash of it is kept, so that a stolen database opens nothing.
//!
//! `sq_live_<8 id>_<43 random><6 check>`: the fixed beginning lets leak scanners find it, the id
//! finds its row, the check (CRC-32) turns a typing mistake away before the database is asked.
//! 43 characters of base 62 carry 256 bits, so a slow hash would protect nothing.
//!
//! The hash is keyed with a pepper, whose id is kept with each key: another pepper can come later
//! without making the keys of this one useless.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::domain::ids::OrganizationId;
pub use vault::{KekId, Owner, Unopened, Vault};

pub mod ours;
mod vault;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const START: &str = "sq_live_";
const ID_CHARS: usize = 8;
const SECRET_CHARS: usize = 43;
const CHECK_CHARS: usize = 6;
/// How the operator's keys begin that are made here; any other text of their length does too.
const OPERATOR_START: &str = "sq_operator_";
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

/// A key as somebody sent it, well formed but not yet known to be good.
#[derive(Debug)]
pub struct Presented {
    /// By which its row is found.
    pub prefix: String,
    secret: SecretString,
}

/// The machine gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct NoRandomness;

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
        let prefix = format!("{START}{}", random_text(ID_CHARS)?);
        let body = format!("{prefix}_{}", random_text(SECRET_CHARS)?);
        let secret = format!("{body}{}", check(&body));
        Ok(Minted {
            prefix,
            mac: self.mac("api-key", &secret),
            pepper: self.pepper_id,
            secret: SecretString::from(secret),
        })
    }

    /// Whether this key is the one of which a hash was kept. The same work is done, in the same
    /// time, whether nothing was kept, something else, or this.
    pub fn opens(&self, presented: &Presented, kept: Option<(&PepperId, &[u8; 32])>) -> bool {
        let known = kept.and_then(|(id, mac)| Some((self.pepper(id)?, mac)));
        let (pepper, expected) = known.unwrap_or((&self.pepper, &NOBODY));
        let sent = keyed_hash(pepper, "api-key", presented.secret.expose_secret());
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

// === impl Presented ===

impl Presented {
    /// Reads a key that somebody sent; `None` if it cannot be one.
    pub fn read(text: &str) -> Option<Self> {
        let length = START.len() + ID_CHARS + 1 + SECRET_CHARS + CHECK_CHARS;
        if text.len() != length || !text.is_ascii() || !text.starts_with(START) {
            return None;
        }
        let (body, checked) = text.split_at(length - CHECK_CHARS);
        let prefix = &text[..START.len() + ID_CHARS];
        let alphabetic = prefix[START.len()..]
            .bytes()
            .all(|byte| ALPHABET.contains(&byte));
        (alphabetic && check(body) == checked).then(|| Self {
            prefix: prefix.to_owned(),
            secret: SecretString::from(text),
        })
    }
}

/// The name of an operator's key under a pepper: by it two keys are told apart, and neither is known.
pub fn operator_key_name(pepper: &[u8; 32], key: &SecretString) -> [u8; 8] {
    first(&keyed_hash(pepper, "operator-name", key.expose_secret()))
}

/// A new operator's key, of the form that the settings take. It is kept nowhere.
///
/// # Errors
/// [`NoRandomness`].
pub fn mint_operator() -> Result<SecretString, NoRandomness> {
    let body = format!("{OPERATOR_START}{}", random_text(SECRET_CHARS)?);
    let check = check(&body);
    Ok(SecretString::from(body + &check))
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

fn random_text(length: usize) -> Result<String, NoRandomness> {
    let mut text = String::with_capacity(length);
    let mut bytes = [0u8; 64];
    while text.len() < length {
        getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
        // 248 = 4 × 62: what is above would make the first characters more likely.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let characters = fair.map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
        text.extend(characters.take(length - text.len()));
    }
    Ok(text)
}

fn check(body: &str) -> String {
    let mut value = crc32fast::hash(body.as_bytes());
    let mut text = [b'0'; CHECK_CHARS];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[usize::try_from(value % 62).unwrap_or(0)];
        value /= 62;
    }
    text.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests;
