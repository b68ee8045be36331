//! A bill, call by call, against the calls of the books.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use super::amounts::{plain, usd};
use crate::cli::failed::Failed;
use crate::domain::ids::GenerationId;
use crate::ports::{Item, KnownCall, LedgerError};
use crate::store::sqlite::Inspector;

/// Items that are told one by one, the newest.
pub(super) const ITEMS: u32 = 1_000;

/// Digits after the point of a cost in our books, which are kept in pico-dollars.
const PICO_DIGITS: u32 = 12;

/// A bill, call by call.
#[derive(Deserialize)]
pub(super) struct Bill {
    entries: Vec<BillEntry>,
}

#[derive(Deserialize)]
struct BillEntry {
    generation_id: String,
    cost: String,
    billed: bool,
    session_id: Option<String>,
}

/// A call on which the books and the bill do not agree.
#[derive(Serialize)]
pub(super) struct Mismatch {
    pub(super) upstream_id: String,
    pub(super) generation: Option<String>,
    pub(super) ours: Option<String>,
    pub(super) theirs: String,
}

/// The calls on which the books and the bill do not agree.
pub(super) fn mismatches(
    inspector: &Inspector,
    key: &str,
    bill: &Bill,
) -> Result<Vec<Mismatch>, LedgerError> {
    let mut theirs: BTreeMap<&str, (Decimal, Option<&str>)> = BTreeMap::new();
    for entry in bill.entries.iter().filter(|entry| entry.billed) {
        let cost: Decimal = entry.cost.parse().unwrap_or_default();
        // As our books keep what is finer than they are.
        let cost = cost.round_dp_with_strategy(PICO_DIGITS, RoundingStrategy::AwayFromZero);
        let session = entry.session_id.as_deref();
        theirs
            .entry(&entry.generation_id)
            .or_insert((Decimal::ZERO, session))
            .0 += cost;
    }
    let mut mismatches = unbilled(inspector, key, |id| theirs.contains_key(id))?;
    for (upstream_id, (cost, session)) in theirs {
        let named = session.and_then(GenerationId::parse);
        let known = inspector.call(upstream_id, named)?;
        let ours = known.as_ref().and_then(|call| call.cost).map(usd);
        if ours == Some(cost) {
            continue;
        }
        mismatches.push(Mismatch {
            upstream_id: upstream_id.to_owned(),
            generation: known
                .map(|call| call.generation.to_string())
                .or_else(|| session.map(str::to_owned)),
            ours: ours.map(plain),
            theirs: plain(cost),
        });
    }
    Ok(mismatches)
}

/// Calls that cost something by our books, and are not on the bill.
fn unbilled(
    inspector: &Inspector,
    key: &str,
    is_billed: impl Fn(&str) -> bool,
) -> Result<Vec<Mismatch>, LedgerError> {
    let mut unbilled = Vec::new();
    let most = usize::try_from(ITEMS).unwrap_or(usize::MAX);
    let tell = |call: KnownCall| {
        if !is_billed(&call.upstream_id) {
            unbilled.push(Mismatch {
                generation: Some(call.generation.to_string()),
                ours: call.cost.map(|cost| plain(usd(cost))),
                theirs: "0".to_owned(),
                upstream_id: call.upstream_id,
            });
        }
        if unbilled.len() < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    inspector.calls(key, tell)?;
    Ok(unbilled)
}

// === impl Bill ===

impl Bill {
    pub(super) fn read(file: &Path) -> Result<Self, Failed> {
        let read = || Failed::new(format!("cannot read the bill in {}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| read().because(error))?;
        serde_json::from_str(&text).map_err(|error| {
            let failed = read().because(error);
            failed.hint("this is no bill as mock-openrouter gives it at /mock/bill")
        })
    }
}

// === impl Mismatch ===

impl Mismatch {
    /// Whether the books say themselves that they do not know.
    pub(super) fn is_explained(&self, items: &[Item]) -> bool {
        let of_it = |item: &Item| {
            Some(item.generation.to_string()) == self.generation
                || item.upstream_ids.contains(&self.upstream_id)
        };
        self.ours.is_none() && items.iter().any(of_it)
    }
}
