//! An answer held whole: which pictures it carries and what it says it cost. Where the document is
//! of a kind that two careful readers may read differently — a key that is there twice, half of a
//! surrogate pair — it says so instead of guessing.

use super::amounts::{Amount, amount};
use super::json::{Node, read, unescaped};
use super::stream::{Event, JSON_SPACE, events};

/// The longest head of a data URL that is looked for.
const HEAD_MAX_CHARS: usize = 255;

/// The fields of an answer that are read. One that is there twice makes the answer unreadable.
const READ_FIELDS: [&str; 6] = ["id", "type", "data", "choices", "usage", "error"];

/// All that matters of an answer.
#[derive(Debug)]
pub(super) struct Reading {
    /// The pictures in their order; `None` for one that is no base64. Those of an unreadable document
    /// are not among them.
    pub(super) pictures: Vec<Option<Vec<u8>>>,
    /// The cost in pico-dollars as it stands before anything, and after each document.
    pub(super) costs: Vec<Option<i64>>,
    /// It is a stream.
    pub(super) stream: bool,
    /// Every document is JSON.
    pub(super) readable: bool,
    /// Nothing in it can be read in two ways.
    pub(super) certain: bool,
    /// Whoever reads it must succeed: UTF-8, readable, certain, objects, nothing too long.
    pub(super) clean: bool,
}

/// Whose `b64_json` are pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Everybody's: an answer in one piece.
    Open,
    /// Those of an event that has said that it is the complete one; nothing said yet.
    Unnamed,
    /// It has said so, or that it is another.
    Named(bool),
}

struct Walk<'reading> {
    reading: &'reading mut Reading,
    gate: Gate,
    /// A picture was passed over because nothing was said yet.
    passed_over: bool,
}

/// Where a string stands.
#[derive(Clone, Copy)]
struct Spot<'text> {
    key: Option<&'text str>,
    /// Its object is the value of `image_url`.
    in_image_url: bool,
    /// Its object is the document.
    at_top: bool,
}

/// What a string is.
enum Held {
    Picture(String),
    Text,
    /// Neither a picture nor something to pass over.
    Broken,
    Unclear,
}

// === impl Reading ===

impl Reading {
    /// Reads one JSON text.
    pub(super) fn of_document(body: &[u8]) -> Self {
        let mut reading = Self::new();
        reading.take(body, Gate::Open);
        reading
    }

    /// Reads a stream.
    pub(super) fn of_stream(body: &[u8]) -> Self {
        let mut reading = Self {
            stream: true,
            ..Self::new()
        };
        for Event { data, named } in events(body) {
            if trimmed(&data) != b"[DONE]" {
                reading.take(&data, named.map_or(Gate::Unnamed, Gate::Named));
            }
        }
        reading
    }

    /// The cost at the end.
    pub(super) fn cost(&self) -> Option<i64> {
        self.costs.last().copied().flatten()
    }

    const fn new() -> Self {
        Self {
            pictures: Vec::new(),
            costs: Vec::new(),
            stream: false,
            readable: true,
            certain: true,
            clean: true,
        }
    }

    fn take(&mut self, document: &[u8], gate: Gate) {
        if self.costs.is_empty() {
            self.costs.push(None);
        }
        let text = String::from_utf8_lossy(document);
        self.clean &= std::str::from_utf8(document).is_ok();
        let Some(node) = read(&text) else {
            self.readable = false;
            self.clean = false;
            return;
        };
        let plain_top = READ_FIELDS.iter().all(|name| count(&node, name) < 2);
        self.clean &= node.fields().is_some() && plain_top;
        let mut walk = Walk {
            reading: self,
            gate,
            passed_over: false,
        };
        walk.visit(&node, None, true);
        let late = walk.passed_over && walk.gate == Gate::Named(true);
        self.clean &= !late;
        self.certain &= node.is_plain();
        self.clean &= self.certain && self.pictures.iter().all(Option::is_some);
        let cost = node
            .get("usage")
            .and_then(|usage| self.cost_of_usage(usage));
        self.costs.push(cost.or(self.cost()));
    }

    fn cost_of_usage(&mut self, usage: &Node<'_>) -> Option<i64> {
        let details = usage.get("cost_details");
        let plain = usage.is_plain() && details.is_none_or(Node::is_plain);
        self.certain &= plain;
        self.clean &= plain;
        let upstream = details.and_then(|details| details.get("upstream_inference_cost"));
        self.total(usage.get("cost"), usage.get("is_byok"), upstream)
    }

    /// The price, and under a provider key of its own what the provider charges on top.
    fn total(
        &mut self,
        price: Option<&Node<'_>>,
        own_key: Option<&Node<'_>>,
        upstream: Option<&Node<'_>>,
    ) -> Option<i64> {
        let price = self.pico(price)?;
        if own_key.and_then(Node::leaf) != Some("true") {
            return Some(price);
        }
        let sum = price + self.pico(upstream)?;
        (sum <= 1_000_000_000_000_000_000).then_some(sum)
    }

    fn pico(&mut self, node: Option<&Node<'_>>) -> Option<i64> {
        match amount(node?.leaf()?) {
            Amount::Pico(pico) => Some(pico),
            Amount::Missing => None,
            Amount::Perhaps(_) => {
                self.certain = false;
                None
            }
        }
    }
}

/// The cost in a record of a past call; the outer `None` if it can be read in two ways.
pub(super) fn record_cost(body: &[u8]) -> Option<Option<i64>> {
    let mut reading = Reading::new();
    let text = std::str::from_utf8(body).ok()?;
    let Some(node) = read(text) else {
        // Too deep for this reader perhaps.
        return serde_json::from_str::<serde::de::IgnoredAny>(text)
            .is_err()
            .then_some(None);
    };
    let data = node.get("data");
    let cost = data.and_then(|data| {
        let upstream = data.get("upstream_inference_cost");
        reading.total(data.get("total_cost"), data.get("is_byok"), upstream)
    });
    let plain = node.is_plain() && data.is_none_or(Node::is_plain);
    (plain && reading.certain).then_some(cost)
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && JSON_SPACE.contains(first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && JSON_SPACE.contains(last)
    {
        text = rest;
    }
    text
}

fn count(node: &Node<'_>, name: &str) -> usize {
    let fields = node.fields().unwrap_or_default();
    let named = fields
        .iter()
        .filter(|(key, _)| key.as_deref() == Some(name));
    named.count()
}

// === impl Walk ===

impl Walk<'_> {
    fn visit(&mut self, node: &Node<'_>, key: Option<&str>, at_top: bool) {
        match node {
            Node::Leaf(_) => {}
            Node::Items(items) => {
                for item in items {
                    self.visit(item, None, false);
                }
            }
            Node::Fields(fields) => {
                for (name, field) in fields {
                    let spot = Spot {
                        key: name.as_deref(),
                        in_image_url: key == Some("image_url"),
                        at_top,
                    };
                    match field.leaf() {
                        Some(leaf) => self.string(leaf, spot),
                        None => self.visit(field, name.as_deref(), false),
                    }
                }
            }
        }
    }

    fn string(&mut self, leaf: &str, spot: Spot<'_>) {
        if !leaf.starts_with('"') {
            return;
        }
        let held = match spot.key {
            Some("type") if spot.at_top && self.gate == Gate::Unnamed => {
                let kind = unescaped(leaf);
                self.gate = Gate::Named(kind.as_deref() == Some("image_generation.completed"));
                return;
            }
            Some("b64_json") => match self.gate {
                Gate::Open | Gate::Named(true) => judge(leaf, true),
                Gate::Named(false) => return,
                Gate::Unnamed => {
                    self.passed_over = true;
                    return;
                }
            },
            Some("image_url") => judge(leaf, false),
            Some("url") if spot.in_image_url => judge(leaf, false),
            _ => return,
        };
        match held {
            Held::Text => {}
            Held::Unclear => {
                self.reading.certain = false;
            }
            Held::Broken => self.reading.pictures.push(None),
            Held::Picture(text) if text.is_empty() => {}
            Held::Picture(text) => self.reading.pictures.push(decoded(&text)),
        }
    }
}

/// Looks whether a string is a picture: any is if it is `bare`, else only a data URL in base64.
fn judge(written: &str, bare: bool) -> Held {
    let Some(text) = unescaped(written) else {
        return Held::Unclear;
    };
    let is_url = text
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    let otherwise = if bare { Held::Broken } else { Held::Text };
    if !is_url {
        return if bare { Held::Picture(text) } else { otherwise };
    }
    let Some((head, payload)) = text.split_once(',') else {
        return otherwise;
    };
    if head.chars().count() > HEAD_MAX_CHARS {
        return otherwise;
    }
    if head.len() > HEAD_MAX_CHARS {
        return Held::Unclear;
    }
    if head.to_ascii_lowercase().ends_with(";base64") {
        Held::Picture(payload.to_owned())
    } else {
        otherwise
    }
}

/// Base64 with its padding, or with none of it.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let unpadded = !text.ends_with('=') && !text.len().is_multiple_of(4);
    let alphabet = if unpadded {
        base64_simd::STANDARD_NO_PAD
    } else {
        base64_simd::STANDARD
    };
    alphabet.decode_to_vec(text).ok()
}
