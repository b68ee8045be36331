//! Secrets that must be read again, unlike keys of ours, of which a hash is enough: organizations'
//! OpenRouter keys. Each is encrypted with a random data key of its own, and that with the
//! key-encryption key, which is not in the database. Both are bound to whose secret it is, so that a
//! row that is copied to somebody else does not open (`reliability.md` §6).
//!
//! XChaCha20-Poly1305: its nonces are long enough to be random, and nothing has to be counted.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::NoRandomness;
use crate::domain::openrouter_key::Sealed;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// What all that is sealed here is bound to, beside its owner: changing it makes every key useless.
const BOUND_TO: &str = "image-gateway sealed v1";

/// The name of a key-encryption key, from which nobody can tell it.
pub type KekId = [u8; 8];

/// Seals and opens.
pub struct Vault {
    kek: Zeroizing<[u8; KEY_BYTES]>,
    id: KekId,
}

/// Whose secret it is: what it is for, and the names of the row it stands in.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// What it is for.
    pub purpose: &'static str,
    /// Whose it is; empty if it is the platform's.
    pub organization: &'a str,
    /// The id of the row.
    pub id: &'a [u8],
}

/// Why it does not open.
#[derive(Debug, thiserror::Error)]
pub enum Unopened {
    /// It was sealed with another key-encryption key.
    #[error("it was sealed with another key-encryption key")]
    OtherKey,
    /// It is not what was sealed, or not for this owner.
    #[error("it is damaged, or belongs to somebody else")]
    Damaged,
    /// Sealing anew needs random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

// === impl Vault ===

impl Vault {
    /// A vault with this key-encryption key, named `id`.
    pub fn new(kek: [u8; KEY_BYTES], id: KekId) -> Self {
        Self {
            kek: Zeroizing::new(kek),
            id,
        }
    }

    /// The name of its key.
    pub const fn id(&self) -> KekId {
        self.id
    }

    /// Seals a secret text.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn seal(&self, owner: Owner<'_>, secret: &SecretString) -> Result<Sealed, NoRandomness> {
        self.seal_bytes(owner, secret.expose_secret().as_bytes())
    }

    /// Opens a secret text.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open(&self, owner: Owner<'_>, sealed: &Sealed) -> Result<SecretString, Unopened> {
        let bytes = self.open_bytes(owner, sealed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Unopened::Damaged)?;
        Ok(SecretString::from(text))
    }

    /// Seals secret bytes.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn seal_bytes(&self, owner: Owner<'_>, secret: &[u8]) -> Result<Sealed, NoRandomness> {
        let data_key = Zeroizing::new(random::<KEY_BYTES>()?);
        Ok(Sealed {
            kek: self.id,
            wrapped: encrypt(&self.kek, &owner.bound("data key"), &*data_key)?,
            sealed: encrypt(&data_key, &owner.bound("secret"), secret)?,
        })
    }

    /// Opens secret bytes.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open_bytes(
        &self,
        owner: Owner<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let data_key = self.data_key(owner, sealed)?;
        decrypt(&data_key, &owner.bound("secret"), &sealed.sealed)
    }

    /// The same secret under another key-encryption key; only its data key is encrypted anew. The
    /// secret is opened all the same, so that nothing is handed over that opens with neither key.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn hand_over(
        &self,
        owner: Owner<'_>,
        sealed: &Sealed,
        to: &Self,
    ) -> Result<Sealed, Unopened> {
        let data_key = self.data_key(owner, sealed)?;
        decrypt(&data_key, &owner.bound("secret"), &sealed.sealed)?;
        Ok(Sealed {
            kek: to.id,
            wrapped: encrypt(&to.kek, &owner.bound("data key"), &*data_key)?,
            sealed: sealed.sealed.clone(),
        })
    }

    fn data_key(
        &self,
        owner: Owner<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, Unopened> {
        if sealed.kek != self.id {
            return Err(Unopened::OtherKey);
        }
        let opened = decrypt(&self.kek, &owner.bound("data key"), &sealed.wrapped)?;
        let key = <[u8; KEY_BYTES]>::try_from(opened.as_slice());
        key.map(Zeroizing::new).map_err(|_| Unopened::Damaged)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

// === impl Owner ===

impl Owner<'_> {
    /// What the ciphertext is bound to. No part can be taken for another, because each has its
    /// length before it.
    fn bound(self, part: &str) -> Vec<u8> {
        let parts = [
            BOUND_TO.as_bytes(),
            part.as_bytes(),
            self.purpose.as_bytes(),
            self.organization.as_bytes(),
            self.id,
        ];
        let mut bound = Vec::new();
        for part in parts {
            bound.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bound.extend_from_slice(part);
        }
        bound
    }
}

/// The nonce, then the ciphertext with its tag.
fn encrypt(key: &[u8; KEY_BYTES], bound: &[u8], secret: &[u8]) -> Result<Vec<u8>, NoRandomness> {
    let nonce = random::<NONCE_BYTES>()?;
    let payload = Payload {
        msg: secret,
        aad: bound,
    };
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    // It fails for more than 256 GiB alone.
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload);
    let mut bytes = nonce.to_vec();
    bytes.extend(sealed.map_err(|_| NoRandomness)?);
    Ok(bytes)
}

fn decrypt(
    key: &[u8; KEY_BYTES],
    bound: &[u8],
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let (nonce, sealed) = bytes
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(Unopened::Damaged)?;
    let payload = Payload {
        msg: sealed,
        aad: bound,
    };
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    let opened = cipher.decrypt(&XNonce::from(*nonce), payload);
    opened.map(Zeroizing::new).map_err(|_| Unopened::Damaged)
}

fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SECRET: &str = "sk-or-v1-0123456789abcdef0123456789abcdef";

    const fn owner<'a>(organization: &'a str, id: &'a [u8]) -> Owner<'a> {
        Owner {
            purpose: "openrouter key",
            organization,
            id,
        }
    }

    fn vault(byte: u8) -> Vault {
        Vault::new([byte; 32], [byte; 8])
    }

    fn seal(vault: &Vault, owner: Owner<'_>) -> Sealed {
        let secret = SecretString::from(SECRET);
        vault.seal(owner, &secret).expect("random")
    }

    #[test]
    fn what_is_sealed_opens_for_its_owner_and_for_nobody_else() {
        let (vault, mine) = (vault(1), owner("acme", b"0123456789abcdef"));
        let sealed = seal(&vault, mine);
        let opened = vault.open(mine, &sealed).expect("opens");
        assert_eq!(opened.expose_secret(), SECRET);
        let others = [
            owner("other", mine.id),
            owner("acme", b"0123456789abcdeg"),
            owner("acm", b"e0123456789abcdef"),
            Owner {
                purpose: "pepper",
                ..mine
            },
        ];
        for other in others {
            let opened = vault.open(other, &sealed);
            assert!(matches!(opened, Err(Unopened::Damaged)), "{other:?}");
        }
    }

    #[test]
    fn the_same_secret_is_never_sealed_to_the_same_bytes_and_never_seen() {
        let (vault, mine) = (vault(1), owner("acme", b"id"));
        let (one, two) = (seal(&vault, mine), seal(&vault, mine));
        assert_ne!(one.sealed, two.sealed);
        assert_ne!(one.wrapped, two.wrapped);
        assert!(!format!("{one:?} {vault:?}").contains(SECRET));
        assert_eq!(format!("{vault:?}"), "Vault { .. }", "nor is its key");
        let part = &SECRET.as_bytes()[..8];
        assert!(!one.sealed.windows(8).any(|window| window == part));
    }

    #[test]
    fn nothing_is_encrypted_twice_under_one_key_and_nonce() {
        let (vault, mine) = (vault(1), owner("acme", b"id"));
        let (one, two) = (seal(&vault, mine), seal(&vault, mine));
        let nonces = [&one.wrapped, &two.wrapped, &one.sealed, &two.sealed];
        let nonces: BTreeSet<&[u8]> = nonces.map(|bytes| &bytes[..NONCE_BYTES]).into();
        assert_eq!(nonces.len(), 4);
        let data_keys = [&one, &two].map(|sealed| vault.data_key(mine, sealed).expect("opens"));
        assert_ne!(data_keys[0], data_keys[1]);
        assert!(!data_keys.contains(&vault.kek));
    }

    #[test]
    fn no_bit_of_it_can_be_changed() {
        let (vault, mine) = (vault(1), owner("acme", b"id"));
        let sealed = seal(&vault, mine);
        for place in 0..sealed.wrapped.len() {
            let mut bent = sealed.clone();
            bent.wrapped[place] ^= 1;
            assert!(vault.open(mine, &bent).is_err(), "wrapped {place}");
        }
        for place in 0..sealed.sealed.len() {
            let mut bent = sealed.clone();
            bent.sealed[place] ^= 1;
            assert!(vault.open(mine, &bent).is_err(), "sealed {place}");
            bent.sealed.truncate(place);
            assert!(vault.open(mine, &bent).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn what_is_handed_over_opens_with_the_new_key_alone() {
        let (old, new) = (vault(1), vault(2));
        let mine = owner("acme", b"id");
        let sealed = seal(&old, mine);
        let handed = old.hand_over(mine, &sealed, &new).expect("opens");
        let opened = new.open(mine, &handed).expect("opens");
        assert_eq!(opened.expose_secret(), SECRET);
        assert!(matches!(old.open(mine, &handed), Err(Unopened::OtherKey)));
        assert!(matches!(new.open(mine, &sealed), Err(Unopened::OtherKey)));
        let foreign = owner("other", b"id");
        assert!(old.hand_over(foreign, &sealed, &new).is_err());
        let mut bent = [sealed.clone(), sealed.clone()];
        bent[0].wrapped[30] ^= 1;
        bent[1].sealed[30] ^= 1;
        for bent in &bent {
            let handed = old.hand_over(mine, bent, &new);
            assert!(matches!(handed, Err(Unopened::Damaged)));
        }
    }
}
