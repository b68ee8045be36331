//! Pictures that are kept, as their names and their own bytes tell: what a process that is gone has
//! left can be charged and delivered without it.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::inspect;
use crate::domain::generation::{IMAGES_MAX, StoredImage};
use crate::domain::ids::GenerationId;
use crate::ports::{GalleryError, PictureCheck};

/// Bytes read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A picture as the books have it.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// Its name.
    pub object_name: &'a str,
    /// Its size.
    pub size_bytes: u64,
    /// The hash of its content.
    pub sha256: [u8; 32],
}

/// What is found of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// What the books have, as far as it was looked.
    Whole,
    /// Nothing.
    Gone,
    /// A file of so many bytes.
    OtherSize(u64),
    /// A file of this size with other bytes.
    OtherContent,
}

// === impl Kept ===

impl Kept<'_> {
    /// Looks at the file in the gallery of a data folder. Blocks, and holds one piece of it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn look(&self, data_dir: &Path, check: PictureCheck) -> io::Result<Seen> {
        let Some(path) = super::inside(&data_dir.join(super::FOLDER), self.object_name) else {
            return Ok(Seen::Gone);
        };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seen::Gone),
            Err(error) => return Err(error),
        };
        let size = file.metadata()?.len();
        if size != self.size_bytes {
            return Ok(Seen::OtherSize(size));
        }
        if check == PictureCheck::Content && digest(&mut file)? != self.sha256 {
            return Ok(Seen::OtherContent);
        }
        Ok(Seen::Whole)
    }
}

/// The folder of a generation's pictures: the last characters of its id, which are random, spread
/// pictures over 4,096 folders.
pub(super) fn fan(id: &str) -> &str {
    &id[id.len() - 3..]
}

/// The whole pictures of a generation, in the order of their places.
pub(super) fn find(root: &Path, id: GenerationId) -> Result<Vec<StoredImage>, GalleryError> {
    let id = id.to_string();
    let folder = root.join(fan(&id));
    let names = match fs::read_dir(&folder) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for name in names {
        let name = name?.file_name();
        let Some((name, index)) = name
            .to_str()
            .and_then(|name| Some((name, place(name, &id)?)))
        else {
            continue;
        };
        if let Some(image) = look(&folder, name, index)? {
            found.push(StoredImage {
                object_name: format!("{}/{name}", fan(&id)),
                ..image
            });
        }
    }
    found.sort_by_key(|image| image.index);
    Ok(found)
}

/// The place of a picture of this generation; `None` if the name is of something else.
fn place(name: &str, id: &str) -> Option<u32> {
    let (stem, _) = name.split_once('.')?;
    let place = stem.strip_prefix(id)?.strip_prefix('-')?;
    let is_one = |place: &u32| usize::try_from(*place).is_ok_and(|place| place < IMAGES_MAX);
    place.parse().ok().filter(is_one)
}

/// Looks at a picture as if it had just been drawn; `None` if it is not a whole one.
fn look(folder: &Path, name: &str, index: u32) -> Result<Option<StoredImage>, GalleryError> {
    let mut file = File::open(folder.join(name))?;
    let size_bytes = file.metadata()?.len();
    let (media_type, pixels) = match inspect::inspect(&file, size_bytes) {
        Ok(seen) => seen,
        Err(GalleryError::NotAnImage(why)) => {
            tracing::error!(name, why, "a kept image is not whole");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    Ok(Some(StoredImage {
        index,
        sha256: digest(&mut file)?,
        size_bytes,
        pixels,
        media_type,
        object_name: String::new(),
    }))
}

fn digest(file: &mut File) -> io::Result<[u8; 32]> {
    file.rewind()?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(digest.finalize().into());
        }
        digest.update(&piece[..read]);
    }
}
