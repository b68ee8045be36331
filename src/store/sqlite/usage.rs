//! What was consumed: sums over what the ledger and the ends of generations say, never over what
//! could change later.

use rusqlite::{Connection, Row, params_from_iter};
use rust_decimal::Decimal;

use super::conditions::Conditions;
use super::odd::odd;
use crate::domain::ids::OrganizationId;
use crate::domain::money::Credits;
use crate::ports::{GROUPS_MAX, Usage, UsageBy, UsageQuery, UsageRow};

/// Pico-dollars of a thousandth of a dollar: costs are summed in two parts, because a sum in
/// pico-dollars leaves SQLite's integers at nine million.
const MILLI: i64 = 1_000_000_000;

/// Something that counts, each with its time. The period is asked of each source by itself, so that
/// its index is used.
struct Source {
    /// Generations, images, credits, cost of the platform, cost of the organization itself and failures
    /// of a row.
    values: &'static str,
    from: &'static str,
    organization: &'static str,
    at: &'static str,
}

/// Everything that counts: credits by the rows of the ledger; images, cost and failures by the end;
/// a cost that was corrected by the correction.
const SOURCES: [Source; 3] = [
    Source {
        values: "0 AS generations, 0 AS images,
                 CASE l.kind WHEN 'refund' THEN -l.amount_cc ELSE l.amount_cc END AS credits,
                 0 AS cost, 0 AS own_cost, 0 AS failed",
        from: "ledger l JOIN generation g ON g.id = l.generation AND l.generation IS NOT NULL",
        organization: "l.organization",
        at: "l.at_us",
    },
    Source {
        values: "s.state = 'settled', iif(s.state = 'settled', s.delivered, 0), 0,
                 iif(s.state = 'settled' AND g.key_mode = 'platform', s.cost_pd, 0),
                 iif(s.state = 'settled' AND g.key_mode = 'organization', s.cost_pd, 0), s.state = 'voided'",
        from: "generation_state s JOIN generation g ON g.id = s.generation AND s.finished_us IS NOT NULL",
        organization: "s.organization",
        at: "s.finished_us",
    },
    // Corrections are few: they come first, whatever the planner thinks.
    Source {
        values: "0, 0, 0, iif(g.key_mode = 'platform', c.cost_pd - s.cost_pd, 0),
                 iif(g.key_mode = 'organization', c.cost_pd - s.cost_pd, 0), 0",
        from: "correction c CROSS JOIN generation_state s ON s.generation = c.generation
               CROSS JOIN generation g ON g.id = c.generation",
        organization: "s.organization",
        at: "c.at_us",
    },
];

/// The sums that a query asks for.
pub(super) fn usage(
    connection: &Connection,
    organization: &OrganizationId,
    query: &UsageQuery,
) -> Result<Usage, rusqlite::Error> {
    let conditions = conditions(organization, query);
    let sql = sql(query.by, &conditions);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query_map(params_from_iter(conditions.values()), row)?;
    // The total comes first: a sum over nothing is a row too.
    let total = found.next().ok_or_else(|| odd("a sum"))??;
    let mut rows: Vec<UsageRow> = found.collect::<Result<_, _>>()?;
    let other = (rows.len() > GROUPS_MAX).then(|| {
        rows.truncate(GROUPS_MAX);
        rest(&total, &rows)
    });
    if query.by == UsageBy::Day {
        rows.reverse();
    }
    Ok(Usage { rows, other, total })
}

/// The total, then the groups, and one more than is told.
pub(super) fn sql(by: UsageBy, conditions: &Conditions) -> String {
    let matching = conditions.sql();
    let source = |source: &Source| {
        format!(
            "SELECT {} AS key, {} FROM {} WHERE {}",
            key(by).replace(AT, source.at),
            source.values,
            source.from,
            matching
                .replace(ORGANIZATION, source.organization)
                .replace(AT, source.at),
        )
    };
    let events = SOURCES.each_ref().map(source).join(" UNION ALL ");
    let order = match by {
        UsageBy::Day => "key DESC",
        UsageBy::Agent | UsageBy::Model | UsageBy::Channel | UsageBy::User => "credits DESC, key",
    };
    format!(
        "WITH sums AS MATERIALIZED (
           SELECT key, sum(generations) AS generations, sum(images) AS images, sum(credits) AS credits,
                  sum(cost / {MILLI}) AS milli, sum(cost % {MILLI}) AS pico,
                  sum(own_cost / {MILLI}) AS own_milli, sum(own_cost % {MILLI}) AS own_pico, sum(failed) AS failed
             FROM ({events}) GROUP BY key)
         SELECT '', coalesce(sum(generations), 0), coalesce(sum(images), 0), coalesce(sum(credits), 0),
                coalesce(sum(milli), 0), coalesce(sum(pico), 0), coalesce(sum(own_milli), 0),
                coalesce(sum(own_pico), 0), coalesce(sum(failed), 0) FROM sums
         UNION ALL
         SELECT * FROM (SELECT * FROM sums ORDER BY {order} LIMIT {})",
        GROUPS_MAX + 1
    )
}

/// Stands for the column with the organization of a source.
const ORGANIZATION: &str = "$organization";

/// Stands for the column with the time of a source.
const AT: &str = "$at";

pub(super) fn conditions(organization: &OrganizationId, query: &UsageQuery) -> Conditions {
    let mut all = Conditions::default();
    all.add(&format!("{ORGANIZATION} ="), organization.to_string());
    all.add_period(AT, query.period);
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
    if let Some(key_mode) = query.key_mode {
        all.add("g.key_mode =", key_mode.as_str());
    }
    all
}

fn key(by: UsageBy) -> String {
    match by {
        UsageBy::Day => format!("date({AT} / 1000000, 'unixepoch')"),
        UsageBy::Agent => "g.agent".to_owned(),
        UsageBy::Model => "g.model".to_owned(),
        UsageBy::Channel => "g.channel".to_owned(),
        UsageBy::User => "g.user".to_owned(),
    }
}

fn row(row: &Row<'_>) -> Result<UsageRow, rusqlite::Error> {
    let count = |column| {
        let count: i64 = row.get(column)?;
        u64::try_from(count).map_err(|_| odd("a count"))
    };
    let usd = |column| {
        let (milli, pico): (i64, i64) = (row.get(column)?, row.get(column + 1)?);
        let pico = i128::from(milli) * i128::from(MILLI) + i128::from(pico);
        let usd = Decimal::try_from_i128_with_scale(pico, 12).map_err(|_| odd("cost_pd"))?;
        Ok::<_, rusqlite::Error>(usd.normalize())
    };
    Ok(UsageRow {
        key: row.get(0)?,
        generations: count(1)?,
        images: count(2)?,
        credits: Credits::from_hundredths(row.get(3)?),
        usd_cost: usd(4)?,
        own_usd_cost: usd(6)?,
        failed: count(8)?,
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
        rest.own_usd_cost = rest.own_usd_cost.saturating_sub(row.own_usd_cost);
        rest.failed = rest.failed.saturating_sub(row.failed);
    }
    rest.usd_cost = rest.usd_cost.normalize();
    rest.own_usd_cost = rest.own_usd_cost.normalize();
    rest
}
