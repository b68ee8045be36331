//! What a reconciliation has found, for people and for programs.

use jiff::Timestamp;
use serde::Serialize;

use super::amounts::{plain, usd};
use super::bill::{Bill, ITEMS, Mismatch, mismatches};
use super::periods::{Period, periods};
use crate::cli::terminal::{self, Text};
use crate::openrouter::KeyUsage;
use crate::ports::{Day, Item, LedgerError};
use crate::store::sqlite::Inspector;

/// Days that are printed; all are in the JSON.
const DAYS: usize = 31;

/// What was compared and what came of it.
#[derive(Serialize)]
pub(super) struct Report {
    key: String,
    periods: Vec<Period>,
    days: Vec<OurDay>,
    items: Vec<Uncertain>,
    calls: Vec<Mismatch>,
    /// There are more items than are told.
    cut: bool,
    pub(super) explained: bool,
}

/// Our sums of one day.
#[derive(Serialize)]
struct OurDay {
    day: String,
    charged: String,
    absorbed: String,
    together: String,
}

/// Something by which the sums may differ.
#[derive(Serialize)]
struct Uncertain {
    generation: String,
    created: String,
    why: &'static str,
    ours: String,
    upstream_ids: Vec<String>,
}

// === impl Report ===

impl Report {
    /// Holds the books against what OpenRouter tells of the key, and call by call against a bill.
    pub(super) fn compare(
        inspector: &Inspector,
        key: &str,
        theirs: KeyUsage,
        bill: Option<&Bill>,
    ) -> Result<Self, LedgerError> {
        let days = inspector.days(key)?;
        let items = inspector.items(key, ITEMS)?;
        let calls = bill.map(|bill| mismatches(inspector, key, bill));
        let calls = calls.transpose()?.unwrap_or_default();
        let periods = periods(&days, &theirs);
        let explained = periods.iter().all(|period| period.is_explained(&items));
        Ok(Self {
            key: key.to_owned(),
            explained: explained && calls.iter().all(|call| call.is_explained(&items)),
            periods,
            days: days.iter().map(our_day).collect(),
            cut: u32::try_from(items.len()) == Ok(ITEMS),
            items: items.iter().map(uncertain).collect(),
            calls,
        })
    }

    /// The sums, then what may make them differ.
    pub(super) fn table(&self) -> Text {
        let mut lines = vec![format!("OpenRouter key {}", self.key), String::new()];
        lines.push(sums(["USD", "ours", "OpenRouter", "difference"]));
        for period in &self.periods {
            lines.push(sums([
                period.period,
                &period.ours,
                period.theirs.as_deref().unwrap_or("not told"),
                period.difference.as_deref().unwrap_or_default(),
            ]));
        }
        lines.extend(self.by_day());
        if !self.items.is_empty() {
            lines.extend(["", "Not certain"].map(str::to_owned));
        }
        for item in &self.items {
            let Uncertain {
                created,
                generation,
                why,
                ours,
                ..
            } = item;
            lines.push(format!("  {created}  {generation}  {ours:>14} USD  {why}"));
        }
        if self.cut {
            lines.push(format!("  only the newest {ITEMS} are told"));
        }
        if !self.calls.is_empty() {
            lines.extend(["", "Calls that the bill has otherwise"].map(str::to_owned));
        }
        for call in &self.calls {
            let ours = call.ours.as_deref().unwrap_or("unknown");
            let whose = call.generation.as_deref();
            lines.push(format!(
                "  {} ({}): ours {ours}, theirs {} USD",
                call.upstream_id,
                whose.unwrap_or("no generation of ours"),
                call.theirs
            ));
        }
        lines.push(String::new());
        let end = if self.explained {
            terminal::good("every difference is explained")
        } else {
            terminal::bad("there is a difference that nothing explains")
        };
        Text::lines(lines.into_iter().map(Text::from).chain([end]))
    }

    /// Our own sums; OpenRouter tells only those above.
    fn by_day(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.days.is_empty() {
            lines.push(String::new());
            lines.push(sums(["Day (UTC)", "charged", "absorbed", "together"]));
        }
        for day in self.days.iter().take(DAYS) {
            lines.push(sums([&day.day, &day.charged, &day.absorbed, &day.together]));
        }
        if self.days.len() > DAYS {
            let more = self.days.len() - DAYS;
            lines.push(format!("and {more} days before; --json has them all"));
        }
        lines
    }
}

/// A line of sums.
fn sums([name, one, two, three]: [&str; 4]) -> String {
    format!("{name:<12} {one:>16} {two:>16} {three:>16}")
        .trim_end()
        .to_owned()
}

fn our_day(day: &Day) -> OurDay {
    OurDay {
        day: day.day.clone(),
        charged: day.charged.to_string(),
        absorbed: day.absorbed.to_string(),
        together: plain(usd(day.charged) + usd(day.absorbed)),
    }
}

fn uncertain(item: &Item) -> Uncertain {
    Uncertain {
        generation: item.generation.to_string(),
        created: second(item.created),
        why: item.why,
        ours: item.ours.to_string(),
        upstream_ids: item.upstream_ids.clone(),
    }
}

/// An instant to the second, so that instants stand under each other.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
