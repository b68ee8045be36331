//! What is kept on disk: the lock, the key of keys, the books and the pictures.

use std::error::Error;
use std::fmt;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use super::secrets::Secrets;
use super::{StartError, room};
use crate::config::Config;
use crate::domain::trail::{Actor, By};
use crate::store::gallery::Files;
use crate::store::private;
use crate::store::sqlite::Sqlite;

/// The file that is locked while a gateway runs on a data folder. It is empty and stays.
const LOCK: &str = "lock";

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

/// Makes the data folder and takes it for this process; the system gives it back when the process
/// ends, however it ends.
pub(super) fn lock(data_dir: &Path) -> Result<File, StartError> {
    private::make_folder(data_dir).map_err(within("the lock", data_dir))?;
    let file = File::create(data_dir.join(LOCK)).map_err(within("the lock", data_dir))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse {
            folder: data_dir.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(within("the lock", data_dir)(error)),
    }
}

/// Names what could not be opened, and where.
pub(super) fn within<E: Into<Box<dyn Error + Send + Sync>>>(
    what: &'static str,
    data_dir: &Path,
) -> impl FnOnce(E) -> StartError {
    let folder = data_dir.to_owned();
    move |source| StartError::Data {
        what,
        folder,
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_data_folder_is_taken_by_one_gateway_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let second = lock(folder.path()).unwrap_err();
        assert!(matches!(second, StartError::InUse { .. }), "{second}");
        drop(first);
        assert!(lock(folder.path()).is_ok());
    }

    #[test]
    fn a_data_folder_that_is_made_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let (above, made) = (folder.path().join("new"), folder.path().join("new/data"));
        let _lock = lock(&made).unwrap();
        for path in [above, made] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        }
    }

    #[test]
    fn a_data_folder_that_is_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let failed = lock(&file).unwrap_err().to_string();
        assert!(
            failed.ends_with(&format!("in {}", file.display())),
            "{failed}"
        );
    }
}
