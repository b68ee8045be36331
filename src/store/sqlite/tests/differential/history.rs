//! One history: what is compared, and when.

use super::super::super::conditions::Conditions;
use super::super::super::settings::make_organization;
use super::super::super::{calls, cases, rows};
use super::model::{Model, Names};
use super::*;
use crate::domain::recovery::{Step, release};
use crate::ports::OwnKey;

/// When every history begins.
const BEGIN: i64 = 1_795_000_000;

/// One organization in a database, beside what the rules say of it.
pub(super) struct History<'a> {
    pub(super) cellar: &'a Cellar,
    pub(super) names: &'a mut Names,
    pub(super) model: Model,
    pub(super) number: u64,
    pub(super) now: Timestamp,
    pub(super) dice: Dice,
    pub(super) seen: Seen,
    /// What was done, for a reader of a failure.
    pub(super) steps: Vec<String>,
}

/// What a step has done: nothing at all, been refused by both, or been taken by both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Nothing,
    Refused,
    Taken,
}

pub(super) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    expected: &T,
) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}\nfound {found:?}\nrules {expected:?}"))
}

impl<'a> History<'a> {
    pub(super) fn begin(cellar: &'a Cellar, names: &'a mut Names, number: u64) -> Self {
        let history = Self {
            cellar,
            names,
            model: Model::default(),
            number,
            now: Timestamp::from_second(BEGIN).expect("a time"),
            dice: Dice(number),
            seen: Seen::default(),
            steps: Vec::new(),
        };
        let acme = Organization {
            id: history.organization(),
            name: "Acme".to_owned(),
            created: history.now,
        };
        let made =
            cellar.change(|connection| Ok(make_organization(connection, &acme, &operator())?));
        made.expect("an organization");
        history
    }

    pub(super) fn organization(&self) -> OrganizationId {
        organization(&format!("acme-{}", self.number))
    }

    /// Takes one step for each roll.
    pub(super) fn play(&mut self, rolls: &[u64]) -> Result<(), String> {
        for roll in rolls {
            self.dice = Dice(*roll);
            self.now += SignedDuration::from_secs(self.dice.amount(20));
            let done = self.step()?;
            self.seen.taken += u64::from(done == Done::Taken);
            self.seen.refused += u64::from(done == Done::Refused);
            self.same_account()?;
        }
        Ok(())
    }

    pub(super) fn same_account(&self) -> Result<(), String> {
        let found = rows::account(&self.cellar.connection, &self.organization());
        same(
            "the account",
            &found.expect("a look"),
            &Some(self.model.account),
        )
    }

    /// One generation with all that is known of it.
    pub(super) fn same_life(&self, place: usize) -> Result<(), String> {
        let life = &self.model.lives[place];
        let case = cases::case(&self.cellar.connection, life.shown.draft.id);
        let case = case.expect("a look").ok_or("a generation is not there")?;
        same("a generation", &case.generation, &life.shown)?;
        same("its calls", &case.calls, &life.facts())?;
        same("its time", &case.since, &life.since)
    }

    /// The recovery ends what is open; then everything is compared.
    pub(super) fn end(&mut self) -> Result<(), String> {
        for place in 0..self.model.lives.len() {
            let draft = &self.model.lives[place].shown.draft;
            self.now = self.now.max(release(draft.created, draft.deadline));
        }
        self.now += SignedDuration::from_mins(2);
        for place in 0..self.model.lives.len() {
            let mut steps = 0;
            while !self.model.lives[place].shown.stage.is_final() {
                self.recover(place)?;
                self.now += SignedDuration::from_mins(2);
                steps += 1;
                if steps > 4 {
                    return Err("a generation never ends".to_owned());
                }
            }
        }
        self.same_account()?;
        same("what is held", &self.model.account.held, &Credits::ZERO)?;
        for place in 0..self.model.lives.len() {
            self.same_life(place)?;
            self.same_beside(place)?;
        }
        self.same_entries()?;
        self.same_questions()?;
        self.same_expired()
    }

    /// The step of the recovery that is due, by what the rules know.
    pub(super) fn recover(&mut self, place: usize) -> Result<Done, String> {
        match self.model.lives[place].known().next(self.now) {
            Step::Wait(_) => Ok(Done::Nothing),
            Step::Void(_) => self.void(place),
            Step::Doubt => self.doubt(place),
            Step::Review => self.review(place),
            Step::Store => self.store(place),
            Step::Settle => self.settle(place),
        }
    }

    /// What is kept beside a generation: losses and corrections.
    fn same_beside(&mut self, place: usize) -> Result<(), String> {
        let life = &self.model.lives[place];
        let id = life.shown.draft.id.uuid().into_bytes();
        let connection = &self.cellar.connection;
        let mut statement = connection
            .prepare_cached("SELECT call, cost_pd, why FROM absorption WHERE generation = ?1")
            .expect("a statement");
        let rows = statement.query_map([id], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))));
        let found = rows.expect("rows").collect::<Result<_, _>>();
        same("its losses", &found.expect("values"), &life.absorbed)?;
        let mut statement = connection
            .prepare_cached("SELECT cost_pd, refund_cc FROM correction WHERE generation = ?1")
            .expect("a statement");
        let found = statement
            .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("rows")
            .next()
            .transpose();
        same("its correction", &found.expect("values"), &life.corrected)?;
        let (refunded, lost) = (life.corrected.is_some(), life.absorbed.len());
        self.seen.refunded += u64::from(refunded);
        self.seen.absorbed += u64::try_from(lost).expect("few");
        self.seen.settled += u64::from(life.shown.stage == Stage::Settled);
        self.seen.voided += u64::from(life.shown.stage == Stage::Voided);
        self.seen.expired += u64::from(life.expired);
        Ok(())
    }

    fn same_entries(&self) -> Result<(), String> {
        let mut about = Conditions::default();
        about.add("organization =", self.organization().to_string());
        about.add("seq >", 0);
        let page = entries::page(&self.cellar.connection, &about, 10_000);
        let found = page.expect("a look").into_iter().rev();
        let found: Vec<_> = found
            .map(|entry| {
                let after = entry.balance_after.hundredths();
                let of = entry.generation;
                (entry.kind, entry.credits.hundredths(), after, of)
            })
            .collect();
        same("the ledger", &found, &self.model.entries)
    }

    /// Every open question, as it would be asked next.
    fn same_questions(&self) -> Result<(), String> {
        let mine = |id| self.place_of(id).is_some();
        let due = calls::due(&self.cellar.connection, Timestamp::MAX, 100_000);
        let mut found: Vec<Asking> = due.expect("a look");
        found.retain(|asking| mine(asking.generation));
        let mut expected = self.open_questions();
        let key = |asking: &Asking| (asking.generation, asking.call);
        found.sort_by_key(key);
        expected.sort_by_key(key);
        same("the open questions", &found, &expected)
    }

    pub(super) fn open_questions(&self) -> Vec<Asking> {
        let lives = self.model.lives.iter();
        let open = lives.flat_map(|life| {
            let asked = life.questions.iter();
            let open = asked.filter(|(_, asked)| asked.next.is_some());
            open.map(|(call, asked)| Asking {
                generation: life.shown.draft.id,
                call: *call,
                upstream_id: asked.upstream_id.clone(),
                asked: asked.asked,
                own_key: own_key(&life.shown.draft),
            })
        });
        open.collect()
    }

    fn same_expired(&self) -> Result<(), String> {
        let due = cases::expired(&self.cellar.connection, Timestamp::MAX, 100_000);
        let mut found: Vec<GenerationId> = due
            .expect("a look")
            .into_iter()
            .map(|one| one.id)
            .filter(|id| self.place_of(*id).is_some())
            .collect();
        let kept = |life: &&model::Life| life.shown.stage == Stage::Settled && !life.expired;
        let lives = self.model.lives.iter().filter(kept);
        let mut expected: Vec<_> = lives.map(|life| life.shown.draft.id).collect();
        found.sort();
        expected.sort();
        same("the pictures that are kept", &found, &expected)
    }

    pub(super) fn place_of(&self, id: GenerationId) -> Option<usize> {
        let mut lives = self.model.lives.iter();
        lives.position(|life| life.shown.draft.id == id)
    }
}

fn own_key(draft: &Draft) -> Option<OwnKey> {
    (draft.key_mode == KeyMode::Organization).then(|| OwnKey {
        organization: draft.organization.clone(),
        fingerprint: draft.upstream_key.clone(),
    })
}
