//! Rows of the ledger: a chain of hashes over a chain of balances.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use uuid::Uuid;

use super::chain::{LEDGER, hash};
use super::conditions::Conditions;
use super::odd::odd;
use super::rows::{self, account, micros, time};
use super::{deeds, trail};
use crate::domain::books::{Account, EntryKind, Posting};
use crate::domain::ids::{EntryId, GenerationId, OrganizationId, Reference};
use crate::domain::money::Credits;
use crate::domain::trail::By;
use crate::ports::{LedgerEntry, LedgerError, Purchase, Purchased};

/// What rows are about.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) generation: Option<GenerationId>,
    pub(super) reference: Option<(EntryId, &'a Reference)>,
    pub(super) description: &'a str,
    pub(super) now: Timestamp,
}

/// The last row of an organization's ledger.
struct Head {
    seq: i64,
    hash: [u8; 32],
    at_us: i64,
}

/// The opening row of a new organization, and its balance.
pub(super) fn genesis(
    connection: &Connection,
    organization: &OrganizationId,
    now: Timestamp,
) -> Result<(), rusqlite::Error> {
    let at = micros(now).to_string();
    let hash = hash(
        LEDGER,
        &[0; 32],
        &[organization.as_str(), "0", "genesis", &at],
    );
    connection.execute(
        "INSERT INTO ledger (organization, seq, kind, amount_cc, description, at_us, posted_after_cc, debt_after_cc, hash)
         VALUES (?1, 0, 'genesis', 0, '', ?2, 0, 0, ?3)",
        params![organization.as_str(), micros(now), hash.as_slice()],
    )?;
    connection.execute(
        "INSERT INTO balance VALUES (?1, 0, 0, 0, 0, ?2)",
        params![organization.as_str(), hash.as_slice()],
    )?;
    Ok(())
}

/// Books postings one after the other and moves the balance to the last of them. `opening` is the
/// account as the ledger has it, `released` the same with the ended hold given back.
pub(super) fn book(
    connection: &Connection,
    organization: &OrganizationId,
    (opening, released): (Account, Account),
    postings: &[Posting],
    about: &About<'_>,
) -> Result<Account, LedgerError> {
    let mut head = head(connection, organization)?;
    let mut before = opening;
    for posting in postings {
        head = append(connection, organization, &head, (before, posting), about)?;
        before = posting.after;
    }
    let after = postings.last().map_or(released, |posting| posting.after);
    let sql = "
      UPDATE balance SET posted_cc = ?2, held_cc = ?3, debt_cc = ?4, seq = ?5, head = ?6 WHERE organization = ?1";
    connection.prepare_cached(sql)?.execute(params![
        organization.as_str(),
        after.posted.hundredths(),
        after.held.hundredths(),
        after.debt.hundredths(),
        head.seq,
        head.hash.as_slice(),
    ])?;
    Ok(after)
}

/// When a row that is booked now is dated: a clock that is set back does not take the ledger with it
/// (`reliability.md` row 75).
pub(super) fn instant(
    connection: &Connection,
    organization: &OrganizationId,
    now: Timestamp,
) -> Result<Timestamp, LedgerError> {
    let head = head(connection, organization)?;
    Ok(now.max(time(head.at_us)))
}

/// Books a top-up once per reference.
pub(super) fn purchase(
    connection: &Connection,
    purchase: &Purchase,
) -> Result<Purchased, LedgerError> {
    let organization = &purchase.organization;
    let opening = account(connection, organization)?.ok_or(LedgerError::OrganizationNotFound)?;
    if let Some(entry) = by_reference(connection, organization, &purchase.reference)? {
        if entry.credits != purchase.credits {
            return Err(LedgerError::ReferenceConflict);
        }
        return Ok(Purchased {
            entry,
            replayed: true,
        });
    }
    let postings = opening
        .purchase(purchase.credits)
        .map_err(|_| LedgerError::OutOfRange)?;
    let about = About {
        generation: None,
        reference: Some((purchase.id, &purchase.reference)),
        description: &purchase.description,
        now: purchase.now,
    };
    book(
        connection,
        organization,
        (opening, opening),
        &postings,
        &about,
    )?;
    let by = By {
        actor: purchase.actor.clone(),
        at: purchase.now,
    };
    trail::append(
        connection,
        organization,
        &by,
        &deeds::credits_added(purchase),
    )?;
    let entry = by_reference(connection, organization, &purchase.reference)?;
    Ok(Purchased {
        entry: entry.ok_or(LedgerError::OutOfRange)?,
        replayed: false,
    })
}

fn head(connection: &Connection, organization: &OrganizationId) -> Result<Head, LedgerError> {
    let sql = "
      SELECT b.seq, b.head, l.at_us FROM balance b
        JOIN ledger l ON l.organization = b.organization AND l.seq = b.seq
       WHERE b.organization = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row([organization.as_str()], |row| {
        Ok(Head {
            seq: row.get(0)?,
            hash: row.get(1)?,
            at_us: row.get(2)?,
        })
    });
    row.optional()?.ok_or(LedgerError::OrganizationNotFound)
}

fn append(
    connection: &Connection,
    organization: &OrganizationId,
    head: &Head,
    (before, posting): (Account, &Posting),
    about: &About<'_>,
) -> Result<Head, LedgerError> {
    let (debit, credit) = posting.sides();
    // The row of a top-up has the id its caller chose; all others get one here.
    let named = about
        .reference
        .filter(|_| posting.kind == EntryKind::Purchase);
    let id = named.map_or_else(Uuid::now_v7, |(id, _)| id.uuid());
    let reference = named.map(|(_, reference)| reference.as_str());
    // Debt is the organization's, not one generation's.
    let about = &About {
        generation: about
            .generation
            .filter(|_| posting.kind != EntryKind::DebtRepaid),
        ..*about
    };
    let seq = head.seq + 1;
    // As [`instant`] tells.
    let at_us = micros(about.now).max(head.at_us);
    let row = (&id, posting, at_us);
    let next = Head {
        seq,
        hash: row_hash(head, organization, row, reference, about),
        at_us,
    };
    let sql = "
      INSERT INTO ledger VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
    connection.prepare_cached(sql)?.execute(params![
        organization.as_str(),
        seq,
        head.seq,
        id.as_bytes().as_slice(),
        posting.kind.as_str(),
        debit.as_str(),
        credit.as_str(),
        posting.amount.hundredths(),
        about.generation.map(|id| id.uuid().into_bytes().to_vec()),
        reference,
        about.description,
        at_us,
        before.posted.hundredths(),
        posting.after.posted.hundredths(),
        before.debt.hundredths(),
        posting.after.debt.hundredths(),
        head.hash.as_slice(),
        next.hash.as_slice(),
    ])?;
    Ok(next)
}

/// Over all that a row says: its sides follow from its kind, its opening from the row before.
fn row_hash(
    head: &Head,
    organization: &OrganizationId,
    (id, posting, at_us): (&Uuid, &Posting, i64),
    reference: Option<&str>,
    about: &About<'_>,
) -> [u8; 32] {
    hash(
        LEDGER,
        &head.hash,
        &[
            organization.as_str(),
            &(head.seq + 1).to_string(),
            posting.kind.as_str(),
            &id.to_string(),
            &posting.amount.hundredths().to_string(),
            &posting.after.posted.hundredths().to_string(),
            &posting.after.debt.hundredths().to_string(),
            &about
                .generation
                .map(|id| id.to_string())
                .unwrap_or_default(),
            reference.unwrap_or_default(),
            about.description,
            &at_us.to_string(),
        ],
    )
}

/// The columns that [`entry`] reads, in its order.
const ENTRY: &str = "
  SELECT id, seq, kind, amount_cc, posted_after_cc, debt_after_cc, generation, reference, description, at_us
    FROM ledger";

/// A page of the ledger, newest first.
pub(super) fn page(
    connection: &Connection,
    page: &Conditions,
    limit: u32,
) -> Result<Vec<LedgerEntry>, rusqlite::Error> {
    let sql = format!(
        "{ENTRY} WHERE {} ORDER BY seq DESC LIMIT {limit}",
        page.sql()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let entries = statement.query_map(params_from_iter(page.values()), entry)?;
    entries.collect()
}

fn by_reference(
    connection: &Connection,
    organization: &OrganizationId,
    reference: &Reference,
) -> Result<Option<LedgerEntry>, LedgerError> {
    let sql = format!("{ENTRY} WHERE organization = ?1 AND reference = ?2 AND kind = 'purchase'");
    let mut statement = connection.prepare_cached(&sql)?;
    let row = statement.query_row([organization.as_str(), reference.as_str()], entry);
    Ok(row.optional()?)
}

fn entry(row: &Row<'_>) -> Result<LedgerEntry, rusqlite::Error> {
    let seq: i64 = row.get(1)?;
    let after = Account {
        posted: Credits::from_hundredths(row.get(4)?),
        held: Credits::ZERO,
        debt: Credits::from_hundredths(row.get(5)?),
    };
    let posting = Posting {
        kind: rows::word(row, 2, EntryKind::parse)?,
        amount: Credits::from_hundredths(row.get(3)?),
        after,
    };
    let generation: Option<[u8; 16]> = row.get(6)?;
    let reference: Option<String> = row.get(7)?;
    Ok(LedgerEntry {
        id: EntryId::from_uuid(rows::uuid(row, 0)?),
        sequence: u64::try_from(seq).map_err(|_| odd("seq"))?,
        kind: posting.kind,
        credits: posting.effect_on_balance(),
        balance_after: after.balance(),
        generation: generation.map(|id| GenerationId::from_uuid(Uuid::from_bytes(id))),
        reference: reference.and_then(|text| Reference::parse(&text).ok()),
        description: row.get(8)?,
        created: time(row.get(9)?),
    })
}
