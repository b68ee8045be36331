//! `image-gateway reconcile`: what our books say upstream has billed, against what it says itself.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::audit::{Books, unreadable};
use super::failed::Failed;
use super::terminal;
use crate::config;
use crate::domain::money::UsdCost;
use crate::openrouter::{Client, Config, KeyUsage};
use crate::ports::{Day, ImageProvider, Item, KnownCall};
use crate::store::sqlite::Inspector;

/// Items that are printed one by one.
const ITEMS: u32 = 1_000;

/// What `reconcile` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Use a key at OpenRouter for this deployment alone, so that nothing else is on its bill. Days are in
UTC. Ends with status 1 if there is a difference that no item explains.

Examples:
  image-gateway reconcile --data-dir ./data
  image-gateway reconcile --bill bill.json --json")]
pub(super) struct Args {
    #[command(flatten)]
    books: Books,
    /// Where OpenRouter is
    #[arg(long, env = "OPENROUTER_BASE_URL", value_name = "URL", default_value = config::OPENROUTER_BASE_URL)]
    openrouter_base_url: String,
    /// The key whose bill is looked at
    #[arg(
        long,
        env = "OPENROUTER_API_KEY",
        value_name = "KEY",
        hide_env_values = true,
        value_parser = config::secret
    )]
    openrouter_api_key: Option<SecretString>,
    /// A file that holds the key
    #[arg(long, env = "OPENROUTER_API_KEY_FILE", value_name = "FILE")]
    openrouter_api_key_file: Option<PathBuf>,
    /// Compare call by call with a bill as `mock-openrouter` gives it at /mock/bill
    #[arg(long, value_name = "FILE")]
    bill: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What was compared and what came of it.
#[derive(Serialize)]
struct Report {
    key: String,
    periods: Vec<Period>,
    days: Vec<OurDay>,
    items: Vec<Uncertain>,
    calls: Vec<Mismatch>,
    explained: bool,
}

/// One period.
#[derive(Serialize)]
struct Period {
    period: &'static str,
    /// Its first day; none if it is ever.
    #[serde(skip)]
    from: Option<Date>,
    #[serde(skip)]
    apart: Decimal,
    ours: String,
    theirs: Option<String>,
    difference: Option<String>,
}

/// Our sums of one day.
#[derive(Serialize)]
struct OurDay {
    day: String,
    charged: String,
    absorbed: String,
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

/// A call on which the books and the bill do not agree.
#[derive(Serialize)]
struct Mismatch {
    upstream_id: String,
    generation: Option<String>,
    ours: Option<String>,
    theirs: String,
}

/// A bill, call by call.
#[derive(Deserialize)]
struct Bill {
    entries: Vec<BillEntry>,
}

#[derive(Deserialize)]
struct BillEntry {
    generation_id: String,
    cost: String,
    billed: bool,
    session_id: Option<String>,
}

/// Compares, and says.
pub(super) async fn run(args: Args) -> Result<(), Failed> {
    let inspector = args.books.open()?;
    let client = args.client()?;
    let theirs = client.key_usage().await.map_err(|error| {
        Failed::new("OpenRouter does not tell what the key has spent").because(error)
    })?;
    let report = args.compare(&inspector, &client.key_fingerprint(), theirs)?;
    if args.json {
        terminal::json(&report)?;
    } else {
        terminal::result(report.table())?;
    }
    if report.explained {
        return Ok(());
    }
    Err(
        Failed::new("the books and the bill differ, and nothing explains it")
            .hint("is the key used by anything else? Is this all of the books?"),
    )
}

// === impl Args ===

impl Args {
    fn client(&self) -> Result<Client, Failed> {
        let key = match (&self.openrouter_api_key, &self.openrouter_api_key_file) {
            (Some(key), _) => key.clone(),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file);
                let text =
                    text.map_err(|error| Failed::new("cannot read the key").because(error))?;
                SecretString::from(text.trim())
            }
            (None, None) => {
                return Err(Failed::usage("no key was given").hint("set OPENROUTER_API_KEY"));
            }
        };
        let config = Config::new(self.openrouter_base_url.trim_end_matches('/'), key);
        Client::new(config)
            .map_err(|error| Failed::new("there is no way to OpenRouter").because(error))
    }

    fn compare(
        &self,
        inspector: &Inspector,
        key: &str,
        theirs: KeyUsage,
    ) -> Result<Report, Failed> {
        let days: Vec<Day> = inspector.days().map_err(unreadable)?;
        let days: Vec<Day> = days
            .into_iter()
            .filter(|day| day.upstream_key == key)
            .collect();
        let items = inspector.items(ITEMS).map_err(unreadable)?;
        let items: Vec<Item> = items
            .into_iter()
            .filter(|item| item.upstream_key == key)
            .collect();
        let calls = match &self.bill {
            Some(file) => mismatches(inspector, key, &bill(file)?)?,
            None => Vec::new(),
        };
        let periods = periods(&days, theirs);
        let explained = periods.iter().all(|period| period.is_explained(&items));
        Ok(Report {
            key: key.to_owned(),
            explained: explained && calls.iter().all(|call| call.is_explained(&items)),
            periods,
            days: days.iter().map(our_day).collect(),
            items: items.iter().map(uncertain).collect(),
            calls,
        })
    }
}

/// Today, this week, this month, and ever.
fn periods(days: &[Day], theirs: KeyUsage) -> Vec<Period> {
    let today = TimeZone::UTC.to_datetime(crate::clock::now()).date();
    let monday = (0..7)
        .filter_map(|back| today.checked_sub(jiff::Span::new().days(back)).ok())
        .find(|day| day.weekday() == Weekday::Monday);
    let since = |from: Option<Date>| {
        let from = from.map(|day| day.to_string()).unwrap_or_default();
        let days = days.iter().filter(|day| day.day >= from);
        days.map(|day| usd(day.charged) + usd(day.absorbed))
            .sum::<Decimal>()
    };
    let period = |period, from: Option<Date>, theirs: Option<UsdCost>| {
        let (ours, theirs) = (since(from), theirs.map(usd));
        Period {
            period,
            from,
            apart: theirs.map_or(Decimal::ZERO, |theirs| theirs - ours),
            ours: plain(ours),
            theirs: theirs.map(plain),
            difference: theirs.map(|theirs| plain(theirs - ours)),
        }
    };
    vec![
        period("today", Some(today), theirs.day),
        period("this week", monday, theirs.week),
        period("this month", Some(today.first_of_month()), theirs.month),
        period("ever", None, theirs.all),
    ]
}

fn bill(file: &PathBuf) -> Result<Bill, Failed> {
    let read = || Failed::new(format!("cannot read the bill in {}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| read().because(error))?;
    serde_json::from_str(&text).map_err(|error| read().because(error))
}

/// The calls on which the books and the bill do not agree.
fn mismatches(inspector: &Inspector, key: &str, bill: &Bill) -> Result<Vec<Mismatch>, Failed> {
    let mut theirs: BTreeMap<&str, (Decimal, Option<&str>)> = BTreeMap::new();
    for entry in bill.entries.iter().filter(|entry| entry.billed) {
        let cost: Decimal = entry.cost.parse().unwrap_or_default();
        let session = entry.session_id.as_deref();
        theirs
            .entry(&entry.generation_id)
            .or_insert((Decimal::ZERO, session))
            .0 += cost;
    }
    let mut mismatches = unbilled(inspector, key, |id| theirs.contains_key(id))?;
    for (upstream_id, (cost, session)) in theirs {
        let known = inspector.call(upstream_id).map_err(unreadable)?;
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
) -> Result<Vec<Mismatch>, Failed> {
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
    inspector.calls(key, tell).map_err(unreadable)?;
    Ok(unbilled)
}

// === impl Period ===

impl Period {
    /// Whether what is not certain is enough to make the difference: what is in our books and may
    /// not be in the bill, and what may be in the bill beyond our books.
    fn is_explained(&self, items: &[Item]) -> bool {
        let of_period = |item: &&Item| {
            let day = TimeZone::UTC.to_datetime(item.created).date();
            self.from.is_none_or(|from| day >= from)
        };
        let (mut below, mut above) = (Decimal::ZERO, Decimal::ZERO);
        for item in items.iter().filter(of_period) {
            below += usd(item.ours);
            above += usd(item.most) - usd(item.ours);
        }
        -below <= self.apart && self.apart <= above
    }
}

// === impl Mismatch ===

impl Mismatch {
    /// Whether the books say themselves that they do not know.
    fn is_explained(&self, items: &[Item]) -> bool {
        let of_it = |item: &Item| Some(item.generation.to_string()) == self.generation;
        self.ours.is_none() && items.iter().any(of_it)
    }
}

// === impl Report ===

impl Report {
    fn table(&self) -> String {
        let mut lines = vec![format!("OpenRouter key {}\n", self.key)];
        lines.push(format!(
            "{:<12} {:>16} {:>16} {:>16}",
            "USD", "ours", "OpenRouter", "difference"
        ));
        for period in &self.periods {
            let unknown = || "not told".to_owned();
            lines.push(format!(
                "{:<12} {:>16} {:>16} {:>16}",
                period.period,
                period.ours,
                period.theirs.clone().unwrap_or_else(unknown),
                period.difference.clone().unwrap_or_default()
            ));
        }
        lines.push(String::new());
        for item in &self.items {
            lines.push(format!(
                "  {} {}: {} ({} USD)",
                item.created, item.generation, item.why, item.ours
            ));
        }
        for call in &self.calls {
            let ours = call.ours.as_deref().unwrap_or("unknown");
            let whose = call
                .generation
                .as_deref()
                .unwrap_or("no generation of ours");
            lines.push(format!(
                "  {} ({whose}): ours {ours}, theirs {} USD",
                call.upstream_id, call.theirs
            ));
        }
        let end = if self.explained {
            terminal::good("every difference is explained")
        } else {
            terminal::bad("there is a difference that nothing explains")
        };
        lines.push(end);
        lines.join("\n")
    }
}

fn our_day(day: &Day) -> OurDay {
    OurDay {
        day: day.day.clone(),
        charged: day.charged.to_string(),
        absorbed: day.absorbed.to_string(),
    }
}

fn uncertain(item: &Item) -> Uncertain {
    Uncertain {
        generation: item.generation.to_string(),
        created: item.created.to_string(),
        why: item.why,
        ours: item.ours.to_string(),
        upstream_ids: item.upstream_ids.clone(),
    }
}

fn usd(cost: UsdCost) -> Decimal {
    Decimal::from_i128_with_scale(cost.pico().into(), 12)
}

fn plain(usd: Decimal) -> String {
    usd.normalize().to_string()
}
