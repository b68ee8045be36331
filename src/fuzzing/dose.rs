//! A dose of bad answers: recorded ones, changed at random, given to the entry points. The same
//! seed gives the same inputs, so that whatever is found can be found again.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::TARGETS;
use super::seeds::Seed;

/// The most changes of one input.
const CHANGES_MAX: u64 = 4;

/// The longest input, so that a doubled input of doubled inputs stays small.
const INPUT_MAX_BYTES: usize = 16 << 10;

/// Pieces that have a meaning to somebody on the way: to JSON, streams, base64, or whoever reads
/// costs, keys or pictures.
const TOKENS: [&[u8]; 71] = [
    b"NaN",
    b"Infinity",
    b"1e400",
    b"-0",
    b"-1",
    b"1e-13",
    b"0.04",
    b"\"0.04\"",
    b"1e6",
    b"00",
    b"1000000.0000000000001",
    b"9999999999999999999999",
    b"-1e-400",
    b"1e2147483647",
    b"null",
    b"true",
    b"false",
    b"[]",
    b"{}",
    b"\"\"",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\\"",
    b"\\u0022",
    b"\\ud800",
    b"\\u00e9",
    b"\\/",
    b"\0",
    b"\x01",
    b"\x02",
    b"\x0c",
    b"\t",
    b"\r",
    b"\n",
    b"\n\n",
    b"\r\n",
    b" ",
    b"\xff",
    b"\xc3\xa9",
    b"\xef\xbb\xbf",
    b"~",
    b"=",
    b"AAAA",
    b"\"cost\":",
    b"\"cost\":7,",
    b"\"usage\":{\"cost\":1e-7},",
    b"\"is_byok\":true,",
    b"\"cost_details\":{\"upstream_inference_cost\":0.01},",
    b"\"b64_json\":\"AAAA\",",
    b"\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"},",
    b"data:image/png;base64,",
    b"\"type\":\"image_generation.completed\",",
    b"\"error\":{\"code\":429},",
    b"data: ",
    b"data",
    b"event: image_generation.completed\n",
    b"event: x\n",
    b"data: [DONE]\n\n",
    b": x\n",
    b"\"id\":\"a/b\",",
    b"{\"id\":\"c/d\"},",
    b"\"endpoints\":[],",
    b"{\"billable\":\"output_image\",\"unit\":\"image\",\"cost_usd\":1e-7},",
    b"\"variant\":\"2k\",",
    b"\"values\":[\"1K\",\"2K\"],",
];

/// What may stand in the place of a value.
const VALUES: [&[u8]; 18] = [
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"-0.01",
    b"0.04",
    b"1e-7",
    b"1e400",
    b"NaN",
    b"\"x\"",
    b"\"0.07\"",
    b"[]",
    b"{}",
    b"[1,2,null,0.04]",
    b"[0.04,true,0.05]",
    b"{\"cost\":0.05}",
    b"[{\"cost\":0.05},{\"total_cost\":0.06}]",
];

/// Names whose values decide over money, pictures and what is listed.
const NAMES: [&[u8]; 29] = [
    b"\"usage\"",
    b"\"cost\"",
    b"\"cost_details\"",
    b"\"is_byok\"",
    b"\"upstream_inference_cost\"",
    b"\"total_cost\"",
    b"\"data\"",
    b"\"choices\"",
    b"\"b64_json\"",
    b"\"image_url\"",
    b"\"url\"",
    b"\"type\"",
    b"\"error\"",
    b"\"id\"",
    b"\"name\"",
    b"\"architecture\"",
    b"\"output_modalities\"",
    b"\"context_length\"",
    b"\"pricing\"",
    b"\"image_output\"",
    b"\"supported_parameters\"",
    b"\"values\"",
    b"\"max\"",
    b"\"endpoints\"",
    b"\"provider_slug\"",
    b"\"billable\"",
    b"\"unit\"",
    b"\"variant\"",
    b"\"cost_usd\"",
];

/// An input that breaks a promise.
#[derive(Debug)]
pub struct Finding {
    /// The seed of the dose.
    pub seed: u64,
    /// The number of the input within it.
    pub number: u64,
    /// The entry point.
    pub target: &'static str,
    /// The input.
    pub input: Vec<u8>,
}

/// Chance that can be repeated (SplitMix64).
#[derive(Debug)]
struct Chance(u64);

/// Gives so many changed seeds to each entry point, fewer to those that are slow. The message of a
/// broken promise goes where panics go; the finding says how to see it again.
///
/// # Errors
/// The first [`Finding`].
pub fn dose(seeds: &[Seed], seed: u64, inputs: u64) -> Result<(), Finding> {
    for target in TARGETS {
        let samples: Vec<_> = seeds
            .iter()
            .filter(|sample| sample.target == target.name)
            .map(|sample| sample.bytes.as_slice())
            .collect();
        for number in 0..inputs / target.every {
            let input = changed(&samples, &mut Chance::of(seed, number));
            let kept = catch_unwind(AssertUnwindSafe(|| (target.check)(&input)));
            kept.map_err(|_| Finding {
                seed,
                number,
                target: target.name,
                input,
            })?;
        }
    }
    Ok(())
}

/// One of the samples, changed a few times.
fn changed(samples: &[&[u8]], chance: &mut Chance) -> Vec<u8> {
    let mut input = chance.one(samples).to_vec();
    for _ in 0..=chance.below(CHANGES_MAX) {
        change(&mut input, samples, chance);
        input.truncate(INPUT_MAX_BYTES);
    }
    input
}

fn change(input: &mut Vec<u8>, samples: &[&[u8]], chance: &mut Chance) {
    let at = chance.place(input.len());
    let end = at + chance.place((input.len() - at).min(64));
    match chance.below(9) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
        1 => drop(input.drain(at..end)),
        2 => {
            let twice = input[at..end].to_vec();
            input.splice(at..at, twice);
        }
        3 => input.truncate(at),
        4 => {
            let other = chance.one(samples);
            let from = chance.place(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        5 => {
            let elsewhere = chance.place(input.len());
            let moved = input[at..end].to_vec();
            input.splice(elsewhere..elsewhere, moved);
        }
        6 | 7 => {
            let named = memchr::memmem::find(input, chance.one(&NAMES));
            if let Some((start, end)) = a_value(input, named.unwrap_or(at)) {
                input.splice(start..end, chance.one(&VALUES).iter().copied());
            }
        }
        _ => {
            input.splice(at..at, chance.one(&TOKENS).iter().copied());
        }
    }
}

/// The first value after this place, as far as one can tell without reading JSON: from a colon to
/// the end of a number, a word, a string, or what stands between brackets.
fn a_value(input: &[u8], from: usize) -> Option<(usize, usize)> {
    let colon = input[from..].iter().position(|byte| *byte == b':')?;
    let spaces = |byte: &u8| *byte != b' ';
    let start = from + colon + 1;
    let start = start + input[start..].iter().position(spaces)?;
    let length = match input[start] {
        b'"' => 2 + input[start + 1..].iter().position(|byte| *byte == b'"')?,
        bracket @ (b'{' | b'[') => closing(&input[start..], bracket)?,
        _ => input[start..]
            .iter()
            .position(|byte| matches!(byte, b',' | b'}' | b']' | b'\n'))?,
    };
    Some((start, start + length))
}

/// How long a text in brackets is.
fn closing(text: &[u8], bracket: u8) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.iter().enumerate() {
        if *byte == bracket {
            depth += 1;
        } else if *byte == bracket + 2 {
            // Closing brackets stand two places behind in ASCII.
            depth -= 1;
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            number,
            target,
            input,
        } = self;
        let shown = input.escape_ascii();
        write!(f, "seed {seed}, input {number} of {target}: b\"{shown}\"")
    }
}

// === impl Chance ===

impl Chance {
    /// Each input has its own, so that one can be had without those before it.
    const fn of(seed: u64, number: u64) -> Self {
        Self(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        let Self(state) = self;
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    /// A place in something so long, its end included.
    fn place(&mut self, length: usize) -> usize {
        let end = u64::try_from(length).unwrap_or(u64::MAX).saturating_add(1);
        usize::try_from(self.below(end)).unwrap_or(length)
    }

    fn one<'choices>(&mut self, choices: &[&'choices [u8]]) -> &'choices [u8] {
        let last = choices.len().saturating_sub(1);
        let at = self.place(last);
        choices.get(at).copied().unwrap_or_default()
    }
}
