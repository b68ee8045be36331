//! A request whose every field has been read, and what makes it this request and no other.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::domain::failure::Failure;
use crate::domain::generation::{Channel, Context, Origin, SourceImage};
use crate::domain::ids::{AgentId, RequestId};
use crate::domain::money::Credits;
use crate::domain::shape::{AspectRatio, Background, OutputFormat, PixelSize, Resolution};

/// A request whose every field has been read. What is `None` was left to the tool.
#[derive(Clone, Debug)]
pub struct ImageRequest {
    /// Whose tool.
    pub agent: AgentId,
    /// The id of the tool call.
    pub request_id: RequestId,
    /// Trimmed, 1 to 32,000 characters.
    pub prompt: Arc<str>,
    /// The shape.
    pub aspect_ratio: Option<AspectRatio>,
    /// The size class.
    pub resolution: Option<Resolution>,
    /// Pictures; at least 1.
    pub count: u32,
    /// Pictures to work from.
    pub references: Vec<ReferenceFacts>,
    /// The seed.
    pub seed: Option<i64>,
    /// The format.
    pub output_format: Option<OutputFormat>,
    /// The background.
    pub background: Option<Background>,
    /// The most that may be held.
    pub max_credits: Option<Credits>,
    /// Refuse instead of adjusting.
    pub strict: bool,
    /// Who asked and where.
    pub context: Context,
}

/// What is known of a reference picture without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceFacts {
    /// What tells it from others: SHA-256 of its bytes or, if only its address was given, of that.
    pub sha256: [u8; 32],
    /// Its size; as small as it can be, while it is not known.
    pub pixels: PixelSize,
    /// The earlier picture it is, if it is one.
    pub from: Option<SourceImage>,
}

// === impl ReferenceFacts ===

impl ReferenceFacts {
    /// What is known of a picture by its address alone. The request is the address: the same one
    /// is the same request, whatever is found there.
    pub fn by_url(url: &str) -> Self {
        // No picture begins like this, so no address is taken for one.
        let digest = Sha256::new().chain_update("url ").chain_update(url);
        Self {
            sha256: digest.finalize().into(),
            pixels: PixelSize {
                width: 1,
                height: 1,
            },
            from: None,
        }
    }
}

// === impl ImageRequest ===

impl ImageRequest {
    /// One picture with everything left to the tool: for estimates.
    ///
    /// # Errors
    /// Never in practice: its texts are fixed and valid.
    pub fn bare(agent: AgentId) -> Result<Self, Failure> {
        let request_id = RequestId::parse("estimate")
            .map_err(|error| Failure::invalid("request_id", error.to_string()))?;
        Ok(Self {
            agent,
            request_id,
            prompt: Arc::from(""),
            aspect_ratio: None,
            resolution: None,
            count: 1,
            references: Vec::new(),
            seed: None,
            output_format: None,
            background: None,
            max_credits: None,
            strict: false,
            context: Context {
                conversation_id: String::new(),
                message_id: String::new(),
                user_id: String::new(),
                channel: Channel::Unspecified,
                origin: Origin::Live,
                metadata: Vec::new(),
            },
        })
    }

    /// SHA-256 of everything that makes it this request and no other: all but `metadata`. The
    /// tool's configuration is not part of it (`api.md`, Rules that decide money).
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let mut add = |part: &str| {
            // Length first, so that no two lists of parts read alike.
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part.as_bytes());
        };
        add("image-request-v1");
        add(self.agent.as_str());
        add(&self.prompt);
        add(&text(self.aspect_ratio));
        add(&text(self.resolution));
        add(&self.count.to_string());
        add(&text(self.seed));
        add(&text(self.output_format));
        add(&text(self.background));
        add(&text(self.max_credits));
        add(&self.strict.to_string());
        let Context {
            conversation_id,
            message_id,
            user_id,
            channel,
            origin,
            metadata: _,
        } = &self.context;
        for part in [conversation_id, message_id, user_id] {
            add(part);
        }
        add(channel.as_str());
        add(origin.as_str());
        for reference in &self.references {
            add(&format!("{:?}", reference.sha256));
        }
        digest.finalize().into()
    }
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}
