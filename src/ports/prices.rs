//! Price lists: whoever tells them, and whoever keeps them.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::settings::SettingsError;
use crate::domain::catalog::{Kept, PriceChange, PricePart};
use crate::domain::ids::Slug;
use crate::domain::listing::Listed;
use crate::domain::recent::{Figures, Kind};
use crate::domain::trail::By;

/// Whoever tells what models there are, and what they cost.
#[async_trait]
pub trait Lister: fmt::Debug + Send + Sync {
    /// Everything that is listed, whole. Whatever comes is bounded in size, and read as far as it
    /// can be; what is missing is empty.
    ///
    /// # Errors
    /// [`ListError`]: nothing is known then, not even a part.
    async fn list(&self) -> Result<Vec<Listed>, ListError>;
}

/// Why there is no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// It cannot be reached, or says that it cannot answer now.
    #[error("upstream does not answer: {0}")]
    Unavailable(String),
    /// It answers something else: a page, half a list, a list that is too long.
    #[error("upstream answers what is no list: {0}")]
    Malformed(String),
    /// It has not answered in so much time.
    #[error("upstream has not told its list within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Whoever keeps price lists, and what pictures really cost.
///
/// # Contract
/// Every method returns after its change is durable.
#[async_trait]
pub trait PriceStore: fmt::Debug + Send + Sync {
    /// The last list that was kept; nothing before the first.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn kept(&self) -> Result<Option<KeptList>, SettingsError>;

    /// Keeps what a list has changed, when it was read, and, if it has changed anything, who read it
    /// in the platform's audit trail, all or nothing.
    ///
    /// # Errors
    /// [`SettingsError::Full`], [`SettingsError::Broken`].
    async fn keep(&self, update: ListUpdate, by: By) -> Result<(), SettingsError>;

    /// Keeps a model whose price is believed from now on, and who believes it in the platform's audit
    /// trail, all or nothing.
    ///
    /// # Errors
    /// [`SettingsError::Full`], [`SettingsError::Broken`].
    async fn believe(&self, doubted: Kept, by: By) -> Result<(), SettingsError>;

    /// Price changes, the newest first, after the one that was last seen; of one model or all; at
    /// most `limit`.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn price_changes(
        &self,
        model: Option<Slug>,
        after: Option<ChangePlace>,
        limit: u32,
    ) -> Result<Vec<PriceChange>, SettingsError>;

    /// What pictures of each kind cost, by the newest settled generations that the platform paid
    /// for and that had no reference pictures: [`GENERATIONS`](crate::domain::recent::GENERATIONS) of each kind at most.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn figures(&self) -> Result<Vec<(Kind, Figures)>, SettingsError>;
}

/// What a list has changed.
#[derive(Clone, Debug, Default)]
pub struct ListUpdate {
    /// The models that are not as they were.
    pub models: Vec<Kept>,
    /// The prices that have moved.
    pub prices: Vec<PriceChange>,
    /// How many of the models were not known, or had been withdrawn.
    pub added: u32,
    /// How many of the models are no longer listed.
    pub withdrawn: u32,
}

/// Where a price change stands among all of them, which are in the order of these fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangePlace {
    /// When it was noticed.
    pub at: Timestamp,
    /// Whose price.
    pub slug: Slug,
    /// Which of its prices.
    pub part: PricePart,
}

/// A list as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptList {
    /// Every model ever listed, by slug.
    pub models: Vec<Kept>,
    /// When the last list was read.
    pub read: Timestamp,
}
