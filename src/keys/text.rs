//! How keys look: how they are written, read and drawn by lot.
//!
//! `sq_live_<8 id>_<43 random><6 check>`: the fixed beginning lets leak scanners find it, the id
//! finds its row, the check (CRC-32) turns a typing mistake away before the database is asked.
//! 43 characters of base 62 carry 256 bits, so a slow hash would protect nothing.

use secrecy::SecretString;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
pub(super) const START: &str = "sq_live_";
const ID_CHARS: usize = 8;
const SECRET_CHARS: usize = 43;
const CHECK_CHARS: usize = 6;
/// How the operator's keys begin that are made here; any other text of their length does too.
pub(super) const OPERATOR_START: &str = "sq_operator_";

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

    /// The whole text.
    pub(super) const fn whole(&self) -> &SecretString {
        &self.secret
    }
}

/// A new key, and the public beginning by which its row is found.
pub(super) fn fresh() -> Result<(String, SecretString), NoRandomness> {
    let prefix = format!("{START}{}", random_text(ID_CHARS)?);
    let body = format!("{prefix}_{}", random_text(SECRET_CHARS)?);
    let check = check(&body);
    Ok((prefix, SecretString::from(body + &check)))
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
mod tests {
    use std::collections::BTreeSet;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn an_operators_key_is_one_the_settings_take_and_no_key_of_an_organization() {
        let (one, two) = (
            mint_operator().expect("random"),
            mint_operator().expect("random"),
        );
        let key = one.expose_secret();
        assert!((32..=256).contains(&key.len()) && key.chars().all(|c| c.is_ascii_graphic()));
        assert!(key.starts_with(OPERATOR_START) && key != two.expose_secret());
        assert!(Presented::read(key).is_none());
    }

    #[test]
    fn any_changed_character_is_seen_before_the_database_is_asked() {
        let (_, key) = fresh().expect("random");
        let key = key.expose_secret();
        for position in 0..key.len() {
            let mut typo = key.as_bytes().to_vec();
            typo[position] = if typo[position] == b'x' { b'y' } else { b'x' };
            let typo = String::from_utf8(typo).expect("ASCII");
            assert!(Presented::read(&typo).is_none(), "position {position}");
        }
        for text in [
            "",
            "sq_live_",
            "Bearer x",
            &key[1..],
            &format!("{key}0"),
            "sq_live_é",
        ] {
            assert!(Presented::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn every_character_of_a_key_is_random_and_none_more_likely() {
        const KEYS: usize = 300;
        let mut seen = vec![BTreeSet::new(); ID_CHARS + SECRET_CHARS];
        let mut low = 0;
        for _ in 0..KEYS {
            let (_, key) = fresh().expect("random");
            let key = key.expose_secret();
            let random: Vec<u8> = key[START.len()..]
                .bytes()
                .filter(|byte| *byte != b'_')
                .collect();
            for (seen, byte) in seen.iter_mut().zip(&random) {
                seen.insert(*byte);
                low += usize::from(ALPHABET[..8].contains(byte));
            }
        }
        // Of 62 characters 300 draws leave one out now and then, and never twenty.
        assert!(seen.iter().all(|seen| seen.len() > 42), "{seen:?}");
        // Eight of 62 are 1,974 of these, give or take 41; bytes divided by 62 make them 2,391.
        assert!((1_760..2_180).contains(&low), "{low}");
    }
}
