//! Keys of this gateway where somebody else's belongs: what would be sent away with them opens this
//! house.

use super::text::{OPERATOR_START, START};

/// Whether a text has a key of this gateway in it, by how those begin that are made here.
pub fn looks_ours(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    [START, OPERATOR_START]
        .iter()
        .any(|start| lower.contains(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keyring, mint_operator};
    use secrecy::ExposeSecret;

    #[test]
    fn whatever_is_made_here_is_known_as_ours_and_nothing_else_is() {
        let minted = Keyring::new([7; 32], None).mint().expect("a key");
        let operator = mint_operator().expect("a key");
        for key in [&minted.secret, &operator] {
            let key = key.expose_secret();
            assert!(looks_ours(key) && looks_ours(&key.to_uppercase()));
            assert!(looks_ours(&format!("GATEWAY_KEY={key}")));
        }
        assert!(!looks_ours("sk-or-v1-0123456789abcdef"));
        assert!(!looks_ours("weirdprovider.key/sq-live"));
    }
}
