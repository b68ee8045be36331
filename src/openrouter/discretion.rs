//! What upstream's words are held against before anybody reads them: they may quote the key that a
//! call was made with, and keys are told to nobody; and they may quote the prompt, and prompts are
//! never logged.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::quotes::{quotes_key, quotes_prompt};
use crate::ports::{DrawError, Order, Receipt};

/// The most digits of a status.
const STATUS_DIGITS: usize = 5;

/// What must not be told of one call.
#[derive(Clone)]
pub(super) struct Discretion {
    key: SecretString,
    prompt: Arc<str>,
}

// === impl Discretion ===

impl Discretion {
    /// Of an order that is sent with this key.
    pub(super) fn of_order(order: &Order, key: &SecretString) -> Self {
        Self {
            key: key.clone(),
            prompt: Arc::clone(&order.prompt),
        }
    }

    /// Of a question that is asked with this key.
    pub(super) fn of_key(key: &SecretString) -> Self {
        Self {
            key: key.clone(),
            prompt: Arc::default(),
        }
    }

    /// An error with no more of its words than may be logged.
    pub(super) fn error(&self, error: DrawError) -> DrawError {
        DrawError {
            detail: self.words(error.detail),
            upstream_id: self.id(error.upstream_id),
            ..error
        }
    }

    /// A receipt without the key. What the model said may quote the prompt: it goes where that is
    /// kept, and in no log.
    pub(super) fn receipt(&self, receipt: Receipt) -> Receipt {
        let quotes = quotes_key(&receipt.text, self.key.expose_secret());
        Receipt {
            upstream_id: self.id(receipt.upstream_id),
            text: if quotes {
                withheld("key", &receipt.text)
            } else {
                receipt.text
            },
            ..receipt
        }
    }

    /// An id, unless it is a part of the key.
    pub(super) fn id(&self, id: Option<String>) -> Option<String> {
        id.filter(|id| !quotes_key(id, self.key.expose_secret()))
    }

    /// Words as they may be logged; of those that quote something their length.
    pub(super) fn words(&self, detail: String) -> String {
        let (status, said) = detail.split_at(status_bytes(&detail));
        if quotes_key(said, self.key.expose_secret()) {
            format!("{status}{}", withheld("key", said))
        } else if quotes_prompt(said, &self.prompt) {
            format!("{status}{}", withheld("prompt", said))
        } else {
            detail
        }
    }
}

impl fmt::Debug for Discretion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discretion").finish_non_exhaustive()
    }
}

fn withheld(what: &str, said: &str) -> String {
    let length = said.chars().count();
    format!("(withheld: it quotes the {what}; {length} characters)")
}

/// How long the beginning of an error's words is that is ours: `HTTP 400: ` or
/// `error 400 in the answer: `.
fn status_bytes(detail: &str) -> usize {
    let status = |(begin, end): (&str, &str)| {
        let (status, said) = detail.strip_prefix(begin)?.split_once(end)?;
        let is_status =
            status.len() <= STATUS_DIGITS && status.bytes().all(|byte| byte.is_ascii_digit());
        is_status.then(|| detail.len() - said.len())
    };
    let ours = [("HTTP ", ": "), ("error ", " in the answer: ")];
    ours.into_iter().find_map(status).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{Billed, DrawCause};

    const KEY: &str = "weirdprovider.key/with+chars=0123456789";

    fn discretion(prompt: &str) -> Discretion {
        Discretion {
            key: KEY.into(),
            prompt: prompt.into(),
        }
    }

    #[test]
    fn words_that_quote_the_prompt_are_withheld() {
        let discretion = discretion("a portrait of somebody nobody may know about");
        for (said, told) in [
            (
                "HTTP 400: cannot draw A  PORTRAIT",
                "HTTP 400: (withheld: it quotes the prompt; 23 characters)",
            ),
            (
                "error 502 in the answer: somebody",
                "error 502 in the answer: (withheld: it quotes the prompt; 8 characters)",
            ),
            (
                "HTTP portrait: 400",
                "(withheld: it quotes the prompt; 18 characters)",
            ),
            (
                "HTTP 502: Provider returned error",
                "HTTP 502: Provider returned error",
            ),
            ("", ""),
        ] {
            assert_eq!(discretion.words(said.to_owned()), told);
        }
    }

    #[test]
    fn no_part_of_an_answer_tells_the_key() {
        let discretion = discretion("a fox");
        let id = Some("weirdprovider-key-with-chars".to_owned());
        let error = discretion.error(DrawError {
            cause: DrawCause::InvalidRequest,
            detail: format!("HTTP 400: unknown key {KEY}"),
            retry_after: None,
            billed: Billed::No,
            upstream_id: id.clone(),
            cost: None,
        });
        let receipt = discretion.receipt(Receipt {
            upstream_id: id,
            text: format!("I was called with {KEY}"),
            ..Receipt::default()
        });
        for shown in [format!("{error} {error:?}"), format!("{receipt:?}")] {
            assert!(!shown.contains("weird"), "{shown}");
            assert!(shown.contains("it quotes the key"), "{shown}");
        }
        assert!(error.detail.starts_with("HTTP 400: "));
        let plain = Receipt {
            upstream_id: Some("gen-1795392000-aBcDeF".to_owned()),
            text: "I cannot draw a fox".to_owned(),
            ..Receipt::default()
        };
        assert_eq!(discretion.receipt(plain.clone()), plain);
        assert_eq!(format!("{discretion:?}"), "Discretion { .. }");
    }
}
