//! The one writer: a thread that owns the write connection, takes whatever changes wait, makes
//! them in one transaction, and answers each once the commit is durable. A refused change is
//! rolled back alone and never takes the others with it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::Trouble;

/// Changes that may wait; more wait at the door.
const QUEUE: usize = 1024;

/// Changes in one transaction. At this size the flush is a small part of a change's cost.
const BATCH: usize = 64;

/// The way to the writer. Its thread ends when this is dropped.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Change>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    commits: Arc<AtomicU64>,
}

/// Something to do in a transaction, and somebody to tell.
trait Change: Send {
    /// Makes the change. `Err` undoes it: the outcome is told all the same.
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

    /// Makes a change, and returns once it is durable.
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
}

/// One transaction of everything that waited. Changes that are refused are undone one by one.
fn commit(connection: &Connection, batch: &mut [Box<dyn Change>]) -> Result<(), Trouble> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let made = make_all(connection, batch);
    let committed = made.and_then(|()| Ok(connection.execute_batch("COMMIT")?));
    if committed.is_err() && !connection.is_autocommit() {
        // If even this fails, the next BEGIN says so.
        let _ = connection.execute_batch("ROLLBACK");
    }
    committed
}

fn make_all(connection: &Connection, batch: &mut [Box<dyn Change>]) -> Result<(), Trouble> {
    for change in batch {
        connection.prepare_cached("SAVEPOINT change")?.execute([])?;
        if change.make(connection).is_err() {
            connection
                .prepare_cached("ROLLBACK TO change")?
                .execute([])?;
        }
        connection.prepare_cached("RELEASE change")?.execute([])?;
    }
    Ok(())
}

/// The same result for each of a batch.
fn again(result: &mut Result<(), Trouble>) -> Result<(), Trouble> {
    match result {
        Ok(()) => Ok(()),
        Err(Trouble::Full) => Err(Trouble::Full),
        Err(Trouble::Broken(error)) => Err(Trouble::Broken(error.to_string().into())),
    }
}

fn panicked() -> Trouble {
    Trouble::Broken("a change of the database panicked".into())
}

fn gone() -> Trouble {
    Trouble::Broken("the writer of the database has stopped".into())
}
