//! JSON held whole, in the order in which it is written, numbers as their text. serde says whether
//! it is JSON; this only finds its parts.

use serde_json::value::RawValue;

/// The deepest nesting that is taken.
const DEPTH_MAX: usize = 64;

/// A part of a document.
#[derive(Debug)]
pub(super) enum Node<'text> {
    /// An object.
    Fields(Vec<(Key, Node<'text>)>),
    /// An array.
    Items(Vec<Node<'text>>),
    /// Anything else, as it is written.
    Leaf(&'text str),
}

/// A key; `None` if no text can be made of it (half of a surrogate pair).
pub(super) type Key = Option<String>;

struct Reader<'text> {
    rest: &'text str,
}

/// Reads a document; `None` if it is no JSON or too deep.
pub(super) fn read(text: &str) -> Option<Node<'_>> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    Reader { rest: raw.get() }.value(0)
}

// === impl Node ===

impl<'text> Node<'text> {
    /// The fields of an object.
    pub(super) fn fields(&self) -> Option<&[(Key, Self)]> {
        match self {
            Self::Fields(fields) => Some(fields),
            Self::Items(_) | Self::Leaf(_) => None,
        }
    }

    /// What stands under a key of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let named = |(key, _): &&(Key, Self)| key.as_deref() == Some(name);
        self.fields()?.iter().find(named).map(|(_, node)| node)
    }

    /// How it is written, if it is neither an object nor an array.
    pub(super) fn leaf(&self) -> Option<&'text str> {
        match self {
            Self::Leaf(text) => Some(text),
            Self::Fields(_) | Self::Items(_) => None,
        }
    }

    /// Whether every key of this object is a text, and none is there twice.
    pub(super) fn is_plain(&self) -> bool {
        let Some(fields) = self.fields() else {
            return true;
        };
        let mut keys: Vec<_> = fields.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.iter().all(|key| key.is_some()) && keys.windows(2).all(|pair| pair[0] != pair[1])
    }
}

/// The text of a string as it is written.
pub(super) fn unescaped(written: &str) -> Option<String> {
    serde_json::from_str(written).ok()
}

// === impl Reader ===

impl<'text> Reader<'text> {
    fn value(&mut self, depth: usize) -> Option<Node<'text>> {
        self.skip(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
        match self.rest.as_bytes().first()? {
            b'{' | b'[' if depth == DEPTH_MAX => None,
            b'{' => self.fields(depth),
            b'[' => self.items(depth),
            b'"' => Some(Node::Leaf(self.string())),
            _ => {
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.');
                Some(Node::Leaf(self.skip(plain)))
            }
        }
    }

    fn fields(&mut self, depth: usize) -> Option<Node<'text>> {
        let mut fields = Vec::new();
        self.open();
        while !self.ends('}') {
            let key = unescaped(self.string());
            self.punctuation();
            fields.push((key, self.value(depth + 1)?));
        }
        Some(Node::Fields(fields))
    }

    fn items(&mut self, depth: usize) -> Option<Node<'text>> {
        let mut items = Vec::new();
        self.open();
        while !self.ends(']') {
            items.push(self.value(depth + 1)?);
        }
        Some(Node::Items(items))
    }

    fn open(&mut self) {
        self.rest = &self.rest[1..];
    }

    fn ends(&mut self, bracket: char) -> bool {
        self.punctuation();
        match self.rest.strip_prefix(bracket) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Commas, colons and white space: serde has seen that they are where they belong.
    fn punctuation(&mut self) {
        self.skip(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | ',' | ':'));
    }

    /// A string with its quotes.
    fn string(&mut self) -> &'text str {
        let mut escaped = true;
        let end = self.rest.bytes().position(|byte| {
            let closes = byte == b'"' && !escaped;
            // The quote in front is passed as if it were escaped.
            escaped = byte == b'\\' && !escaped;
            closes
        });
        let length = end.map_or(self.rest.len(), |end| end + 1);
        let (string, rest) = self.rest.split_at(length);
        self.rest = rest;
        string
    }

    fn skip(&mut self, passed: impl Fn(char) -> bool) -> &'text str {
        let length = self.rest.find(|c| !passed(c)).unwrap_or(self.rest.len());
        let (skipped, rest) = self.rest.split_at(length);
        self.rest = rest;
        skipped
    }
}
