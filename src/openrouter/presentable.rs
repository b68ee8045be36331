//! Upstream's words, made fit for a log: short, on one line, and without anything that looks like
//! a key.

/// The most characters of upstream's words that are kept (`ports::DrawError::detail`).
const DETAIL_CAP_CHARS: usize = 500;

/// A run of letters and digits this long is a key, a hash or a blob; nobody misses it in a log.
const SECRET_RUN_CHARS: usize = 32;

/// How keys of OpenRouter and of the providers behind it begin.
const KEY_HEADS: [&str; 6] = ["sk-", "key-", "aiza", "xai-", "gsk_", "ghp_"];

/// The text on one line, without keys, cut to 500 characters.
pub(super) fn presentable(text: &str) -> String {
    let mut shown = String::new();
    // What is left out makes room for what comes later, so more is looked at than is shown.
    let end = text.char_indices().nth(DETAIL_CAP_CHARS * 2);
    let mut rest = end.map_or(text, |(end, _)| &text[..end]);
    while let Some(start) = rest.find(is_key_char) {
        push_line(&mut shown, &rest[..start]);
        rest = &rest[start..];
        let length = rest.find(|c| !is_key_char(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        // A word that is cut off might be a key of which too little is seen to know it.
        let cut_off = end.is_some() && after.is_empty();
        if cut_off || looks_secret(word) {
            shown.push_str("[redacted]");
        } else {
            shown.push_str(word);
        }
        rest = after;
    }
    push_line(&mut shown, rest);
    shown.trim().chars().take(DETAIL_CAP_CHARS).collect()
}

fn push_line(shown: &mut String, text: &str) {
    shown.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn looks_secret(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let headed = KEY_HEADS
        .iter()
        .any(|head| lower.starts_with(head) && lower.len() >= head.len() + 4);
    headed
        || word
            .split(['-', '_'])
            .any(|run| run.len() >= SECRET_RUN_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_key_is_left_out() {
        for (text, shown) in [
            (
                "Incorrect key: sk-or-v1-0123abcd.",
                "Incorrect key: [redacted].",
            ),
            (
                "Bearer 0123456789abcdef0123456789abcdef",
                "Bearer [redacted]",
            ),
            ("AIzaSyA-12_34 is bad", "[redacted] is bad"),
            (
                "id gen-1795392000-aBcDeFgHiJkLmNoPqRsT",
                "id gen-1795392000-aBcDeFgHiJkLmNoPqRsT",
            ),
            ("task-force sk-", "task-force sk-"),
            ("two\nlines\u{7}", "two lines"),
        ] {
            assert_eq!(presentable(text), shown);
        }
    }

    #[test]
    fn upstream_cannot_fill_the_log() {
        assert_eq!(presentable(&"é ".repeat(10_000)).chars().count(), 500);
        let edge = format!("{} {}", "f".repeat(980), "0123456789abcdef".repeat(4));
        assert_eq!(presentable(&edge), "[redacted] [redacted]");
        let late = format!("{}sk-or-v1-{}", "a ".repeat(248), "f".repeat(64));
        assert!(!presentable(&late).contains("sk-"));
    }
}
