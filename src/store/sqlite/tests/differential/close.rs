//! Steps that end a generation without pictures, and what comes after the end.

use super::super::super::{calls, cases, checks, steps};
use super::draw::ABSURD_PICO;
use super::history::{Done, History, same};
use super::play::text;
use super::*;

impl History<'_> {
    fn ending(&mut self, place: usize) -> Voiding {
        let facts = self.model.lives[place].facts();
        let mut calls: Vec<CallRecord> = facts.into_iter().map(|call| call.record).collect();
        if self.dice.one_in(2) {
            calls.clear();
        }
        if calls.is_empty() && self.dice.one_in(2) {
            calls.push(self.record(place, 0, Vec::new()));
        }
        let reason = if self.dice.one_in(3) {
            Reason::ContentRejected
        } else {
            Reason::UpstreamTimeout
        };
        Voiding {
            calls,
            now: self.now,
            ..voiding(reason)
        }
    }

    pub(super) fn void(&mut self, place: usize) -> Result<Done, String> {
        let ending = self.ending(place);
        let id = self.id(place);
        let made = |connection: &Connection| steps::void(connection, id, &ending);
        let outcome = self.cellar.change(made);
        let done = self.agreed(self.stage(place).may_become(Stage::Voided), &outcome)?;
        if done == Done::Taken {
            self.voided(place, &ending);
            let shown = &self.model.lives[place].shown;
            same("voided", &outcome.map_err(text)?, shown)?;
        }
        Ok(done)
    }

    fn voided(&mut self, place: usize, ending: &Voiding) {
        let life = &mut self.model.lives[place];
        life.conclude(&ending.calls, self.names, ending.now);
        self.model.void(place, ending);
    }

    pub(super) fn doubt(&mut self, place: usize) -> Result<Done, String> {
        let ending = self.ending(place);
        let id = self.id(place);
        let made = |connection: &Connection| steps::doubt(connection, id, &ending);
        let outcome = self.cellar.change(made);
        let done = self.agreed(self.stage(place).may_become(Stage::InDoubt), &outcome)?;
        if done == Done::Taken {
            let life = &mut self.model.lives[place];
            life.conclude(&ending.calls, self.names, ending.now);
            life.fail(Stage::InDoubt, &ending);
            same("in doubt", &outcome.map_err(text)?, &life.shown)?;
        }
        Ok(done)
    }

    pub(super) fn cancel(&mut self, place: usize) -> Result<Done, String> {
        let ending = self.ending(place);
        let id = self.id(place);
        let made = |connection: &Connection| steps::cancel(connection, id, &ending);
        let outcome = self.cellar.change(made);
        let held = self.stage(place) == Stage::Held;
        if held {
            self.voided(place, &ending);
        }
        let shown = &self.model.lives[place].shown;
        same("as it stands", &outcome.map_err(text)?, shown)?;
        Ok(if held { Done::Taken } else { Done::Refused })
    }

    /// OpenRouter answers a question: one that is open, or one that was asked before.
    pub(super) fn answer(&mut self) -> Result<Done, String> {
        let open = self.open_questions();
        let which = usize::try_from(self.dice.below(16)).expect("few");
        let Some(which) = which.checked_rem(open.len()) else {
            return Ok(Done::Nothing);
        };
        let mut asking = open[which].clone();
        if self.dice.one_in(10) {
            asking.asked = asking.asked.wrapping_add(1);
        }
        let answer = match self.dice.below(8) {
            0 => Answer::Contradiction,
            1 | 2 => Answer::Nothing,
            3 => Answer::Told(UsdCost::ZERO),
            4 => Answer::Told(UsdCost::from_pico(ABSURD_PICO).expect("a cost")),
            _ => {
                let pico = self.dice.amount(8_000_000_000);
                Answer::Told(UsdCost::from_pico(pico).expect("a cost"))
            }
        };
        let now = self.now;
        for _ in 0..1 + self.dice.below(2) {
            // The second time it is an answer to a question that is closed.
            let made = |connection: &Connection| calls::answer(connection, &asking, answer, now);
            self.cellar.change(made).map_err(text)?;
            let place = self.place_of(asking.generation).ok_or("a stranger")?;
            if self.model.lives[place].answer(&asking, answer, now) {
                self.model.follow(place);
            }
            self.same_life(place)?;
        }
        Ok(Done::Taken)
    }

    /// The pictures of a generation are no longer kept.
    /// The records say something of some calls that told their cost.
    pub(super) fn check(&mut self, place: usize) -> Result<Done, String> {
        if self.stage(place) != Stage::Settled {
            return Ok(Done::Nothing);
        }
        let (id, now) = (self.id(place), self.now);
        let mut found = Vec::new();
        for call in self.model.lives[place].told() {
            let cost = match self.dice.below(8) {
                0..=2 => continue,
                3 => ABSURD_PICO,
                _ => self.dice.amount(200_000_000_000),
            };
            found.push(Disagreement {
                generation: id,
                call,
                cost: UsdCost::from_pico(cost).expect("a cost"),
            });
        }
        let made = |connection: &Connection| checks::checked(connection, id, &found, now);
        self.cellar.change(made).map_err(text)?;
        if found.is_empty() {
            return Ok(Done::Nothing);
        }
        self.model.check(place, &found);
        self.seen.checked += 1;
        Ok(Done::Taken)
    }

    pub(super) fn expire(&mut self, place: usize) -> Result<Done, String> {
        if self.stage(place) != Stage::Settled {
            return Ok(Done::Nothing);
        }
        let (id, now) = (self.id(place), self.now);
        let made = |connection: &Connection| cases::expire(connection, id, now);
        self.cellar.change(made).map_err(text)?;
        self.model.lives[place].expired = true;
        Ok(Done::Taken)
    }
}
