//! One picture while it is drawn: its bytes go to the gallery first, then to those who watch.

use bytes::Bytes;

use super::outcome::CallFailure;
use super::{Generator, Held};
use crate::crash::step;
use crate::domain::generation::{IMAGES_MAX, StoredImage};
use crate::domain::media::{self, SNIFF_BYTES};
use crate::ports::{Canvas, GalleryError};

impl Generator {
    /// A place for one more picture; none if there are more than anybody could want.
    pub(super) async fn set_up(&self, held: &Held) -> Result<Option<Easel>, GalleryError> {
        let Some(place) = held.live.reserve_image(IMAGES_MAX) else {
            return Ok(None);
        };
        let index = u32::try_from(place).unwrap_or(u32::MAX);
        let canvas = step("begin", self.parts.gallery.begin(held.draft.id, index)).await?;
        held.live
            .update_image(place, |image| image.source = Some(canvas.source()));
        Ok(Some(Easel {
            canvas,
            place,
            head: Vec::new(),
            known: false,
        }))
    }
}

/// A picture that is being drawn.
pub(super) struct Easel {
    canvas: Box<dyn Canvas>,
    /// Its place among the pictures that are shown.
    place: usize,
    /// Its first bytes, until its format is known.
    head: Vec<u8>,
    known: bool,
}

impl Easel {
    /// Adds bytes to the file, then shows them.
    pub(super) async fn paint(&mut self, held: &Held, bytes: Bytes) -> Result<(), CallFailure> {
        if !self.known {
            let missing = SNIFF_BYTES - self.head.len().min(SNIFF_BYTES);
            self.head.extend(bytes.iter().take(missing));
        }
        let offset = self.canvas.size_bytes();
        let written = step("write", self.canvas.write(bytes.clone())).await;
        written.map_err(CallFailure::Keep)?;
        let size_bytes = self.canvas.size_bytes();
        let media_type = (!self.known && self.head.len() >= SNIFF_BYTES)
            .then(|| media::sniff(&self.head).ok_or_else(unknown_format))
            .transpose()?;
        self.known |= media_type.is_some();
        held.live.update_image(self.place, |image| {
            image.media_type = image.media_type.or(media_type);
            image.newest = (offset, bytes);
            image.size_bytes = size_bytes;
        });
        Ok(())
    }

    /// Makes the picture durable, then shows it as finished.
    pub(super) async fn finish(self, held: &Held) -> Result<StoredImage, CallFailure> {
        let stored = step("keep_file", self.canvas.keep()).await;
        let stored = stored.map_err(CallFailure::Keep)?;
        held.live
            .update_image(self.place, |image| image.stored = Some(stored.clone()));
        Ok(stored)
    }
}

fn unknown_format() -> CallFailure {
    CallFailure::Keep(GalleryError::NotAnImage("not a PNG, JPEG or WebP"))
}
