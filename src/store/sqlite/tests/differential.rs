//! The real database against the bare rules: random histories of everything the ports offer, single
//! steps, refused ones among them. After every step the account and the touched generation are
//! compared field by field; at the end of a history everything is.
//!
//! The database is in memory: what is asked here is what it says, not what survives a power cut.

use rusqlite::Connection;

use super::super::{audit, configure, entries, migrate};
use super::*;
use crate::domain::recovery::Question;
use crate::ports::{Answer, Asking, Disagreement};
use history::History;

mod close;
mod draw;
mod history;
mod model;
mod play;

/// Histories of every `cargo test`.
const HISTORIES: u64 = 20_000;

/// Organizations in one database, side by side, before it is audited and thrown away.
const ORGANIZATIONS: u64 = 50;

/// Steps of one history.
const STEPS: u64 = 30;

/// A number out of a seed, below `end` (splitmix64).
#[derive(Clone, Copy, Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn amount(&mut self, end: u64) -> i64 {
        i64::try_from(self.below(end)).expect("small")
    }
}

/// The database, with the writer's rule: a change is whole, or it was never made.
struct Cellar {
    connection: Connection,
}

impl Cellar {
    fn open() -> Self {
        let mut connection = Connection::open_in_memory().expect("a database");
        configure(&connection).expect("pragmas");
        migrate::migrate(&mut connection).expect("a schema");
        Self { connection }
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let run = |sql| self.connection.prepare_cached(sql)?.execute([]);
        run("BEGIN IMMEDIATE")?;
        let made = change(&self.connection);
        run(if made.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        made
    }
}

/// What histories have met.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    histories: u64,
    taken: u64,
    refused: u64,
    settled: u64,
    voided: u64,
    refunded: u64,
    absorbed: u64,
    reviewed: u64,
    repeated: u64,
    expired: u64,
    checked: u64,
}

/// Plays histories from `seed` on, `ORGANIZATIONS` to a database.
///
/// # Errors
/// The seed, the shortest list of steps that was found, and what is not the same.
fn run(seed: u64, histories: u64) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let mut done = 0;
    while done < histories {
        let cellar = Cellar::open();
        let mut names = model::Names::new();
        for number in 0..ORGANIZATIONS.min(histories - done) {
            let seed = seed.wrapping_add(done + number);
            let rolls = rolls(seed);
            let mut history = History::begin(&cellar, &mut names, number);
            let played = history.play(&rolls).and_then(|()| history.end());
            if let Err(what) = played {
                return Err(shrunk(seed, rolls, &what));
            }
            seen.add(&history.seen);
        }
        let mut breaks = audit::audit(&cellar.connection).expect("an audit");
        // A call is noted here more than once, each time with another cost, as no gateway does.
        breaks.retain(|one| !is_of_made_up_calls(one));
        if !breaks.is_empty() {
            return Err(format!("seeds {} and on: {breaks:#?}", seed + done));
        }
        done += ORGANIZATIONS;
    }
    Ok(seen)
}

fn rolls(seed: u64) -> Vec<u64> {
    let mut dice = Dice(seed);
    (0..STEPS).map(|_| dice.below(u64::MAX)).collect()
}

/// Leaves out every step without which it still breaks.
fn shrunk(seed: u64, mut rolls: Vec<u64>, what: &str) -> String {
    let breaks = |rolls: &[u64]| {
        let cellar = Cellar::open();
        let mut names = model::Names::new();
        let mut history = History::begin(&cellar, &mut names, 0);
        let played = history.play(rolls).and_then(|()| history.end());
        played.err().map(|what| (what, history.steps))
    };
    let mut place = 0;
    while place < rolls.len() {
        let mut fewer = rolls.clone();
        fewer.remove(place);
        if breaks(&fewer).is_some() {
            rolls = fewer;
        } else {
            place += 1;
        }
    }
    match breaks(&rolls) {
        Some((what, steps)) => format!("seed {seed}: {what}\nafter {steps:#?}"),
        None => format!("seed {seed}, only beside its neighbours: {what}"),
    }
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.histories += 1;
        self.taken += other.taken;
        self.refused += other.refused;
        self.settled += other.settled;
        self.voided += other.voided;
        self.refunded += other.refunded;
        self.absorbed += other.absorbed;
        self.reviewed += other.reviewed;
        self.repeated += other.repeated;
        self.expired += other.expired;
        self.checked += other.checked;
    }
}

#[test]
fn the_database_and_the_rules_agree_in_everything_that_may_happen() {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let begun = std::time::Instant::now();
    let seed = u64::try_from(crate::clock::now().as_microsecond()).expect("after 1970");
    let share = HISTORIES.div_ceil(threads);
    let ends: Vec<_> = std::thread::scope(|scope| {
        let play = |n| move || run(seed + n * share, share);
        let runs: Vec<_> = (0..threads).map(|n| scope.spawn(play(n))).collect();
        let ends = runs.into_iter().map(|run| run.join().expect("no panic"));
        ends.collect()
    });
    let mut seen = Seen::default();
    for end in ends {
        let one = end.unwrap_or_else(|broken| panic!("{broken}"));
        seen.add(&one);
        seen.histories += one.histories - 1;
    }
    let took = begun.elapsed();
    println!("{} histories in {took:?}: {seen:#?}", seen.histories);
    assert!(seen.histories >= HISTORIES);
    // A run that met nothing would prove nothing.
    for (what, count) in [
        ("refused", seen.refused),
        ("settled", seen.settled),
        ("voided", seen.voided),
        ("refunded", seen.refunded),
        ("absorbed", seen.absorbed),
        ("reviewed", seen.reviewed),
        ("repeated", seen.repeated),
        ("expired", seen.expired),
        ("checked", seen.checked),
    ] {
        assert!(count > HISTORIES / 100, "{what}: {count}");
    }
}
