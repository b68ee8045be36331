//! Is every step one that the rules know?

use super::{Breaks, Look};
use crate::domain::books::Stage;

/// I14: the table of steps is the rules', and nobody took another.
pub(super) fn legal(look: &mut Look<'_>, breaks: &mut Breaks) -> Result<(), rusqlite::Error> {
    let mut known = 0u64;
    let mut statement = look
        .connection
        .prepare("SELECT from_state, to_state FROM transition")?;
    let mut steps = statement.query([])?;
    while let Some(row) = steps.next()? {
        let (from, to): (String, String) = (row.get(0)?, row.get(1)?);
        known += u64::from(is_legal(&from, &to));
        if !is_legal(&from, &to) {
            breaks.add(|| format!("the table of steps allows {from} -> {to}, the rules do not"));
        }
    }
    let pairs = Stage::ALL
        .iter()
        .flat_map(|from| Stage::ALL.iter().map(move |to| from.may_become(*to)));
    // And the first of all.
    let rules = 1 + pairs.map(u64::from).sum::<u64>();
    if known != rules {
        breaks.add(|| format!("the table of steps has {known} of the {rules} of the rules"));
    }
    let sql = "SELECT from_state, to_state, count(*), hex(min(generation)) FROM generation_event GROUP BY 1, 2";
    let mut statement = look.connection.prepare(sql)?;
    let mut taken = statement.query([])?;
    while let Some(row) = taken.next()? {
        let (from, to): (String, String) = (row.get(0)?, row.get(1)?);
        if !is_legal(&from, &to) {
            let (count, first): (i64, String) = (row.get(2)?, row.get(3)?);
            breaks.add(|| {
                format!("a step that is none, {from} -> {to}, {count} times, first of: {first}")
            });
        }
    }
    Ok(())
}

fn is_legal(from: &str, to: &str) -> bool {
    match (Stage::parse(from), Stage::parse(to)) {
        (None, Some(Stage::Held)) => from == "none",
        (Some(from), Some(to)) => from.may_become(to),
        _ => false,
    }
}
