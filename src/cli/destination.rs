//! Where pictures go on this machine: tried before anything is paid for, and written so that a file
//! is either the old one or the whole new one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::failed::Failed;

/// Makes sure that a picture can be written to this file, which it may replace. Its folder is made.
pub(super) fn try_file(path: &Path) -> Result<(), Failed> {
    if is_meant_as_folder(path) {
        return Err(not_a_file(path, "is a folder"));
    }
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(not_a_file(path, "is a folder")),
        // A device would be replaced by a file of its name.
        Ok(there) if !there.is_file() => Err(not_a_file(path, "is no ordinary file")),
        Ok(_) => try_folder(&folder_of(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => try_folder(&folder_of(path)),
        Err(error) => Err(unusable(path, error)),
    }
}

/// The same, where several pictures want a folder: one that is there, or a name that is not that of a
/// picture.
pub(super) fn try_folder_of_several(path: &Path) -> Result<(), Failed> {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    let ending = ending.to_ascii_lowercase();
    let named_as_picture = !path.is_dir()
        && !is_meant_as_folder(path)
        && matches!(ending.as_str(), "png" | "jpg" | "jpeg" | "webp");
    if named_as_picture || path.is_file() {
        let what = format!(
            "several pictures need a folder, and {} is a file",
            path.display()
        );
        return Err(Failed::usage(what).hint("name a folder with --out; nothing was asked for"));
    }
    try_folder(path)
}

/// Makes sure that files can be made in this folder, which is made if it is not there.
pub(super) fn try_folder(path: &Path) -> Result<(), Failed> {
    let probe = path.join(format!(".image-gateway-{}.probe", std::process::id()));
    fs::create_dir_all(path)
        .and_then(|()| File::create(&probe))
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|error| unusable(path, error))
}

/// Replaces a file by one that is whole.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = folder_of(path).join(format!(".image-gateway-{}.part", std::process::id()));
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // What went wrong is told; that a part is left as well would not help anybody.
        let _ = fs::remove_file(&part);
    }
    written
}

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Whether the path ends as only that of a folder does.
pub(super) fn is_meant_as_folder(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    text.last()
        .is_some_and(|byte| std::path::is_separator(char::from(*byte)))
}

fn not_a_file(path: &Path, what: &str) -> Failed {
    Failed::usage(format!("{} {what}", path.display()))
        .hint("name the file that the picture is to be written to; nothing was asked for")
}

fn unusable(path: &Path, error: io::Error) -> Failed {
    Failed::new(format!("cannot write to {}", path.display()))
        .because(error)
        .hint("choose another place for the picture; nothing was asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_written_is_found_out_without_leaving_a_trace() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("old.png"), "old").expect("a file");
        assert!(try_file(&at("new.png")).is_ok());
        assert!(try_file(&at("old.png")).is_ok());
        assert!(try_file(&at("deep/er/new.png")).is_ok());
        assert!(try_folder(&at("made")).is_ok());
        assert_eq!(fs::read(at("old.png")).expect("a file"), b"old");
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["deep", "made", "old.png"]);
    }

    #[test]
    fn what_cannot_be_written_is_refused_in_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("a file");
        for (path, status, words) in [
            (folder.path().to_path_buf(), 2, "is a folder"),
            (folder.path().join("new/"), 2, "is a folder"),
            (PathBuf::from("/dev/full"), 2, "is no ordinary file"),
            (file.join("x.png"), 1, "cannot write to"),
            (PathBuf::from("/proc/none/x.png"), 1, "cannot write to"),
        ] {
            let failed = try_file(&path).expect_err("it cannot be written");
            assert_eq!(failed.status, status, "{failed:?}");
            assert!(failed.message.contains(words), "{failed:?}");
        }
        assert!(try_folder(&file).is_err());
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.png");
        replace(&file, b"one").expect("written");
        replace(&file, b"two").expect("replaced");
        assert_eq!(fs::read(&file).expect("a file"), b"two");
        assert!(replace(folder.path(), b"three").is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
