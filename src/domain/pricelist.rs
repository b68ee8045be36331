//! Everything that is known about prices at some moment. A request keeps the one it began with.

use std::sync::Arc;

use jiff::Timestamp;

use super::catalog::{Catalog, Model};
use super::generation::KeyMode;
use super::pricing::{Estimate, Question};
use super::recent::Recent;

/// The price list of some moment.
#[derive(Clone, Debug)]
pub struct PriceList {
    /// The models.
    pub catalog: Arc<Catalog>,
    /// What pictures really cost lately.
    pub recent: Arc<Recent>,
    /// When upstream's list was last read; never, if it is the published page's.
    pub last_sync: Option<Timestamp>,
    /// Why the last sync failed, if it did.
    pub trouble: Option<String>,
    /// For whom: with its own key an organization pays 1 credit per image.
    pub key_mode: KeyMode,
}

impl PriceList {
    /// The published page, before anything was drawn.
    pub fn built_in() -> Self {
        Self {
            catalog: Arc::new(Catalog::built_in()),
            recent: Arc::default(),
            last_sync: None,
            trouble: None,
            key_mode: KeyMode::Platform,
        }
    }

    /// The same for an organization that draws with this key.
    #[must_use]
    pub fn with_key(&self, key_mode: KeyMode) -> Self {
        Self {
            key_mode,
            ..self.clone()
        }
    }

    /// What pictures may cost, with what they cost lately; none for a model that makes none.
    pub fn estimate(&self, model: &Model, question: &Question) -> Option<Estimate> {
        let estimate = model.estimate_for(question)?;
        Some(match self.key_mode {
            KeyMode::Platform => self.recent.beside(&model.slug, question, estimate),
            KeyMode::Organization => estimate.with_own_key(question.count),
        })
    }
}
