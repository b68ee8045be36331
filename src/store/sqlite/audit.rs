//! Do the books agree with themselves? Each question is asked of the rows as they are, not of what
//! the program believes. However much is broken, only the first breaks of a question are kept; the
//! others are counted.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::ports::{AuditProgress, Finding, PictureCheck};
use questions::{BOOKS, Question, ROWS};

mod charges;
mod history;
mod moves;
mod pictures;
mod present;
mod questions;
mod rehash;
mod story;
mod trails;

/// Breaks of one question that are kept as sentences.
const SHOWN: usize = 100;

/// Rows between two words about how far it is.
const STRIDE: u64 = 256;

/// What is looked at.
pub(super) struct Look<'a> {
    pub(super) connection: &'a Connection,
    /// What time it is, in microseconds, where that decides.
    pub(super) now_us: i64,
    /// The data folder with the pictures, and how closely they are looked at; none of a copy.
    pub(super) pictures: Option<(&'a Path, PictureCheck)>,
    /// Hears how far it is, and each answer as soon as it is there.
    pub(super) tell: &'a mut dyn FnMut(AuditProgress),
}

/// What breaks one question.
#[derive(Default)]
struct Breaks {
    count: u64,
    shown: Vec<String>,
}

/// One sentence per break, as far as they are kept; none is good. It is as late as the books know.
pub(super) fn audit(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let mut sentences = Vec::new();
    let mut tell = |progress| {
        if let AuditProgress::Answer(finding) = progress {
            let Finding { name, shown, .. } = finding;
            sentences.extend(shown.into_iter().map(|what| format!("{name}: {what}")));
        }
    };
    let mut look = Look {
        connection,
        now_us: last_instant(connection)?,
        pictures: None,
        tell: &mut tell,
    };
    report(&mut look)?;
    Ok(sentences)
}

/// Asks every question, and tells each answer as soon as it is there.
pub(super) fn report(look: &mut Look<'_>) -> Result<(), rusqlite::Error> {
    for question in BOOKS.iter().chain(trails::QUESTIONS).chain(ROWS) {
        let breaks = question.ask(look)?;
        (look.tell)(AuditProgress::Answer(Finding {
            name: question.name,
            holds: question.holds,
            breaks: breaks.count,
            shown: breaks.shown,
        }));
    }
    Ok(())
}

/// The last instant that the books know of: it is not earlier than that.
pub(super) fn last_instant(connection: &Connection) -> Result<i64, rusqlite::Error> {
    let sql = "
      SELECT max((SELECT coalesce(max(at_us), 0) FROM generation_event),
                 (SELECT coalesce(max(at_us), 0) FROM ledger), (SELECT coalesce(max(at_us), 0) FROM audit_entry))";
    connection.query_row(sql, [], |row| row.get(0))
}

// === impl Question ===

impl Question {
    fn ask(&self, look: &mut Look<'_>) -> Result<Breaks, rusqlite::Error> {
        let mut breaks = Breaks::default();
        for (what, sql) in self.statements {
            if let Err(error) = run(look, (what, sql), &mut breaks) {
                breaks.unreadable(what, error)?;
            }
        }
        if let Some(check) = self.beside
            && let Err(error) = check(look, &mut breaks)
        {
            breaks.unreadable(self.holds, error)?;
        }
        Ok(breaks)
    }
}

/// Every row is a break.
fn run(
    look: &Look<'_>,
    (what, sql): (&str, &str),
    breaks: &mut Breaks,
) -> Result<(), rusqlite::Error> {
    let mut statement = look.connection.prepare(sql)?;
    if statement.parameter_count() > 0 {
        statement.raw_bind_parameter(1, look.now_us)?;
    }
    let mut whose = statement.raw_query();
    while let Some(row) = whose.next()? {
        let whose: Option<String> = row.get(0)?;
        breaks.add(|| format!("{what}: {}", whose.as_deref().unwrap_or("nobody's")));
    }
    Ok(())
}

// === impl Look ===

impl Look<'_> {
    /// Says now and then how far it is.
    fn passed(&mut self, rows: &mut u64) {
        *rows += 1;
        if rows.is_multiple_of(STRIDE) {
            (self.tell)(AuditProgress::Looked(STRIDE));
        }
    }
}

// === impl Breaks ===

impl Breaks {
    fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(what());
        }
    }

    /// Rows that hold what no program writes are a break, not the end of the audit.
    fn unreadable(&mut self, what: &str, error: rusqlite::Error) -> Result<(), rusqlite::Error> {
        if !is_of_the_rows(&error) {
            return Err(error);
        }
        self.add(|| format!("{what}: this cannot be computed, {error}"));
        Ok(())
    }
}

/// Whether the rows are to blame, and not the disk.
fn is_of_the_rows(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => true,
        // Such as a sum that is out of range.
        rusqlite::Error::SqliteFailure(failure, _) => failure.code == ErrorCode::Unknown,
        _ => false,
    }
}
