//! What the files hold, and whether that is something new.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{Files, TlsError};

/// More than any chain has; a larger file is something else.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// The bytes of the files.
pub(super) struct Contents {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) client_ca: Option<Vec<u8>>,
}

/// Tells contents apart without keeping a key in memory.
pub(super) type Fingerprint = [u8; 32];

// === impl Contents ===

impl Contents {
    /// Reads the files. Blocks.
    pub(super) fn read(files: &Files) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
            client_ca: files.client_ca.as_deref().map(read).transpose()?,
        })
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let none = Vec::new();
        let mut hash = Sha256::new();
        for bytes in [
            &self.certificate,
            &self.key,
            self.client_ca.as_ref().unwrap_or(&none),
        ] {
            hash.update(Sha256::digest(bytes));
        }
        hash.finalize().into()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        file: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let mut capped = file.take(FILE_MAX_BYTES + 1);
    capped.read_to_end(&mut bytes).map_err(unreadable)?;
    if capped.limit() == 0 {
        return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}
