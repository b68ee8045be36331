//! What OpenRouter says of a key (`GET /key`): what it has spent, what is left of it, what it is for.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::money::UsdCost;
use crate::openrouter::lenient::{lenient, lenient_object};
use crate::ports;

/// The answer of `GET /key`.
#[derive(Debug, Default, Deserialize)]
pub(in crate::openrouter) struct KeyRecord {
    #[serde(default, deserialize_with = "lenient_object")]
    data: Option<KeyData>,
}

#[derive(Debug, Default, Deserialize)]
struct KeyData {
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "lenient")]
    usage_daily: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "lenient")]
    usage_weekly: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "lenient")]
    usage_monthly: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "lenient")]
    is_management_key: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    is_provisioning_key: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    limit_remaining: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "lenient_object")]
    effective_budget: Option<Budget>,
    #[serde(default, deserialize_with = "lenient")]
    expires_at: Option<String>,
}

/// What a key may spend together with others.
#[derive(Debug, Default, Deserialize)]
struct Budget {
    #[serde(default, deserialize_with = "lenient")]
    remaining_usd: Option<Box<RawValue>>,
}

/// What a key has spent, as far as it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// Ever.
    pub all: Option<UsdCost>,
    /// Today (UTC).
    pub day: Option<UsdCost>,
    /// This week, from Monday (UTC).
    pub week: Option<UsdCost>,
    /// This month (UTC).
    pub month: Option<UsdCost>,
}

impl KeyRecord {
    /// What it is good for. The older name for a management key is still told beside the new one.
    /// `None` if it says nothing.
    pub(in crate::openrouter) fn key(&self) -> Option<ports::KeyRecord> {
        let data = self.data.as_ref()?;
        let manages = [data.is_management_key, data.is_provisioning_key];
        let budget = data.effective_budget.as_ref();
        let left = [
            data.limit_remaining.as_deref(),
            budget.and_then(|budget| budget.remaining_usd.as_deref()),
        ];
        Some(ports::KeyRecord {
            manages: manages.contains(&Some(true)),
            is_used_up: left.into_iter().flatten().any(is_nothing),
            expires: data.expires_at.as_ref().and_then(|at| at.parse().ok()),
        })
    }

    pub(in crate::openrouter) fn usage(&self) -> KeyUsage {
        let cost = |raw: &Option<Box<RawValue>>| UsdCost::from_json(raw.as_ref()?.get());
        let data = self.data.as_ref();
        KeyUsage {
            all: data.and_then(|data| cost(&data.usage)),
            day: data.and_then(|data| cost(&data.usage_daily)),
            week: data.and_then(|data| cost(&data.usage_weekly)),
            month: data.and_then(|data| cost(&data.usage_monthly)),
        }
    }
}

/// Whether an amount is zero or, of a key that has overspent, below. What is no number says nothing.
fn is_nothing(amount: &RawValue) -> bool {
    let text = amount.get();
    let number = text.parse().or_else(|_| Decimal::from_scientific(text));
    number.is_ok_and(|number: Decimal| number <= Decimal::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openrouter::lenient::Object;

    #[test]
    fn what_is_left_of_a_key_is_told_by_its_limit_and_by_its_budget() {
        let record = |data: &str| {
            let text = format!(r#"{{"data":{data}}}"#);
            let Object(record): Object<KeyRecord> = serde_json::from_str(&text).expect("an object");
            record.key().expect("a record")
        };
        for (data, is_used_up) in [
            (r#"{"limit":100,"limit_remaining":74.5}"#, false),
            (r#"{"limit":null,"limit_remaining":null}"#, false),
            (r#"{"limit_remaining":"none"}"#, false),
            (r#"{"limit_remaining":1e-7}"#, false),
            (r#"{"limit_remaining":0}"#, true),
            (r#"{"limit_remaining":0.0e0}"#, true),
            (r#"{"limit_remaining":-0.25}"#, true),
            (
                r#"{"limit_remaining":5,"effective_budget":{"remaining_usd":0}}"#,
                true,
            ),
            (r#"{"limit_remaining":5,"effective_budget":null}"#, false),
            (r#"{"effective_budget":{"remaining_usd":17.5}}"#, false),
        ] {
            assert_eq!(record(data).is_used_up, is_used_up, "{data}");
        }
        let expires = |data: &str| record(data).expires.map(|at| at.to_string());
        let told = expires(r#"{"expires_at":"2027-12-31T23:59:59Z"}"#);
        assert_eq!(told.as_deref(), Some("2027-12-31T23:59:59Z"));
        for odd in [
            r#"{"expires_at":null}"#,
            r#"{"expires_at":"soon"}"#,
            r#"{"expires_at":5}"#,
        ] {
            assert_eq!(expires(odd), None, "{odd}");
        }
    }
}
