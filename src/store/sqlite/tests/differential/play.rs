//! The steps: each is taken in the database and by the rules, and both must do the same.

use super::super::super::{hold, steps};
use super::history::{Done, History, same};
use super::*;
use crate::domain::books::EntryKind;
use crate::domain::pricing::Question as Asked;

impl History<'_> {
    /// Something happens.
    pub(super) fn step(&mut self) -> Result<Done, String> {
        let kind = self.dice.below(32);
        let place = self.pick();
        let name = match (kind, place) {
            (0 | 1, _) | (_, None) if self.dice.one_in(2) => "buy",
            (0..=4, _) | (_, None) => "hold",
            (5, _) => "again",
            (6..=9, _) => "dispatch",
            (10..=12, _) => "stream",
            (13 | 14, _) => "note",
            (15, _) => "store",
            (16..=18, _) => "settle",
            (19, _) => "void",
            (20, _) => "doubt",
            (21, _) => "cancel",
            (22, _) => "review",
            (23..=26, _) => "answer",
            (27, _) => "expire",
            (28 | 29, _) => "check",
            _ => "recover",
        };
        let place = place.unwrap_or(0);
        self.steps.push(format!("{name} {place} at {}", self.now));
        let done = match name {
            "buy" => return self.buy(),
            "hold" => return self.hold(),
            "answer" => return self.answer(),
            "again" => self.again(place),
            "dispatch" => self.dispatch(place),
            "stream" => self.stream(place),
            "note" => self.note(place),
            "store" => self.store(place),
            "settle" => self.settle(place),
            "void" => self.void(place),
            "doubt" => self.doubt(place),
            "cancel" => self.cancel(place),
            "review" => self.review(place),
            "expire" => self.expire(place),
            "check" => self.check(place),
            _ => self.recover(place),
        }?;
        self.same_life(place)?;
        Ok(done)
    }

    /// A generation; the newest more often, so that most steps meet something open.
    fn pick(&mut self) -> Option<usize> {
        let count = u64::try_from(self.model.lives.len()).expect("few");
        let last = count.checked_sub(1)?;
        let back = self.dice.below(count).min(self.dice.below(count));
        usize::try_from(last - back).ok()
    }

    pub(super) fn id(&self, place: usize) -> GenerationId {
        self.model.lives[place].shown.draft.id
    }

    pub(super) fn stage(&self, place: usize) -> Stage {
        self.model.lives[place].shown.stage
    }

    /// Both have taken it, or both have refused it.
    pub(super) fn agreed<T: std::fmt::Debug>(
        &self,
        legal: bool,
        outcome: &Result<T, LedgerError>,
    ) -> Result<Done, String> {
        match outcome {
            Ok(_) if legal => Ok(Done::Taken),
            Err(LedgerError::IllegalStep { .. }) if !legal => Ok(Done::Refused),
            other => Err(format!("legal: {legal}, but {other:?}")),
        }
    }

    fn buy(&mut self) -> Result<Done, String> {
        let hundredths = self.dice.amount(6_000) - 50;
        let purchase = Purchase {
            id: EntryId::from_uuid(self.uuid()),
            organization: self.organization(),
            credits: Credits::from_hundredths(hundredths),
            reference: Reference::parse(&format!("buy-{}", self.steps.len())).expect("a name"),
            description: "bought".to_owned(),
            actor: Actor::Operator,
            now: self.now,
        };
        let booked = |purchase: &Purchase| {
            let made = |connection: &Connection| entries::purchase(connection, purchase);
            self.cellar.change(made)
        };
        let outcome = booked(&purchase);
        let Ok(postings) = self.model.account.purchase(purchase.credits) else {
            let refused = matches!(outcome, Err(LedgerError::OutOfRange));
            same("a purchase of nothing is refused", &refused, &true)?;
            return Ok(Done::Refused);
        };
        same("new", &outcome.map_err(text)?.replayed, &false)?;
        let again = booked(&purchase).map_err(text)?;
        same("replayed", &again.replayed, &true)?;
        let other = Purchase {
            credits: Credits::from_hundredths(hundredths + 1),
            ..purchase
        };
        let conflict = matches!(booked(&other), Err(LedgerError::ReferenceConflict));
        same("another amount is refused", &conflict, &true)?;
        same("what was booked", &again.entry.kind, &EntryKind::Purchase)?;
        self.model.book(&postings, None);
        Ok(Done::Taken)
    }

    fn uuid(&mut self) -> Uuid {
        let (high, low) = (self.dice.below(u64::MAX), self.dice.below(u64::MAX));
        Uuid::from_u64_pair(high, low)
    }

    fn fresh(&mut self, request_id: &str) -> Draft {
        let hundredths = 101 + self.dice.amount(900);
        let patience = SignedDuration::from_secs(60 + self.dice.amount(1_200));
        let requested = 1 + u32::try_from(self.dice.below(3)).expect("few");
        let plain = draft(request_id, hundredths);
        Draft {
            id: GenerationId::from_uuid(self.uuid()),
            organization: self.organization(),
            requested,
            question: Asked {
                count: requested,
                ..plain.question
            },
            key_mode: *KeyMode::ALL
                .get(usize::from(self.dice.one_in(8)))
                .expect("two"),
            created: self.now,
            deadline: self.now + patience,
            ..plain
        }
    }

    fn hold(&mut self) -> Result<Done, String> {
        let draft = self.fresh(&format!("op-{}", self.steps.len()));
        self.opened(draft, 1)
    }

    /// A hold that nothing stands in the way of but the account.
    fn opened(&mut self, draft: Draft, attempt: u32) -> Result<Done, String> {
        let opening = opening(&draft);
        let made = |connection: &Connection| hold::open(connection, &opening);
        let outcome = self.cellar.change(made).map_err(text)?;
        let available = self.model.account.available();
        let held = self.model.open(&draft, attempt);
        match outcome {
            HoldOutcome::Held(after) if held => {
                same("after the hold", &after, &self.model.account)?;
                self.same_life(self.model.lives.len() - 1)?;
                Ok(Done::Taken)
            }
            HoldOutcome::Insufficient {
                needed,
                available: found,
            } if !held => {
                let expected = (draft.hold, available);
                same("what is missing", &(needed, found), &expected)?;
                Ok(Done::Refused)
            }
            other => Err(format!("held by the rules: {held}, but {other:?}")),
        }
    }

    /// The same request once more, sometimes with another body.
    fn again(&mut self, place: usize) -> Result<Done, String> {
        self.seen.repeated += 1;
        let newest = self.model.newest(place).shown.clone();
        let mut draft = self.fresh(newest.draft.request_id.as_str());
        if self.dice.one_in(6) {
            draft.fingerprint = [8; 32];
        }
        let failed_in_passing = newest
            .failure
            .as_ref()
            .is_some_and(|failure| failure.reason.is_transient());
        let same_body = draft.fingerprint == newest.draft.fingerprint;
        let again = newest.stage == Stage::Voided && failed_in_passing && newest.attempt < 5;
        if same_body && again {
            return self.opened(draft, newest.attempt + 1);
        }
        let opening = opening(&draft);
        let made = |connection: &Connection| hold::open(connection, &opening);
        let outcome = self.cellar.change(made).map_err(text)?;
        let right = match &outcome {
            HoldOutcome::Conflict(id) => !same_body && *id == newest.draft.id,
            HoldOutcome::Running(id) => {
                let open = !newest.stage.is_final() && newest.stage != Stage::Stored;
                same_body && open && *id == newest.draft.id
            }
            HoldOutcome::Exhausted(last) => same_body && failed_in_passing && **last == newest,
            HoldOutcome::Done(done) => {
                let ended = newest.stage.is_final() || newest.stage == Stage::Stored;
                same_body && ended && **done == newest
            }
            _ => false,
        };
        if right {
            return Ok(Done::Refused);
        }
        Err(format!("asked again: {outcome:?} for {newest:?}"))
    }

    fn dispatch(&mut self, place: usize) -> Result<Done, String> {
        self.advance(place, Stage::Dispatched)
    }

    pub(super) fn review(&mut self, place: usize) -> Result<Done, String> {
        let done = self.advance(place, Stage::Review)?;
        self.seen.reviewed += u64::from(done == Done::Taken);
        Ok(done)
    }

    fn advance(&mut self, place: usize, to: Stage) -> Result<Done, String> {
        let (id, now) = (self.id(place), self.now);
        let made = |connection: &Connection| steps::advance(connection, id, to, now);
        let outcome = self.cellar.change(made);
        let done = self.agreed(self.stage(place).may_become(to), &outcome)?;
        if done == Done::Taken {
            self.model.lives[place].go(to, now);
        }
        Ok(done)
    }
}

pub(super) fn text(error: LedgerError) -> String {
    format!("{error:?}")
}
