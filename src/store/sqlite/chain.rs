//! Chains of hashes: each row carries one over its content and the hash of the row before, so that
//! no row can be changed, left out or put in between without changing all that follow.

use sha2::{Digest, Sha256};

/// The first bytes of every hash of the ledger, so that none is ever one of another chain.
pub(super) const LEDGER: &[u8] = b"image-gateway-ledger-v1";

/// The same of the audit trails.
pub(super) const TRAIL: &[u8] = b"image-gateway-trail-v1";

/// The same of prices that moved together.
const PRICES: &[u8] = b"image-gateway-prices-v1";

/// SHA-256 over the chain's name, the hash before and the parts of a row, each with its length.
pub(super) fn hash(chain: &[u8], before: &[u8; 32], parts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(chain);
    digest.update(before);
    for part in parts {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

/// What stands in the audit trail for prices that moved together: a hash over their rows, which are
/// in the order of models and prices.
pub(super) fn hash_of_prices<'a>(rows: impl Iterator<Item = [&'a str; 5]>) -> String {
    let all = rows.fold([0; 32], |before, row| hash(PRICES, &before, &row));
    all.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_chain_the_hash_before_and_every_part_where_it_ends() {
        let one = hash(LEDGER, &[0; 32], &["ab", "c"]);
        assert_eq!(one, hash(LEDGER, &[0; 32], &["ab", "c"]));
        for other in [
            hash(TRAIL, &[0; 32], &["ab", "c"]),
            hash(LEDGER, &[1; 32], &["ab", "c"]),
            hash(LEDGER, &[0; 32], &["a", "bc"]),
            hash(LEDGER, &[0; 32], &["abc"]),
            hash(LEDGER, &[0; 32], &["ab", "c", ""]),
            hash(LEDGER, &[0; 32], &["c", "ab"]),
        ] {
            assert_ne!(one, other);
        }
    }
}
