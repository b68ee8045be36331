//! Every await between a hold and its end is a named place where the torture kills the process.

use std::fs;
use std::path::Path;

/// Files whose every await is between a hold and its end, and those of which only some functions
/// are.
const FILES: &[(&str, Option<&[&str]>)] = &[
    ("src/generate/draw.rs", None),
    ("src/generate/easel.rs", None),
    ("src/generate/settle.rs", None),
    ("src/recover.rs", None),
    ("src/recover/checking.rs", None),
    ("src/generate.rs", Some(&["async fn run("])),
];

/// Awaits that are no step of a generation.
const APART: [&str; 1] = ["stop.run_until_cancelled(work).await"];

#[test]
fn every_await_between_a_hold_and_its_end_is_a_named_place() {
    let mut unnamed = Vec::new();
    let mut named = 0;
    for (file, functions) in FILES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = fs::read_to_string(path).expect("a source file");
        let code = text.split("#[cfg(test)]").next().expect("code");
        for body in bodies(code, *functions) {
            for statement in awaits(body) {
                if statement.contains("step(") {
                    named += 1;
                } else if !APART.iter().any(|apart| statement.contains(apart)) {
                    unnamed.push(format!("{file}: {}", statement.trim()));
                }
            }
        }
    }
    assert!(unnamed.is_empty(), "awaits without a name: {unnamed:#?}");
    assert!(named > 50, "{named} is less than there are");
}

/// The whole file, or the bodies of some functions.
fn bodies<'a>(code: &'a str, functions: Option<&[&str]>) -> Vec<&'a str> {
    let Some(functions) = functions else {
        return vec![code];
    };
    let body = |name: &&str| {
        let start = code.find(*name).unwrap_or_else(|| panic!("no {name}"));
        let end = code[start..].find("\n    }\n").expect("its end");
        &code[start..start + end]
    };
    functions.iter().map(body).collect()
}

/// Each await with its statement before it.
fn awaits(code: &str) -> Vec<&str> {
    let ends = code
        .match_indices(".await")
        .map(|(at, word)| at + word.len());
    let statement = |end: usize| {
        let before = &code[..end];
        let start = before.rfind([';', '{', '}']).map_or(0, |at| at + 1);
        &before[start..]
    };
    ends.map(statement).collect()
}
