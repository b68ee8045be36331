//! Keys by a name that does not show them.

use sha2::{Digest, Sha256};

/// Tells keys apart without showing them: the first 12 hexadecimal digits of the SHA-256.
#[must_use]
pub(crate) fn fingerprint(key: &str) -> String {
    Sha256::digest(key.as_bytes())
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
