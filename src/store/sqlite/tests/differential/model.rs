//! What the rules alone say about one organization: no SQL, only maps and the domain.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::books::{Account, EntryKind, Posting};
use crate::domain::delivery::{absorbed, correction, verdict};
use crate::domain::recovery::{CallFacts, Facts, wait_before_asking};

/// A question as the rules see it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) upstream_id: String,
    pub(super) asked: u32,
    /// When it is asked next; none once it is closed.
    pub(super) next: Option<Timestamp>,
    pub(super) answer: Option<Question>,
    cost: Option<UsdCost>,
}

/// A generation, and all that is kept beside it.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) shown: Generation,
    pub(super) since: Timestamp,
    pub(super) begun: BTreeMap<u32, String>,
    receipts: BTreeMap<u32, CallRecord>,
    /// What the records said of calls, where the answers had said something else.
    recorded: BTreeMap<u32, UsdCost>,
    pub(super) questions: BTreeMap<u32, Asked>,
    pub(super) absorbed: BTreeMap<u32, (i64, String)>,
    pub(super) corrected: Option<(i64, i64)>,
    disputed: bool,
    pub(super) expired: bool,
}

/// A row of the ledger: what, how much, the account after it, and whose it is.
pub(super) type Entry = (EntryKind, i64, i64, Option<GenerationId>);

/// One organization.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) account: Account,
    pub(super) entries: Vec<Entry>,
    pub(super) lives: Vec<Life>,
}

/// Which call an upstream id belongs to.
pub(super) type Names = BTreeMap<String, (GenerationId, u32)>;

impl Model {
    pub(super) fn book(&mut self, postings: &[Posting], of: Option<GenerationId>) {
        for posting in postings {
            self.account = posting.after;
            let of = of.filter(|_| posting.kind != EntryKind::DebtRepaid);
            let effect = posting.effect_on_balance().hundredths();
            let after = posting.after.balance().hundredths();
            self.entries.push((posting.kind, effect, after, of));
        }
    }

    /// A hold that the account covers.
    pub(super) fn open(&mut self, draft: &Draft, attempt: u32) -> bool {
        let Ok(after) = self.account.hold(draft.hold) else {
            return false;
        };
        self.account = after;
        self.lives.push(Life {
            since: draft.created,
            shown: Generation {
                attempt,
                ..round_trip::running(draft.clone())
            },
            begun: BTreeMap::new(),
            receipts: BTreeMap::new(),
            recorded: BTreeMap::new(),
            questions: BTreeMap::new(),
            absorbed: BTreeMap::new(),
            corrected: None,
            disputed: false,
            expired: false,
        });
        true
    }

    /// The newest attempt under the request id of a generation.
    pub(super) fn newest(&self, place: usize) -> &Life {
        let request = &self.lives[place].shown.draft.request_id;
        let same = |life: &&Life| life.shown.draft.request_id == *request;
        self.lives.iter().rfind(same).expect("itself")
    }

    pub(super) fn settle(&mut self, place: usize, settlement: &Settlement) {
        let life = &mut self.lives[place];
        let (hold, id) = (life.shown.draft.hold, life.shown.draft.id);
        let postings = self.account.settle(hold, settlement.charge.credits);
        self.account = self.account.void(hold).expect("was held");
        self.book(&postings.expect("fits"), Some(id));
        let life = &mut self.lives[place];
        life.go(Stage::Settled, settlement.delivery.now);
        life.shown.charge = Some(settlement.charge.clone());
        life.shown.balance_after = Some(self.account.balance());
        life.shown.finished = Some(settlement.delivery.now);
        life.disputed = settlement.disputed.is_some();
        self.follow(place);
    }

    pub(super) fn void(&mut self, place: usize, ending: &Voiding) {
        let hold = self.lives[place].shown.draft.hold;
        self.account = self.account.void(hold).expect("was held");
        let life = &mut self.lives[place];
        life.fail(Stage::Voided, ending);
        life.shown.finished = Some(ending.now);
    }

    /// What the records say of some calls of a generation that is charged.
    pub(super) fn check(&mut self, place: usize, found: &[Disagreement]) {
        let life = &mut self.lives[place];
        if life.corrected.is_some() || life.is_closed() {
            return;
        }
        for one in found {
            life.recorded.entry(one.call).or_insert(one.cost);
        }
        self.follow(place);
    }

    /// What an answer means for a generation that has ended.
    pub(super) fn follow(&mut self, place: usize) {
        let life = &mut self.lives[place];
        if !life.shown.stage.is_final() {
            return;
        }
        let facts = life.facts();
        for call in &facts {
            life.absorb(&call.record);
        }
        let open = |call: &CallFacts| call.question == Question::Open;
        let asked = facts
            .iter()
            .find(|call| call.question != Question::None && !call.record.images.is_empty());
        let (Some(charge), Some(asked), None, false) =
            (&life.shown.charge, asked, life.corrected, life.is_closed())
        else {
            return;
        };
        if facts.iter().any(open) {
            return;
        }
        let records: Vec<CallRecord> = facts.iter().map(|call| call.record.clone()).collect();
        let now = verdict(&life.shown.draft, &life.shown.images, &records);
        let told = correction(charge, &now);
        if told.absorbed > UsdCost::ZERO {
            let above = (told.absorbed.pico(), "above_charge".to_owned());
            life.absorbed.entry(asked.record.call).or_insert(above);
        }
        if told.cost == charge.cost {
            return;
        }
        life.corrected = Some((told.cost.pico(), told.refund.hundredths()));
        let id = life.shown.draft.id;
        if let Some(charge) = &mut life.shown.charge {
            charge.refunded = told.refund;
            charge.corrected = Some(told.cost);
        }
        if told.refund > Credits::ZERO {
            let postings = self.account.refund(told.refund).expect("fits");
            self.book(&postings, Some(id));
        }
    }
}

impl Life {
    pub(super) fn go(&mut self, to: Stage, now: Timestamp) {
        self.shown.stage = to;
        self.since = now;
    }

    pub(super) fn fail(&mut self, to: Stage, ending: &Voiding) {
        self.go(to, ending.now);
        self.shown.failure = Some(ending.failure.clone());
        self.shown.text = String::new();
        self.shown.adjustments = self.shown.draft.adjustments.clone();
    }

    pub(super) fn store(&mut self, delivery: &Delivery) {
        self.go(Stage::Stored, delivery.now);
        self.shown.images.clone_from(&delivery.images);
        self.shown.text.clone_from(&delivery.text);
        self.shown.adjustments.clone_from(&delivery.adjustments);
        self.shown.failure = None;
    }

    /// The first note of a call stands.
    pub(super) fn note(&mut self, call: &CallRecord, names: &Names) {
        let mut kept = call.clone();
        kept.upstream_id = self.named(call.call, call.upstream_id.as_deref(), names);
        self.receipts.entry(call.call).or_insert(kept);
        self.name();
    }

    /// All calls of a generation that ends or is stored.
    pub(super) fn conclude(&mut self, calls: &[CallRecord], names: &Names, now: Timestamp) {
        for call in calls {
            self.note(call, names);
            self.absorb(call);
            let named = self.named(call.call, call.upstream_id.as_deref(), names);
            if let Some(upstream_id) = named.filter(|_| call.is_open_question()) {
                self.ask(call.call, upstream_id, now);
            }
        }
        for (call, upstream_id) in self.begun.clone() {
            let told = |receipt: &CallRecord| receipt.cost.is_some() || receipt.unbilled;
            if !self.receipts.get(&call).is_some_and(told) {
                self.ask(call, upstream_id, now);
            }
        }
    }

    fn ask(&mut self, call: u32, upstream_id: String, now: Timestamp) {
        let wait = wait_before_asking(0).expect("a first time");
        self.questions.entry(call).or_insert(Asked {
            upstream_id,
            asked: 0,
            next: Some(now + wait),
            answer: None,
            cost: None,
        });
    }

    fn absorb(&mut self, call: &CallRecord) {
        if let Some(cost) = absorbed(self.shown.draft.key_mode, call) {
            let lost = (cost.pico(), "no_image".to_owned());
            self.absorbed.entry(call.call).or_insert(lost);
        }
    }

    /// An answer to the question about one call, if it is the one that was asked.
    pub(super) fn answer(&mut self, asking: &Asking, answer: Answer, now: Timestamp) -> bool {
        let Some(asked) = self.questions.get_mut(&asking.call) else {
            return false;
        };
        if asked.next.is_none() || asked.asked != asking.asked {
            return false;
        }
        asked.asked += 1;
        asked.next = None;
        match answer {
            Answer::Told(cost) => {
                asked.answer = Some(Question::Answered);
                asked.cost = Some(cost);
            }
            Answer::Contradiction => asked.answer = Some(Question::Contradicted),
            Answer::Nothing => match wait_before_asking(asked.asked) {
                Some(wait) => asked.next = Some(now + wait),
                None => asked.answer = Some(Question::GivenUp),
            },
        }
        asked.answer.is_some()
    }

    /// The id, if it can be one and is not another call's.
    fn named(&self, call: u32, upstream_id: Option<&str>, names: &Names) -> Option<String> {
        upstream_id
            .filter(|id| !id.is_empty() && id.len() <= 128 && !id.contains('\0'))
            .filter(|id| {
                names
                    .get(*id)
                    .is_none_or(|of| *of == (self.shown.draft.id, call))
            })
            .map(str::to_owned)
    }

    /// A call whose answer has begun; false if it has no name of its own.
    pub(super) fn begin(&mut self, call: u32, id: Option<&str>, names: &mut Names) -> bool {
        let Some(upstream_id) = self.named(call, id, names) else {
            return false;
        };
        if !self.begun.contains_key(&call) {
            names.insert(upstream_id.clone(), (self.shown.draft.id, call));
            self.begun.insert(call, upstream_id);
        }
        self.name();
        true
    }

    fn name(&mut self) {
        let begun = self.begun.iter().map(|(call, id)| (*call, id.clone()));
        let told = self.receipts.values();
        let told = told.filter_map(|call| Some((call.call, call.upstream_id.clone()?)));
        let all: BTreeSet<(u32, String)> = begun.chain(told).collect();
        self.shown.upstream_ids = all.into_iter().map(|(_, id)| id).collect();
    }

    /// Not believed, or found too low already.
    fn is_closed(&self) -> bool {
        let above = |(_, why): &(i64, String)| why == "above_charge";
        self.disputed || self.absorbed.values().any(above)
    }

    /// Calls that brought pictures and have told what they cost.
    pub(super) fn told(&self) -> Vec<u32> {
        let told = |call: &&CallRecord| call.cost.is_some() && !call.images.is_empty();
        let told = self.receipts.values().filter(told);
        told.map(|call| call.call).collect()
    }

    /// All that is known of the calls.
    pub(super) fn facts(&self) -> Vec<CallFacts> {
        let calls: BTreeSet<u32> = self
            .begun
            .keys()
            .chain(self.receipts.keys())
            .chain(self.questions.keys())
            .copied()
            .collect();
        calls.into_iter().map(|call| self.fact(call)).collect()
    }

    fn fact(&self, call: u32) -> CallFacts {
        let asked = self.questions.get(&call);
        let mut record = self.receipts.get(&call).cloned().unwrap_or(CallRecord {
            call,
            ..CallRecord::default()
        });
        let told = asked.map(|asked| asked.upstream_id.clone());
        let begun = || self.begun.get(&call).cloned();
        record.upstream_id = record.upstream_id.or(told).or_else(begun);
        let told = asked.and_then(|asked| asked.cost);
        record.cost = record
            .cost
            .or_else(|| told.map(|cost| (cost, CostSource::Lookup)));
        let recorded = self.recorded.get(&call);
        if let Some(cost) = recorded {
            record.cost = Some((*cost, CostSource::Lookup));
        }
        let unasked = recorded.map_or(Question::None, |_| Question::Answered);
        CallFacts {
            record,
            question: asked.map_or(unasked, |asked| asked.answer.unwrap_or(Question::Open)),
        }
    }

    pub(super) fn known(&self) -> Facts {
        Facts {
            stage: self.shown.stage,
            since: self.since,
            created: self.shown.draft.created,
            deadline: self.shown.draft.deadline,
            has_pictures: !self.shown.images.is_empty(),
            calls: self.facts(),
        }
    }
}
