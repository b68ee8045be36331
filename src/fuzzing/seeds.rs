//! Where inputs begin: the recorded answers under `tests/fixtures/openrouter`, brought into the form
//! of each entry point. Read from the source tree, so nothing is there twice.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::reading::Reading;

/// The recorded answers, below the package.
const FOLDER: &str = "tests/fixtures/openrouter";

/// How seeds are split before a fuzzer has its way with them.
const SIZES: [u8; 3] = [6, 63, 0];

/// Costs that no sample has.
const ODD_COSTS: [&str; 24] = [
    "0",
    "-0",
    "-0.0",
    "0e0",
    "1",
    "007",
    "1e6",
    "1000000",
    "1000000.0000000000001",
    "1000001",
    "1e400",
    "1e-400",
    "-1e-400",
    "1e-12",
    "1e-13",
    "9.999999999999999999e5",
    "4E+0002",
    "\"0.04\"",
    "\"\"",
    "NaN",
    "-1",
    "0.0000000000000000000000000000000000000000000000000000000001",
    "1e2147483647",
    "null",
];

/// An input to begin with.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The entry point it is for.
    pub target: &'static str,
    /// The sample it comes from.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// A recorded answer. Requests have no status, and endpoints stand many in a file.
#[derive(Debug, Deserialize)]
struct Sample {
    http: Http,
    body: Box<RawValue>,
}

/// Recorded endpoints by slug, some with a remark around them.
#[derive(Debug, Deserialize)]
struct Records {
    records: BTreeMap<String, Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Remarked {
    body: Box<RawValue>,
}

#[derive(Debug, Deserialize)]
struct Http {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// All seeds, in the order of the samples' names.
///
/// # Errors
/// If the samples cannot be read.
pub fn seeds() -> io::Result<Vec<Seed>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut seeds = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(&path)?;
        let is_stream = path.extension().is_some_and(|ending| ending == "sse");
        if is_stream {
            of_stream(&name, text.as_bytes(), &mut seeds);
        } else if let Ok(sample) = serde_json::from_str(&text) {
            of_sample(&name, &sample, &mut seeds);
        } else if let Ok(Records { records }) = serde_json::from_str(&text) {
            of_records(&name, &records, &mut seeds);
        }
    }
    for (number, cost) in ODD_COSTS.iter().enumerate() {
        push(
            &mut seeds,
            "cost",
            &format!("odd-{number}"),
            &[cost.as_bytes()],
        );
    }
    Ok(seeds)
}

fn of_stream(name: &str, wire: &[u8], seeds: &mut Vec<Seed>) {
    push(seeds, "decode", name, &[b"s", &SIZES, wire]);
    push(seeds, "sse", name, &[&SIZES, wire]);
    of_pictures(name, Reading::of_stream(wire), seeds);
    of_costs(name, &String::from_utf8_lossy(wire), seeds);
}

fn of_sample(name: &str, sample: &Sample, seeds: &mut Vec<Seed>) {
    let raw = sample.body.get();
    let wire = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
    let status = sample.http.status;
    of_costs(name, &wire, seeds);
    if name.starts_with("generation") {
        push(seeds, "decode", name, &[b"r", &SIZES, wire.as_bytes()]);
    }
    if name.starts_with("images-200") || name.starts_with("chat-200") {
        push(seeds, "decode", name, &[b"j", &SIZES, wire.as_bytes()]);
        let lines = wire.replace('\n', "\ndata: ");
        let stream = format!("event: image_generation.completed\ndata: {lines}\n\n");
        let streamed = format!("{name}-streamed");
        push(
            seeds,
            "decode",
            &streamed,
            &[b"s", &SIZES, stream.as_bytes()],
        );
        push(seeds, "sse", &streamed, &[&SIZES, stream.as_bytes()]);
        of_pictures(name, Reading::of_document(wire.as_bytes()), seeds);
    }
    let list = match name {
        _ if status >= 300 => None,
        _ if name.starts_with("models-") => Some(b"m"),
        _ if name.starts_with("images-models-") => Some(b"i"),
        _ => None,
    };
    if let Some(kind) = list {
        push(seeds, "lists", name, &[kind, compact(&wire).as_bytes()]);
    }
    if status >= 300 {
        let advised = sample.http.headers.get("retry-after");
        let advised = advised.map_or("", String::as_str);
        let head = format!("{status} {advised}\n");
        push(
            seeds,
            "error_body",
            name,
            &[head.as_bytes(), wire.as_bytes()],
        );
        // The same may come within an answer that began well.
        push(seeds, "decode", name, &[b"j", &SIZES, wire.as_bytes()]);
    }
}

fn of_records(name: &str, records: &BTreeMap<String, Box<RawValue>>, seeds: &mut Vec<Seed>) {
    for (number, record) in records.values().enumerate() {
        let remarked: Option<Remarked> = serde_json::from_str(record.get()).ok();
        let body = remarked.map_or_else(|| record.clone(), |remarked| remarked.body);
        let name = format!("{name}-{number}");
        push(
            seeds,
            "lists",
            &name,
            &[b"e", compact(body.get()).as_bytes()],
        );
    }
}

/// JSON without the white space that the samples are laid out with, so that more of it is changed
/// by the same luck.
fn compact(json: &str) -> String {
    let mut in_string = false;
    let mut escaped = false;
    let kept = json.chars().filter(|c| {
        in_string ^= *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        in_string || !c.is_ascii_whitespace()
    });
    kept.collect()
}

fn of_pictures(name: &str, reading: Reading, seeds: &mut Vec<Seed>) {
    let pictures = reading.pictures.into_iter().flatten();
    for (number, picture) in pictures.enumerate() {
        push(
            seeds,
            "picture",
            &format!("{name}-{number}"),
            &[b"+", &picture],
        );
    }
}

/// Whatever stands behind a name that ends in `cost`.
fn of_costs(name: &str, wire: &str, seeds: &mut Vec<Seed>) {
    for (number, after) in wire.split("cost\":").skip(1).enumerate() {
        let cost = after.split([',', '}', '\n']).next().unwrap_or_default();
        push(
            seeds,
            "cost",
            &format!("{name}-{number}"),
            &[cost.as_bytes()],
        );
    }
}

fn push(seeds: &mut Vec<Seed>, target: &'static str, name: &str, parts: &[&[u8]]) {
    seeds.push(Seed {
        target,
        name: name.to_owned(),
        bytes: parts.concat(),
    });
}
