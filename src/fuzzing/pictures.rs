//! Pictures: whatever bytes come, what the gallery keeps is a whole picture of a possible size, and
//! what it does not keep leaves nothing behind.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::domain::generation::{MediaType, StoredImage};
use crate::domain::ids::GenerationId;
use crate::domain::media::{self, SIDE_MAX, SNIFF_BYTES};
use crate::ports::{Gallery, GalleryError};
use crate::store::gallery::Files;

/// The largest area that is kept (`reliability.md` §6).
const PIXELS_MAX: u64 = 64 << 20;

static RUNTIME: LazyLock<Option<Runtime>> =
    LazyLock::new(|| Builder::new_current_thread().build().ok());

/// Counts galleries, so that each has a folder of its own.
static GALLERIES: AtomicU64 = AtomicU64::new(0);

/// A folder that goes away.
struct Folder(PathBuf);

pub(super) fn check(data: &[u8]) {
    let Some((flag, picture)) = data.split_first() else {
        return;
    };
    let picture = if *flag == b'+' {
        with_checksum(picture)
    } else {
        Cow::Borrowed(picture)
    };
    let format = media::sniff(&picture);
    let head = &picture[..picture.len().min(SNIFF_BYTES)];
    assert_eq!(media::sniff(head), format, "the head alone says it");
    let seen = media::inspect(&picture).ok();
    if let Some((media_type, pixels)) = seen {
        assert_eq!(Some(media_type), format);
        let side = 1..=SIDE_MAX;
        assert!(side.contains(&pixels.width) && side.contains(&pixels.height));
    }
    let Some(stored) = kept(&picture) else {
        return;
    };
    assert_eq!(Some((stored.media_type, stored.pixels)), seen);
    let area = u64::from(stored.pixels.width) * u64::from(stored.pixels.height);
    assert!(area <= PIXELS_MAX, "{:?}", stored.pixels);
    assert_ne!(stored.media_type, MediaType::Gif);
    assert_eq!(u64::try_from(picture.len()).ok(), Some(stored.size_bytes));
}

/// Gives a picture to a gallery of its own.
fn kept(picture: &[u8]) -> Option<StoredImage> {
    let number = GALLERIES.fetch_add(1, Ordering::Relaxed);
    let name = format!("image-gateway-fuzzing-{}-{number}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(name));
    let files = match Files::open(&folder.0, None) {
        Ok(files) => files,
        Err(error) => unreachable!("a folder that can be made: {error}"),
    };
    let id = GenerationId::from_uuid(Uuid::from_u128(number.into()));
    let stored = RUNTIME.as_ref()?.block_on(async {
        let mut canvas = files.begin(id, 0).await?;
        canvas.write(Bytes::copy_from_slice(picture)).await?;
        let stored = canvas.keep().await?;
        let found = files.find(id).await?;
        assert_eq!(
            found,
            std::slice::from_ref(&stored),
            "found again as it was kept"
        );
        let source = files.open(&stored.object_name).await?;
        let read = source.read(0, picture.len() + 1).await?;
        assert_eq!(read, picture, "byte for byte");
        Ok::<_, GalleryError>(stored)
    });
    match stored {
        Ok(stored) => Some(stored),
        Err(GalleryError::NotAnImage(_)) => {
            assert_eq!(files_below(&folder.0), 0, "something is left behind");
            None
        }
        Err(error) => unreachable!("a disk that works: {error:?}"),
    }
}

fn files_below(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            let path = entry.path();
            if path.is_dir() { files_below(&path) } else { 1 }
        })
        .sum()
}

/// Writes the checksum of a PNG's header chunk (PNG specification, 5.3).
fn with_checksum(picture: &[u8]) -> Cow<'_, [u8]> {
    let Some(chunk) = picture.get(12..29) else {
        return Cow::Borrowed(picture);
    };
    let check = crc32fast::hash(chunk).to_be_bytes();
    let mut right = picture.to_vec();
    match right.get_mut(29..33) {
        Some(place) => place.copy_from_slice(&check),
        None => right.extend_from_slice(&check),
    }
    Cow::Owned(right)
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is in the folder for what may be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}
