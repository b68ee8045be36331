//! Is a charge what the formula gives, and the formula fed with what the calls have cost?

use rusqlite::Row;

use super::{Breaks, Look};
use crate::domain::delivery::{Recounted, due, recount};
use crate::domain::generation::KeyMode;
use crate::domain::ids::GenerationId;
use crate::domain::money::UsdCost;
use crate::store::sqlite::odd::odd;
use crate::store::sqlite::{cases, rows};

/// Of every key and day: what the calls of the generations that ended then have cost, and what of it
/// is charged or absorbed. Left out is what nobody can know, and what [`recomputed`] or `reconcile`
/// looks at: costs that were never told, or not believed, or are still asked for.
pub(super) const DAYS: &str = "
  WITH told AS (
    SELECT s.generation, s.state, s.finished_us, g.upstream_key, s.charged_images,
           (SELECT coalesce(sum(coalesce(d.cost_pd, r.cost_pd, q.cost_pd, 0)), 0)
              FROM (SELECT call FROM call_receipt WHERE generation = s.generation
                    UNION SELECT call FROM question WHERE generation = s.generation) c
              LEFT JOIN call_receipt r ON r.generation = s.generation AND r.call = c.call
              LEFT JOIN question q ON q.generation = s.generation AND q.call = c.call
              LEFT JOIN disagreement d ON d.generation = s.generation AND d.call = c.call) AS calls,
           CASE s.state WHEN 'settled' THEN coalesce(k.cost_pd, s.cost_pd) ELSE 0 END
             + (SELECT coalesce(sum(a.cost_pd), 0) FROM absorption a WHERE a.generation = s.generation) AS booked
      FROM generation_state s JOIN generation g ON g.id = s.generation
      LEFT JOIN correction k ON k.generation = s.generation
     -- What an organization's own key was billed is nothing that the platform charges or absorbs.
     WHERE s.state IN ('settled', 'voided') AND s.disputed_pd IS NULL AND g.key_mode = 'platform'
       AND NOT EXISTS (SELECT 1 FROM question q WHERE q.generation = s.generation AND q.answer IS NULL)
       AND NOT EXISTS (
         SELECT 1 FROM call_receipt r LEFT JOIN question q ON q.generation = r.generation AND q.call = r.call
          WHERE r.generation = s.generation AND coalesce(r.cost_pd, q.cost_pd) IS NULL AND NOT r.unbilled))
  SELECT upstream_key || ' ' || date(finished_us / 1000000, 'unixepoch') || ': '
         || printf('%.12f USD of calls, %.12f USD in the books', sum(calls) / 1e12, sum(booked) / 1e12)
    FROM told
    -- A cost above 5 USD a picture that was told later is not believed, and not booked.
   WHERE NOT (state = 'settled' AND calls > booked AND calls > 5000000000000 * max(charged_images, 1)
              AND (EXISTS (SELECT 1 FROM question q WHERE q.generation = told.generation AND q.answer = 'told')
                OR EXISTS (SELECT 1 FROM disagreement d WHERE d.generation = told.generation)))
   GROUP BY upstream_key, date(finished_us / 1000000, 'unixepoch') HAVING sum(calls) <> sum(booked)";

/// I12: every charge is what the formula gives, before and after its correction, for the cost that
/// its calls have told.
pub(super) fn recomputed(look: &mut Look<'_>, breaks: &mut Breaks) -> Result<(), rusqlite::Error> {
    let sql = "
      SELECT s.generation, g.key_mode, s.cost_pd, s.charged_images, s.charge_cc, c.cost_pd, c.refund_cc, s.disputed_pd,
             (SELECT sum(a.cost_pd) FROM absorption a WHERE a.generation = s.generation AND a.why = 'above_charge')
        FROM generation_state s JOIN generation g ON g.id = s.generation
        LEFT JOIN correction c ON c.generation = s.generation WHERE s.state = 'settled'";
    let mut statement = look.connection.prepare(sql)?;
    let mut settled = statement.query([])?;
    let mut passed = 0;
    while let Some(row) = settled.next()? {
        let id = GenerationId::from_uuid(rows::uuid(row, 0)?);
        let problems = formula(row).and_then(|first| Ok((first, calls(look, row, id)?)));
        match problems {
            Ok((formula, calls)) => {
                for problem in formula.into_iter().chain(calls) {
                    breaks.add(|| format!("{problem}: {id}"));
                }
            }
            Err(error) => breaks.unreadable(&format!("a charge is not whole, {id}"), error)?,
        }
        look.passed(&mut passed);
    }
    Ok(())
}

fn formula(row: &Row<'_>) -> Result<Option<String>, rusqlite::Error> {
    let key_mode = rows::word(row, 1, KeyMode::parse)?;
    let (images, charged): (u32, i64) = (row.get(3)?, row.get(4)?);
    let mut claims = vec![(charged, row.get::<_, i64>(2)?)];
    if let Some(corrected) = row.get::<_, Option<i64>>(5)? {
        claims.push((charged - row.get::<_, i64>(6)?, corrected));
    }
    for (charged, cost) in claims {
        let cost = UsdCost::from_pico(cost).ok_or_else(|| odd("cost_pd"))?;
        let due = due(key_mode, cost, images).hundredths();
        if charged != due {
            return Ok(Some(format!(
                "{charged} hundredths were charged, the formula gives {due}"
            )));
        }
    }
    Ok(None)
}

fn calls(
    look: &Look<'_>,
    row: &Row<'_>,
    id: GenerationId,
) -> Result<Option<String>, rusqlite::Error> {
    let Ok(Some(case)) = cases::case(look.connection, id) else {
        return Err(odd("a row of the generation"));
    };
    let Some(charge) = &case.generation.charge else {
        return Err(odd("generation_state.charge_cc"));
    };
    let cost = |column: usize| -> Result<Option<UsdCost>, rusqlite::Error> {
        Ok(row
            .get::<_, Option<i64>>(column)?
            .and_then(UsdCost::from_pico))
    };
    let recounted = Recounted {
        charged: cost(5)?.unwrap_or(charge.cost),
        disputed: cost(7)?,
        above: cost(8)?.unwrap_or(UsdCost::ZERO),
    };
    let generation = &case.generation;
    let told = recount(&generation.draft, &generation.images, &case.calls);
    Ok(told
        .and_then(|told| recounted.contradicted_by(&told))
        .map(|told| format!("the calls cost {told} USD, that is not what was charged")))
}
