//! The one writer: a thread that owns the write connection, takes whatever changes wait, makes
//! them in one transaction, and answers each once the commit is durable. A refused change is
//! undone alone and never takes the others with it.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::Trouble;

/// Changes that may wait; more wait at the door.
const QUEUE: usize = 1024;

/// Changes in one transaction. At this size the flush is a small part of a change's cost.
const BATCH: usize = 256;

/// How long the end of the writer waits for those who still read what the log holds: another process
/// may, and the gateway's end does not hang on it.
const READERS_PATIENCE: Duration = Duration::from_millis(500);

/// The way to the writer. Its thread ends when this is dropped.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Change>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    commits: Arc<AtomicU64>,
}

/// Something to do in a transaction, and somebody to tell.
trait Change: Send {
    /// Makes the change, again if the transaction is made again: only the last outcome counts.
    /// `Err` undoes it, and is told all the same.
    fn make(&mut self, connection: &Connection) -> Result<(), ()>;

    /// The transaction is durable, or it is not.
    fn tell(self: Box<Self>, committed: Result<(), Trouble>);
}

/// A change with its outcome.
struct Pending<F, T, E> {
    change: F,
    outcome: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

// === impl Writer ===

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (queue, changes) = mpsc::channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&commits);
        let thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || work(&connection, changes, &counted))?;
        Ok(Self {
            queue: Some(queue),
            thread: Mutex::new(Some(thread)),
            commits,
        })
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Makes a change, and returns once it is durable. It is made twice if another change of the
    /// same transaction must be undone, so it depends on nothing but what it finds.
    pub(super) async fn write<F, T, E>(&self, change: F) -> Result<T, E>
    where
        F: FnMut(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Trouble> + Send + 'static,
    {
        let (answer, told) = oneshot::channel();
        let pending = Pending {
            change,
            outcome: None,
            answer,
        };
        if let Some(queue) = &self.queue {
            // A writer that is gone drops the change, and with it the answer's sender.
            let _ = queue.send(Box::new(pending)).await;
        }
        told.await.unwrap_or_else(|_| Err(E::from(gone())))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Closing the queue ends the thread after what waits has been written.
        self.queue = None;
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("commits", &self.commits)
            .finish_non_exhaustive()
    }
}

// === impl Pending ===

impl<F, T, E> Change for Pending<F, T, E>
where
    F: FnMut(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<Trouble> + Send,
{
    fn make(&mut self, connection: &Connection) -> Result<(), ()> {
        // A change that panics is refused like any other; the writer serves those behind it.
        let change = AssertUnwindSafe(|| (self.change)(connection));
        let outcome = catch_unwind(change).unwrap_or_else(|_| Err(E::from(panicked())));
        let made = outcome.as_ref().map(|_| ()).map_err(|_| ());
        self.outcome = Some(outcome);
        made
    }

    fn tell(self: Box<Self>, committed: Result<(), Trouble>) {
        let outcome = match (self.outcome, committed) {
            // What was refused stays refused, whether the others are durable or not.
            (Some(Err(refused)), _) => Err(refused),
            (Some(Ok(done)), Ok(())) => Ok(done),
            (_, Err(trouble)) => Err(E::from(trouble)),
            (None, Ok(())) => Err(E::from(gone())),
        };
        let _ = self.answer.send(outcome);
    }
}

fn work(
    connection: &Connection,
    mut changes: mpsc::Receiver<Box<dyn Change>>,
    commits: &AtomicU64,
) {
    while let Some(first) = changes.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            match changes.try_recv() {
                Ok(next) => batch.push(next),
                Err(_) => break,
            }
        }
        let mut result = commit(connection, &mut batch);
        commits.fetch_add(1, Ordering::Relaxed);
        for change in batch {
            change.tell(again(&mut result));
        }
    }
    // Whoever reads alone cannot empty the log, so it would stay, with what has been overwritten since.
    if let Err(error) = empty_log(connection) {
        tracing::warn!(%error, "the write-ahead log could not be emptied; the next start goes on with it");
    }
}

/// Copies the write-ahead log into the database, and leaves nothing in it.
fn empty_log(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(READERS_PATIENCE)?;
    let busy = |row: &rusqlite::Row<'_>| row.get::<_, bool>(0);
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], busy)?;
    if busy {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(code, None));
    }
    Ok(())
}

/// One transaction of everything that waited. Savepoints copy every page that a change touches,
/// for refusals that hardly ever come. So the first try does without them, and only if a change is
/// refused in the midst of writing is everything undone and made again, each in a savepoint.
fn commit(connection: &Connection, batch: &mut [Box<dyn Change>]) -> Result<(), Trouble> {
    let whole = transaction(connection, || Ok(make_together(connection, batch)))?;
    if !whole {
        transaction(connection, || make_apart(connection, batch))?;
    }
    Ok(())
}

/// Commits if `make` says that all it has made is whole, else makes it undone; returns what it says.
fn transaction(
    connection: &Connection,
    make: impl FnOnce() -> Result<bool, rusqlite::Error>,
) -> Result<bool, Trouble> {
    run(connection, "BEGIN IMMEDIATE")?;
    let whole = make().map_err(Trouble::from).and_then(|whole| {
        if whole {
            run(connection, "COMMIT").map_err(|error| uncommitted(connection, error))?;
        }
        Ok(whole)
    });
    if !connection.is_autocommit() {
        // If even this fails, the next BEGIN says so.
        let _ = run(connection, "ROLLBACK");
    }
    whole
}

/// What a commit that failed has left. A transaction that is still open is surely not committed; of
/// one that SQLite has ended on its own, the last bytes may have reached the disk.
fn uncommitted(connection: &Connection, error: rusqlite::Error) -> Trouble {
    match Trouble::from(error) {
        Trouble::Broken(error) if connection.is_autocommit() => Trouble::Uncertain(error),
        sure => sure,
    }
}

/// Makes changes as long as none is refused after it has written something.
fn make_together(connection: &Connection, batch: &mut [Box<dyn Change>]) -> bool {
    batch.iter_mut().all(|change| {
        let before = connection.total_changes();
        let made = change.make(connection).is_ok();
        // SQLite ends a transaction on its own when, for one, the disk is full.
        let untouched = connection.total_changes() == before && !connection.is_autocommit();
        made || untouched
    })
}

/// Makes every change; what is refused is undone alone.
fn make_apart(
    connection: &Connection,
    batch: &mut [Box<dyn Change>],
) -> Result<bool, rusqlite::Error> {
    for change in batch {
        run(connection, "SAVEPOINT change")?;
        if change.make(connection).is_err() {
            run(connection, "ROLLBACK TO change")?;
        }
        run(connection, "RELEASE change")?;
    }
    Ok(true)
}

fn run(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// The same result for each of a batch.
fn again(result: &mut Result<(), Trouble>) -> Result<(), Trouble> {
    match result {
        Ok(()) => Ok(()),
        Err(Trouble::Full) => Err(Trouble::Full),
        Err(Trouble::ActorEnded) => Err(Trouble::ActorEnded),
        Err(Trouble::Broken(error)) => Err(Trouble::Broken(same(&**error))),
        Err(Trouble::Uncertain(error)) => Err(Trouble::Uncertain(same(&**error))),
    }
}

/// An error once more, for another caller: with SQLite's code, if it has one.
fn same(error: &(dyn Error + Send + Sync + 'static)) -> Box<dyn Error + Send + Sync> {
    match error.downcast_ref() {
        Some(rusqlite::Error::SqliteFailure(code, text)) => {
            Box::new(rusqlite::Error::SqliteFailure(*code, text.clone()))
        }
        _ => error.to_string().into(),
    }
}

fn panicked() -> Trouble {
    Trouble::Broken("a change of the database panicked".into())
}

fn gone() -> Trouble {
    Trouble::Uncertain("the writer of the database has stopped".into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    const ADD: &str = "UPDATE sum SET n = n + 1";

    /// A change that runs statements, counts how often, and is then refused or not.
    fn change(
        sql: &'static str,
        refused: bool,
        made: &Arc<AtomicU32>,
    ) -> (Box<dyn Change>, oneshot::Receiver<Result<(), Trouble>>) {
        let made = Arc::clone(made);
        let (answer, told) = oneshot::channel();
        let change = move |connection: &Connection| {
            made.fetch_add(1, Ordering::Relaxed);
            connection.execute_batch(sql)?;
            if refused { Err(Trouble::Full) } else { Ok(()) }
        };
        let pending = Pending {
            change,
            outcome: None,
            answer,
        };
        (Box::new(pending), told)
    }

    /// What is told of a change of this database.
    fn told_of(connection: &Connection, sql: &'static str) -> Result<(), Trouble> {
        let (change, told) = change(sql, false, &Arc::default());
        let mut batch = vec![change];
        let mut committed = commit(connection, &mut batch);
        for change in batch {
            change.tell(again(&mut committed));
        }
        told.blocking_recv().expect("told")
    }

    #[test]
    fn a_commit_that_sqlite_has_ended_on_its_own_is_uncertain_and_an_open_one_is_undone() {
        let mut connection = Connection::open_in_memory().expect("a database");
        let tables = "
          CREATE TABLE sum (n INTEGER PRIMARY KEY);
          CREATE TABLE part (n REFERENCES sum DEFERRABLE INITIALLY DEFERRED);
          INSERT INTO sum VALUES (0)";
        connection.execute_batch(tables).expect("tables");
        let told = told_of(&connection, "INSERT INTO part VALUES (7)");
        assert!(matches!(told, Err(Trouble::Broken(_))), "{told:?}");
        connection.commit_hook(Some(|| true)).expect("a hook");
        let told = told_of(&connection, ADD);
        assert!(matches!(told, Err(Trouble::Uncertain(_))), "{told:?}");
        connection.commit_hook(None::<fn() -> bool>).expect("none");
        assert!(told_of(&connection, ADD).is_ok(), "the next is made");
        let sum = connection.query_row("SELECT n FROM sum", [], |row| row.get(0));
        assert_eq!(sum, Ok(1), "once");
    }

    #[test]
    fn changes_are_made_twice_only_if_one_is_refused_after_writing() {
        for (before_refusal, times) in [("SELECT n FROM sum", 1), (ADD, 2)] {
            let connection = Connection::open_in_memory().expect("a database");
            connection
                .execute_batch("CREATE TABLE sum (n); INSERT INTO sum VALUES (0)")
                .expect("a table");
            let made = Arc::new(AtomicU32::new(0));
            let changes = [
                change(ADD, false, &made),
                change(before_refusal, true, &Arc::default()),
                change(ADD, false, &Arc::default()),
            ];
            let (mut batch, told): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
            let mut committed = commit(&connection, &mut batch);
            for change in batch {
                change.tell(again(&mut committed));
            }
            let told = told.into_iter().map(|told| told.blocking_recv());
            let stands: Vec<bool> = told.map(|told| told.expect("told").is_ok()).collect();
            assert_eq!(stands, [true, false, true]);
            let sum = connection.query_row("SELECT n FROM sum", [], |row| row.get(0));
            assert_eq!(sum, Ok(2), "what was refused is not in it");
            assert_eq!(made.load(Ordering::Relaxed), times, "{before_refusal}");
        }
    }
}
