//! One generation of a history, and what must always be true of it.

use jiff::Timestamp;

use super::must;
use crate::domain::books::Stage;
use crate::domain::generation::{CallRecord, Charge, MediaType, StoredImage};
use crate::domain::money::{Credits, platform_charge};
use crate::domain::recovery::{CallFacts, Facts, Question};
use crate::domain::shape::PixelSize;

/// One generation of the model.
pub(super) struct Life {
    pub(super) requested: u32,
    pub(super) hold: Credits,
    pub(super) created: Timestamp,
    pub(super) deadline: Timestamp,
    pub(super) stage: Stage,
    pub(super) since: Timestamp,
    pub(super) images: Vec<StoredImage>,
    pub(super) calls: Vec<CallFacts>,
    pub(super) charge: Option<Charge>,
    /// What the ledger has taken for it, minus what came back.
    pub(super) paid: i64,
    pub(super) resolved: u32,
    /// Whether a process works on it.
    pub(super) runs: bool,
}

// === impl Life ===

impl Life {
    pub(super) fn held(&self) -> i64 {
        self.hold.hundredths()
    }

    pub(super) fn records(&self) -> Vec<CallRecord> {
        self.calls.iter().map(|call| call.record.clone()).collect()
    }

    pub(super) fn ask(&mut self) {
        for call in &mut self.calls {
            if call.question == Question::None && call.record.is_open_question() {
                call.question = Question::Open;
            }
        }
    }

    pub(super) fn facts(&self) -> Facts {
        Facts {
            stage: self.stage,
            since: self.since,
            created: self.created,
            deadline: self.deadline,
            has_pictures: !self.images.is_empty(),
            calls: self.calls.clone(),
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let settled = self.stage == Stage::Settled;
        let voided = self.stage == Stage::Voided;
        let ended = u32::from(settled || voided);
        must(
            self.resolved == ended,
            "I9: a hold has not ended exactly once",
        )?;
        must(
            settled == self.charge.is_some(),
            "I9: settled without a charge, or charged otherwise",
        )?;
        must(
            !settled || !self.images.is_empty(),
            "I9: charged without a picture",
        )?;
        must(!voided || self.paid == 0, "I10: voided and charged")?;
        let Some(charge) = &self.charge else {
            return must(self.paid == 0, "I8: charged before the end");
        };
        let due = platform_charge(charge.cost, charge.images);
        must(
            charge.credits == due,
            "I12: the charge is not what the formula gives",
        )?;
        let kept = charge.credits.hundredths() - charge.refunded.hundredths();
        must(
            self.paid == kept,
            "I8: the rows are not the charge minus the refund",
        )?;
        must(kept >= 0, "a refund is above its charge")
    }
}

pub(super) fn picture(index: u32) -> StoredImage {
    StoredImage {
        index,
        sha256: [0; 32],
        size_bytes: 1,
        pixels: PixelSize {
            width: 1024,
            height: 1024,
        },
        media_type: MediaType::Png,
        object_name: String::new(),
    }
}
