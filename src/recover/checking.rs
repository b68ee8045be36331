//! Asks a second time what a picture has cost whose answer told it (`reliability.md` row 58): the
//! customer pays the lower of the two, and the difference is an item for reconciliation. Where an
//! organization's own key paid, the credits are what they are (`domain.md` C14); the USD that are shown
//! to it become what the records say, be it less or more.
//!
//! It walks the settled generations in the order in which they began. How far it has come stands in
//! the books, so that the next process goes on there. Nobody who answers: it waits, however long,
//! and passes nobody. A record that is not there though others are: that one is passed. So is a call
//! with an organization's own key that is gone, or that OpenRouter does not take any more: nobody else
//! may ask in its place, and nobody else waits for it.

use std::cmp::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use jiff::SignedDuration;

use super::{Parts, unfinished};
use crate::crash::step;
use crate::domain::ids::GenerationId;
use crate::domain::money::UsdCost;
use crate::metrics::CostCheck;
use crate::ports::{Bill, Disagreement, DrawCause, LedgerError, ToldCall, UpstreamKey};

/// Generations passed with one commit: few enough that the writer, should all of them bring a refund,
/// is busy for some ten milliseconds.
const PAGE: u32 = 64;

/// Generations asked about side by side: some dozens a second, more than a gateway makes, and half
/// of what is asked at once for the sake of holds.
const ASKED_AT_ONCE: usize = 8;

/// The longest wait before it is looked again, after everything is asked or nobody answers.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Waits before a record that is not there is looked for again. Minutes after the answer it should be
/// (`openrouter/README.md` §7: half a second is usual), so this is only for a slip.
const MISSING_WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// So often others are answered about while one generation is not, until it is passed.
const ROUNDS: u32 = 3;

/// What came of one call that was asked about again.
#[derive(Debug)]
struct Found {
    call: ToldCall,
    /// What the records say; nothing if they have none of it, or nobody answered about it alone.
    told: Option<UsdCost>,
    outcome: CostCheck,
}

/// What came of one page.
#[derive(Debug, Default)]
struct Asked {
    found: Vec<Found>,
    /// The last generation of which everything is known now.
    through: Option<GenerationId>,
    /// The first that nobody answers about: nothing behind it is passed yet.
    held_up: Option<GenerationId>,
    /// Whether somebody answered about another behind it.
    answers: bool,
}

/// The walk of one process.
struct Walk<'a> {
    parts: &'a Parts,
    after: SignedDuration,
    /// Who holds it up though others are answered about, and for how many rounds.
    stuck: Option<(GenerationId, u32)>,
}

/// Walks for ever, if costs are to be asked for again at all.
pub(super) async fn walk(parts: &Parts) {
    let Some(after) = parts.check_after else {
        return;
    };
    let mut walk = Walk {
        parts,
        after: SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX),
        stuck: None,
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
        let given_up = self.given_up();
        let asked = ask(self.parts, by_generation(page.calls), given_up);
        let asked = step("check_ask", asked).await;
        self.note(&asked);
        let through = match asked.held_up {
            Some(_) => asked.through,
            None => Some(page.through),
        };
        let Some(through) = through else {
            return Ok(false);
        };
        let disagreements = asked.found.iter().filter_map(Found::disagreement).collect();
        let passed = upkeep.checked(through, disagreements, crate::clock::now());
        step("check_pass", passed).await?;
        for found in &asked.found {
            tell(self.parts, found);
        }
        Ok(asked.held_up.is_none())
    }

    /// Who has held it up for long enough.
    fn given_up(&self) -> Option<GenerationId> {
        let (id, rounds) = self.stuck?;
        (rounds >= ROUNDS).then_some(id)
    }

    /// Counts the rounds in which one generation alone is not answered about.
    fn note(&mut self, asked: &Asked) {
        let before = self.stuck.filter(|(id, _)| Some(*id) == asked.held_up);
        let rounds = before.map_or(0, |(_, rounds)| rounds);
        self.stuck = asked
            .held_up
            .map(|id| (id, rounds + u32::from(asked.answers)));
    }
}

/// The calls of each generation, in the order of the books.
fn by_generation(calls: Vec<ToldCall>) -> Vec<(GenerationId, Vec<ToldCall>)> {
    let mut generations: Vec<(GenerationId, Vec<ToldCall>)> = Vec::new();
    for call in calls {
        match generations.last_mut() {
            Some((id, of_one)) if *id == call.generation => of_one.push(call),
            _ => generations.push((call.generation, vec![call])),
        }
    }
    generations
}

/// Asks about the calls of some generations, in their order, until somebody does not answer.
async fn ask(
    parts: &Parts,
    generations: Vec<(GenerationId, Vec<ToldCall>)>,
    given_up: Option<GenerationId>,
) -> Asked {
    let mut asked = Asked::default();
    let mut silent = 0;
    let answers = iter(generations).map(|of_one| compare(parts, of_one, given_up));
    let mut answers = std::pin::pin!(answers.buffered(ASKED_AT_ONCE));
    while let Some((id, found)) = step("check_next", answers.next()).await {
        match (found, asked.held_up) {
            (Some(found), None) => {
                asked.found.extend(found);
                asked.through = Some(id);
            }
            (Some(_), Some(_)) => {
                asked.answers = true;
                break;
            }
            (None, held_up) => {
                asked.held_up = held_up.or(Some(id));
                silent += 1;
            }
        }
        // Nobody answers at all: the others need not be asked now.
        if silent == ASKED_AT_ONCE {
            break;
        }
    }
    asked
}

/// Compares every call of one generation with its record; nothing if nobody answers about one.
async fn compare(
    parts: &Parts,
    (id, calls): (GenerationId, Vec<ToldCall>),
    given_up: Option<GenerationId>,
) -> (GenerationId, Option<Vec<Found>>) {
    let mut found = Vec::with_capacity(calls.len());
    for call in calls {
        match step("check_call", look_up(parts, &call)).await {
            Some((told, outcome)) => found.push(Found {
                call,
                told,
                outcome,
            }),
            None if given_up == Some(id) => found.push(Found {
                call,
                told: None,
                outcome: CostCheck::Unanswered,
            }),
            None => return (id, None),
        }
    }
    (id, Some(found))
}

/// What the record of one call says; nothing if nobody answers.
async fn look_up(parts: &Parts, call: &ToldCall) -> Option<(Option<UsdCost>, CostCheck)> {
    let mut waits = MISSING_WAITS.into_iter();
    let key = parts.payers.still_has(call.own_key.as_ref());
    let Some(key) = step("check_key", key).await else {
        return Some((None, CostCheck::Unanswered));
    };
    loop {
        let bill = parts.provider.bill_of(&call.upstream_id, &key);
        match step("check_bill", bill).await {
            Ok(Bill::Cost(cost)) => return Some((Some(cost), outcome(call, cost))),
            Ok(Bill::NotFiled | Bill::OfAnother) => match waits.next() {
                Some(wait) => step("check_missing", tokio::time::sleep(wait)).await,
                None => return Some((None, CostCheck::Missing)),
            },
            Err(error) => {
                tracing::warn!(generation = %call.generation, %error, "what a call cost cannot be checked now");
                return is_of_the_key(&key, error.cause).then_some((None, CostCheck::Unanswered));
            }
        }
    }
}

/// Whether it is for an organization's own key that there is no answer, and not for OpenRouter: it
/// would be as long as the key is as it is, and keep everybody else's calls waiting.
const fn is_of_the_key(key: &UpstreamKey, why: DrawCause) -> bool {
    matches!(key, UpstreamKey::Organization(_))
        && matches!(
            why,
            DrawCause::KeyRefused | DrawCause::KeyOutOfCredit | DrawCause::RateLimited
        )
}

fn outcome(call: &ToldCall, recorded: UsdCost) -> CostCheck {
    match recorded.cmp(&call.cost) {
        Ordering::Less => CostCheck::Lower,
        Ordering::Equal => CostCheck::Same,
        Ordering::Greater => CostCheck::Higher,
    }
}

/// What an operator hears of it.
fn tell(parts: &Parts, found: &Found) {
    parts.metrics.cost_checked(found.outcome);
    let Found { call, told, .. } = found;
    let (generation, upstream_id) = (call.generation, &call.upstream_id);
    match told {
        Some(told) if *told != call.cost => {
            tracing::warn!(
                %generation, upstream_id, answered_usd = %call.cost, recorded_usd = %told,
                "upstream's records say another cost than its answer did"
            );
        }
        Some(_) => {}
        None => {
            let outcome = found.outcome.as_str();
            tracing::warn!(%generation, upstream_id, outcome, "the cost of a call was not checked: nobody could tell it");
        }
    }
}

// === impl Found ===

impl Found {
    /// What the books are told of it, if there is anything to tell.
    fn disagreement(&self) -> Option<Disagreement> {
        let cost = self.told.filter(|told| *told != self.call.cost)?;
        Some(Disagreement {
            generation: self.call.generation,
            call: self.call.call,
            cost,
        })
    }
}
