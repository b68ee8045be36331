//! Steps of a generation that is drawn: what calls bring, and how it is stored and charged.

use super::super::super::steps;
use super::history::{Done, History, same};
use super::play::text;
use super::*;
use crate::domain::delivery::{measured_adjustments, verdict};
use crate::domain::recovery::attribute;

/// Pico-dollars, well above every hold here, and beyond belief.
pub(super) const ABSURD_PICO: i64 = 60_000_000_000_000;

impl History<'_> {
    /// An id for a call: mostly one of its own, at times somebody else's, none, or an odd one.
    fn name(&mut self, place: usize, call: u32) -> Option<String> {
        match self.dice.below(16) {
            0 => None,
            1 => Some(String::new()),
            2 => Some("\0odd".to_owned()),
            3 => {
                let other = self.dice.below(self.model.lives.len() as u64);
                let other = usize::try_from(other).ok()?;
                self.model.lives[other].begun.values().next().cloned()
            }
            _ => Some(format!("gen-{}-{call}", self.id(place))),
        }
    }

    pub(super) fn stream(&mut self, place: usize) -> Result<Done, String> {
        let call = u32::try_from(self.dice.below(3)).expect("few");
        let name = self.name(place, call);
        let (id, now) = (self.id(place), self.now);
        let told = (call, name.as_deref());
        let made = |connection: &Connection| steps::stream(connection, id, told, now);
        let outcome = self.cellar.change(made);
        let stage = self.stage(place);
        let legal = stage == Stage::Streaming || stage.may_become(Stage::Streaming);
        let done = self.agreed(legal, &outcome)?;
        if done == Done::Taken {
            let life = &mut self.model.lives[place];
            if stage != Stage::Streaming {
                life.go(Stage::Streaming, now);
            }
            let named = life.begin(call, name.as_deref(), self.names);
            same("it has a name of its own", &outcome.map_err(text)?, &named)?;
        }
        Ok(done)
    }

    /// What a call may have brought: pictures of these places, and whatever it told.
    pub(super) fn record(&mut self, place: usize, call: u32, images: Vec<u32>) -> CallRecord {
        let begun = self.model.lives[place].begun.get(&call).cloned();
        let unbilled = images.is_empty() && self.dice.one_in(4);
        let pico = if self.dice.one_in(40) {
            ABSURD_PICO
        } else {
            self.dice.amount(8_000_000_000)
        };
        let cost = UsdCost::from_pico(pico).expect("a cost");
        let tells = !unbilled && self.dice.one_in(2);
        CallRecord {
            call,
            upstream_id: begun.or_else(|| self.name(place, call)),
            images,
            cost: tells.then_some((cost, CostSource::Usage)),
            prompt_tokens: self.dice.one_in(2).then_some(7),
            completion_tokens: self.dice.one_in(2).then_some(8),
            text: "said".to_owned(),
            unbilled,
        }
    }

    pub(super) fn note(&mut self, place: usize) -> Result<Done, String> {
        let call = u32::try_from(self.dice.below(3)).expect("few");
        let images = if self.dice.one_in(2) {
            vec![call]
        } else {
            Vec::new()
        };
        let record = self.record(place, call, images);
        let id = self.id(place);
        let made = |connection: &Connection| steps::note(connection, id, &record);
        let outcome = self.cellar.change(made);
        let done = self.agreed(self.stage(place).may_become(Stage::Stored), &outcome)?;
        if done == Done::Taken {
            self.model.lives[place].note(&record, self.names);
        }
        Ok(done)
    }

    /// What was delivered: by what is noted, where anything is; each picture is somebody's.
    fn delivery(&mut self, place: usize) -> Delivery {
        let life = &self.model.lives[place];
        let (id, draft) = (self.id(place), life.shown.draft.clone());
        let facts = life.facts();
        let mut records: Vec<CallRecord> = facts.into_iter().map(|call| call.record).collect();
        let mut images = life.shown.images.clone();
        if images.is_empty() {
            let count = 1 + u32::try_from(self.dice.below(3)).expect("few");
            images = (0..count).map(|index| image(id, index)).collect();
        }
        if records.is_empty() {
            let places = images.iter().map(|image| image.index).collect();
            records = vec![
                self.record(place, 0, places),
                self.record(place, 1, Vec::new()),
            ];
        }
        let places: Vec<u32> = images.iter().map(|image| image.index).collect();
        Delivery {
            adjustments: measured_adjustments(&draft, &images),
            calls: attribute(&places, records),
            text: "Here it is".to_owned(),
            images,
            now: self.now,
        }
    }

    pub(super) fn store(&mut self, place: usize) -> Result<Done, String> {
        let delivery = self.delivery(place);
        let id = self.id(place);
        let made = |connection: &Connection| steps::store(connection, id, &delivery);
        let outcome = self.cellar.change(made);
        let done = self.agreed(self.stage(place).may_become(Stage::Stored), &outcome)?;
        if done == Done::Taken {
            let life = &mut self.model.lives[place];
            life.store(&delivery);
            life.conclude(&delivery.calls, self.names, delivery.now);
            same("stored", &outcome.map_err(text)?, &life.shown)?;
        }
        Ok(done)
    }

    pub(super) fn settle(&mut self, place: usize) -> Result<Done, String> {
        let delivery = self.delivery(place);
        let life = &self.model.lives[place];
        let (id, stage) = (self.id(place), life.shown.stage);
        let verdict = verdict(&life.shown.draft, &delivery.images, &delivery.calls);
        let settlement = Settlement {
            delivery,
            charge: verdict.charge,
            disputed: verdict.disputed,
        };
        let made = |connection: &Connection| steps::settle(connection, id, &settlement);
        let outcome = self.cellar.change(made);
        let legal = stage == Stage::Stored || stage.may_become(Stage::Stored);
        let done = self.agreed(legal, &outcome)?;
        if done == Done::Taken {
            let delivery = &settlement.delivery;
            let life = &mut self.model.lives[place];
            if stage != Stage::Stored {
                life.store(delivery);
            }
            life.conclude(&delivery.calls, self.names, delivery.now);
            self.model.settle(place, &settlement);
            let shown = &self.model.lives[place].shown;
            same("settled", &outcome.map_err(text)?, shown)?;
        }
        Ok(done)
    }
}
