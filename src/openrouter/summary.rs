//! What an answer said beside its pictures, and what to make of it at the end.

use super::classify::error_in_answer;
use super::error_body::ErrorBody;
use super::failures::failed;
use super::wire::{Answer, Choice, Usage};
use crate::ports::{DrawCause, DrawError, Receipt};

/// The most text that is kept (`ports::Receipt::text`).
const TEXT_CAP_BYTES: usize = 64 << 10;

/// The longest id that is believed (OpenRouter's own limit).
const ID_CAP_CHARS: usize = 128;

/// How providers word it when the picture, not the request, offended: Gemini's finish reasons and
/// OpenAI's.
const SAFETY_WORDS: [&str; 6] = [
    "safety",
    "prohibited",
    "blocklist",
    "recitation",
    "spii",
    "content_filter",
];

/// Everything but the pictures.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Pictures that are complete.
    pub(super) pictures: u32,
    /// What is wrong with the first event that could not be read.
    pub(super) broken: Option<DrawError>,
    receipt: Receipt,
    error: Option<DrawError>,
    /// A finish reason that names safety.
    offence: Option<String>,
    /// It says that it finished with an error.
    broke_off: bool,
    /// There was something of the shape of an answer.
    answered: bool,
}

/// An id as OpenRouter makes them; anything else is not one.
pub(super) fn believable_id(id: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let believable = !id.is_empty() && id.len() <= ID_CAP_CHARS && id.chars().all(plain);
    believable.then(|| id.to_owned())
}

impl Summary {
    /// Takes in an answer, or one event of it.
    pub(super) fn absorb(&mut self, answer: Answer) {
        self.answered |= answer.data.is_some() || answer.choices.is_some() || answer.kind.is_some();
        if let Some(id) = answer.id.as_deref().and_then(believable_id) {
            self.receipt.upstream_id.get_or_insert(id);
        }
        if let Some(usage) = answer.usage {
            self.absorb_usage(&usage);
        }
        for choice in answer.choices.unwrap_or_default() {
            self.absorb_choice(&choice);
        }
        if let Some(error) = answer.error {
            self.absorb_error(&error);
        }
    }

    /// What came, whatever it was.
    pub(super) fn into_receipt(self) -> Receipt {
        self.receipt
    }

    /// A picture makes everything else a detail: it is decided by what can be decoded, never by a
    /// finish reason. Without one, an error goes before an offence, an offence before what could not
    /// be read, and that before text.
    ///
    /// # Errors
    /// What stands in the place of a picture.
    pub(super) fn into_verdict(self) -> Result<Receipt, DrawError> {
        let upstream_id = self.receipt.upstream_id.clone();
        let text = self.receipt.text.trim();
        let error = if self.pictures > 0 {
            None
        } else if let Some(error) = self.error {
            Some(error)
        } else if self.broke_off {
            Some(failed(DrawCause::Unavailable, "it finished with an error"))
        } else if let Some(offence) = self.offence {
            let detail = format!("finished with {offence}: {text}");
            Some(failed(DrawCause::OutputRejected, &detail))
        } else if let Some(broken) = self.broken {
            Some(broken)
        } else if !text.is_empty() {
            Some(failed(DrawCause::NoImage, text))
        } else if self.answered {
            None
        } else {
            Some(failed(DrawCause::Unavailable, "the answer says nothing"))
        };
        match error {
            Some(error) => Err(DrawError {
                upstream_id: error.upstream_id.or(upstream_id),
                cost: self.receipt.cost,
                ..error
            }),
            None => Ok(self.receipt),
        }
    }

    fn absorb_usage(&mut self, usage: &Usage) {
        let receipt = &mut self.receipt;
        // A later usage is the more complete one; what it leaves out stays.
        receipt.cost = usage.cost().or(receipt.cost);
        receipt.prompt_tokens = usage.prompt_tokens.or(receipt.prompt_tokens);
        receipt.completion_tokens = usage.completion_tokens.or(receipt.completion_tokens);
        receipt.image_tokens = usage.image_tokens().or(receipt.image_tokens);
    }

    fn absorb_choice(&mut self, choice: &Choice) {
        for said in [&choice.message, &choice.delta].into_iter().flatten() {
            for text in said.texts() {
                self.say(text);
            }
        }
        if let Some(error) = &choice.error {
            self.absorb_error(error);
        }
        let reasons = [&choice.native_finish_reason, &choice.finish_reason];
        for reason in reasons.into_iter().flatten() {
            let lower = reason.to_lowercase();
            if SAFETY_WORDS.iter().any(|word| lower.contains(word)) {
                self.offence.get_or_insert_with(|| reason.clone());
            }
        }
        self.broke_off |= choice.finish_reason.as_deref() == Some("error");
    }

    fn absorb_error(&mut self, error: &ErrorBody) {
        // The first one is the cause, others are its consequences.
        self.error.get_or_insert_with(|| error_in_answer(error));
    }

    fn say(&mut self, text: &str) {
        let room = TEXT_CAP_BYTES - self.receipt.text.len();
        self.receipt
            .text
            .push_str(&text[..text.floor_char_boundary(room)]);
    }
}
