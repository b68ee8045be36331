//! Secrets that are planted in every house, and looked for wherever a house writes: in every line of
//! its log, in what every panic says, in every refusal that a test reads, in its database and its
//! metrics when it is closed.
//!
//! Keys are found anywhere; prompts may be in the database, which keeps them, and nowhere else.

use std::io::{self, Write};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::fmt::{MakeWriter, TestWriter};

use crate::helpers::{House, OPERATOR_KEY, PLATFORM_KEY, PROMPT};

/// How every key that is made begins.
const START: &str = "sq_live_";

/// Keys that were made while the tests ran. A key is found by the part that nobody can guess.
static MADE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A secret was written; which, would be written by saying so.
static LEAKED: AtomicBool = AtomicBool::new(false);

/// A secret that was made meanwhile.
pub(crate) fn plant(secret: &str) {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.push(secret.to_owned());
}

/// From now on every panic is looked at before it is printed, whichever task it ends.
pub(crate) fn watch_panics() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // As it is printed: the message and the place.
            if tells(panic.to_string().as_bytes()) {
                LEAKED.store(true, Ordering::Relaxed);
            }
            print(panic);
        }));
    });
}

/// No key is in what a caller or an operator reads.
pub(crate) fn assert_no_key(what: &str, text: &str) {
    assert!(!has_key(text.as_bytes()), "a key is in {what}");
}

impl House {
    /// Nothing that this house has written has one of its secrets in it.
    pub(crate) async fn assert_no_secret_written(&self) {
        assert!(!LEAKED.load(Ordering::Relaxed), "a secret is in the log");
        let url = self
            .app
            .as_ref()
            .map(|app| format!("http://{}/metrics", app.http_address()));
        let page = reqwest::get(url.expect("open")).await.expect("a page");
        assert_no_key("the metrics", &page.text().await.expect("a text"));
        let mine = [&self.runtime, &self.admin, &self.owner].map(String::as_str);
        let mine = mine.into_iter().filter(|key| !key.is_empty());
        let keys: Vec<&str> = mine.chain([OPERATOR_KEY, PLATFORM_KEY]).collect();
        for end in ["", "-wal"] {
            let file = self.dir.path().join(format!("gateway.sqlite3{end}"));
            let bytes = std::fs::read(file).unwrap_or_default();
            let seen = keys.iter().any(|key| has(&bytes, key));
            assert!(!seen, "a key is in the database");
        }
    }
}

/// Whether a key or a prompt is in it.
pub(crate) fn tells(text: &[u8]) -> bool {
    has_key(text) || has(text, PROMPT)
}

fn has_key(text: &[u8]) -> bool {
    let given = [OPERATOR_KEY, PLATFORM_KEY];
    if given.into_iter().any(|key| has(text, key)) {
        return true;
    }
    // There are thousands of keys and of lines, and hardly a line has the beginning of one.
    has(text, START) && has_made(text)
}

fn has_made(text: &[u8]) -> bool {
    let made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.iter().any(|key| has(text, key))
}

fn has(text: &[u8], word: &str) -> bool {
    memchr::memmem::find(text, word.as_bytes()).is_some()
}

/// Where houses log to: beside the test, and read on the way.
pub(crate) struct Log;

/// One line on its way.
pub(crate) struct Line(TestWriter);

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(TestWriter::new())
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if tells(line) {
            LEAKED.store(true, Ordering::Relaxed);
        }
        self.0.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_secret_is_found_in_the_middle_of_a_line() {
    const MADE_HERE: &str = "sq_live_madehere_for_this_test_alone";
    plant(MADE_HERE);
    for secret in [OPERATOR_KEY, PLATFORM_KEY, MADE_HERE] {
        assert!(has_key(format!("before {secret} behind").as_bytes()));
        assert!(!has_key(&secret.as_bytes()[1..]));
    }
}
