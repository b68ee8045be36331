//! A finished generation, told again from its files.

use std::sync::Arc;

use super::{CHUNK_BYTES, Event, Resume, beyond, offset, unreadable};
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
    open: Option<(Arc<dyn ImageSource>, u64)>,
    pub(super) resume: Resume,
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
        let Some((source, offset)) = &mut self.open else {
            let source = self.gallery.open(&image.object_name).await;
            let source = source.map_err(|error| unreadable(error, id))?;
            let had = offset(&self.resume, image.index);
            if had.is_some_and(|had| had > image.size_bytes) {
                return Err(beyond(image.index, image.size_bytes));
            }
            self.open = Some((source, had.unwrap_or(0)));
            if had.is_some() {
                return Box::pin(self.next()).await;
            }
            return Ok(Event::ImageStarted {
                index: image.index,
                media_type: image.media_type,
            });
        };
        if *offset >= image.size_bytes {
            self.open = None;
            self.next_image += 1;
            return Ok(Event::ImageFinished(image));
        }
        let data = source
            .read(*offset, CHUNK_BYTES)
            .await
            .map_err(|error| unreadable(error, id))?;
        if data.is_empty() {
            return Err(unreadable(GalleryError::Gone, id));
        }
        *offset += u64::try_from(data.len()).unwrap_or(0);
        Ok(Event::ImageChunk {
            index: image.index,
            data,
        })
    }
}
