//! The mock's own bill.
//!
//! It is kept apart from everything the gateway computes, so that a test can hold the two against
//! each other. What is filed here is also what `GET /generation` and `GET /key` tell.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use tokio::sync::watch;

use super::price::Charge;
use super::script::{Billing, GenerationLookup};

/// How many bill entries are kept; the running totals go on beyond it.
pub(crate) const BILL_ENTRIES_KEPT: usize = 10_000;
/// How many API keys have a running total of their own.
const KEYS_KEPT: usize = 10_000;

/// One call that did paid work, billed or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BillEntry {
    /// The `X-Generation-Id` of the answer.
    pub generation_id: String,
    /// The model slug of the request.
    pub model: String,
    /// How many images were made.
    pub images: usize,
    /// What the call costs in USD, exactly. Serialized as text.
    #[serde(serialize_with = "as_text")]
    pub cost: Decimal,
    /// `session_id` of the request.
    pub session_id: Option<String>,
    /// `user` of the request.
    pub user: Option<String>,
    /// Says which key paid without being the key.
    pub key_fingerprint: String,
    /// Whether the cost was charged.
    pub billed: bool,
    /// Whether the connection ended before the whole answer was written.
    pub cancelled: bool,
}

/// A filed call with all that `GET /generation` tells about it.
#[derive(Debug, Clone)]
pub(crate) struct Filed {
    pub(crate) entry: BillEntry,
    pub(crate) api: &'static str,
    pub(crate) provider: String,
    pub(crate) created_at: String,
    pub(crate) references: usize,
    pub(crate) charge: Charge,
    pub(crate) streamed: bool,
    pub(crate) lookup: Option<GenerationLookup>,
}

#[derive(Debug, Default)]
struct Books {
    filed: VecDeque<Filed>,
    total: Decimal,
    by_key: HashMap<String, Decimal>,
}

/// The bill of one mock.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    books: Mutex<Books>,
    count: watch::Sender<usize>,
}

/// A call under way. Files itself when it is done or, if the connection ends first, when dropped.
#[derive(Debug)]
pub(crate) struct Delivery {
    ledger: Arc<Ledger>,
    call: Option<Filed>,
    billing: Billing,
}

impl Ledger {
    pub(crate) fn entries(&self) -> Vec<BillEntry> {
        self.books()
            .filed
            .iter()
            .map(|filed| filed.entry.clone())
            .collect()
    }

    pub(crate) fn total(&self) -> Decimal {
        self.books().total
    }

    pub(crate) fn spent_by(&self, key_fingerprint: &str) -> Decimal {
        self.books()
            .by_key
            .get(key_fingerprint)
            .copied()
            .unwrap_or_default()
    }

    /// Resolves when this many calls have been filed since the start.
    pub(crate) async fn filed(&self, count: usize) {
        let _ = self.count.subscribe().wait_for(|now| *now >= count).await;
    }

    /// What `GET /generation` may tell; counts the look-up.
    pub(crate) fn look_up(&self, generation_id: &str) -> Option<Filed> {
        let mut books = self.books();
        let filed = books
            .filed
            .iter_mut()
            .rev()
            .find(|f| f.entry.generation_id == generation_id)?;
        match &mut filed.lookup {
            Some(GenerationLookup::Never) => None,
            Some(GenerationLookup::MissingFirst(left)) if *left > 0 => {
                *left -= 1;
                None
            }
            Some(
                GenerationLookup::MissingFirst(_)
                | GenerationLookup::Broken
                | GenerationLookup::Cost(_),
            )
            | None => Some(filed.clone()),
        }
    }

    fn file(&self, filed: Filed) {
        let mut books = self.books();
        if filed.entry.billed {
            books.total += filed.entry.cost;
            let known = books.by_key.contains_key(&filed.entry.key_fingerprint);
            if known || books.by_key.len() < KEYS_KEPT {
                *books
                    .by_key
                    .entry(filed.entry.key_fingerprint.clone())
                    .or_default() += filed.entry.cost;
            }
        }
        if books.filed.len() == BILL_ENTRIES_KEPT {
            books.filed.pop_front();
        }
        books.filed.push_back(filed);
        drop(books);
        self.count.send_modify(|count| *count += 1);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Delivery {
    /// Starts a call. `call.entry` says in `billed` whether it is billed even if it is cancelled.
    pub(crate) fn begin(ledger: &Arc<Ledger>, call: Filed, billing: Billing) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            call: Some(call),
            billing,
        }
    }

    /// The whole body has been written.
    pub(crate) fn done(&mut self) {
        if let Some(mut call) = self.call.take() {
            call.entry.billed = self.billing != Billing::Never;
            self.ledger.file(call);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(mut call) = self.call.take() {
            call.entry.cancelled = true;
            call.entry.billed = match self.billing {
                Billing::Documented => call.entry.billed,
                Billing::Always => true,
                Billing::Never => false,
            };
            self.ledger.file(call);
        }
    }
}

fn as_text<S: Serializer>(cost: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&cost.normalize())
}
