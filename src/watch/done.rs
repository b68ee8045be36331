//! A finished generation, told again from its files.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{CHUNK_BYTES, Event, Resume, beyond, exist, offset, unreadable};
use crate::domain::failure::Failure;
use crate::domain::generation::Generation;
use crate::ports::{Gallery, GalleryError, ImageSource};

/// Tells a finished generation again.
#[derive(Debug)]
pub struct Done {
    generation: Arc<Generation>,
    gallery: Arc<dyn Gallery>,
    pub(super) greeted: bool,
    next_image: usize,
    open: Option<Opened>,
    pub(super) resume: Resume,
}

/// A picture that is being told again.
#[derive(Debug)]
struct Opened {
    source: Arc<dyn ImageSource>,
    offset: u64,
    /// Over all bytes before `offset`, told or left out: what has rotted is not passed on as whole
    /// (`reliability.md` row 54).
    digest: Sha256,
}

// === impl Done ===

impl Done {
    pub(super) fn new(generation: Arc<Generation>, gallery: Arc<dyn Gallery>) -> Self {
        Self {
            generation,
            gallery,
            greeted: false,
            next_image: 0,
            open: None,
            resume: Resume::default(),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Event, Failure> {
        if let Some(failure) = &self.generation.failure {
            return Err(failure.clone());
        }
        if !self.greeted {
            exist(&self.resume, &self.generation, 0)?;
            self.greeted = true;
            return Ok(Event::Replayed(Arc::clone(&self.generation)));
        }
        let Some(image) = self.generation.images.get(self.next_image) else {
            return Ok(Event::Completed {
                generation: Arc::clone(&self.generation),
                replayed: true,
            });
        };
        let image = image.clone();
        let id = self.generation.draft.id;
        let Some(open) = &mut self.open else {
            let source = self.gallery.open(&image.object_name).await;
            let source = source.map_err(|error| unreadable(error, id))?;
            let had = offset(&self.resume, image.index);
            if had.is_some_and(|had| had > image.size_bytes) {
                return Err(beyond(image.index, image.size_bytes));
            }
            let mut opened = Opened {
                source,
                offset: 0,
                digest: Sha256::new(),
            };
            while opened.offset < had.unwrap_or(0) {
                let left = had.unwrap_or(0) - opened.offset;
                opened
                    .read(left)
                    .await
                    .map_err(|error| unreadable(error, id))?;
            }
            self.open = Some(opened);
            if had.is_some() {
                return Box::pin(self.next()).await;
            }
            return Ok(Event::ImageStarted {
                index: image.index,
                media_type: image.media_type,
            });
        };
        if open.offset >= image.size_bytes {
            let digest: [u8; 32] = std::mem::take(&mut open.digest).finalize().into();
            if digest != image.sha256 {
                tracing::error!(generation = %id, image.index, "a kept image has rotted");
                return Err(unreadable(GalleryError::Gone, id));
            }
            self.open = None;
            self.next_image += 1;
            return Ok(Event::ImageFinished(image));
        }
        let data = open.read(image.size_bytes - open.offset).await;
        Ok(Event::ImageChunk {
            index: image.index,
            data: data.map_err(|error| unreadable(error, id))?,
        })
    }
}

// === impl Opened ===

impl Opened {
    /// The next bytes, at most so many; none is an error.
    async fn read(&mut self, most: u64) -> Result<Bytes, GalleryError> {
        let most = usize::try_from(most).unwrap_or(CHUNK_BYTES);
        let data = self.source.read(self.offset, most.min(CHUNK_BYTES)).await?;
        if data.is_empty() {
            return Err(GalleryError::Gone);
        }
        self.digest.update(&data);
        self.offset += u64::try_from(data.len()).unwrap_or(0);
        Ok(data)
    }
}
