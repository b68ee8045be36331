//! What OpenRouter sends, as far as it matters here. Every field is optional and a field of an
//! unexpected kind counts as absent: a paid picture is never lost to an odd field beside it.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::error_body::{ErrorBody, lenient_error};
use super::lenient::{lenient, lenient_object, lenient_objects};
use crate::domain::money::UsdCost;

pub(super) use key::KeyRecord;
pub use key::KeyUsage;

mod key;

/// An answer of either door, or one event of a stream of it, without its pictures.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Answer {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) id: Option<String>,
    /// `type` of an event of an `/images` stream.
    #[serde(default, rename = "type", deserialize_with = "lenient")]
    pub(super) kind: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) data: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "lenient_objects")]
    pub(super) choices: Option<Vec<Choice>>,
    #[serde(default, deserialize_with = "lenient_object")]
    pub(super) usage: Option<Usage>,
    #[serde(default, deserialize_with = "lenient_error")]
    pub(super) error: Option<ErrorBody>,
}

/// One of `choices[]`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Choice {
    #[serde(default, deserialize_with = "lenient_object")]
    pub(super) message: Option<Message>,
    #[serde(default, deserialize_with = "lenient_object")]
    pub(super) delta: Option<Message>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) finish_reason: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) native_finish_reason: Option<String>,
    #[serde(default, deserialize_with = "lenient_error")]
    pub(super) error: Option<ErrorBody>,
}

/// What the model said.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Message {
    #[serde(default, deserialize_with = "lenient")]
    content: Option<Content>,
    #[serde(default, deserialize_with = "lenient")]
    refusal: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Debug, Deserialize)]
struct ContentPart {
    #[serde(default)]
    text: Option<String>,
}

/// `usage` of an answer.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Usage {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) prompt_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) completion_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient_object")]
    completion_tokens_details: Option<TokenDetails>,
    #[serde(default, deserialize_with = "lenient")]
    cost: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "lenient")]
    is_byok: Option<bool>,
    #[serde(default, deserialize_with = "lenient_object")]
    cost_details: Option<CostDetails>,
}

#[derive(Debug, Default, Deserialize)]
struct TokenDetails {
    #[serde(default, deserialize_with = "lenient")]
    image_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
struct CostDetails {
    #[serde(default, deserialize_with = "lenient")]
    upstream_inference_cost: Option<Box<RawValue>>,
}

/// The answer of `GET /generation`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Record {
    #[serde(default, deserialize_with = "lenient_object")]
    data: Option<RecordData>,
}

#[derive(Debug, Default, Deserialize)]
struct RecordData {
    #[serde(default, deserialize_with = "lenient")]
    id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    total_cost: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "lenient")]
    is_byok: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    upstream_inference_cost: Option<Box<RawValue>>,
}

/// What the platform pays: the price, or under a provider key of its own at OpenRouter the fee
/// plus what that provider charges (`domain.md` C17). `None` unless every part is believable.
fn total_cost(
    price: Option<&RawValue>,
    own_key: Option<bool>,
    upstream: Option<&RawValue>,
) -> Option<UsdCost> {
    let price = UsdCost::from_json(price?.get())?;
    if own_key == Some(true) {
        price.checked_add(UsdCost::from_json(upstream?.get())?)
    } else {
        Some(price)
    }
}

// === impl Message ===

impl Message {
    /// All it said, refusals included.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let (text, parts) = match &self.content {
            Some(Content::Text(text)) => (Some(text.as_str()), &[][..]),
            Some(Content::Parts(parts)) => (None, parts.as_slice()),
            None => (None, &[][..]),
        };
        let parts = parts.iter().filter_map(|part| part.text.as_deref());
        text.into_iter().chain(parts).chain(self.refusal.as_deref())
    }
}

// === impl Usage ===

impl Usage {
    /// What the call cost, if said believably.
    pub(super) fn cost(&self) -> Option<UsdCost> {
        let details = self.cost_details.as_ref();
        let upstream = details.and_then(|details| details.upstream_inference_cost.as_deref());
        total_cost(self.cost.as_deref(), self.is_byok, upstream)
    }

    /// Image tokens among the completion tokens.
    pub(super) fn image_tokens(&self) -> Option<u64> {
        self.completion_tokens_details.as_ref()?.image_tokens
    }
}

// === impl Record ===

impl Record {
    /// Whether it names another call than the one asked for.
    pub(super) fn is_of_another(&self, upstream_id: &str) -> bool {
        let named = self.data.as_ref().and_then(|data| data.id.as_deref());
        named.is_some_and(|named| named != upstream_id)
    }

    /// What the call cost, if the record says so believably.
    pub(super) fn cost(&self) -> Option<UsdCost> {
        let data = self.data.as_ref()?;
        let upstream = data.upstream_inference_cost.as_deref();
        total_cost(data.total_cost.as_deref(), data.is_byok, upstream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openrouter::lenient::Object;

    fn cost(usage: &str) -> Option<String> {
        let usage: Usage = serde_json::from_str(usage).expect("lenient");
        usage.cost().map(|cost| cost.to_string())
    }

    #[test]
    fn a_cost_is_read_from_its_digits_and_never_guessed() {
        for (usage, expected) in [
            (r#"{"cost":6.6e-06}"#, Some("0.0000066")),
            (r#"{"cost":"0.04"}"#, Some("0.04")),
            (r#"{"cost":0}"#, Some("0")),
            (r#"{"cost":-0.0}"#, Some("0")),
            (r#"{"cost":null}"#, None),
            (r#"{"cost":-1}"#, None),
            (r#"{"cost":1e400}"#, None),
            (r#"{"cost":{}}"#, None),
            (r#"{"cost_details":{"upstream_inference_cost":1}}"#, None),
            (r#"{"cost":0.04,"is_byok":"yes"}"#, Some("0.04")),
            (
                r#"{"cost":0.04,"cost_details":{"upstream_inference_cost":0.04}}"#,
                Some("0.04"),
            ),
        ] {
            assert_eq!(cost(usage).as_deref(), expected, "{usage}");
        }
    }

    #[test]
    fn under_a_provider_key_of_its_own_the_platform_pays_fee_and_provider() {
        for (usage, expected) in [
            (
                r#"{"cost":0,"is_byok":true,"cost_details":{"upstream_inference_cost":0.05}}"#,
                Some("0.05"),
            ),
            (
                r#"{"cost":0.001,"is_byok":true,"cost_details":{"upstream_inference_cost":2e-2}}"#,
                Some("0.021"),
            ),
            // The fee alone is not the cost.
            (r#"{"cost":0.001,"is_byok":true}"#, None),
            (
                r#"{"cost":0.001,"is_byok":true,"cost_details":{"upstream_inference_cost":null}}"#,
                None,
            ),
        ] {
            assert_eq!(cost(usage).as_deref(), expected, "{usage}");
        }
    }

    #[test]
    fn an_array_is_no_object_whatever_its_items() {
        for odd in [
            r#"{"usage":[1,2,null,0.04]}"#,
            r#"{"usage":{"cost":0.04,"is_byok":true,"cost_details":[0.01]}}"#,
            r#"{"choices":[[{"content":"x"}],7],"usage":null}"#,
        ] {
            let Object(answer): Object<Answer> = serde_json::from_str(odd).expect("an object");
            assert!(
                answer.usage.is_none_or(|usage| usage.cost().is_none()),
                "{odd}"
            );
            assert!(
                answer.choices.is_none_or(|choices| choices.is_empty()),
                "{odd}"
            );
        }
        let usage = r#"[null,null,null,null,{"cost":0.04}]"#;
        assert!(serde_json::from_str::<Object<Answer>>(usage).is_err());
        let key = r#"{"data":[0.04,0.04,0.04,0.04]}"#;
        let Object(key): Object<KeyRecord> = serde_json::from_str(key).expect("an object");
        assert_eq!(key.usage(), KeyUsage::default());
        let record = r#"{"data":["gen-1",0.04]}"#;
        let Object(record): Object<Record> = serde_json::from_str(record).expect("an object");
        assert_eq!(record.cost(), None);
    }

    #[test]
    fn an_odd_choice_does_not_spoil_its_neighbours() {
        let answer = r#"{"choices":["odd",{"finish_reason":"error"}]}"#;
        let Object(answer): Object<Answer> = serde_json::from_str(answer).expect("an object");
        let choices = answer.choices.expect("a list");
        assert_eq!(choices[0].finish_reason.as_deref(), Some("error"));
    }

    #[test]
    fn a_field_of_an_odd_kind_does_not_spoil_its_neighbours() {
        let odd = r#"{"id":7,"data":{},"choices":"none","usage":{"cost":0.04,"prompt_tokens":-1,
            "completion_tokens":1.5,"completion_tokens_details":"none"},"error":null}"#;
        let answer: Answer = serde_json::from_str(odd).expect("lenient");
        let usage = answer.usage.expect("usage");
        assert_eq!(usage.cost(), UsdCost::from_json("0.04"));
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (None, None));
        assert_eq!(usage.image_tokens(), None);
        assert!(answer.id.is_none() && answer.choices.is_none() && answer.error.is_none());
    }
}
