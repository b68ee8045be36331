//! What errors tell beside their words: the contract names every key and every word among the values
//! that the program can give, and none that it cannot.

use std::collections::BTreeSet;

use crate::named::NAMED;
use crate::tidy::{code, read, root, rust_files};

/// Keys whose values are words of the contract.
const KEYS_OF_WORDS: [&str; 4] = ["cause", "limit", "spared", "stage"];

/// What makes failures with a word that it is given.
const MAKERS: [&str; 4] = [
    "model_unavailable(",
    "openrouter_key_invalid(",
    "rejected(",
    "unimplemented(",
];

/// What stands for a word where none is written: where it comes from is read by [`Told::elsewhere`].
/// `why` is free text; the others hand on what a maker is given.
const STANDS_FOR_WORDS: [&str; 5] = ["cause", "name", "scope.kind()", "stage", "why"];

/// What the source can give.
#[derive(Default)]
struct Told {
    keys: BTreeSet<String>,
    words: BTreeSet<String>,
}

/// The text in quotation marks with which another begins.
fn quoted(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix('"')?.split('"').next()
}

/// The arguments of a call, up to its end, of which the text is what follows the opening parenthesis.
fn arguments(text: &str) -> Vec<&str> {
    let (mut depth, mut in_quotes, mut from) = (0_usize, false, 0);
    let mut found = Vec::new();
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            '(' | '[' | '{' => depth += 1,
            ',' | ')' if depth == 0 => {
                found.push(text[from..at].trim());
                from = at + 1;
                if letter == ')' {
                    break;
                }
            }
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    found.retain(|argument| !argument.is_empty());
    found
}

impl Told {
    fn read() -> Self {
        let mut told = Self::default();
        let source = root().join("src");
        for path in rust_files(&source) {
            let place = path.strip_prefix(&source).expect("below src");
            let place = place.to_string_lossy();
            if !place.contains("/tests") && !place.starts_with("mock") {
                told.add(&place, &code(&read(&path)));
            }
        }
        told.elsewhere();
        told
    }

    /// The keys and the words of one file.
    fn add(&mut self, place: &str, text: &str) {
        for call in text.split(".with(").skip(1) {
            let arguments = arguments(call);
            let [key, value] = arguments[..] else {
                continue;
            };
            let Some(key) = quoted(key) else {
                continue;
            };
            self.keys.insert(key.to_owned());
            match quoted(value) {
                Some(word) => _ = self.words.insert(word.to_owned()),
                None if KEYS_OF_WORDS.contains(&key) => {
                    let is_known = STANDS_FOR_WORDS.contains(&value);
                    assert!(is_known, "{place}: which words can {value} be for {key}?");
                }
                None => {}
            }
        }
        for maker in MAKERS {
            for call in text.split(maker).skip(1) {
                self.made(place, &arguments(call));
            }
        }
    }

    /// The word in what a maker is given; its own head names a type instead.
    fn made(&mut self, place: &str, arguments: &[&str]) {
        let is_head = arguments.iter().any(|it| it.ends_with(": &'static str"));
        let hands_on = arguments
            .iter()
            .any(|it| ["cause", "self.cause()"].contains(it));
        match arguments.iter().find_map(|argument| quoted(argument)) {
            Some(word) => _ = self.words.insert(word.to_owned()),
            None => assert!(
                is_head || hands_on,
                "{place}: which words are {arguments:?}?"
            ),
        }
    }

    /// The words that have tables of their own.
    fn elsewhere(&mut self) {
        for (file, from, before) in [
            ("domain/quota.rs", "const DAILY", "limit: "),
            ("domain/throttle.rs", "fn kind(", "=> "),
            ("domain/catalog.rs", "fn cause(", "=> "),
        ] {
            let text = code(&read(&root().join("src").join(file)));
            let (_, table) = text.split_once(from).expect("a table");
            let table = table.split("fn ").next().unwrap_or_default();
            let words = table.split(before).skip(1).filter_map(quoted);
            let count = self.words.len();
            self.words.extend(words.map(str::to_owned));
            assert!(self.words.len() > count, "{file} has no words");
        }
        // The cause of nothing: no failure has it.
        assert!(self.words.remove("usable"));
    }
}

#[test]
fn the_contract_names_what_errors_tell_and_nothing_else() {
    let told = Told::read();
    let of_all: BTreeSet<&String> = NAMED.values().flatten().collect();
    let given: BTreeSet<&String> = told.keys.union(&told.words).collect();
    assert!(given.len() > 40, "{given:?}");
    let unnamed: Vec<_> = given.difference(&of_all).collect();
    assert!(unnamed.is_empty(), "errors.proto does not name {unnamed:?}");
    let ungiven: Vec<_> = of_all.difference(&given).collect();
    assert!(ungiven.is_empty(), "nothing gives {ungiven:?}");
}
