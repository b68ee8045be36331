//! What refusals mean, whatever they look like.

use super::DrawCause::{
    InvalidRequest, KeyOutOfCredit, KeyRateLimited, KeyRefused, ModelUnavailable, OursToMend,
    PromptRejected, RateLimited, ReferenceInvalid, ReferenceTooLarge, Timeout, Unavailable,
};
use super::*;

fn refusal(status: u16, body: &str) -> DrawError {
    Refusal {
        status,
        retry_after: None,
        upstream_id: None,
        body: RefusalBody::read(body.as_bytes()),
    }
    .to_error()
}

#[test]
fn a_type_says_more_than_a_status_and_availability_more_than_a_type() {
    let typed = |kind: &str| format!(r#"{{"error":{{"metadata":{{"error_type":"{kind}"}}}}}}"#);
    let available = |code: &str, more: &str| {
        let availability = format!(r#"{{"code":"{code}"{more}}}"#);
        format!(r#"{{"error":{{"error_type":"not_found","availability":{availability}}}}}"#)
    };
    for (status, body, cause) in [
        (400, typed("invalid_image"), ReferenceInvalid),
        (400, typed("image_download_failed"), ReferenceInvalid),
        (400, typed("image_too_large"), ReferenceTooLarge),
        (400, typed("content_policy_violation"), PromptRejected),
        (502, typed("refusal"), PromptRejected),
        (400, typed("string_too_long"), InvalidRequest),
        (412, typed("precondition_failed"), Unavailable),
        (502, typed("timeout"), Timeout),
        (429, typed("provider_overloaded"), RateLimited),
        (403, typed("permission_denied"), KeyRefused),
        (401, typed("authentication"), KeyRefused),
        (403, typed("payment_required"), KeyOutOfCredit),
        (400, typed("something_new"), InvalidRequest),
        (503, available("capacity_exhausted", ""), RateLimited),
        (404, available("temporarily_unavailable", ""), Unavailable),
        (
            404,
            available("model_unavailable_upstream", r#","retryable":true"#),
            Unavailable,
        ),
        (
            404,
            available("model_unavailable_upstream", ""),
            ModelUnavailable,
        ),
        (403, available("region_restricted", ""), ModelUnavailable),
    ] {
        assert_eq!(refusal(status, &body).cause, cause, "{status} {body}");
    }
}

#[test]
fn of_a_refusal_in_plain_words_the_first_are_told() {
    for (body, detail) in [
        (
            "upstream connect error\r\n",
            "HTTP 503: upstream connect error".to_owned(),
        ),
        (
            "bad key sk-or-v1-0123abcd",
            "HTTP 503: bad key [redacted]".to_owned(),
        ),
        (
            &"no ".repeat(300),
            format!("HTTP 503: {}", "no ".repeat(67).trim_end()),
        ),
        ("", "HTTP 503: no readable body".to_owned()),
        (
            r#"{"prompt":"a fox""#,
            "HTTP 503: no readable body".to_owned(),
        ),
    ] {
        let told = refusal(503, body);
        assert_eq!((told.cause, told.detail), (Unavailable, detail), "{body}");
    }
}

#[test]
fn what_a_provider_refuses_openrouter_says_nothing_about_our_key() {
    let named = r#"{"error":{"message":"no","metadata":{"provider_name":"Acme"}}}"#;
    let worded = r#"{"error":{"message":"Provider returned error"}}"#;
    let unnamed = r#"{"error":{"message":"no","metadata":{"provider_name":null}}}"#;
    for (status, cause) in [(401, KeyRefused), (402, KeyOutOfCredit), (403, KeyRefused)] {
        assert_eq!(refusal(status, named).cause, Unavailable, "{status}");
        assert_eq!(refusal(status, worded).cause, Unavailable, "{status}");
        assert_eq!(refusal(status, unnamed).cause, cause, "{status}");
    }
    let limit = r#"{"error":{"code":403,"message":"Key limit exceeded (total limit)"}}"#;
    assert_eq!(refusal(403, limit).cause, KeyOutOfCredit);
}

#[test]
fn a_limit_is_openrouters_only_if_it_says_so() {
    let with =
        |metadata: &str| format!(r#"{{"error":{{"message":"Slow down","metadata":{metadata}}}}}"#);
    for (body, cause) in [
        (
            with(r#"{"limit_source":"openrouter_free_tier_daily"}"#),
            KeyRateLimited,
        ),
        (
            with(r#"{"headers":{"x-rateLimit-Remaining":"0"}}"#),
            KeyRateLimited,
        ),
        (
            r#"{"error":{"message":"Rate limit exceeded: limit_rpm/acme"}}"#.to_owned(),
            KeyRateLimited,
        ),
        (
            with(r#"{"limit_source":"upstream_provider_shared_pool"}"#),
            RateLimited,
        ),
        (
            with(r#"{"headers":{"X-RateLimit-Limit":"9"},"provider_code":"rate_limited"}"#),
            RateLimited,
        ),
        (
            with(r#"{"headers":{"X-RateLimit-Limit":"9"},"provider_name":"Acme"}"#),
            RateLimited,
        ),
        (with(r#"{"headers":"X-RateLimit-Limit"}"#), RateLimited),
        (
            r#"{"error":{"message":"Rate limit exceeded"}}"#.to_owned(),
            RateLimited,
        ),
    ] {
        assert_eq!(refusal(429, &body).cause, cause, "{body}");
    }
    let other = with(r#"{"limit_source":"openrouter_budget"}"#);
    assert_eq!(refusal(503, &other).cause, Unavailable);
}

#[test]
fn a_provider_that_words_its_moderation_is_understood() {
    let raw = r#"{"error":{"code":400,"message":"Provider returned error","metadata":{
        "provider_name":"OpenAI","raw":"{\"error\":{\"code\":\"moderation_blocked\"}}"}}}"#;
    let error = refusal(400, raw);
    assert_eq!((error.cause, error.billed), (PromptRejected, Billed::No));
    let parameter = r#"{"error":{"code":400,"message":"unknown parameter: moderation"}}"#;
    assert_eq!(refusal(400, parameter).cause, InvalidRequest);
}

#[test]
fn without_a_readable_body_the_status_has_to_do() {
    for (status, empty, page) in [
        (302, OursToMend, OursToMend),
        (400, InvalidRequest, Unavailable),
        (401, KeyRefused, Unavailable),
        (402, KeyOutOfCredit, Unavailable),
        (403, KeyRefused, Unavailable),
        (404, ModelUnavailable, Unavailable),
        (405, OursToMend, Unavailable),
        (413, ReferenceTooLarge, ReferenceTooLarge),
        (429, RateLimited, RateLimited),
        (499, Unavailable, Unavailable),
        (502, Unavailable, Unavailable),
        (524, Timeout, Timeout),
        (599, Unavailable, Unavailable),
    ] {
        assert_eq!(refusal(status, "").cause, empty, "{status}");
        assert_eq!(
            refusal(status, r#"{"error":{"mess"#).cause,
            empty,
            "{status}"
        );
        assert_eq!(refusal(status, "\n<html>").cause, page, "{status}");
    }
}

#[test]
fn a_wait_is_read_in_seconds_or_as_a_date() {
    let now = jiff::Timestamp::from_second(1_795_392_000).expect("in range");
    let wait = |value| retry_after(value, now).map(|wait| wait.as_secs());
    assert_eq!(wait(" 7 "), Some(7));
    assert_eq!(wait("Mon, 23 Nov 2026 00:01:00 GMT"), Some(60));
    assert_eq!(wait("Sun, 22 Nov 2026 00:01:00 GMT"), Some(0));
    assert_eq!(wait("soon"), None);
    assert_eq!(wait("-1"), None);
}
