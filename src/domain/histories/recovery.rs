//! What becomes of what nobody works on, and of what is told late.

use jiff::SignedDuration;

use super::life::Life;
use super::world::{World, later};
use crate::domain::books::Stage;
use crate::domain::delivery::correction;
use crate::domain::generation::CostSource;
use crate::domain::money::{Credits, UsdCost};
use crate::domain::recovery::{Question, Step, release};

impl World {
    /// The recovery takes the step that is due.
    pub(super) fn recover(&mut self) -> bool {
        let Some(place) = self.pick(|life| !life.runs) else {
            return false;
        };
        self.recover_one(place)
    }

    fn recover_one(&mut self, place: usize) -> bool {
        match self.lives[place].facts().next(self.now) {
            Step::Wait(_) => false,
            Step::Void(_) => self.void(place),
            Step::Doubt => self.doubt(place),
            Step::Review => self.go(place, Stage::Review),
            Step::Store => self.store(place),
            Step::Settle => self.settle(place),
        }
    }

    /// OpenRouter tells what a call cost.
    pub(super) fn answer(&mut self) -> bool {
        let open = |life: &Life| life.calls.iter().any(|c| c.question == Question::Open);
        let Some(place) = self.pick(open) else {
            return false;
        };
        let pico = self.amount(60_000_000_000);
        let contradicts = self.below(20) == 0;
        let life = &mut self.lives[place];
        let Some(call) = life.calls.iter_mut().find(|c| c.question == Question::Open) else {
            return false;
        };
        if contradicts {
            call.question = Question::Contradicted;
        } else {
            let cost = UsdCost::from_pico(pico).unwrap_or(UsdCost::ZERO);
            call.record.cost = Some((cost, CostSource::Lookup));
            call.question = Question::Answered;
        }
        self.follow(place)
    }

    /// What follows from an answer for a generation that has ended.
    fn follow(&mut self, place: usize) -> bool {
        let life = &self.lives[place];
        let open = life.calls.iter().any(|c| c.question == Question::Open);
        let Some(charge) = life
            .charge
            .clone()
            .filter(|_| !open && life.stage == Stage::Settled)
        else {
            return true;
        };
        if charge.refunded > Credits::ZERO {
            return true;
        }
        let now = self.verdict(place);
        let told = correction(&charge, &now);
        if told.refund > Credits::ZERO {
            if let Some(charge) = &mut self.lives[place].charge {
                charge.refunded = told.refund;
            }
            self.seen.refunded += 1;
            let postings = self.account.refund(told.refund).unwrap_or_default();
            return self.book(&postings, Some(place));
        }
        true
    }

    /// Every process is gone and all time is over: the recovery ends everything.
    pub(super) fn end(&mut self) -> Result<(), String> {
        for place in 0..self.lives.len() {
            self.lives[place].runs = false;
            let life = &self.lives[place];
            self.now = self.now.max(release(life.created, life.deadline));
        }
        self.now = later(self.now, SignedDuration::from_mins(2));
        for place in 0..self.lives.len() {
            let mut steps = 0;
            while !self.lives[place].stage.is_final() {
                if !self.recover_one(place) {
                    // What was stored just now waits once more for its cost.
                    self.now = later(self.now, SignedDuration::from_mins(2));
                }
                steps += 1;
                if steps > 4 {
                    return Err(format!("I11: {} never ends", self.lives[place].stage));
                }
            }
        }
        match self.account.held {
            Credits::ZERO => Ok(()),
            held => Err(format!("I11: {held} are held when all has ended")),
        }
    }
}
