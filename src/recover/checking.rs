//! Asks a second time what a picture has cost whose answer told it (`reliability.md` row 58): the
//! customer pays the lower of the two, and the difference is an item for reconciliation. Where an
//! organization's own key paid, the credits are what they are (`domain.md` C14); the USD that are shown
//! to it become what the records say, be it less or more.
//!
//! It walks the settled generations in the order in which they began. How far it has come stands in
//! the books, so that the next process goes on there. Nobody who answers: it waits, however long,
//! and passes nobody. One that alone is not answered about, or has no record, is passed once the
//! records of others are found; while none is found, an outage is waited for.
//!
//! With an organization's own key nobody else may ask in its place, and nobody else waits for it: what
//! its calls cost is asked for three times within seconds, and not at all if the key is gone or known to
//! be refused. No credits depend on it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use jiff::SignedDuration;
use tokio::time::Instant;

use super::{Parts, unfinished};
use crate::crash::step;
use crate::domain::ids::GenerationId;
use crate::domain::money::UsdCost;
use crate::generate::NoBill;
use crate::metrics::CostCheck;
use crate::ports::{Bill, Disagreement, DrawCause, LedgerError, ToldCall};

/// Generations passed with one commit: few enough that the writer, should all of them bring a refund,
/// is busy for some ten milliseconds.
const PAGE: u32 = 64;

/// Calls asked about side by side: half of what is asked at once for the sake of holds. Where each is
/// answered in a tenth of a second that is some dozens a second, more than a gateway makes; where all
/// of a page must be asked three times, some twenty.
const ASKED_AT_ONCE: usize = 8;

/// The longest wait before it is looked again, after everything is asked or somebody is waited for.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Waits before it is asked once more about whatever of a page has no answer and would be passed.
/// Minutes after the answer a record should be there (`openrouter/README.md` §7: half a second is
/// usual), so this is only for a slip. Everybody behind waits so long, once for a page.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// So often the records of others are found while one generation is not answered about, until it is
/// passed.
const ROUNDS: u32 = 3;

/// Records that are not there, and no others either, are waited for so long: no outage lasts longer,
/// and a page of calls of which none has a record must not keep back what is behind it for ever.
const OUTAGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What is heard of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// The records say what it cost.
    Cost(UsdCost),
    /// There is no record of it, or none that names its cost.
    Missing,
    /// The organization's own key that it was made with is gone, or OpenRouter does not take it.
    NoKey,
    /// Whether that key is there cannot be read now.
    KeyUnread,
    /// Nobody answers.
    Silence,
}

/// A call that is asked about again, and what was heard of it last.
#[derive(Debug)]
struct Asked {
    call: ToldCall,
    heard: Heard,
    /// Whether the next look is at it, too.
    is_due: bool,
}

/// The walk of one process.
struct Walk<'a> {
    parts: &'a Parts,
    after: SignedDuration,
    /// Who is waited for, and for how many rounds; at most a page of them.
    rounds: BTreeMap<GenerationId, u32>,
    /// Since when there are no records of calls, and of no other either.
    without: Option<Instant>,
}

/// Walks for ever, if costs are to be asked for again at all.
pub(super) async fn walk(parts: &Parts) {
    let Some(after) = parts.check_after else {
        return;
    };
    let mut walk = Walk {
        parts,
        after: SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX),
        rounds: BTreeMap::new(),
        without: None,
    };
    let pause = after.min(PAUSE_MAX);
    loop {
        match step("check_page", walk.page()).await {
            Ok(true) => {}
            Ok(false) => step("check_pause", tokio::time::sleep(pause)).await,
            Err(error) => {
                unfinished("cost checks", &error.into());
                step("check_trouble", tokio::time::sleep(pause)).await;
            }
        }
    }
}

// === impl Walk ===

impl Walk<'_> {
    /// Asks about the next page, and passes it; false if there is a reason to wait before the next.
    async fn page(&mut self) -> Result<bool, LedgerError> {
        let now = crate::clock::now();
        let Ok(before) = now.checked_sub(self.after) else {
            return Ok(false);
        };
        let upkeep = &self.parts.upkeep;
        let page = step("check_list", upkeep.unchecked(before, now, PAGE)).await?;
        let Some(page) = page else {
            return Ok(false);
        };
        let asked = step("check_ask", ask(self.parts, page.calls)).await;
        self.note(&asked);
        let held_up = asked.iter().find(|one| self.waits_for(one));
        let held_up = held_up.map(|one| one.call.generation);
        let mut passed = asked;
        passed.retain(|one| held_up.is_none_or(|id| one.call.generation < id));
        let through = match held_up {
            Some(_) => passed.last().map(|one| one.call.generation),
            None => Some(page.through),
        };
        let Some(through) = through else {
            return Ok(false);
        };
        let disagreements = passed.iter().filter_map(Asked::disagreement).collect();
        let noted = upkeep.checked(through, disagreements, crate::clock::now());
        step("check_pass", noted).await?;
        for one in &passed {
            tell(self.parts, one);
        }
        Ok(held_up.is_none())
    }

    /// Counts the rounds in which somebody is waited for, and since when there are no records.
    fn note(&mut self, asked: &[Asked]) {
        let found = are_found(asked);
        let mut rounds = BTreeMap::new();
        for one in asked {
            let counts = match one.heard {
                Heard::Silence => found,
                Heard::KeyUnread => true,
                Heard::Cost(_) | Heard::Missing | Heard::NoKey => continue,
            };
            let id = one.call.generation;
            let before = self.rounds.get(&id).copied().unwrap_or_default();
            rounds.insert(id, before + u32::from(counts));
        }
        self.rounds = rounds;
        let is_missing = asked
            .iter()
            .any(|one| one.heard == Heard::Missing && one.call.own_key.is_none());
        if found {
            self.without = None;
        } else if is_missing {
            self.without.get_or_insert_with(Instant::now);
        }
    }

    /// Whether nothing behind this call is passed yet. What an own key has paid moves no credits: for
    /// its answers nobody else waits.
    fn waits_for(&self, one: &Asked) -> bool {
        let id = &one.call.generation;
        let waited = || self.rounds.get(id).is_some_and(|rounds| *rounds >= ROUNDS);
        let is_own = one.call.own_key.is_some();
        match one.heard {
            Heard::Cost(_) | Heard::NoKey => false,
            Heard::Missing => !is_own && self.without.is_some_and(is_outage),
            Heard::Silence => !is_own && !waited(),
            Heard::KeyUnread => !waited(),
        }
    }
}

/// Whether records that are not there, and no others either, may still come back.
fn is_outage(since: Instant) -> bool {
    since.elapsed() < OUTAGE_MAX
}

/// Whether there are records at all.
fn are_found(asked: &[Asked]) -> bool {
    asked.iter().any(|one| matches!(one.heard, Heard::Cost(_)))
}

/// Asks about all calls, and about those that would be passed without an answer some more times.
async fn ask(parts: &Parts, calls: Vec<ToldCall>) -> Vec<Asked> {
    let unheard = |call| Asked {
        call,
        heard: Heard::Silence,
        is_due: true,
    };
    let asked = calls.into_iter().map(unheard).collect();
    let mut asked = step("check_first", look(parts, asked)).await;
    for wait in WAITS {
        let found = are_found(&asked);
        for one in &mut asked {
            one.is_due = one.is_worth_another_look(found);
        }
        if !asked.iter().any(|one| one.is_due) {
            break;
        }
        step("check_wait", tokio::time::sleep(wait)).await;
        asked = step("check_again", look(parts, asked)).await;
    }
    asked
}

/// Asks about whatever is due, side by side; the order stays.
async fn look(parts: &Parts, asked: Vec<Asked>) -> Vec<Asked> {
    let looks = iter(asked).map(|one| look_at(parts, one));
    step("check_look", looks.buffered(ASKED_AT_ONCE).collect()).await
}

async fn look_at(parts: &Parts, mut one: Asked) -> Asked {
    if one.is_due {
        one.heard = step("check_call", hear(parts, &one.call)).await;
    }
    one
}

/// What the record of one call says.
async fn hear(parts: &Parts, call: &ToldCall) -> Heard {
    let own_key = call.own_key.as_ref();
    let bill = parts.payers.bill_of(&call.upstream_id, own_key);
    let error = match step("check_bill", bill).await {
        Ok(Bill::Cost(cost)) => return Heard::Cost(cost),
        Ok(Bill::NotFiled | Bill::NoCost | Bill::OfAnother) => return Heard::Missing,
        Err(NoBill::NoKey) => return Heard::NoKey,
        Err(error) => error,
    };
    tracing::warn!(generation = %call.generation, %error, "what a call cost cannot be checked now");
    match error {
        NoBill::Keys(_) => Heard::KeyUnread,
        NoBill::Upstream(error) if own_key.is_some() && is_of_the_key(error.cause) => Heard::NoKey,
        NoBill::NoKey | NoBill::Upstream(_) => Heard::Silence,
    }
}

/// Whether it is for an organization's own key that there is no answer, and not for OpenRouter: it
/// would be as long as the key is as it is.
const fn is_of_the_key(why: DrawCause) -> bool {
    matches!(why, DrawCause::KeyRefused | DrawCause::KeyOutOfCredit)
}

/// What an operator hears of it.
fn tell(parts: &Parts, asked: &Asked) {
    let outcome = asked.outcome();
    parts.metrics.cost_checked(outcome);
    let call = &asked.call;
    let (generation, upstream_id) = (call.generation, &call.upstream_id);
    match asked.heard {
        Heard::Cost(told) if told != call.cost => {
            tracing::warn!(
                %generation, upstream_id, answered_usd = %call.cost, recorded_usd = %told,
                "upstream's records say another cost than its answer did"
            );
        }
        Heard::Cost(_) => {}
        Heard::Missing | Heard::NoKey | Heard::KeyUnread | Heard::Silence => {
            let outcome = outcome.as_str();
            tracing::warn!(%generation, upstream_id, outcome, "the cost of a call was not checked: nobody could tell it");
        }
    }
}

// === impl Asked ===

impl Asked {
    /// Whether it would be passed as it is, though another answer may come.
    const fn is_worth_another_look(&self, found: bool) -> bool {
        let is_own = self.call.own_key.is_some();
        match self.heard {
            Heard::Cost(_) | Heard::NoKey => false,
            Heard::Missing => is_own || found,
            Heard::Silence | Heard::KeyUnread => is_own,
        }
    }

    fn outcome(&self) -> CostCheck {
        match self.heard {
            Heard::Cost(recorded) => match recorded.cmp(&self.call.cost) {
                Ordering::Less => CostCheck::Lower,
                Ordering::Equal => CostCheck::Same,
                Ordering::Greater => CostCheck::Higher,
            },
            Heard::Missing => CostCheck::Missing,
            Heard::NoKey | Heard::KeyUnread | Heard::Silence => CostCheck::Unanswered,
        }
    }

    /// What the books are told of it, if there is anything to tell.
    fn disagreement(&self) -> Option<Disagreement> {
        match self.heard {
            Heard::Cost(cost) if cost != self.call.cost => Some(Disagreement {
                generation: self.call.generation,
                call: self.call.call,
                cost,
            }),
            Heard::Cost(_) | Heard::Missing | Heard::NoKey | Heard::KeyUnread | Heard::Silence => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn records_that_are_not_there_are_waited_for_until_no_outage_lasts_so_long() {
        let since = Instant::now();
        assert!(is_outage(since));
        tokio::time::advance(OUTAGE_MAX - Duration::from_millis(1)).await;
        assert!(is_outage(since));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!is_outage(since));
    }
}
