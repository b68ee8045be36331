//! The `usage` object, with every amount as exact decimal text.

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;

use super::price::Charge;
use super::script::{Script, UsageScript};

/// The usage object and what is billed with it.
#[derive(Debug)]
pub(crate) struct Stated {
    /// As it is sent, which a script may make no JSON; absent if it leaves usage out.
    pub(crate) usage: Option<String>,
    /// USD that go on the bill.
    pub(crate) cost: Decimal,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    cost: Box<RawValue>,
    is_byok: bool,
    prompt_tokens_details: PromptDetails,
    cost_details: CostDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
}

#[derive(Serialize)]
struct CostDetails {
    upstream_inference_cost: Box<RawValue>,
    upstream_inference_prompt_cost: Box<RawValue>,
    upstream_inference_completions_cost: Box<RawValue>,
}

#[derive(Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    image_tokens: u64,
}

/// A decimal as a JSON number, digit by digit.
pub(crate) fn exact(amount: Decimal) -> serde_json::Result<Box<RawValue>> {
    RawValue::from_string(amount.normalize().to_string())
}

/// States the usage of a call as its script wants it.
pub(crate) fn state(charge: &Charge, script: &Script) -> serde_json::Result<Stated> {
    match &script.usage {
        None => {
            let usage = usage(charge)?;
            Ok(Stated {
                usage: Some(usage),
                cost: charge.cost(),
            })
        }
        Some(UsageScript::Omit) => Ok(Stated {
            usage: None,
            cost: charge.cost(),
        }),
        Some(UsageScript::Cost(text)) => {
            let (real, wanted) = (exact(charge.cost())?, format!("\"cost\":{text}"));
            let usage = usage(charge)?.replacen(&format!("\"cost\":{real}"), &wanted, 1);
            Ok(Stated {
                usage: Some(usage),
                cost: amount(text).unwrap_or_else(|| charge.cost()),
            })
        }
        Some(UsageScript::Raw(json)) => {
            let cost = json.get("cost").and_then(|cost| amount(&cost.to_string()));
            Ok(Stated {
                usage: Some(serde_json::to_string(json)?),
                cost: cost.unwrap_or_else(|| charge.cost()),
            })
        }
    }
}

fn usage(charge: &Charge) -> serde_json::Result<String> {
    let completion_tokens = charge.completion_tokens();
    serde_json::to_string(&Usage {
        prompt_tokens: charge.prompt_tokens,
        completion_tokens,
        total_tokens: charge.prompt_tokens + completion_tokens,
        cost: exact(charge.cost())?,
        is_byok: false,
        prompt_tokens_details: PromptDetails { cached_tokens: 0 },
        cost_details: CostDetails {
            upstream_inference_cost: exact(charge.cost())?,
            upstream_inference_prompt_cost: exact(charge.prompt_cost)?,
            upstream_inference_completions_cost: exact(charge.completion_cost)?,
        },
        completion_tokens_details: CompletionDetails {
            reasoning_tokens: 0,
            image_tokens: charge.image_tokens,
        },
    })
}

/// What a scripted cost bills; one that nobody could pay bills the real price.
fn amount(text: &str) -> Option<Decimal> {
    let amount = text.parse().ok();
    amount
        .or_else(|| Decimal::from_scientific(text).ok())
        .filter(|amount: &Decimal| *amount >= Decimal::ZERO)
}
