//! What is kept on disk: the lock, the key of keys, the books and the pictures.

use std::fmt;
use std::fs::File;
use std::sync::Arc;

use super::folder::{lock, within};
use super::secrets::Secrets;
use super::{StartError, room};
use crate::config::Config;
use crate::domain::trail::{Actor, By};
use crate::store::gallery::Files;
use crate::store::sqlite::Sqlite;

/// What is kept on disk.
pub(super) struct Cellar {
    pub(super) lock: File,
    pub(super) secrets: Secrets,
    pub(super) books: Arc<Sqlite>,
    pub(super) gallery: Arc<Files>,
}

// === impl Cellar ===

impl Cellar {
    /// Opens what is on disk, off the runtime's threads, because a database may have to recover.
    pub(super) async fn open(config: &Config) -> Result<Self, StartError> {
        let data_dir = config.data_dir.clone();
        let quota = config.image_store_quota_bytes;
        let given_key = config.key_encryption_key.clone();
        let open = move || {
            let lock = lock(&data_dir)?;
            // The books first: beside a database that is none, no new key is left.
            let books = Sqlite::open(&data_dir).map_err(within("the database", &data_dir))?;
            let secrets = Secrets::open(&data_dir, given_key, &books)?;
            let gallery = Files::open(&data_dir, quota);
            let gallery = gallery.map_err(within("the image folder", &data_dir))?;
            Ok(Self {
                lock,
                secrets,
                books: Arc::new(books),
                gallery: Arc::new(gallery),
            })
        };
        let cellar: Self = tokio::task::spawn_blocking(open)
            .await
            .map_err(room("the data folder"))??;
        cellar.note_operator_key(config).await?;
        Ok(cellar)
    }

    /// Who may act for all follows from the settings; that it is another one than before is told in
    /// the platform's audit trail before anything is done with it.
    async fn note_operator_key(&self, config: &Config) -> Result<(), StartError> {
        let names = self
            .secrets
            .operator_key_names(config.operator_key.as_ref());
        let by = By {
            actor: Actor::Gateway,
            at: crate::clock::now(),
        };
        let noted = self.books.note_operator_key(names, by).await;
        noted.map_err(within("the audit trail", &config.data_dir))
    }
}

impl fmt::Debug for Cellar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cellar").finish_non_exhaustive()
    }
}
