//! The files of pictures that arrive: written beside their destination, and renamed only when they
//! are whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::cli::destination;
use crate::cli::failed::Failed;
use crate::proto;

/// The most characters of a prompt that go into a name.
const NAME_CHARS: usize = 40;

/// Pictures on their way.
pub(super) struct Files {
    /// Where a single picture goes, or the folder of several.
    out: Option<PathBuf>,
    /// A name made of the prompt.
    stem: String,
    single: bool,
    parts: Vec<Part>,
}

/// One picture on its way.
struct Part {
    index: i32,
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Renamed: no longer to be removed.
    kept: bool,
}

// === impl Files ===

impl Files {
    /// Nothing has come yet. The destination is tried now, while nothing is paid for.
    pub(super) fn new(prompt: &str, out: Option<PathBuf>, count: u16) -> Result<Self, Failed> {
        let files = Self {
            out,
            stem: stem(prompt),
            single: count <= 1,
            parts: Vec::new(),
        };
        match &files.out {
            Some(out) if files.is_file(out) => destination::try_file(out)?,
            Some(out) if !files.single => destination::try_folder_of_several(out)?,
            _ => destination::try_folder(&files.folder())?,
        }
        Ok(files)
    }

    /// What need not be sent again.
    pub(super) fn offsets(&self) -> Vec<proto::ImageOffset> {
        let offset = |part: &Part| proto::ImageOffset {
            index: part.index,
            offset: i64::try_from(part.bytes).unwrap_or(i64::MAX),
        };
        self.parts.iter().map(offset).collect()
    }

    /// Everything comes again.
    pub(super) fn forget(&mut self) {
        self.parts.clear();
    }

    /// A picture begins.
    pub(super) fn begin(&mut self, index: i32) -> io::Result<()> {
        self.parts.retain(|part| part.index != index);
        let folder = self.folder();
        fs::create_dir_all(&folder)?;
        let name = format!(".{}-{index}.{}.part", self.stem, std::process::id());
        let path = folder.join(name);
        let file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&path)?;
        self.parts.push(Part {
            index,
            path,
            file,
            bytes: 0,
            kept: false,
        });
        Ok(())
    }

    pub(super) fn write(&mut self, index: i32, data: &[u8]) -> io::Result<()> {
        if !self.parts.iter().any(|part| part.index == index) {
            self.begin(index)?;
        }
        let part = self.parts.iter_mut().find(|part| part.index == index);
        if let Some(part) = part {
            part.file.write_all(data)?;
            part.bytes += u64::try_from(data.len()).unwrap_or(0);
        }
        Ok(())
    }

    /// Checks every picture, gives each its name, and returns the names in their order. A file that
    /// is there is never overwritten, unless it was named. `again` says how to get a picture that
    /// cannot be kept; one that is whole is left where it is.
    pub(super) fn keep(
        mut self,
        images: &[proto::ImageFinished],
        again: &str,
    ) -> Result<Vec<String>, Failed> {
        let mut names = Vec::with_capacity(images.len());
        for image in images {
            let wanted = self.name(image, images.len());
            let part = self.parts.iter_mut().find(|part| part.index == image.index);
            let part = part.ok_or_else(|| Failed::new("a picture did not arrive").hint(again))?;
            let failed = |error| {
                let failed = Failed::new("cannot keep the picture").because(error);
                failed.hint(again)
            };
            part.file.sync_all().map_err(failed)?;
            if hash(&part.path).map_err(failed)? != image.sha256 {
                return Err(Failed::new("a picture did not arrive whole").hint(again));
            }
            // From here on it is worth more than a tidy folder.
            part.kept = true;
            fs::rename(&part.path, &wanted).map_err(|error| {
                let place = part.path.display();
                Failed::new(format!("cannot name the picture {}", wanted.display()))
                    .because(error)
                    .hint(format!("it is whole in {place}; {again}"))
            })?;
            names.push(wanted.display().to_string());
        }
        Ok(names)
    }

    fn folder(&self) -> PathBuf {
        match &self.out {
            Some(out) if self.is_file(out) => destination::folder_of(out),
            Some(out) => out.clone(),
            None => PathBuf::from("."),
        }
    }

    fn is_file(&self, out: &Path) -> bool {
        self.single && !out.is_dir() && !destination::is_meant_as_folder(out)
    }

    fn name(&self, image: &proto::ImageFinished, count: usize) -> PathBuf {
        if let Some(out) = self
            .out
            .as_ref()
            .filter(|out| count == 1 && self.is_file(out))
        {
            return out.clone();
        }
        let ending = match image.media_type.as_str() {
            "image/jpeg" => "jpg",
            "image/webp" => "webp",
            _ => "png",
        };
        let place = if count > 1 {
            format!("-{}", image.index)
        } else {
            String::new()
        };
        let folder = self.folder();
        let name = |again: String| folder.join(format!("{}{place}{again}.{ending}", self.stem));
        let first = name(String::new());
        let others = (2..).map(|n: u64| name(format!("-{n}")));
        let mut free = std::iter::once(first.clone()).chain(others);
        free.find(|path| !path.exists()).unwrap_or(first)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            // Nobody is left to be told.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Letters and digits of the prompt, as one word of a path.
fn stem(prompt: &str) -> String {
    let mut stem = String::new();
    for character in prompt.to_lowercase().chars().take(NAME_CHARS) {
        if character.is_alphanumeric() {
            stem.push(character);
        } else if !stem.ends_with('-') && !stem.is_empty() {
            stem.push('-');
        }
    }
    match stem.trim_end_matches('-') {
        "" => "picture".to_owned(),
        stem => stem.to_owned(),
    }
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => digest.update(&piece[..read]),
        }
    }
    let digest = digest.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_becomes_a_name() {
        for (prompt, name) in [
            ("A red fox, in the snow!", "a-red-fox-in-the-snow"),
            ("../../etc/passwd", "etc-passwd"),
            ("ein Füchslein", "ein-füchslein"),
            ("🦊", "picture"),
        ] {
            assert_eq!(stem(prompt), name);
        }
    }
}
