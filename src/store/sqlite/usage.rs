//! What was consumed: sums over what the ledger and the ends of generations say, never over what
//! could change later.

use rusqlite::{Connection, Row, params_from_iter};
use rust_decimal::Decimal;

use super::records::Conditions;
use super::rows::odd;
use crate::domain::ids::OrganizationId;
use crate::domain::money::Credits;
use crate::ports::{GROUPS_MAX, Usage, UsageBy, UsageQuery, UsageRow};

/// Everything that counts, each with its time: credits by the rows of the ledger; images and cost
/// by the charge; a cost that was corrected by the correction; failures by their end.
const EVENTS: &str = "
  SELECT generation, at_us, CASE kind WHEN 'refund' THEN -amount_cc ELSE amount_cc END AS credits,
         0 AS generations, 0 AS images, 0 AS cost, 0 AS failed
    FROM ledger WHERE organization = ?1 AND generation IS NOT NULL
  UNION ALL
  SELECT generation, finished_us, 0, 1, delivered, cost_pd, 0
    FROM generation_state WHERE organization = ?1 AND state = 'settled'
  UNION ALL
  SELECT c.generation, c.at_us, 0, 0, 0, c.cost_pd - s.cost_pd, 0
    FROM correction c JOIN generation_state s ON s.generation = c.generation WHERE s.organization = ?1
  UNION ALL
  SELECT generation, finished_us, 0, 0, 0, 0, 1
    FROM generation_state WHERE organization = ?1 AND state = 'voided'";

/// The sums of a row, in its order.
const SUMS: &str = "
  coalesce(sum(e.generations), 0), coalesce(sum(e.images), 0), coalesce(sum(e.credits), 0),
  coalesce(sum(e.cost), 0), coalesce(sum(e.failed), 0)";

/// The sums that a query asks for.
pub(super) fn usage(
    connection: &Connection,
    organization: &OrganizationId,
    query: &UsageQuery,
) -> Result<Usage, rusqlite::Error> {
    let conditions = conditions(organization, query);
    let events = format!("({EVENTS}) e JOIN generation g ON g.id = e.generation");
    let matching = conditions.sql();
    let sql = format!("SELECT '', {SUMS} FROM {events} WHERE {matching}");
    let values = || params_from_iter(conditions.values());
    let total = connection.prepare_cached(&sql)?.query_row(values(), row)?;
    let key = key(query.by);
    let order = match query.by {
        UsageBy::Day => "1",
        UsageBy::Agent | UsageBy::Model | UsageBy::Channel | UsageBy::User => "4 DESC, 1",
    };
    let sql = format!(
        "SELECT {key}, {SUMS} FROM {events} WHERE {matching} GROUP BY 1 ORDER BY {order} LIMIT {}",
        GROUPS_MAX + 1
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(values(), row)?;
    let mut rows: Vec<UsageRow> = rows.collect::<Result<_, _>>()?;
    let other = (rows.len() > GROUPS_MAX).then(|| {
        rows.truncate(GROUPS_MAX);
        rest(&total, &rows)
    });
    Ok(Usage { rows, other, total })
}

fn conditions(organization: &OrganizationId, query: &UsageQuery) -> Conditions {
    let mut all = Conditions::default();
    // The first: `EVENTS` names it too.
    all.add("g.organization =", organization.to_string());
    all.add_period("e.at_us", query.period);
    if let Some(agent) = &query.agent {
        all.add("g.agent =", agent.to_string());
    }
    if let Some(model) = &query.model {
        all.add("g.model =", model.to_string());
    }
    if let Some(channel) = query.channel {
        all.add("g.channel =", channel.as_str());
    }
    if let Some(user) = &query.user {
        all.add("g.user =", user.clone());
    }
    all
}

const fn key(by: UsageBy) -> &'static str {
    match by {
        UsageBy::Day => "date(e.at_us / 1000000, 'unixepoch')",
        UsageBy::Agent => "g.agent",
        UsageBy::Model => "g.model",
        UsageBy::Channel => "g.channel",
        UsageBy::User => "g.user",
    }
}

fn row(row: &Row<'_>) -> Result<UsageRow, rusqlite::Error> {
    let count = |column| {
        let count: i64 = row.get(column)?;
        u64::try_from(count).map_err(|_| odd("a count"))
    };
    let pico: i64 = row.get(4)?;
    Ok(UsageRow {
        key: row.get(0)?,
        generations: count(1)?,
        images: count(2)?,
        credits: Credits::from_hundredths(row.get(3)?),
        usd_cost: Decimal::from_i128_with_scale(pico.into(), 12).normalize(),
        failed: count(5)?,
    })
}

/// What the total has beyond the rows.
fn rest(total: &UsageRow, rows: &[UsageRow]) -> UsageRow {
    let mut rest = total.clone();
    for row in rows {
        rest.generations = rest.generations.saturating_sub(row.generations);
        rest.images = rest.images.saturating_sub(row.images);
        let credits = rest.credits.hundredths() - row.credits.hundredths();
        rest.credits = Credits::from_hundredths(credits);
        rest.usd_cost = rest.usd_cost.saturating_sub(row.usd_cost);
        rest.failed = rest.failed.saturating_sub(row.failed);
    }
    rest
}
