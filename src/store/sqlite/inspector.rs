//! The books from outside: read only, of a gateway that runs, or of a copy.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::conditions::Conditions;
use super::odd::odd;
use super::{FILE, OpenError, audit, cases, entries, heads, migrate, reader, rows};
use crate::domain::books::Account;
use crate::domain::ids::{GenerationId, OrganizationId, RequestId};
use crate::domain::money::{Credits, UsdCost};
use crate::ports::{
    AuditProgress, Chain, Day, Extent, Head, Item, KeptHeads, KnownCall, LedgerError, Paper,
    PictureCheck, Stand,
};

/// A look at a database that changes nothing, and blocks nobody.
#[derive(Debug)]
pub struct Inspector {
    connection: Connection,
    /// Where the pictures are; nobody knows it of a copy.
    data_dir: Option<PathBuf>,
}

impl Inspector {
    /// Opens the database of a data folder.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn of_folder(data_dir: &Path) -> Result<Self, OpenError> {
        let inspector = Self::of_file(&data_dir.join(FILE))?;
        Ok(Self {
            data_dir: Some(data_dir.to_owned()),
            ..inspector
        })
    }

    /// Opens a database file.
    ///
    /// # Errors
    /// [`OpenError`]; a file that is not there is not made.
    pub fn of_file(file: &Path) -> Result<Self, OpenError> {
        let connection = reader(file)?;
        migrate::check(&connection)?;
        // All questions are asked of the same moment.
        connection.execute_batch("BEGIN")?;
        Ok(Self {
            connection,
            data_dir: None,
        })
    }

    /// How much there is to look at.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    pub fn extent(&self) -> Result<Extent, LedgerError> {
        let sql = "
          SELECT (SELECT count(*) FROM organization), (SELECT count(*) FROM ledger), (SELECT count(*) FROM generation),
                 coalesce(sum(posted_cc), 0), coalesce(sum(held_cc), 0), coalesce(sum(debt_cc), 0),
                 (SELECT count(*) FROM generation_state WHERE state = 'settled'),
                 (SELECT count(*) FROM image i WHERE NOT EXISTS (SELECT 1 FROM expiry e WHERE e.generation = i.generation))
            FROM balance";
        Ok(self.connection.query_row(sql, [], |row| {
            let count = |column| {
                row.get::<_, i64>(column)
                    .map(|n| u64::try_from(n).unwrap_or(0))
            };
            Ok(Extent {
                organizations: count(0)?,
                entries: count(1)?,
                generations: count(2)?,
                settled: count(6)?,
                pictures: count(7)?,
                accounts: Account {
                    posted: Credits::from_hundredths(row.get(3)?),
                    held: Credits::from_hundredths(row.get(4)?),
                    debt: Credits::from_hundredths(row.get(5)?),
                },
            })
        })?)
    }

    /// Asks every question of an audit, and tells each answer as soon as it is there. Of a data
    /// folder its pictures are looked at as well, and it is now; a copy is as late as it knows.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    pub fn audit(
        &self,
        check: PictureCheck,
        mut tell: impl FnMut(AuditProgress),
    ) -> Result<(), LedgerError> {
        let now_us = match &self.data_dir {
            Some(_) => rows::micros(crate::clock::now()),
            None => audit::last_instant(&self.connection)?,
        };
        let mut look = audit::Look {
            connection: &self.connection,
            now_us,
            pictures: self.data_dir.as_deref().map(|folder| (folder, check)),
            tell: &mut tell,
        };
        Ok(audit::report(&mut look)?)
    }

    /// The heads of every organization, and of the platform, at one moment.
    ///
    /// # Errors
    /// [`LedgerError::Broken`], also if a chain is gone; the error names it and whose it is.
    pub fn heads(&self) -> Result<Vec<KeptHeads>, LedgerError> {
        heads::heads(&self.connection)
    }

    /// How a chain of an organization stands to a head of it that was kept elsewhere; without an
    /// organization, of the platform.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    pub fn stand(
        &self,
        organization: Option<&str>,
        chain: Chain,
        kept: &Head,
    ) -> Result<Stand, LedgerError> {
        Ok(heads::stand(&self.connection, organization, chain, kept)?)
    }

    /// Whether the pictures can be looked at.
    pub const fn knows_pictures(&self) -> bool {
        self.data_dir.is_some()
    }

    /// The generation of a caller's id: its newest attempt.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    pub fn find(
        &self,
        organization: &OrganizationId,
        request: &RequestId,
    ) -> Result<Option<GenerationId>, LedgerError> {
        let found = rows::by_request(&self.connection, organization, request)?;
        Ok(found.map(|found| found.draft.id))
    }

    /// Everything that is stored about one charge.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    pub fn paper(&self, id: GenerationId) -> Result<Option<Paper>, LedgerError> {
        let Some(case) = cases::case(&self.connection, id)? else {
            return Ok(None);
        };
        let mut about = Conditions::default();
        about.add(
            "organization =",
            case.generation.draft.organization.to_string(),
        );
        about.add("generation =", id.uuid().into_bytes());
        let mut entries = entries::page(&self.connection, &about, 100)?;
        entries.reverse();
        let key = id.uuid().into_bytes();
        let sum = |sql: &str| -> Result<Option<i64>, rusqlite::Error> {
            let found = self
                .connection
                .query_row(sql, params![key], |row| row.get(0));
            Ok(found.optional()?.flatten())
        };
        let disputed = sum("SELECT disputed_pd FROM generation_state WHERE generation = ?1")?;
        let absorbed = sum("SELECT sum(cost_pd) FROM absorption WHERE generation = ?1")?;
        let above = sum(
            "SELECT sum(cost_pd) FROM absorption WHERE generation = ?1 AND why = 'above_charge'",
        )?;
        let corrected = sum("SELECT cost_pd FROM correction WHERE generation = ?1")?;
        let refund = sum("SELECT refund_cc FROM correction WHERE generation = ?1")?;
        Ok(Some(Paper {
            case,
            entries,
            disputed: disputed.and_then(UsdCost::from_pico),
            absorbed: absorbed
                .and_then(UsdCost::from_pico)
                .unwrap_or(UsdCost::ZERO),
            above_charge: above.and_then(UsdCost::from_pico).unwrap_or(UsdCost::ZERO),
            corrected: corrected
                .and_then(UsdCost::from_pico)
                .zip(refund.map(Credits::from_hundredths)),
        }))
    }

    /// What we know that upstream has billed with this key, by day, newest day first.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    pub fn days(&self, upstream_key: &str) -> Result<Vec<Day>, LedgerError> {
        let sql = "
          SELECT date(at_us / 1000000, 'unixepoch'), sum(charged), sum(absorbed) FROM (
            SELECT s.finished_us AS at_us, g.upstream_key, coalesce(c.cost_pd, s.cost_pd) AS charged, 0 AS absorbed
              FROM generation_state s JOIN generation g ON g.id = s.generation
              LEFT JOIN correction c ON c.generation = s.generation WHERE s.state = 'settled'
            UNION ALL
            SELECT a.at_us, g.upstream_key, 0, a.cost_pd FROM absorption a JOIN generation g ON g.id = a.generation)
           WHERE upstream_key = ?1 GROUP BY 1 ORDER BY 1 DESC";
        let mut statement = self.connection.prepare(sql)?;
        let days = statement.query_map([upstream_key], |row| {
            Ok(Day {
                day: row.get(0)?,
                charged: cost(row, 1)?,
                absorbed: cost(row, 2)?,
            })
        })?;
        Ok(days.collect::<Result<_, _>>()?)
    }

    /// Everything by which our sums of this key may differ from upstream's, newest first; at most
    /// `limit`.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    pub fn items(&self, upstream_key: &str, limit: u32) -> Result<Vec<Item>, LedgerError> {
        let sql = "
          SELECT id, created_us, booked, why, max(claimed, booked) FROM (
          SELECT g.id, g.created_us,
                 coalesce(k.cost_pd, s.cost_pd, 0) + (SELECT coalesce(sum(a.cost_pd), 0) FROM absorption a
                   WHERE a.generation = g.id AND a.why = 'above_charge') AS booked,
                 CASE WHEN s.disputed_pd IS NOT NULL THEN 'disputed'
                      WHEN s.state IN ('in_doubt', 'review', 'stored') THEN 'open'
                      WHEN EXISTS (SELECT 1 FROM question q WHERE q.generation = g.id AND q.answer IS NULL) THEN 'asked'
                      WHEN EXISTS (SELECT 1 FROM question q WHERE q.generation = g.id AND q.answer <> 'told') THEN 'given_up'
                      WHEN s.cost_source IN ('computed', 'estimate') THEN 'computed'
                      WHEN EXISTS (SELECT 1 FROM disagreement d WHERE d.generation = g.id) THEN 'disagreed'
                      ELSE 'unnamed' END AS why,
                 -- A hundredth of a credit is five millionths of a dollar.
                 max(h.amount_cc * 5000000, coalesce(s.disputed_pd, 0), coalesce(s.cost_pd, 0)) AS claimed
            FROM generation g JOIN generation_state s ON s.generation = g.id JOIN hold h ON h.generation = g.id
            LEFT JOIN correction k ON k.generation = g.id
           WHERE g.upstream_key = ?1 AND (s.disputed_pd IS NOT NULL OR s.state IN ('in_doubt', 'review', 'stored')
              OR s.cost_source IN ('computed', 'estimate')
              OR EXISTS (SELECT 1 FROM disagreement d WHERE d.generation = g.id)
              OR EXISTS (SELECT 1 FROM question q WHERE q.generation = g.id AND q.answer IS NOT 'told')
              OR (s.state = 'voided' AND EXISTS (SELECT 1 FROM generation_event e WHERE e.generation = g.id AND e.to_state = 'in_doubt')
                  AND (SELECT count(*) FROM upstream_call u WHERE u.generation = g.id) < g.requested)
              -- Some pictures came, and then the process died: of the other calls nobody may know.
              OR (s.state = 'settled' AND s.delivered < g.requested
                  AND (SELECT count(*) FROM (SELECT call FROM upstream_call u WHERE u.generation = g.id
                                             UNION SELECT call FROM call_receipt r WHERE r.generation = g.id)) < g.requested
                  AND NOT EXISTS (SELECT 1 FROM call_receipt r WHERE r.generation = g.id AND json_array_length(r.images) > 1)))
           ORDER BY g.id DESC LIMIT ?2)";
        let mut statement = self.connection.prepare(sql)?;
        let items = statement.query_map(params![upstream_key, limit], |row| self.item(row))?;
        Ok(items.collect::<Result<_, _>>()?)
    }

    fn item(&self, row: &Row<'_>) -> Result<Item, rusqlite::Error> {
        let id = GenerationId::from_uuid(rows::uuid(row, 0)?);
        let why: String = row.get(3)?;
        let found = rows::by_id(&self.connection, id)?;
        Ok(Item {
            generation: id,
            created: rows::time(row.get(1)?),
            why: match why.as_str() {
                "disputed" => "upstream's claim was not believed; the hold was charged",
                "open" => "not ended yet",
                "asked" => "OpenRouter is still asked what it cost",
                "given_up" => "OpenRouter never told what it cost",
                "disagreed" => "OpenRouter's records say another cost than its answer did",
                "computed" => "charged by the pinned prices, because nobody told the cost",
                _ => "the answer broke off before OpenRouter named the call",
            },
            ours: cost(row, 2)?,
            most: cost(row, 4)?,
            upstream_ids: found.map(|found| found.upstream_ids).unwrap_or_default(),
        })
    }

    /// Every call with this key that our books have a cost of, one after the other, until `tell` has
    /// heard enough.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    pub fn calls(
        &self,
        upstream_key: &str,
        mut tell: impl FnMut(KnownCall) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        let sql = "
          SELECT u.generation, coalesce(d.cost_pd, r.cost_pd, q.cost_pd) AS cost, u.upstream_id FROM upstream_call u
            JOIN generation g ON g.id = u.generation AND g.upstream_key = ?1
            LEFT JOIN call_receipt r ON r.generation = u.generation AND r.call = u.call
            LEFT JOIN question q ON q.generation = u.generation AND q.call = u.call
            LEFT JOIN disagreement d ON d.generation = u.generation AND d.call = u.call
           WHERE cost > 0

           UNION ALL
          SELECT q.generation, q.cost_pd, q.upstream_id FROM question q
            JOIN generation g ON g.id = q.generation AND g.upstream_key = ?1
           WHERE q.cost_pd > 0 AND NOT EXISTS
             (SELECT 1 FROM upstream_call u WHERE u.generation = q.generation AND u.call = q.call)";
        let mut statement = self.connection.prepare(sql)?;
        let mut found = statement.query([upstream_key])?;
        while let Some(row) = found.next()? {
            let call = KnownCall {
                generation: GenerationId::from_uuid(rows::uuid(row, 0)?),
                cost: Some(cost(row, 1)?),
                upstream_id: row.get(2)?,
            };
            if tell(call).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// A call by upstream's id. One that was refused is known only by its generation, which upstream's
    /// bill names beside it.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    pub fn call(
        &self,
        upstream_id: &str,
        generation: Option<GenerationId>,
    ) -> Result<Option<KnownCall>, LedgerError> {
        let sql = "
          SELECT * FROM (
            SELECT u.generation, coalesce(d.cost_pd, r.cost_pd, q.cost_pd) AS cost FROM upstream_call u
              LEFT JOIN call_receipt r ON r.generation = u.generation AND r.call = u.call
              LEFT JOIN question q ON q.generation = u.generation AND q.call = u.call
              LEFT JOIN disagreement d ON d.generation = u.generation AND d.call = u.call
             WHERE u.upstream_id = ?1
            UNION ALL SELECT generation, cost_pd FROM call_receipt WHERE generation = ?2 AND upstream_id = ?1
            UNION ALL SELECT generation, cost_pd FROM question WHERE generation = ?2 AND upstream_id = ?1)
           ORDER BY cost IS NULL LIMIT 1";
        let generation = generation.map(|id| id.uuid().into_bytes());
        let asked = params![upstream_id, generation];
        let found = self.connection.query_row(sql, asked, |row| {
            let pico: Option<i64> = row.get(1)?;
            Ok(KnownCall {
                upstream_id: upstream_id.to_owned(),
                generation: GenerationId::from_uuid(rows::uuid(row, 0)?),
                cost: pico.and_then(UsdCost::from_pico),
            })
        });
        Ok(found.optional()?)
    }
}

fn cost(row: &Row<'_>, column: usize) -> Result<UsdCost, rusqlite::Error> {
    let pico: i64 = row.get(column)?;
    UsdCost::from_pico(pico).ok_or_else(|| odd("a cost"))
}
