//! Whether upstream's words quote what must not be told: the key that it was called with, or the
//! prompt. Nobody knows in which form a stranger repeats something, so what is compared is what is
//! left when escapes are undone, case is folded and nothing but letters and digits is kept.

use std::collections::HashSet;

/// So many letters and digits in a row in common are no accident.
const RUN_CHARS: usize = 12;

/// So many characters in a row of a key are a part of it, whatever they are: it may have few letters.
const KEY_RUN_CHARS: usize = 10;

/// A key of which so much stands at the end of a text was cut off there.
const KEY_TAIL_CHARS: usize = 4;

/// Shorter words are in every text.
const WORD_CHARS: usize = 3;

/// From so many letters on a part of a word of the prompt tells it, as "nude" tells "nudes".
const PART_CHARS: usize = 4;

/// From so many letters on a word of the prompt is looked for across what separates words.
const SPREAD_CHARS: usize = 5;

/// Words that say nothing of a prompt, and that errors are made of.
const COMMON: [&str; 96] = [
    "about",
    "after",
    "again",
    "all",
    "allowed",
    "and",
    "another",
    "any",
    "api",
    "are",
    "because",
    "been",
    "before",
    "but",
    "can",
    "cannot",
    "code",
    "contain",
    "contains",
    "content",
    "could",
    "create",
    "did",
    "does",
    "due",
    "each",
    "error",
    "errors",
    "failed",
    "for",
    "found",
    "from",
    "generate",
    "generated",
    "generation",
    "get",
    "had",
    "has",
    "have",
    "http",
    "image",
    "images",
    "input",
    "into",
    "invalid",
    "its",
    "make",
    "may",
    "message",
    "model",
    "models",
    "more",
    "most",
    "must",
    "not",
    "one",
    "only",
    "other",
    "output",
    "over",
    "picture",
    "pictures",
    "please",
    "prompt",
    "prompts",
    "provider",
    "redacted",
    "rejected",
    "request",
    "requests",
    "returned",
    "should",
    "some",
    "such",
    "support",
    "supported",
    "text",
    "than",
    "that",
    "the",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "try",
    "unable",
    "use",
    "using",
    "was",
    "when",
    "while",
    "will",
    "with",
    "your",
];

/// Whether a text quotes a key, or a part of it that is no accident.
pub(super) fn quotes_key(text: &str, key: &str) -> bool {
    let (key_plain, key_raw) = (condensed(key), without_backslashes(key));
    [text.to_owned(), unescaped(text)].iter().any(|form| {
        let plain = condensed(form);
        shares_run(&key_plain, &plain, RUN_CHARS)
            || shares_run(&key_raw, &without_backslashes(form), KEY_RUN_CHARS)
            || ends_within(form, key)
    })
}

/// Whether a text shares more with a prompt than words that are in every text.
pub(super) fn quotes_prompt(text: &str, prompt: &str) -> bool {
    let words = words(prompt);
    let plain_prompt = condensed(prompt);
    [text.to_owned(), unescaped(text)].iter().any(|form| {
        let plain = condensed(form);
        shares_sign(form, prompt)
            || shares_run(&plain, &plain_prompt, RUN_CHARS)
            || shares_word(form, &plain, &words)
    })
}

/// Whether a character in common is one that errors in English do not have.
fn shares_sign(text: &str, prompt: &str) -> bool {
    let folded: HashSet<char> = folded(prompt).collect();
    // Spaces, dashes and quotation marks are in many texts.
    let telling = |c: &char| !matches!(c, '\0'..='\u{bf}' | '\u{2000}'..='\u{206f}' | '\u{fffd}');
    self::folded(text)
        .filter(telling)
        .any(|c| folded.contains(&c))
}

fn shares_word(text: &str, plain: &str, prompt: &HashSet<String>) -> bool {
    let said = words(text);
    prompt.iter().any(|word| {
        let length = word.chars().count();
        said.contains(word)
            || (length >= SPREAD_CHARS && plain.contains(word))
            || said
                .iter()
                .any(|part| part.chars().count() >= PART_CHARS && word.contains(part))
    })
}

/// Whether the end of a text is the beginning of a key.
fn ends_within(text: &str, key: &str) -> bool {
    let begins = key.char_indices().skip(KEY_TAIL_CHARS);
    begins
        .map(|(end, _)| &key[..end])
        .any(|begin| text.ends_with(begin))
}

/// Whether so many characters in a row of the one stand in the other, or all that it has.
fn shares_run(one: &str, other: &str, length: usize) -> bool {
    let ends = one.char_indices().map(|(at, _)| at).chain([one.len()]);
    let starts = one.char_indices().map(|(at, _)| at);
    starts
        .zip(ends.skip(length))
        .any(|(start, end)| other.contains(&one[start..end]))
}

/// The words that tell something.
fn words(text: &str) -> HashSet<String> {
    let folded: String = folded(text).collect();
    let words = folded.split(|c: char| !c.is_alphanumeric());
    words
        .filter(|word| word.chars().count() >= WORD_CHARS && !COMMON.contains(word))
        .map(str::to_owned)
        .collect()
}

/// Letters and digits alone.
fn condensed(text: &str) -> String {
    folded(text).filter(|c| c.is_alphanumeric()).collect()
}

/// Without case; by way of capitals, in which one letter may be two.
fn folded(text: &str) -> impl Iterator<Item = char> {
    let capitals = text.chars().flat_map(char::to_uppercase);
    capitals.flat_map(char::to_lowercase)
}

fn without_backslashes(text: &str) -> String {
    text.replace('\\', "")
}

/// A text with `%2B` and `\u002b` as what they stand for; what is neither stays.
fn unescaped(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (head, digits) = match c {
            '%' => ("%", 2),
            '\\' => ("\\u", 4),
            _ => ("", 0),
        };
        let code = rest
            .strip_prefix(head)
            .and_then(|after| after.get(..digits));
        let code = code.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let (said, length) = match (c, code) {
            // A byte of one character or of a part of it.
            ('%', Some(code)) => (u8::try_from(code).map(|byte| vec![byte]).ok(), 3),
            ('\\', Some(code)) => (char::from_u32(code).map(|c| c.to_string().into()), 6),
            _ => (None, 0),
        };
        let (said, length) = match said {
            Some(said) => (said, length),
            None => (c.to_string().into_bytes(), c.len_utf8()),
        };
        plain.extend(said);
        rest = rest.get(length..).unwrap_or_default();
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMPT: &str = "Portrait of JANE Quux-Public, born 1980, of 12 Elm Straße, holding a sign that says \
                          “overthrow” and\nsmiling at the camera 狐";
    const KEY: &str = "weirdprovider.key/with+chars=0123\"456789";

    #[test]
    fn a_prompt_is_found_in_whatever_form_it_is_quoted() {
        for quoting in [
            PROMPT,
            &PROMPT.to_uppercase(),
            &PROMPT.to_lowercase(),
            &PROMPT.replace(' ', "  "),
            &PROMPT.replace(' ', "|"),
            &PROMPT.replace(' ', "+"),
            &PROMPT.replace(' ', ""),
            &PROMPT.replace("", " "),
            "flagged word(s): \"overthrow\"",
            "flagged: OVERTHROWN",
            "flagged: over-throw",
            "flagged: throw",
            "born in 1980",
            "a name: Quux",
            "who lives in ELM",
            "at ELM STRASSE",
            "no 狐",
            "no %E7%8B%90",
            "no \\u72d0",
            "%6F%76%65%72throw",
            "ortrait o",
        ] {
            assert!(quotes_prompt(quoting, PROMPT), "{quoting}");
        }
        assert!(quotes_prompt(
            "this image has the model",
            "with the model: this image has the model"
        ));
    }

    #[test]
    fn what_errors_are_made_of_is_no_quote() {
        for harmless in [
            "",
            "Provider returned error",
            "the content of this prompt was rejected by the provider; try another “one”",
            "rate limit exceeded: 20 a minute",
            "100% \\ \\u12 %",
        ] {
            assert!(!quotes_prompt(harmless, PROMPT), "{harmless}");
            assert!(!quotes_prompt(harmless, ""), "{harmless}");
            assert!(!quotes_key(harmless, KEY), "{harmless}");
        }
        assert!(!quotes_prompt("cannot draw this image", "an image of this"));
    }

    #[test]
    fn a_key_is_found_in_whatever_form_it_is_quoted() {
        let signs = "!#$%&'()*+,-./:;<=>?@[]^_`{|}~";
        for (quoting, key) in [
            (format!("unknown key {KEY}"), KEY),
            (format!("unknown key {}", &KEY[..KEY.len() - 9]), KEY),
            (format!("unknown key …{}", &KEY[9..]), KEY),
            (KEY.to_uppercase(), KEY),
            (KEY.replace('"', "\\\""), KEY),
            ("key%2Fwith%2Bchars%3D01".to_owned(), KEY),
            ("key\\/with\\u002bchars\\u003d01".to_owned(), KEY),
            ("cut off in: weird".to_owned(), KEY),
            (format!("no {signs}"), signs),
            (format!("no {}", &signs[4..16]), signs),
        ] {
            assert!(quotes_key(&quoting, key), "{quoting}");
        }
    }

    #[test]
    fn a_quote_is_one_from_its_least_length_on_and_not_before() {
        for (quoting, harmless) in [
            // Twelve letters and digits, ten characters, the first four at the end.
            ("no KEY-WITH-CHARS.", "no KEY-WITH-CHAR."),
            ("no der.key/wi.", "no der.key/w."),
            ("no weir", "no wei"),
        ] {
            assert!(quotes_key(quoting, KEY), "{quoting}");
            assert!(!quotes_key(harmless, KEY), "{harmless}");
        }
        let quotes = "!\"#\"$\"%\"&\"'";
        assert!(quotes_key(&quotes.replace('"', "\\\""), quotes));
        let common = "with the model: this image has the model";
        for (quoting, harmless, prompt) in [
            // Twelve letters and digits, four within a word, a word of five that is spread.
            ("model, this ima", "model, this im", common),
            ("flagged: thro", "flagged: thr", PROMPT),
            ("t-i-g-e-r", "l-i-o-n", "tiger lion"),
        ] {
            assert!(quotes_prompt(quoting, prompt), "{quoting}");
            assert!(!quotes_prompt(harmless, prompt), "{harmless}");
        }
    }
}
