//! The books and the settings in one SQLite file: write-ahead log, every commit durable
//! (`synchronous = FULL`), one writer that commits whatever waits together, a few readers beside it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use health::{Ails, Health};
pub use inspector::Inspector;
pub use lost::{InUse, Lost};
pub use operator::OperatorKeyName;
pub use sealed::{HandedOver, Replacing, Whose};
use writer::Writer;

use super::private;

mod api_keys;
mod audit;
mod calls;
mod cases;
mod chain;
mod checks;
mod conditions;
mod corrections;
mod deeds;
mod entries;
mod heads;
mod health;
mod hold;
mod inspector;
mod ledger;
mod lost;
mod migrate;
mod odd;
mod openrouter_keys;
mod operator;
mod pinned;
mod prices;
mod records;
mod rows;
mod sealed;
mod settings;
mod steps;
mod tools;
mod trail;
mod upkeep;
mod usage;
mod writer;

/// The database's name in the data folder.
const FILE: &str = "gateway.sqlite3";

/// Connections for reading. Reads are short; more would only wait for the same disk.
const READERS: usize = 3;

/// Connections for lists and sums. These may take seconds, so they wait for each other and never
/// for one of the readers, which every call needs to find its key.
const ARCHIVISTS: usize = 2;

/// Pages of the write-ahead log, of 4 KiB each, after which they are copied into the database: 16 MiB.
/// The hot pages are copied once for all the commits that changed them in between.
const LOG_PAGES: i64 = 4096;

/// Memory for the writer's pages, in KiB. With less, a large transaction writes pages out before its
/// end, and reads again what it has just written.
const CACHE_KIB: i64 = 32 << 10;

/// Prepared statements kept per connection.
const STATEMENTS: usize = 64;

/// An open database. Clones share it.
#[derive(Clone, Debug)]
pub struct Sqlite {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: Writer,
    readers: Vec<Mutex<Connection>>,
    archivists: Vec<Arc<AsyncMutex<Connection>>>,
    health: Health,
    next: std::sync::atomic::AtomicUsize,
}

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was written by a newer program.
    #[error(
        "the database has version {found}, this program knows up to {known}; use a newer program"
    )]
    Newer {
        /// The version found.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// It has not all of this program's tables: another program's, or none at all.
    #[error(
        "this is no database of this program, or one of version {found} that it must open once to bring up to date"
    )]
    Foreign {
        /// The version found.
        found: i64,
    },
    /// SQLite says no.
    #[error("the database cannot be opened")]
    Sqlite(#[from] rusqlite::Error),
    /// The folder cannot be made, or the writer not be started.
    #[error("the data folder cannot be used")]
    Io(#[from] std::io::Error),
}

/// What a failing database means to a caller.
#[derive(Debug)]
enum Trouble {
    /// No room on the disk.
    Full,
    /// The key of whoever wants to change something was revoked meanwhile.
    ActorEnded,
    /// Anything else that has changed nothing.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// Whether the change stands, nobody knows.
    Uncertain(Box<dyn std::error::Error + Send + Sync>),
}

// === impl Sqlite ===

impl Sqlite {
    /// Opens the database of a data folder, making both if they are not there. Blocks.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        private::make_folder(data_dir)?;
        let path = data_dir.join(FILE);
        // SQLite gives the files beside it the rights of this one.
        private::make_file(&path)?;
        let mut connection = Connection::open(&path)?;
        configure(&connection)?;
        migrate::migrate(&mut connection)?;
        let readers: Result<Vec<_>, rusqlite::Error> = (0..READERS)
            .map(|_| reader(&path).map(Mutex::new))
            .collect();
        let archivists: Result<Vec<_>, rusqlite::Error> = (0..ARCHIVISTS)
            .map(|_| Ok(Arc::new(AsyncMutex::new(reader(&path)?))))
            .collect();
        Ok(Self {
            shared: Arc::new(Shared {
                readers: readers?,
                archivists: archivists?,
                writer: Writer::start(connection)?,
                health: Health::default(),
                next: std::sync::atomic::AtomicUsize::new(0),
            }),
        })
    }

    /// How many commits the writer has made: fewer than changes, when changes wait together.
    pub fn commits(&self) -> u64 {
        self.shared.writer.commits()
    }

    /// Makes a change in the writer's next transaction, and returns once it is durable.
    async fn write<T, E>(
        &self,
        change: impl FnMut(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Trouble> + Ails + Send + 'static,
    {
        let outcome = self.shared.writer.write(change).await;
        self.shared.health.note(&outcome);
        outcome
    }

    /// Looks at the database, on a thread that may block.
    async fn read<T, E>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Trouble> + Ails + Send + 'static,
    {
        let outcome = self.glance(look).await;
        self.shared.health.note(&outcome);
        outcome
    }

    /// The same, of which no note is taken: what is found is only about this moment.
    async fn glance<T, E>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Trouble> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let looking = tokio::task::spawn_blocking(move || look(&shared.reader()));
        looking
            .await
            .unwrap_or_else(|panic| Err(E::from(Trouble::Broken(Box::new(panic)))))
    }

    /// Looks at much of the database at one instant: whatever is written meanwhile is not seen, by
    /// none of the look's statements. Whoever stops waiting for its turn has taken no thread.
    async fn look_back<T, E>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Trouble> + Ails + Send + 'static,
    {
        let archivist = self.shared.archivist().await;
        let looking = tokio::task::spawn_blocking(move || {
            let instant = archivist.unchecked_transaction().map_err(Trouble::from)?;
            look(&instant)
        });
        let outcome = looking
            .await
            .unwrap_or_else(|panic| Err(E::from(Trouble::Broken(Box::new(panic)))));
        self.shared.health.note(&outcome);
        outcome
    }
}

impl Shared {
    /// A free archivist, or the next in turn.
    async fn archivist(&self) -> OwnedMutexGuard<Connection> {
        let all = &self.archivists;
        let free = all
            .iter()
            .find_map(|one| Arc::clone(one).try_lock_owned().ok());
        if let Some(free) = free {
            return free;
        }
        let turn = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Arc::clone(&all[turn % all.len()]).lock_owned().await
    }

    /// A free reader, or the next in turn.
    fn reader(&self) -> std::sync::MutexGuard<'_, Connection> {
        if let Some(free) = self
            .readers
            .iter()
            .find_map(|reader| reader.try_lock().ok())
        {
            return free;
        }
        let turn = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let reader = &self.readers[turn % self.readers.len()];
        reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Trouble ===

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            Self::Full
        } else {
            Self::Broken(Box::new(error))
        }
    }
}

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    stable_plans(connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // What a statement or a savepoint may have to undo is kept in memory, not in a file of its own.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // What was overwritten or deleted is not left in the free parts of a page.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // Without it, REPLACE deletes history without asking the triggers that keep it.
    connection.pragma_update(None, "recursive_triggers", "ON")?;
    connection.pragma_update(None, "trusted_schema", "OFF")
}

/// A plan is made once per statement, not again for every value that is bound to it.
fn stable_plans(connection: &Connection) -> Result<(), rusqlite::Error> {
    use rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;
    connection.set_db_config(SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    stable_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
