//! The walls between the rooms, and other rules that a compiler does not keep.

use std::fs;
use std::path::{Path, PathBuf};

use crate::walls::WALLS;

/// Files must be readable at one sitting.
const LINES_MAX: usize = 400;

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a text")
}

/// Whether a file has a test of this name. Only attributes stand between it and what makes it one.
pub(crate) fn is_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}() {{")) else {
        return false;
    };
    // The first is what stands before it in its own line, if it is only where it begins.
    let attributes = before.rsplit('\n').skip(1).map(str::trim);
    let mut attributes = attributes.take_while(|line| line.starts_with("#["));
    attributes.any(|line| line == "#[test]" || line.starts_with("#[tokio::test"))
}

/// The code of a file: no comments, so that words may be talked about, and no tests, which may
/// stand on both sides of a wall.
pub(crate) fn code(text: &str) -> String {
    let production = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = production
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn no_room_knows_what_is_behind_its_walls() {
    let source = root().join("src");
    let mut breaches = Vec::new();
    for path in rust_files(&source) {
        let place = path.strip_prefix(&source).expect("below src").to_owned();
        let first = place.components().next().expect("a name").as_os_str();
        let room = first.to_string_lossy().trim_end_matches(".rs").to_owned();
        let is_test = place.ends_with("tests.rs")
            || place.components().any(|part| part.as_os_str() == "tests");
        let Some((_, forbidden)) = WALLS
            .iter()
            .find(|(name, _)| *name == room)
            .filter(|_| !is_test)
        else {
            continue;
        };
        let text = code(&read(&path));
        for word in forbidden.iter().filter(|word| text.contains(**word)) {
            breaches.push(format!("{} mentions {word}", place.display()));
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn every_file_can_be_read_at_one_sitting() {
    let mut long = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for path in rust_files(&root().join(folder)) {
            let lines = read(&path).lines().count();
            if lines > LINES_MAX {
                long.push(format!("{} has {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let mut silent = Vec::new();
    for path in rust_files(&root().join("src")) {
        let tests =
            path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests");
        if !tests && !read(&path).starts_with("//!") && !read(&path).starts_with("#![doc") {
            silent.push(path);
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("unimplemented", "!("),
    ];
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for path in rust_files(&root().join(folder)) {
            let text = read(&path);
            if marks.iter().any(|mark| text.contains(mark)) {
                found.push(path);
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// All that is printed is made harmless in one room; who prints past it forgets that.
#[test]
fn what_is_printed_goes_through_one_room() {
    let commands = root().join("src/cli");
    let room = commands.join("terminal");
    let mut past = Vec::new();
    for path in rust_files(&commands) {
        if path.starts_with(&room) || path == room.with_extension("rs") {
            continue;
        }
        let text = code(&read(&path));
        let ways = ["indicatif", "anstream", "stdout()", "stderr()"];
        for way in ways.iter().filter(|way| text.contains(**way)) {
            past.push(format!("{} mentions {way}", path.display()));
        }
    }
    assert!(past.is_empty(), "{past:#?}");
}

#[test]
fn the_map_names_every_room() {
    let map = read(&root().join("ARCHITECTURE.md"));
    let library = read(&root().join("src/lib.rs"));
    let rooms = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let missing: Vec<_> = rooms
        .filter(|room| !map.contains(&format!("`{room}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "ARCHITECTURE.md does not name {missing:?}"
    );
}

#[test]
fn every_direct_dependency_has_its_reason() {
    let map = read(&root().join("ARCHITECTURE.md"));
    let manifest = read(&root().join("Cargo.toml"));
    let mut inside = false;
    let mut missing = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if let Some((name, _)) = line
            .split_once(" = ")
            .filter(|_| inside && !line.starts_with('#'))
            && !map.contains(&format!("`{name}`"))
        {
            missing.push(name.to_owned());
        }
    }
    assert!(
        missing.is_empty(),
        "ARCHITECTURE.md gives no reason for {missing:?}"
    );
}

#[test]
fn the_readme_lists_every_setting() {
    let readme = read(&root().join("README.md"));
    let given = read(&root().join("src/config/given.rs"));
    let mut settings = given
        .split("env = \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .peekable();
    assert!(settings.peek().is_some());
    let missing: Vec<_> = settings
        .filter(|name| !readme.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "README.md does not list {missing:?}");
}

#[test]
fn the_readme_explains_every_reason() {
    let readme = read(&root().join("README.md"));
    let reasons = image_gateway::domain::failure::Reason::ALL.iter();
    let missing: Vec<_> = reasons
        .map(|reason| format!("`{reason}`"))
        .filter(|word| !readme.contains(word))
        .collect();
    assert!(missing.is_empty(), "README.md does not explain {missing:?}");
}

#[test]
fn everything_in_the_contract_says_what_it_is() {
    use prost_reflect::prost_types::FileDescriptorSet;
    let set: FileDescriptorSet =
        prost_reflect::prost::Message::decode(image_gateway::proto::DESCRIPTORS).expect("a set");
    let mut silent = Vec::new();
    for file in set
        .file
        .iter()
        .filter(|file| file.package() == "squados.images.v1")
    {
        let locations = &file.source_code_info.as_ref().expect("comments").location;
        for location in locations {
            // Messages (4), their fields (2); enums (5), their values (2); services (6), calls (2).
            let named = matches!(location.path[..], [4 | 6, _] | [4..=6, _, 2, _]);
            let zero_value = matches!(location.path[..], [5, _, 2, 0]);
            if named && !zero_value && location.leading_comments().trim().is_empty() {
                silent.push(format!("{} line {}", file.name(), location.span[0] + 1));
            }
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn every_test_that_the_page_on_security_names_is_there() {
    let folders = [root().join("src"), root().join("tests")];
    let files = folders.iter().flat_map(|folder| rust_files(folder));
    let texts: Vec<String> = files.map(|path| read(&path)).collect();
    let page = read(&root().join("docs/security.md"));
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let tests = rows.filter_map(|row| row.split(" | ").nth(2));
    let names: Vec<&str> = tests
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() > 30, "{}", names.len());
    for name in names {
        let is_there = texts.iter().any(|text| is_test(text, name));
        assert!(is_there, "no test is named {name}");
    }
}
