//! Did prices move as the platform's audit trail tells?

use rusqlite::Connection;

use super::{Breaks, Look};
use crate::domain::trail::Change;
use crate::store::sqlite::chain::hash_of_prices;
use crate::store::sqlite::{rows, trail};

/// A10: of the prices that moved at one instant, the trail tells how many there were, how many of
/// them are hard to believe, and the hash over all of them.
pub(super) fn told(look: &mut Look<'_>, breaks: &mut Breaks) -> Result<(), rusqlite::Error> {
    let sql = "
      SELECT at_us, changes FROM audit_entry WHERE trail = '' AND action = 'models_synced' ORDER BY seq";
    let mut statement = look.connection.prepare(sql)?;
    let mut lists = statement.query([])?;
    while let Some(row) = lists.next()? {
        let (at_us, changes): (i64, String) = (row.get(0)?, row.get(1)?);
        let when = rows::time(at_us);
        match is_as_told(look.connection, at_us, &changes) {
            Ok(true) => {}
            Ok(false) => breaks.add(|| {
                format!("prices moved otherwise than the platform's audit trail tells: {when}")
            }),
            Err(error) => breaks.unreadable(&format!("prices that moved, {when}"), error)?,
        }
    }
    Ok(())
}

fn is_as_told(connection: &Connection, at_us: i64, told: &str) -> Result<bool, rusqlite::Error> {
    let told = trail::read(told)?;
    let told = |field: &str| {
        let is_it = |change: &&Change| change.field == field;
        told.iter().find(is_it).and_then(|it| it.new.clone())
    };
    let moved = moved(connection, at_us)?;
    let flagged = moved.iter().filter(|row| row[4] == "1").count();
    let count = |count: usize| (count > 0).then(|| count.to_string());
    let rows = moved.iter().map(|row| row.each_ref().map(String::as_str));
    let hash = (!moved.is_empty()).then(|| hash_of_prices(rows));
    Ok(told("prices_changed") == count(moved.len())
        && told("prices_flagged") == count(flagged)
        && told("prices_sha256") == hash)
}

/// What moved at one instant: at most a few prices of each model that one list told.
fn moved(connection: &Connection, at_us: i64) -> Result<Vec<[String; 5]>, rusqlite::Error> {
    let sql = "
      SELECT model, price, before, after, CAST(flagged AS TEXT) FROM price_change
       WHERE at_us = ?1 ORDER BY model, price";
    let mut statement = connection.prepare_cached(sql)?;
    let moved = statement.query_map([at_us], |row| {
        Ok([
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        ])
    })?;
    moved.collect()
}
