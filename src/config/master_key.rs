//! The key that other keys are derived from. It is given in the settings, or made on first start
//! and kept in a file that only its owner can read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The name of the file under the data folder.
const FILE_NAME: &str = "key-encryption-key";

/// The name of the file of a key that is about to take its place.
const NEXT_NAME: &str = "key-encryption-key.next";

/// Bytes of the key: as many as an HMAC-SHA-256 has use for.
const KEY_BYTES: usize = 32;

/// Only the owner may read and write.
const OWNER_ONLY: u32 = 0o600;

/// The key that protects stored secrets and the hashes of API keys. Losing it makes every API key
/// useless; it is never shown.
#[derive(Clone, Debug)]
pub struct MasterKey(Arc<SecretBox<[u8; KEY_BYTES]>>);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be made or read.
    #[error("cannot use the key file {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The file has something else in it. It is never replaced: keys stored with the real one
    /// would be lost.
    #[error(
        "the key file {} is damaged; restore it from a backup",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// The system has no random bytes to give.
    #[error("the system gives no random bytes")]
    Random(#[source] getrandom::Error),
}

impl MasterKey {
    /// Reads 64 hexadecimal digits, or 32 bytes in standard base64.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = hex(text).or_else(|| base64_simd::STANDARD.decode_to_vec(text).ok())?;
        let bytes: [u8; KEY_BYTES] = bytes.try_into().ok()?;
        Some(Self(Arc::new(SecretBox::new(Box::new(bytes)))))
    }

    /// Whether a text is this key, in either form.
    pub(super) fn is_written_as(&self, text: &str) -> bool {
        let other = Self::parse(text);
        let bytes = self.0.expose_secret();
        other.is_some_and(|other| bytes.ct_eq(other.0.expose_secret()).into())
    }

    /// The key kept under `data_dir`, made there if it is not. Makes the folder, too. Two
    /// processes that start together end up with the same key.
    ///
    /// # Errors
    /// See [`MasterKeyError`].
    pub fn open(data_dir: &Path) -> Result<Self, MasterKeyError> {
        let path = data_dir.join(FILE_NAME);
        let failed = |source| MasterKeyError::File {
            path: path.clone(),
            source,
        };
        if !path.try_exists().map_err(failed)? {
            let key = Self::random()?;
            fs::create_dir_all(data_dir).map_err(failed)?;
            key.save(data_dir, &path).map_err(failed)?;
        }
        let text = fs::read_to_string(&path).map_err(failed)?;
        warn_if_open_to_others(&path);
        Self::parse(text.trim()).ok_or(MasterKeyError::Damaged { path })
    }

    /// Whether a key, whole or not, is kept under `data_dir`.
    ///
    /// # Errors
    /// See [`MasterKeyError`].
    pub fn is_kept(data_dir: &Path) -> Result<bool, MasterKeyError> {
        let path = data_dir.join(FILE_NAME);
        path.try_exists()
            .map_err(|source| MasterKeyError::File { path, source })
    }

    /// A fresh key under `data_dir` beside the one in use, until it [takes its
    /// place](Self::take_place). One that was left there before is gone.
    ///
    /// # Errors
    /// See [`MasterKeyError`].
    pub fn make_next(data_dir: &Path) -> Result<Self, MasterKeyError> {
        let path = data_dir.join(NEXT_NAME);
        let failed = |source| MasterKeyError::File {
            path: path.clone(),
            source,
        };
        let key = Self::random()?;
        Self::drop_next(data_dir)?;
        let saved = key.save_as(&path).and_then(|()| sync_folder(data_dir));
        if let Err(error) = saved {
            // Half a key would keep the gateway from starting.
            Self::drop_next(data_dir)?;
            return Err(failed(error));
        }
        Ok(key)
    }

    /// Removes the key that waits under `data_dir`, if one does.
    ///
    /// # Errors
    /// See [`MasterKeyError`].
    pub fn drop_next(data_dir: &Path) -> Result<(), MasterKeyError> {
        let path = data_dir.join(NEXT_NAME);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(MasterKeyError::File { path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The key that waits under `data_dir` to take the place of the one in use, if one does.
    ///
    /// # Errors
    /// See [`MasterKeyError`].
    pub fn next(data_dir: &Path) -> Result<Option<Self>, MasterKeyError> {
        let path = data_dir.join(NEXT_NAME);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let key = Self::parse(text.trim()).ok_or(MasterKeyError::Damaged { path })?;
                Ok(Some(key))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(MasterKeyError::File { path, source }),
        }
    }

    /// The key that waits takes the place of the one in use, which is gone.
    ///
    /// # Errors
    /// See [`MasterKeyError`].
    pub fn take_place(data_dir: &Path) -> Result<(), MasterKeyError> {
        let path = data_dir.join(NEXT_NAME);
        let moved = fs::rename(&path, data_dir.join(FILE_NAME));
        moved
            .and_then(|()| sync_folder(data_dir))
            .map_err(|source| MasterKeyError::File { path, source })
    }

    /// A key for one purpose, from which neither this key nor one for another purpose can be
    /// computed. The words of a purpose must never change: stored hashes depend on them.
    pub fn derive(&self, purpose: &str) -> [u8; KEY_BYTES] {
        // `new` takes a whole SHA-256 block, to which HMAC pads shorter keys with zeros (RFC 2104).
        let mut block = [0; 64];
        block[..KEY_BYTES].copy_from_slice(self.0.expose_secret());
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn random() -> Result<Self, MasterKeyError> {
        let mut bytes = Box::new([0; KEY_BYTES]);
        getrandom::fill(bytes.as_mut_slice()).map_err(MasterKeyError::Random)?;
        Ok(Self(Arc::new(SecretBox::new(bytes))))
    }

    /// Writes the key whole or not at all: a file of its own, then a hard link, which fails if
    /// somebody else was faster. Then theirs is the key.
    fn save(&self, data_dir: &Path, path: &Path) -> io::Result<()> {
        let draft = data_dir.join(format!("{FILE_NAME}.{}", Uuid::new_v4()));
        let saved = self
            .save_as(&draft)
            .and_then(|()| fs::hard_link(&draft, path));
        fs::remove_file(&draft)?;
        match saved {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => sync_folder(data_dir),
        }
    }

    fn save_as(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(OWNER_ONLY)
            .open(path)?;
        for byte in self.0.expose_secret() {
            write!(file, "{byte:02x}")?;
        }
        writeln!(file)?;
        file.sync_all()
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Somebody may have a reason to loosen the mode, so it is said and not refused.
fn warn_if_open_to_others(path: &Path) {
    let mode = fs::metadata(path).map(|data| data.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        tracing::warn!(
            path = %path.display(),
            "the key file can be read by others; run `chmod 600` on it"
        );
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|it| u8::try_from(it).ok())
    };
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_for_its_owner_only_and_read_again_later() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("new").join("data");
        let first = MasterKey::open(&data_dir).unwrap();
        let second = MasterKey::open(&data_dir).unwrap();
        assert_eq!(first.derive("a"), second.derive("a"));
        let files: Vec<_> = fs::read_dir(&data_dir).unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let mode = fs::metadata(data_dir.join(FILE_NAME))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, OWNER_ONLY);
    }

    #[test]
    fn of_two_keys_saved_together_the_first_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let first = MasterKey::random().unwrap();
        first.save(folder.path(), &path).unwrap();
        MasterKey::random()
            .unwrap()
            .save(folder.path(), &path)
            .unwrap();
        let kept = MasterKey::open(folder.path()).unwrap();
        assert_eq!(kept.derive("a"), first.derive("a"));
    }

    #[test]
    fn a_damaged_key_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        fs::write(&path, "deadbeef\n").unwrap();
        let error = MasterKey::open(folder.path()).unwrap_err();
        assert!(matches!(error, MasterKeyError::Damaged { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "deadbeef\n");
    }

    #[test]
    fn every_purpose_has_a_key_of_its_own() {
        let key = MasterKey::parse(&"00".repeat(32)).unwrap();
        assert_ne!(key.derive("a"), key.derive("b"));
        // HMAC-SHA-256 with a key of 32 zero bytes over "a", as `openssl dgst` computes it.
        let hex: String = key
            .derive("a")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "9615a95d4a336118c435b9cd54c5e8644ab956b573aa2926274a1280b6674713"
        );
    }

    #[test]
    fn the_same_key_is_read_from_hexadecimal_and_from_base64() {
        let from_hex = MasterKey::parse(&"ff".repeat(32)).unwrap();
        let upper = MasterKey::parse(&"FF".repeat(32)).unwrap();
        let text = base64_simd::STANDARD.encode_to_string([0xff; 32]);
        let from_base64 = MasterKey::parse(&text).unwrap();
        assert_eq!(from_hex.derive("a"), from_base64.derive("a"));
        assert_eq!(from_hex.derive("a"), upper.derive("a"));
    }

    #[test]
    fn a_key_of_another_length_is_refused_and_none_is_shown() {
        for text in [
            "",
            "ff",
            &"ff".repeat(31),
            &"ff".repeat(33),
            &"g".repeat(64),
            "AAAA",
        ] {
            assert!(MasterKey::parse(text).is_none(), "{text}");
        }
        let shown = format!("{:?}", MasterKey::parse(&"ab".repeat(32)));
        assert!(!shown.contains("ab") && !shown.contains("171"), "{shown}");
    }
}
