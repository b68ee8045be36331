//! One organization, to which everything happens that can.

use jiff::{SignedDuration, Timestamp};

use super::life::{Life, picture};
use super::{Seen, must};
use crate::domain::books::{Account, EntryKind, Posting, Stage};
use crate::domain::delivery::{Verdict, verdict};
use crate::domain::generation::{CallRecord, CostSource, Draft};
use crate::domain::money::{Credits, UsdCost};
use crate::domain::recovery::{CallFacts, Question};

/// One organization.
pub(super) struct World {
    pub(super) dice: u64,
    pub(super) now: Timestamp,
    pub(super) account: Account,
    /// The effect of all rows of the ledger on the balance, and on what is owned and owed.
    pub(super) balance: i64,
    pub(super) posted: i64,
    pub(super) debt: i64,
    pub(super) lives: Vec<Life>,
    /// What all drafts have in common; a verdict fills in the rest.
    pub(super) draft: Draft,
    pub(super) seen: Seen,
}

// === impl World ===

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: Timestamp::UNIX_EPOCH,
            account: Account::default(),
            balance: 0,
            posted: 0,
            debt: 0,
            lives: Vec::new(),
            draft: Draft::sample(),
            seen: Seen::default(),
        }
    }

    /// A number below `end` (xorshift64*).
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        (self.dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    pub(super) fn amount(&mut self, end: u64) -> i64 {
        i64::try_from(self.below(end)).unwrap_or(0)
    }

    /// Something happens; false if the rules do not allow it.
    pub(super) fn step(&mut self) -> bool {
        let minutes = self.amount(4);
        self.now = later(self.now, SignedDuration::from_secs(minutes * 20));
        match self.below(12) {
            0 => self.buy(),
            1 | 2 => self.hold(),
            3..=8 => self.advance(),
            9 if self.below(4) == 0 => self.crash(),
            9 | 10 => self.answer(),
            _ => self.recover(),
        }
    }

    fn buy(&mut self) -> bool {
        let amount = Credits::from_hundredths(self.amount(1_500) - 10);
        match self.account.purchase(amount) {
            Ok(postings) => self.book(&postings, None),
            Err(_) => false,
        }
    }

    fn hold(&mut self) -> bool {
        let hold = Credits::from_hundredths(self.amount(900) - 5);
        let Ok(after) = self.account.hold(hold) else {
            return false;
        };
        self.account = after;
        let created = self.now;
        let requested = 1 + u32::try_from(self.below(3)).unwrap_or(0);
        let patience = SignedDuration::from_mins(self.amount(20));
        self.lives.push(Life {
            requested,
            hold,
            created,
            deadline: later(created, patience),
            stage: Stage::Held,
            since: created,
            images: Vec::new(),
            calls: Vec::new(),
            charge: None,
            paid: 0,
            resolved: 0,
            runs: true,
        });
        true
    }

    /// The process that works on a generation takes its next step.
    fn advance(&mut self) -> bool {
        let Some(place) = self.pick(|life| life.runs) else {
            return false;
        };
        match (self.lives[place].stage, self.below(8)) {
            (Stage::Held, 0) => self.void(place),
            (Stage::Held, _) => self.go(place, Stage::Dispatched),
            (Stage::Dispatched, 0) => self.doubt(place),
            (Stage::Dispatched, 1) => self.void(place),
            (Stage::Dispatched, _) => {
                self.begin_call(place);
                self.go(place, Stage::Streaming)
            }
            (Stage::Streaming, 0) => self.void(place),
            (Stage::Streaming, 1) => self.doubt(place),
            (Stage::Streaming, 2) => self.draw(place) && self.store(place),
            (Stage::Streaming, _) => self.draw(place) && self.settle(place),
            // Nothing may follow here, whoever tries.
            (Stage::Settled | Stage::Voided, _) => self.go(place, Stage::Held),
            (Stage::Stored | Stage::InDoubt | Stage::Review, _) => self.go(place, Stage::Streaming),
        }
    }

    /// The process of a generation dies, at whatever point.
    fn crash(&mut self) -> bool {
        let Some(place) = self.pick(|life| life.runs) else {
            return false;
        };
        // A picture may have become durable before the books knew.
        if self.lives[place].stage == Stage::Streaming && self.below(2) == 0 {
            self.draw(place);
        }
        self.lives[place].runs = false;
        true
    }

    fn begin_call(&mut self, place: usize) {
        let named = self.below(4) > 0;
        let call = u32::try_from(self.lives[place].calls.len()).unwrap_or(0);
        let record = CallRecord {
            call,
            upstream_id: named.then(|| "gen".to_owned()),
            ..CallRecord::default()
        };
        let question = Question::None;
        self.lives[place].calls.push(CallFacts { record, question });
    }

    /// A picture becomes durable, and its call may tell what it cost.
    fn draw(&mut self, place: usize) -> bool {
        let pico = self.amount(60_000_000_000);
        let tells = self.below(2) == 0;
        let life = &mut self.lives[place];
        let index = u32::try_from(life.images.len()).unwrap_or(0);
        if let Some(call) = life.calls.first_mut() {
            call.record.images.push(index);
            if tells {
                let cost = UsdCost::from_pico(pico).unwrap_or(UsdCost::ZERO);
                call.record.cost = Some((cost, CostSource::Usage));
            }
        }
        life.images.push(picture(index));
        true
    }

    pub(super) fn go(&mut self, place: usize, to: Stage) -> bool {
        let now = self.now;
        let life = &mut self.lives[place];
        if !life.stage.may_become(to) {
            return false;
        }
        life.stage = to;
        life.since = now;
        true
    }

    pub(super) fn store(&mut self, place: usize) -> bool {
        if !self.go(place, Stage::Stored) {
            return false;
        }
        let life = &mut self.lives[place];
        life.ask();
        life.runs = false;
        true
    }

    pub(super) fn settle(&mut self, place: usize) -> bool {
        if self.lives[place].stage != Stage::Stored && !self.go(place, Stage::Stored) {
            return false;
        }
        let charge = self.verdict(place).charge;
        let hold = self.lives[place].hold;
        let Ok(postings) = self.account.settle(hold, charge.credits) else {
            return false;
        };
        let Ok(released) = self.account.void(hold) else {
            return false;
        };
        self.account = released;
        self.go(place, Stage::Settled);
        self.seen.settled += 1;
        let life = &mut self.lives[place];
        life.charge = Some(charge);
        life.resolved += 1;
        life.runs = false;
        life.ask();
        let debt = |posting: &Posting| posting.kind == EntryKind::ChargeDebt;
        self.seen.indebted += u64::from(postings.iter().any(debt));
        self.book(&postings, Some(place))
    }

    pub(super) fn void(&mut self, place: usize) -> bool {
        let hold = self.lives[place].hold;
        let Ok(after) = self.account.void(hold) else {
            return false;
        };
        if !self.go(place, Stage::Voided) {
            return false;
        }
        self.account = after;
        self.seen.voided += 1;
        let life = &mut self.lives[place];
        life.resolved += 1;
        life.runs = false;
        life.ask();
        true
    }

    pub(super) fn verdict(&mut self, place: usize) -> Verdict {
        let life = &self.lives[place];
        self.draft.requested = life.requested;
        self.draft.hold = life.hold;
        // The usual cost, where nobody tells another.
        self.draft.bounds.expected = life.hold;
        verdict(&self.draft, &life.images, &life.records())
    }

    pub(super) fn doubt(&mut self, place: usize) -> bool {
        let life = &mut self.lives[place];
        if !life.images.is_empty() || !self.go(place, Stage::InDoubt) {
            return false;
        }
        let life = &mut self.lives[place];
        life.ask();
        life.runs = false;
        true
    }

    pub(super) fn book(&mut self, postings: &[Posting], of: Option<usize>) -> bool {
        for posting in postings {
            let (amount, effect) = (posting.amount.hundredths(), posting.effect_on_balance());
            self.balance += effect.hundredths();
            match posting.kind {
                EntryKind::Purchase | EntryKind::Refund => self.posted += amount,
                EntryKind::Charge => self.posted -= amount,
                EntryKind::ChargeDebt => self.debt += amount,
                EntryKind::DebtRepaid => {
                    self.posted -= amount;
                    self.debt -= amount;
                }
            }
            if let Some(life) = of.and_then(|place| self.lives.get_mut(place)) {
                life.paid -= effect.hundredths();
            }
            self.account = posting.after;
        }
        true
    }

    pub(super) fn pick(&mut self, fits: impl Fn(&Life) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..)
            .zip(&self.lives)
            .filter(|(_, life)| fits(life))
            .map(|(place, _)| place)
            .collect();
        let count = u64::try_from(fitting.len())
            .ok()
            .filter(|count| *count > 0)?;
        let which = usize::try_from(self.below(count)).ok()?;
        fitting.get(which).copied()
    }

    /// All that must always be true.
    pub(super) fn check(&self) -> Result<(), String> {
        let account = self.account;
        let open = |life: &&Life| !life.stage.is_final();
        let held: i64 = self.lives.iter().filter(open).map(Life::held).sum();
        must(
            account.posted.hundredths() == self.posted,
            "I2: owned is not the sum of the rows",
        )?;
        must(
            account.debt.hundredths() == self.debt,
            "I2: owed is not the sum of the rows",
        )?;
        must(
            account.balance().hundredths() == self.balance,
            "I2: the balance is not the sum",
        )?;
        must(
            account.held.hundredths() == held,
            "I3: held is not the sum of the open holds",
        )?;
        let backed = held <= self.posted && held >= 0 && self.debt >= 0;
        must(backed, "I4: a hold is not backed, or an amount is negative")?;
        self.lives.iter().try_for_each(Life::check)
    }
}

pub(super) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
