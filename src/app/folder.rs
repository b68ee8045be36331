//! The data folder: one process at a time has it, and what cannot be opened in it is named.

use std::error::Error;
use std::fs::{File, TryLockError};
use std::path::Path;

use super::StartError;
use crate::store::private;

/// The file that is locked while a gateway runs on a data folder. It is empty and stays.
const LOCK: &str = "lock";

/// Makes the data folder and takes it for this process; the system gives it back when the process
/// ends, however it ends.
pub(super) fn lock(data_dir: &Path) -> Result<File, StartError> {
    private::make_folder(data_dir).map_err(within("the lock", data_dir))?;
    let file = File::create(data_dir.join(LOCK)).map_err(within("the lock", data_dir))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse {
            folder: data_dir.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(within("the lock", data_dir)(error)),
    }
}

/// Names what could not be opened, and where.
pub(super) fn within<E: Into<Box<dyn Error + Send + Sync>>>(
    what: &'static str,
    data_dir: &Path,
) -> impl FnOnce(E) -> StartError {
    let folder = data_dir.to_owned();
    move |source| StartError::Data {
        what,
        folder,
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_data_folder_is_taken_by_one_gateway_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let second = lock(folder.path()).unwrap_err();
        assert!(matches!(second, StartError::InUse { .. }), "{second}");
        drop(first);
        assert!(lock(folder.path()).is_ok());
    }

    #[test]
    fn a_data_folder_that_is_made_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let (above, made) = (folder.path().join("new"), folder.path().join("new/data"));
        let _lock = lock(&made).unwrap();
        for path in [above, made] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        }
    }

    #[test]
    fn a_data_folder_that_is_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let failed = lock(&file).unwrap_err().to_string();
        assert!(
            failed.ends_with(&format!("in {}", file.display())),
            "{failed}"
        );
    }
}
