//! Conditions of a query, put together from what is asked for.

use jiff::Timestamp;
use rusqlite::types::ToSql;

use super::rows;
use crate::ports::Period;

/// Conditions that must all hold, with what they compare to.
#[derive(Default)]
pub(super) struct Conditions {
    sql: Vec<String>,
    values: Vec<Box<dyn ToSql>>,
}

// === impl Conditions ===

impl Conditions {
    /// Adds `column comparison value`. Both names are the program's own, never a caller's.
    pub(super) fn add(&mut self, comparison: &str, value: impl ToSql + 'static) {
        self.values.push(Box::new(value));
        self.sql
            .push(format!("{comparison} ?{}", self.values.len()));
    }

    /// Adds a comparison of two columns with two values.
    pub(super) fn add_pair(
        &mut self,
        comparison: &str,
        first: impl ToSql + 'static,
        second: impl ToSql + 'static,
    ) {
        self.values.push(Box::new(first));
        self.values.push(Box::new(second));
        let last = self.values.len();
        self.sql
            .push(format!("{comparison} (?{}, ?{last})", last - 1));
    }

    /// Adds a comparison of three columns with three values.
    pub(super) fn add_triple(
        &mut self,
        comparison: &str,
        first: impl ToSql + 'static,
        second: impl ToSql + 'static,
        third: impl ToSql + 'static,
    ) {
        self.values.push(Box::new(first));
        self.values.push(Box::new(second));
        self.values.push(Box::new(third));
        let last = self.values.len();
        let (first, second) = (last - 2, last - 1);
        self.sql
            .push(format!("{comparison} (?{first}, ?{second}, ?{last})"));
    }

    /// Adds a condition on a list of words: `column` is among them, or `NOT IN` them.
    pub(super) fn add_words(&mut self, comparison: &str, words: &[impl serde::Serialize]) {
        // As one value, so that lists of any length are one statement.
        self.values
            .push(Box::new(serde_json::json!(words).to_string()));
        let last = self.values.len();
        let words = format!("(SELECT value FROM json_each(?{last}))");
        self.sql.push(format!("{comparison} {words}"));
    }

    pub(super) fn add_period(&mut self, column: &str, period: Period) {
        if let Some(from) = period.from {
            self.add(&format!("{column} >="), first_micros(from));
        }
        if let Some(before) = period.before {
            self.add(&format!("{column} <"), first_micros(before));
        }
    }

    pub(super) fn sql(&self) -> String {
        self.sql.join(" AND ")
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &dyn ToSql> {
        self.values.iter().map(AsRef::as_ref)
    }

    /// Adds a condition on a column that holds one of these words, which are the program's own.
    pub(super) fn add_own_words(&mut self, column: &str, words: &[&'static str]) {
        self.sql
            .push(format!("{column} IN ('{}')", words.join("', '")));
    }
}

/// The first microsecond that is not before this time: a caller's clock may be finer than the books.
fn first_micros(at: Timestamp) -> i64 {
    let micros = rows::micros(at);
    micros + i64::from(rows::time(micros) < at)
}
