//! Everything that is known about prices at some moment. A request keeps the one it began with.

use std::sync::Arc;

use jiff::Timestamp;

use super::catalog::{Catalog, Model};
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
}

impl PriceList {
    /// The published page, before anything was drawn.
    pub fn built_in() -> Self {
        Self {
            catalog: Arc::new(Catalog::built_in()),
            recent: Arc::default(),
            last_sync: None,
            trouble: None,
        }
    }

    /// What pictures may cost, with what they cost lately; none for a model that makes none.
    pub fn estimate(&self, model: &Model, question: &Question) -> Option<Estimate> {
        let estimate = model.estimate_for(question)?;
        Some(self.recent.beside(&model.slug, question, estimate))
    }
}
