//! What was survived: every acknowledged thing is looked for, and the books are held against the
//! upstream's bill, generation by generation.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use image_gateway::ports::Ledger as _;
use image_gateway::store::sqlite::Sqlite;
use rusqlite::Connection;
use rust_decimal::Decimal;

use crate::gateway::{Fate, Gateway};
use crate::kills::Plan;
use crate::lane::{Lane, Told, call};
use crate::scenes::{ALL, Scene};

/// A hold that nobody can be asked about is free 60 s after the deadline of its call.
const RELEASE: Duration = Duration::from_secs(180);

/// Costs of a whole round are checked in some seconds.
const CHECKS: Duration = Duration::from_secs(180);

/// Lines of its bill that the mock keeps.
const BILL_ENTRIES_KEPT: usize = 10_000;

/// Losses that are shown; more would hide the table.
const LOSSES_SHOWN: usize = 20;

/// What one generation cost, by the books and by the bill, in USD.
#[derive(Debug)]
struct Costs {
    ours: Decimal,
    theirs: Decimal,
    /// Whether the books say themselves that they could not know.
    unknown: bool,
}

/// What was done and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Reckoning {
    pub(crate) histories: u64,
    pub(crate) at_places: u64,
    pub(crate) at_random: u64,
    pub(crate) places: usize,
    /// Places where the process was to die and did not.
    pub(crate) lived: Vec<String>,
    pub(crate) generations: u64,
    pub(crate) replayed: u64,
    pub(crate) top_ups: u64,
    pub(crate) settled: u64,
    pub(crate) voided: u64,
    pub(crate) resolved_in: Duration,
    /// Generations whose bill could not be known, and what they cost the platform.
    pub(crate) unknown: u64,
    pub(crate) unknown_usd: Decimal,
    pub(crate) billed_usd: Decimal,
    /// What is not as it must be; nothing, if all is well.
    pub(crate) lost: Vec<String>,
    pub(crate) took: Duration,
}

impl Lane {
    /// Lets a last process finish everything, and looks at all that was promised.
    pub(crate) async fn close(mut self) -> Reckoning {
        self.mend();
        self.house.mock.clear_scripts();
        let fate = Fate {
            check_after: Some("1s"),
            ..Fate::default()
        };
        let gateway = Gateway::start(&mut self.house, &fate).await;
        let gateway = gateway.expect("a last process serves");
        self.wait_for_holds().await;
        self.replay().await;
        self.ask_again().await;
        self.wait_for_checks().await;
        gateway.stop().await;
        self.audit().await;
        self.compare_bills();
        self.house.mock.stop().await;
        let mut counted = self.counted;
        if !counted.lost.is_empty() {
            self.house.dir.disable_cleanup(true);
            let kept = self.house.dir.path().display();
            counted.lost.push(format!("the data is kept in {kept}"));
        }
        counted
    }

    pub(crate) async fn wait_for_holds(&mut self) {
        let begun = Instant::now();
        let database = connect(&self.house.database());
        let open = "SELECT count(*) FROM generation_state WHERE state NOT IN ('settled', 'voided')";
        while count(&database, open) > 0 {
            if begun.elapsed() > RELEASE {
                let left = count(&database, open);
                self.counted
                    .lost
                    .push(format!("{left} holds are never released"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.counted.resolved_in = begun.elapsed();
    }

    /// What the records say otherwise must be in the books before these are held against the bill.
    async fn wait_for_checks(&mut self) {
        let begun = Instant::now();
        let database = connect(&self.house.database());
        let left = "SELECT count(*) FROM generation WHERE id > coalesce((SELECT through FROM cost_check), x'')";
        while count(&database, left) > 0 {
            if begun.elapsed() > CHECKS {
                let left = count(&database, left);
                let lost = format!("the costs of {left} generations are never checked");
                self.counted.lost.push(lost);
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Whoever was told `completed` gets the same bytes for the same charge.
    async fn replay(&mut self) {
        for (id, told) in &self.told {
            let scene = scene_of(&self.house, id);
            let again = call(&self.house, &scene.request(id)).await;
            let problem = match &again {
                Ok(story) => told.contradiction(&Told::of(story)),
                Err(status)
                    if expired(&self.house.database(), id) || self.half_expired.contains(id) =>
                {
                    let reason = crate::helpers::reason(status);
                    (reason != "RESULT_EXPIRED").then(|| format!("expired, but {reason}"))
                }
                Err(status) => Some(format!("told before, and now {status:?}")),
            };
            self.counted.replayed += 1;
            if let Some(problem) = problem {
                self.counted.lost.push(format!("{id}: {problem}"));
            }
        }
    }

    /// Whoever does not know asks again under the same id, and is answered for good.
    async fn ask_again(&mut self) {
        for (id, scene) in &self.unanswered {
            let first = call(&self.house, &scene.request(id)).await;
            let second = call(&self.house, &scene.request(id)).await;
            if let (Ok(first), Ok(second)) = (first, second) {
                let (first, second) = (Told::of(&first), Told::of(&second));
                if let Some(problem) = first.contradiction(&second) {
                    self.counted.lost.push(format!("{id}: {problem}"));
                }
            }
        }
    }

    async fn audit(&mut self) {
        let counted = &mut self.counted;
        let books = Sqlite::open(self.house.dir.path()).expect("the books");
        counted.lost.extend(books.audit().await.expect("an audit"));
        let database = connect(&self.house.database());
        counted.generations += count(&database, "SELECT count(*) FROM generation");
        let settled = "SELECT count(*) FROM generation_state WHERE state = 'settled'";
        counted.settled += count(&database, settled);
        let voided = "SELECT count(*) FROM generation_state WHERE state = 'voided'";
        counted.voided += count(&database, voided);
        for (reference, hundredths) in &self.bought {
            let sql = "SELECT count(*) FROM ledger WHERE kind = 'purchase' AND reference = ?1 AND amount_cc = ?2";
            let found: i64 = database
                .query_row(sql, rusqlite::params![reference, hundredths], |row| {
                    row.get(0)
                })
                .expect("a count");
            counted.top_ups += 1;
            if found != 1 {
                counted
                    .lost
                    .push(format!("the top-up {reference} is booked {found} times"));
            }
        }
    }

    /// Σ books = Σ bill, generation by generation, but for what the books themselves call unknown.
    fn compare_bills(&mut self) {
        let counted = &mut self.counted;
        let bill = self.house.mock.bill();
        if bill.len() >= BILL_ENTRIES_KEPT {
            let full = "the mock has forgotten the first lines of its bill: make rounds shorter";
            counted.lost.push(full.to_owned());
        }
        let costs = costs(&connect(&self.house.database()), &bill);
        for (generation, costs) in costs {
            counted.billed_usd += costs.theirs;
            let difference = costs.theirs - costs.ours;
            if difference.is_zero() {
                continue;
            }
            if costs.unknown {
                counted.unknown += 1;
                counted.unknown_usd += difference;
            } else {
                counted.lost.push(format!(
                    "{generation}: the books say {}, the bill says {}",
                    costs.ours, costs.theirs
                ));
            }
        }
    }
}

impl Told {
    /// What is not the same as before. A charge that was pending may be known by now.
    fn contradiction(&self, again: &Self) -> Option<String> {
        let charge = self.credits.is_some() && self.credits != again.credits;
        (self.pictures != again.pictures || charge)
            .then(|| format!("told {self:?}, and later {again:?}"))
    }
}

/// The scene a request was made in: it must be sent again unchanged.
fn scene_of(house: &crate::helpers::House, id: &str) -> &'static Scene {
    let sql = "SELECT agent, requested FROM generation WHERE request_id = ?1";
    let (agent, requested): (String, i32) = connect(&house.database())
        .query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("a generation that was told is in the books");
    let same = |scene: &&Scene| scene.agent == agent && scene.count == requested;
    ALL.iter().find(same).expect("a scene")
}

fn expired(database: &std::path::Path, id: &str) -> bool {
    let sql = "SELECT count(*) FROM expiry e JOIN generation g ON g.id = e.generation WHERE g.request_id = ?1";
    let found: i64 = connect(database)
        .query_row(sql, [id], |row| row.get(0))
        .expect("a count");
    found > 0
}

/// What each generation cost. The mock knows ours by `session_id`. A process that died before each
/// of its calls was named (one a picture, at most) leaves a bill that nobody can ask about.
fn costs(
    database: &Connection,
    bill: &[image_gateway::mock::BillEntry],
) -> BTreeMap<String, Costs> {
    let sql = "
      SELECT g.id, coalesce(c.cost_pd, s.cost_pd, 0)
             + (SELECT coalesce(sum(a.cost_pd), 0) FROM absorption a WHERE a.generation = g.id),
             s.cost_source IN ('computed', 'estimate')
               OR (s.state = 'voided'
                   AND (SELECT count(*) FROM upstream_call u WHERE u.generation = g.id) < g.requested)
               OR (s.state = 'settled' AND s.delivered < g.requested
                   AND (SELECT count(*) FROM (SELECT call FROM upstream_call u WHERE u.generation = g.id
                                              UNION SELECT call FROM call_receipt r WHERE r.generation = g.id)) < g.requested)
               OR EXISTS (SELECT 1 FROM question q WHERE q.generation = g.id AND q.answer IS NOT 'told')
        FROM generation g JOIN generation_state s ON s.generation = g.id
        LEFT JOIN correction c ON c.generation = g.id AND s.state = 'settled'";
    let mut statement = database.prepare(sql).expect("a statement");
    let ours = statement.query_map([], |row| {
        let id = uuid::Uuid::from_bytes(row.get(0)?).to_string();
        let pico: i64 = row.get(1)?;
        let costs = Costs {
            ours: Decimal::from_i128_with_scale(pico.into(), 12),
            theirs: Decimal::ZERO,
            unknown: row.get::<_, Option<bool>>(2)?.unwrap_or(false),
        };
        Ok((id, costs))
    });
    let mut costs: BTreeMap<String, Costs> =
        ours.expect("rows").collect::<Result<_, _>>().expect("rows");
    for entry in bill.iter().filter(|entry| entry.billed) {
        let id = entry.session_id.clone().unwrap_or_default();
        let stranger = Costs {
            ours: Decimal::ZERO,
            theirs: Decimal::ZERO,
            unknown: false,
        };
        costs.entry(id).or_insert(stranger).theirs += entry.cost;
    }
    costs
}

pub(crate) fn connect(path: &std::path::Path) -> Connection {
    let connection = Connection::open(path).expect("the database");
    connection
        .busy_timeout(Duration::from_secs(10))
        .expect("a setting");
    connection
}

fn count(database: &Connection, sql: &str) -> u64 {
    let count: i64 = database.query_row(sql, [], |row| row.get(0)).expect(sql);
    u64::try_from(count).unwrap_or(0)
}

// === impl Reckoning ===

impl Reckoning {
    pub(crate) fn add(&mut self, other: Self) {
        self.at_places += other.at_places;
        self.at_random += other.at_random;
        self.lived.extend(other.lived);
        self.generations += other.generations;
        self.replayed += other.replayed;
        self.top_ups += other.top_ups;
        self.settled += other.settled;
        self.voided += other.voided;
        self.resolved_in = self.resolved_in.max(other.resolved_in);
        self.unknown += other.unknown;
        self.unknown_usd += other.unknown_usd;
        self.billed_usd += other.billed_usd;
        self.lost.extend(other.lost);
    }

    /// A place that no scene reaches, or where nobody died, was not tortured.
    pub(crate) fn add_places(&mut self, plan: &Plan) {
        self.places = plan.kills.len();
        for place in &plan.unreached {
            self.lost.push(format!("no scene reaches {place}"));
        }
        let lived = std::mem::take(&mut self.lived);
        for place in lived {
            self.lost.push(format!("nobody died at {place}"));
        }
    }
}

impl fmt::Display for Reckoning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("random histories of the rules", self.histories.to_string()),
            ("named places", self.places.to_string()),
            ("kills at a named place", self.at_places.to_string()),
            ("kills at a random moment", self.at_random.to_string()),
            ("generations begun", self.generations.to_string()),
            ("  settled", self.settled.to_string()),
            ("  voided", self.voided.to_string()),
            ("replays, byte for byte the same", self.replayed.to_string()),
            (
                "top-ups acknowledged, all booked once",
                self.top_ups.to_string(),
            ),
            (
                "every hold ended, seconds after the last start",
                self.resolved_in.as_secs().to_string(),
            ),
            (
                "billed upstream, USD",
                self.billed_usd.normalize().to_string(),
            ),
            (
                "  of it not known to the books, itemised",
                format!(
                    "{} in {} generations",
                    self.unknown_usd.normalize(),
                    self.unknown
                ),
            ),
            ("minutes", format!("{}", self.took.as_secs() / 60)),
            ("lost, doubled or contradicted", self.lost.len().to_string()),
        ];
        writeln!(f, "\nsurvived")?;
        for (what, figure) in rows {
            writeln!(f, "  {what:<48} {figure:>20}")?;
        }
        for lost in self.lost.iter().take(LOSSES_SHOWN) {
            writeln!(f, "  ! {lost}")?;
        }
        match self.lost.len().checked_sub(LOSSES_SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => writeln!(f, "  ! and {more} more"),
        }
    }
}
