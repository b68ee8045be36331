//! The heads of the chains, and whether the books still have those that were kept elsewhere.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::odd::odd;
use super::trail;
use super::trail::PLATFORM;
use crate::ports::{Chain, Head, Heads, KeptHeads, LedgerError, PlatformHead, Stand};

/// A chain that must be there, and is not: heads without it would prove nothing of whose it is.
#[derive(Debug, thiserror::Error)]
#[error("there is no {} of {whose}", chain.as_str())]
struct Gone {
    whose: String,
    chain: Chain,
}

/// The head of the platform, and those of every organization in the order of their names.
pub(super) fn heads(connection: &Connection) -> Result<Vec<KeptHeads>, LedgerError> {
    let sql = "
      SELECT o.id, l.seq, lower(hex(l.hash)), a.seq, lower(hex(a.hash)) FROM organization o
        LEFT JOIN ledger l ON l.organization = o.id
         AND l.seq = (SELECT max(seq) FROM ledger WHERE organization = o.id)
        LEFT JOIN audit_entry a ON a.trail = o.id
         AND a.seq = (SELECT max(seq) FROM audit_entry WHERE trail = o.id)
       ORDER BY o.id";
    let mut statement = connection.prepare(sql)?;
    let mut found = statement.query([])?;
    let mut heads = Vec::new();
    while let Some(row) = found.next()? {
        let organization: String = row.get(0)?;
        for (column, chain) in [(1, Chain::Ledger), (3, Chain::Trail)] {
            if row.get::<_, Option<i64>>(column)?.is_none() {
                return Err(gone(&organization, chain));
            }
        }
        heads.push(KeptHeads::Organization(Heads {
            organization,
            ledger: head(row, 1)?,
            trail: head(row, 3)?,
        }));
    }
    let platform = platform(connection)?.map(KeptHeads::Platform);
    // Who makes an organization is told in the platform's trail.
    if platform.is_none() && !heads.is_empty() {
        return Err(gone(trail::name(PLATFORM), Chain::Trail));
    }
    Ok(platform.into_iter().chain(heads).collect())
}

fn gone(whose: &str, chain: Chain) -> LedgerError {
    let whose = whose.to_owned();
    LedgerError::Broken(Box::new(Gone { whose, chain }))
}

/// The head of the platform's audit trail; nothing if nothing was ever done for all.
fn platform(connection: &Connection) -> Result<Option<PlatformHead>, rusqlite::Error> {
    let sql = "
      SELECT seq, lower(hex(hash)) FROM audit_entry WHERE trail = ?1 ORDER BY seq DESC LIMIT 1";
    let mut statement = connection.prepare(sql)?;
    let found = statement.query_row([PLATFORM], |row| {
        Ok(PlatformHead {
            platform_trail: head(row, 0)?,
        })
    });
    found.optional()
}

fn head(row: &Row<'_>, column: usize) -> Result<Head, rusqlite::Error> {
    let sequence: i64 = row.get(column)?;
    Ok(Head {
        sequence: u64::try_from(sequence).map_err(|_| odd("seq"))?,
        hash: row.get(column + 1)?,
    })
}

/// How a chain of an organization stands to a head of it; without one, of the platform.
pub(super) fn stand(
    connection: &Connection,
    organization: Option<&str>,
    chain: Chain,
    kept: &Head,
) -> Result<Stand, rusqlite::Error> {
    let (at, last) = match chain {
        Chain::Ledger => (
            "SELECT lower(hex(hash)) FROM ledger WHERE organization = ?1 AND seq = ?2",
            "SELECT max(seq) FROM ledger WHERE organization = ?1",
        ),
        Chain::Trail => (
            "SELECT lower(hex(hash)) FROM audit_entry WHERE trail = ?1 AND seq = ?2",
            "SELECT max(seq) FROM audit_entry WHERE trail = ?1",
        ),
    };
    let organization = organization.unwrap_or(PLATFORM);
    // A place beyond what the books can hold is one that is not there.
    let place = i64::try_from(kept.sequence).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(at)?;
    let found = statement.query_row(params![organization, place], |row| row.get(0));
    let found: Option<String> = found.optional()?;
    match found {
        Some(hash) if hash == kept.hash => Ok(Stand::Kept),
        Some(_) => Ok(Stand::Differs),
        None => {
            let mut statement = connection.prepare_cached(last)?;
            let last: Option<i64> = statement.query_row([organization], |row| row.get(0))?;
            Ok(Stand::Ends {
                last: last.and_then(|last| u64::try_from(last).ok()),
            })
        }
    }
}
