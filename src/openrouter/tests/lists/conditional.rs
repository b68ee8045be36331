//! What has not changed is not told again.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A server whose answers bear this name, and are only told to those who do not know it.
async fn naming(etag: &'static str) -> Upstream {
    Upstream::but(move |asked| {
        let mut response = match asked.header("if-none-match") {
            Some(known) if known == etag => answer(304, &[], ""),
            _ => usual(asked),
        };
        let etag = etag.parse().expect("a header");
        response.headers_mut().insert("etag", etag);
        Some(response)
    })
    .await
}

#[tokio::test]
async fn what_is_unchanged_is_taken_from_the_last_list() {
    for etag in [r#""strong""#, r#"W/"weak""#] {
        let upstream = naming(etag).await;
        let lists = upstream.lists();
        let first = lists.list().await.expect("a list");
        let second = lists.list().await.expect("the same");
        assert_eq!(first, second);
        assert_eq!(lines(&second, "b/draws").len(), 1);
        for path in ["models", "images/models", DRAWS] {
            let asked = upstream.of(path);
            let told: Vec<_> = asked
                .iter()
                .map(|asked| asked.header("if-none-match"))
                .collect();
            assert_eq!(told, [None, Some(etag)], "{path}");
        }
    }
}

#[tokio::test]
async fn what_has_changed_replaces_what_was_kept() {
    let calls = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::but(move |asked| {
        if asked.path != DRAWS {
            return None;
        }
        let (etag, price) = match calls.fetch_add(1, Ordering::Relaxed) {
            0 => (r#""one""#, "0.04"),
            1 => (r#""two""#, "0.05"),
            _ => (r#""two""#, ""),
        };
        if price.is_empty() {
            assert_eq!(asked.header("if-none-match"), Some(r#""two""#));
            return Some(answer(304, &[], ""));
        }
        let body = ENDPOINTS.replace("0.04", price);
        Some(answer(200, &[("etag", etag)], &body))
    })
    .await;
    let lists = upstream.lists();
    for price in ["0.04", "0.05", "0.05"] {
        let list = lists.list().await.expect(price);
        assert_eq!(lines(&list, "b/draws")[0].usd, price);
    }
}

#[tokio::test]
async fn nothing_is_kept_of_a_list_that_fails_and_nothing_that_was_is_lost() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let upstream = Upstream::but(move |asked| match asked.path.as_str() {
        "models" => {
            let known = asked.header("if-none-match") == Some(r#""v1""#);
            let name = if count.load(Ordering::Relaxed) == 1 {
                r#""v2""#
            } else {
                r#""v1""#
            };
            Some(if known && name == r#""v1""# {
                answer(304, &[], "")
            } else {
                answer(200, &[("etag", name)], MODELS)
            })
        }
        DRAWS if count.load(Ordering::Relaxed) == 1 => Some(status(400, "{}")),
        _ => None,
    })
    .await;
    let lists = upstream.lists();
    let first = lists.list().await.expect("a list");
    calls.store(1, Ordering::Relaxed);
    lists.list().await.expect_err("a part is missing");
    calls.store(2, Ordering::Relaxed);
    assert_eq!(lists.list().await.expect("a list"), first);
    let asked = upstream.of("models");
    let told: Vec<_> = asked
        .iter()
        .map(|asked| asked.header("if-none-match"))
        .collect();
    assert_eq!(told, [None, Some(r#""v1""#), Some(r#""v1""#)]);
}

#[tokio::test]
async fn unchanged_is_no_answer_to_whoever_knows_nothing() {
    let upstream = Upstream::but(|asked| (asked.path == "models").then(|| answer(304, &[], "")));
    let error = upstream.await.list().await.expect_err("no list");
    assert_eq!(error, ListError::Malformed("HTTP 304".to_owned()));
}

#[tokio::test]
async fn what_is_no_name_is_not_sent_back() {
    let long = format!("\"{}\"", "x".repeat(300));
    for etag in ["bare", "\"", "W/", &long] {
        let etag = etag.to_owned();
        let upstream = Upstream::but(move |asked| {
            let mut response = usual(asked);
            let etag = etag.parse().expect("a header");
            response.headers_mut().insert("etag", etag);
            Some(response)
        })
        .await;
        let lists = upstream.lists();
        lists.list().await.expect("a list");
        lists.list().await.expect("another");
        let asked = upstream.asked.lock().expect("no panic");
        assert_eq!(asked.len(), 6);
        assert!(
            asked
                .iter()
                .all(|one| one.header("if-none-match").is_none())
        );
    }
}
