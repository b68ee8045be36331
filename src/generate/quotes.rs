//! What upstream says may quote the prompt, and prompts are never logged.

/// So many characters in common with the prompt are no accident.
const QUOTE_CHARS: usize = 16;

/// Upstream's words, unless they quote the prompt: prompts are never logged.
pub(super) fn without_prompt<'a>(detail: &'a str, prompt: &str) -> &'a str {
    let characters: Vec<(usize, char)> = detail.char_indices().collect();
    let end = |index: usize| characters.get(index).map_or(detail.len(), |(at, _)| *at);
    let run = QUOTE_CHARS.min(prompt.chars().count());
    let last = (characters.len() + 1).saturating_sub(run);
    let quotes = (0..last).any(|start| prompt.contains(&detail[end(start)..end(start + run)]));
    if quotes {
        "(withheld: it quotes the prompt)"
    } else {
        detail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_quote_the_prompt_are_withheld() {
        let prompt = "a portrait of somebody nobody may know about";
        for quoting in [
            "HTTP 400: cannot draw a portrait of somebody nobody may know about",
            "HTTP 403: flagged: ortrait of somebody nob",
        ] {
            assert!(without_prompt(quoting, prompt).starts_with("(withheld"));
        }
        for harmless in ["HTTP 502: Provider returned error", "", "a portrait"] {
            assert_eq!(without_prompt(harmless, prompt), harmless);
        }
        assert!(without_prompt("cannot draw ☃☃", "☃☃").starts_with("(withheld"));
    }
}
