//! The places named in the code: read from it, so that a new one is tortured or found out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where steps between a hold and its end are taken.
const ROOMS: [&str; 4] = [
    "src/generate.rs",
    "src/generate",
    "src/recover.rs",
    "src/recover",
];

/// Every `before:name` and `after:name` of the code.
pub(crate) fn in_the_code() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut places = BTreeSet::new();
    for file in ROOMS.iter().flat_map(|room| files(&root.join(room))) {
        let text = fs::read_to_string(&file).expect("a source file");
        for name in text.split("step(").skip(1).filter_map(name) {
            places.insert(format!("before:{name}"));
            places.insert(format!("after:{name}"));
        }
    }
    places
}

/// The name at the beginning of a call's arguments, if they begin with one.
fn name(arguments: &str) -> Option<&str> {
    let quoted = arguments.trim_start().strip_prefix('"')?;
    quoted.split('"').next()
}

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let Ok(folder) = fs::read_dir(path) else {
        return Vec::new();
    };
    let files = folder.map(|entry| entry.expect("an entry").path());
    files
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}
