//! Where pictures are kept.

use crate::domain::generation::StoredImage;
use crate::domain::ids::GenerationId;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// Where pictures are kept.
#[async_trait]
pub trait Gallery: fmt::Debug + Send + Sync {
    /// Begins a picture. Its bytes can be read back while it grows.
    ///
    /// # Errors
    /// [`GalleryError`].
    async fn begin(&self, id: GenerationId, index: u32) -> Result<Box<dyn Canvas>, GalleryError>;

    /// Whether there is room for new pictures: asked before anything is begun, so that a full disk
    /// refuses work instead of losing it. What runs has room left below this.
    ///
    /// # Errors
    /// [`GalleryError::Full`]; [`GalleryError::Broken`] if the disk does not say.
    async fn room(&self) -> Result<(), GalleryError>;

    /// The whole pictures of a generation that are kept, in order, whoever kept them: each is
    /// looked at again, and one that is not whole is not among them.
    ///
    /// # Errors
    /// [`GalleryError::Broken`].
    async fn find(&self, id: GenerationId) -> Result<Vec<StoredImage>, GalleryError>;

    /// Removes a kept picture. Again is no change.
    ///
    /// # Errors
    /// [`GalleryError::Broken`].
    async fn remove(&self, object_name: &str) -> Result<(), GalleryError>;

    /// Opens a kept picture.
    ///
    /// # Errors
    /// [`GalleryError::Gone`] if it is no longer there.
    async fn open(&self, object_name: &str) -> Result<Arc<dyn ImageSource>, GalleryError>;
}

/// A picture while it is being written.
///
/// # Contract
/// Dropping a canvas without [`Canvas::keep`] leaves no picture behind.
#[async_trait]
pub trait Canvas: Send {
    /// Appends bytes. When it returns, a reader sees them.
    ///
    /// # Errors
    /// [`GalleryError::Full`], [`GalleryError::Broken`].
    async fn write(&mut self, bytes: Bytes) -> Result<(), GalleryError>;

    /// Reads what has been written so far; stays good after `keep`.
    fn source(&self) -> Arc<dyn ImageSource>;

    /// Bytes written so far.
    fn size_bytes(&self) -> u64;

    /// Looks at the whole picture (format, size, completeness), makes it durable under its final
    /// name and returns what was kept: file synced, renamed, folder synced.
    ///
    /// # Errors
    /// [`GalleryError::NotAnImage`] if it is no complete picture of a format that is kept, and as
    /// above.
    async fn keep(self: Box<Self>) -> Result<StoredImage, GalleryError>;
}

/// Bytes that can be read at any offset, more than once, by more than one reader.
#[async_trait]
pub trait ImageSource: fmt::Debug + Send + Sync {
    /// At most `limit` bytes from `offset`; empty at the end of what is there.
    ///
    /// # Errors
    /// [`GalleryError::Gone`], [`GalleryError::Broken`].
    async fn read(&self, offset: u64, limit: usize) -> Result<Bytes, GalleryError>;
}

/// Why a picture was not kept or read.
#[derive(Debug, thiserror::Error)]
pub enum GalleryError {
    /// The bytes are no complete picture of a format that is kept; the text says what is wrong.
    #[error("not a picture: {0}")]
    NotAnImage(&'static str),
    /// The picture is no longer there.
    #[error("the picture is no longer there")]
    Gone,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The disk failed.
    #[error("the disk failed")]
    Broken(#[source] std::io::Error),
}
