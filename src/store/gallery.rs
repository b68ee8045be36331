//! Pictures as files. One is written under `spool/`, looked at, synced, and renamed to its final
//! name in one step, so that a name always means a whole picture.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use crate::domain::generation::StoredImage;
use crate::domain::ids::GenerationId;
use crate::ports::{Canvas, Gallery, GalleryError, ImageSource};
use crate::store::private;

pub use kept::{Kept, Seen};

mod inspect;
mod kept;

/// The folder below the data folder.
const FOLDER: &str = "images";

/// Free bytes of the disk below which nothing new is begun: what runs then still has room for its
/// pictures, and the books for their ends.
const RESERVE_BYTES: u64 = 256 << 20;

/// Where pictures are while they are written.
const SPOOL: &str = "spool";

/// Pictures in a folder.
#[derive(Clone, Debug)]
pub struct Files {
    root: Arc<PathBuf>,
    quota: Arc<Quota>,
}

/// How much may be kept before nothing new is begun. It never cuts off what runs: a picture that
/// arrives has been paid for, so the last ones lie above the limit, by no more than may run at once.
#[derive(Debug)]
struct Quota {
    limit: u64,
    used: AtomicU64,
}

/// A picture that is being written.
struct Drawing {
    place: Place,
    quota: Arc<Quota>,
    digest: Sha256,
    size_bytes: u64,
    /// Kept pictures stay; all others are removed when this is dropped.
    kept: bool,
}

/// Where a picture is, and where it goes.
#[derive(Clone)]
struct Place {
    root: Arc<PathBuf>,
    file: Arc<File>,
    spool: PathBuf,
    id: GenerationId,
    index: u32,
}

/// An open picture.
#[derive(Debug)]
struct Opened {
    file: Arc<File>,
}

// === impl Files ===

impl Files {
    /// Opens the gallery of a data folder, making it if it is not there, and sweeps out what an
    /// earlier process left half written. With `quota_bytes` there, nothing new is begun. Blocks.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub fn open(data_dir: &Path, quota_bytes: Option<u64>) -> io::Result<Self> {
        let root = data_dir.join(FOLDER);
        let spool = root.join(SPOOL);
        if spool.exists() {
            fs::remove_dir_all(&spool)?;
        }
        private::make_folder(&spool)?;
        let used = match quota_bytes {
            Some(_) => size_below(&root)?,
            None => 0,
        };
        Ok(Self {
            root: Arc::new(root),
            quota: Arc::new(Quota {
                limit: quota_bytes.unwrap_or(u64::MAX),
                used: AtomicU64::new(used),
            }),
        })
    }
}

#[async_trait]
impl Gallery for Files {
    async fn begin(&self, id: GenerationId, index: u32) -> Result<Box<dyn Canvas>, GalleryError> {
        let spool = self.root.join(SPOOL).join(format!("{id}-{index}.part"));
        let root = Arc::clone(&self.root);
        let quota = Arc::clone(&self.quota);
        blocking(move || {
            let options = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&spool)?;
            let place = Place {
                root,
                file: Arc::new(options),
                spool,
                id,
                index,
            };
            let drawing = Drawing {
                place,
                quota,
                digest: Sha256::new(),
                size_bytes: 0,
                kept: false,
            };
            Ok(Box::new(drawing) as Box<dyn Canvas>)
        })
        .await
    }

    async fn room(&self) -> Result<(), GalleryError> {
        if self.quota.used.load(Ordering::Relaxed) >= self.quota.limit {
            return Err(GalleryError::Full);
        }
        let root = Arc::clone(&self.root);
        blocking(move || {
            let disk = rustix::fs::statvfs(root.as_path()).map_err(io::Error::from)?;
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            if free < RESERVE_BYTES {
                return Err(GalleryError::Full);
            }
            Ok(())
        })
        .await
    }

    async fn find(&self, id: GenerationId) -> Result<Vec<StoredImage>, GalleryError> {
        let root = Arc::clone(&self.root);
        blocking(move || kept::find(&root, id)).await
    }

    async fn remove(&self, object_name: &str) -> Result<(), GalleryError> {
        let Some(path) = inside(&self.root, object_name) else {
            return Ok(());
        };
        let quota = Arc::clone(&self.quota);
        blocking(move || {
            let size_bytes = match fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            fs::remove_file(&path)?;
            quota.give_back(size_bytes);
            Ok(())
        })
        .await
    }

    async fn open(&self, object_name: &str) -> Result<Arc<dyn ImageSource>, GalleryError> {
        let path = inside(&self.root, object_name).ok_or(GalleryError::Gone)?;
        blocking(move || {
            let file = File::open(path).map_err(|error| match error.kind() {
                // No name of ours has a file as a folder, is that long, or holds a NUL.
                io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::InvalidFilename
                | io::ErrorKind::InvalidInput => GalleryError::Gone,
                _ => GalleryError::Broken(error),
            })?;
            // A folder opens like a file, and fails at the first read.
            if !file.metadata()?.is_file() {
                return Err(GalleryError::Gone);
            }
            Ok(Arc::new(Opened {
                file: Arc::new(file),
            }) as Arc<dyn ImageSource>)
        })
        .await
    }
}

// === impl Drawing ===

#[async_trait]
impl Canvas for Drawing {
    async fn write(&mut self, bytes: Bytes) -> Result<(), GalleryError> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.quota.take(length);
        self.size_bytes += length;
        // Into the page cache, at most 64 KiB: some tens of microseconds, less than a hop to
        // another thread and back would cost. Whatever waits for the disk happens in `keep`.
        self.digest.update(&bytes);
        (&*self.place.file).write_all(&bytes)?;
        Ok(())
    }

    fn source(&self) -> Arc<dyn ImageSource> {
        Arc::new(Opened {
            file: Arc::clone(&self.place.file),
        })
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    async fn keep(mut self: Box<Self>) -> Result<StoredImage, GalleryError> {
        let place = self.place.clone();
        let sha256 = std::mem::take(&mut self.digest).finalize().into();
        let size_bytes = self.size_bytes;
        let stored = blocking(move || place.keep(size_bytes, sha256)).await?;
        self.kept = true;
        Ok(stored)
    }
}

impl Drop for Drawing {
    fn drop(&mut self) {
        if !self.kept {
            self.quota.give_back(self.size_bytes);
            // Removing a name does not wait for the disk.
            let _ = fs::remove_file(&self.place.spool);
        }
    }
}

// === impl Place ===

impl Place {
    /// Looks at the whole picture and makes it durable under its final name.
    fn keep(&self, size_bytes: u64, sha256: [u8; 32]) -> Result<StoredImage, GalleryError> {
        let (media_type, pixels) = inspect::inspect(&self.file, size_bytes)?;
        self.file.sync_data()?;
        let id = self.id.to_string();
        let fan = kept::fan(&id);
        let object_name = format!("{fan}/{id}-{}.{}", self.index, media_type.extension());
        let folder = self.root.join(fan);
        if !folder.exists() {
            private::make_folder(&folder)?;
            sync_folder(&self.root)?;
        }
        fs::rename(&self.spool, self.root.join(&object_name))?;
        sync_folder(&folder)?;
        Ok(StoredImage {
            index: self.index,
            sha256,
            size_bytes,
            pixels,
            media_type,
            object_name,
        })
    }
}

// === impl Opened ===

#[async_trait]
impl ImageSource for Opened {
    async fn read(&self, offset: u64, limit: usize) -> Result<Bytes, GalleryError> {
        let file = Arc::clone(&self.file);
        blocking(move || {
            let mut bytes = BytesMut::zeroed(limit);
            let read = file.read_at(&mut bytes, offset)?;
            bytes.truncate(read);
            Ok(bytes.freeze())
        })
        .await
    }
}

// === impl Quota ===

impl Quota {
    fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Without a limit nobody counted what was there at the start, so this never goes below none.
    fn give_back(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        let _ = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl From<io::Error> for GalleryError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full,
            _ => Self::Broken(error),
        }
    }
}

/// Runs what may wait for the disk on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GalleryError> + Send + 'static,
) -> Result<T, GalleryError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(GalleryError::Broken(io::Error::other(panic))))
}

/// Where a name leads; `None` if it leads out of the gallery. A name comes from our own books; that
/// it stays inside is checked all the same.
fn inside(root: &Path, object_name: &str) -> Option<PathBuf> {
    let plain =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\\');
    object_name
        .split('/')
        .all(plain)
        .then(|| root.join(object_name))
}

/// A rename is durable once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn size_below(folder: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() {
            size_below(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(total)
}

#[cfg(test)]
mod tests;
