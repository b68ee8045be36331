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
