//! What is kept here is for whoever runs the gateway: prompts, pictures and books of all
//! organizations.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Who may look into a folder: its owner.
const FOLDER: u32 = 0o700;

/// Who may read a file: its owner.
const FILE: u32 = 0o600;

/// Makes a folder, and those above it, that others cannot look into. One that is there stays as it
/// is.
///
/// # Errors
/// What the system says.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)
}

/// Makes an empty file that others cannot read. One that is there stays as it is.
///
/// # Errors
/// What the system says.
pub fn make_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(FILE);
    options.open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_made_is_for_its_owner_alone_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (inner, file) = (folder.path().join("a/b"), folder.path().join("books"));
        make_folder(&inner).unwrap();
        make_file(&file).unwrap();
        assert_eq!((mode(&inner), mode(&file)), (0o700, 0o600));
        fs::write(&file, "kept").unwrap();
        for (path, bits) in [(&inner, 0o755), (&file, 0o644)] {
            fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
        }
        make_folder(&inner).unwrap();
        make_file(&file).unwrap();
        assert_eq!((mode(&inner), mode(&file)), (0o755, 0o644));
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }
}
