//! Bounds: of bytes, of models, of time, and of questions at once.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::{Barrier, Notify};

use super::*;

/// So many bytes of spaces, which are JSON as far as they go; counts what was taken of them.
fn spaces(bytes: usize, taken: &Arc<AtomicUsize>) -> Body {
    let piece = Bytes::from(vec![b' '; 1 << 20]);
    let taken = Arc::clone(taken);
    let pieces = stream::iter(0..bytes >> 20).map(move |_| {
        taken.fetch_add(piece.len(), Ordering::Relaxed);
        Ok::<_, io::Error>(piece.clone())
    });
    Body::from_stream(pieces)
}

#[tokio::test]
async fn five_hundred_megabytes_are_never_read() {
    for (path, most) in [
        ("models", 32 << 20),
        ("images/models", 16 << 20),
        (DRAWS, 1 << 20),
    ] {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let upstream = Upstream::but(move |asked| {
            (asked.path == path).then(|| Response::new(spaces(500 << 20, &count)))
        })
        .await;
        let error = upstream.list().await.expect_err("too long");
        assert!(matches!(error, ListError::Malformed(_)), "{error:?}");
        assert!(error.to_string().contains("longer than"), "{error}");
        assert_eq!(upstream.count(path), 1);
        // What is on the way in sockets and buffers comes on top.
        let taken = taken.load(Ordering::Relaxed);
        assert!(taken < most + (24 << 20), "{path}: {taken}");
    }
}

#[tokio::test]
async fn an_answer_that_announces_too_much_is_not_begun() {
    let upstream = Upstream::but(move |asked| {
        (asked.path == "models").then(|| {
            let mut response =
                Response::new(Body::from_stream(stream::pending::<io::Result<Bytes>>()));
            let length = (500_usize << 20).to_string().parse().expect("a number");
            response.headers_mut().insert("content-length", length);
            response
        })
    })
    .await;
    let error = upstream.list().await.expect_err("too long");
    assert!(error.to_string().contains("longer than"), "{error}");
}

fn page(from: usize, count: usize, more: &str) -> String {
    let records: Vec<_> = (from..from + count)
        .map(|number| format!(r#"{{"id":"m/{number}"}}"#))
        .collect();
    format!(r#"{{"data":[{}]{more}}}"#, records.join(","))
}

fn offset(asked: &Asked) -> usize {
    let (_, offset) = asked.query.split_once("offset=").expect("an offset");
    offset.parse().expect("a number")
}

/// Pages of so many models until there are no more, each with something beside its models.
async fn paging(size: usize, models: usize, more: &'static str) -> Upstream {
    Upstream::but(move |asked| {
        (asked.path == "models").then(|| {
            let from = offset(asked).min(models);
            json(&page(from, size.min(models - from), more))
        })
    })
    .await
}

#[tokio::test]
async fn pages_are_asked_for_until_one_is_short() {
    for (size, models, more, pages) in [
        (1000, 999, "", 1),
        (1000, 2000, "", 3),
        (1000, 2345, "", 3),
        (1000, 5000, "", 6),
        // A server that makes shorter pages, and says that there are more.
        (100, 250, r#","total_count":250"#, 3),
        (
            100,
            250,
            r#","links":{"next":"/api/v1/models?offset=x"}"#,
            4,
        ),
        (
            100,
            250,
            r#","links":{"next":null},"total_count":"many""#,
            1,
        ),
    ] {
        let upstream = paging(size, models, more).await;
        let list = upstream.list().await.expect("a list");
        // And the one that draws.
        let told = if pages == 1 { size.min(models) } else { models };
        assert_eq!(list.len(), told + 1, "{size} {models} {more}");
        let asked = upstream.of("models");
        assert_eq!(asked.len(), pages, "{size} {models} {more}");
        assert!(
            asked
                .iter()
                .all(|one| one.query.starts_with("output_modalities=all&limit=1000&"))
        );
    }
}

#[tokio::test]
async fn a_server_that_knows_no_pages_is_asked_twice_at_most() {
    let all = page(0, 1500, "");
    let upstream = Upstream::with("models", &all).await;
    assert_eq!(upstream.list().await.expect("a list").len(), 1501);
    assert_eq!(upstream.count("models"), 2);
}

#[tokio::test]
async fn a_list_that_says_it_has_more_than_it_shows_is_no_list() {
    let more = r#","total_count":250"#;
    let upstream = paging(100, 200, more).await;
    let error = upstream.list().await.expect_err("50 are missing");
    let missing = "200 of 250 models".to_owned();
    assert_eq!(error, ListError::Malformed(missing));
    // The same page again and again shows no more than once.
    let upstream = Upstream::with("models", &page(0, 125, more)).await;
    let error = upstream.list().await.expect_err("125 are missing");
    let missing = "125 of 250 models".to_owned();
    assert_eq!(error, ListError::Malformed(missing));
    let upstream = Upstream::with("images/models", &page(0, 3, r#","total_count":4"#)).await;
    let error = upstream.list().await.expect_err("one is missing");
    let missing = "3 of 4 image models".to_owned();
    assert_eq!(error, ListError::Malformed(missing));
}

#[tokio::test]
async fn a_list_without_an_end_is_no_list() {
    for (size, pages) in [(1000, 6), (5001, 1), (1, 20)] {
        let upstream = paging(size, usize::MAX, r#","total_count":9999999"#).await;
        let error = upstream.list().await.expect_err("no end");
        assert!(matches!(error, ListError::Malformed(_)), "{error:?}");
        assert_eq!(upstream.count("models"), pages);
    }
    let upstream = Upstream::with("images/models", &page(0, 1001, "")).await;
    let error = upstream.list().await.expect_err("too many");
    assert_eq!(error, ListError::Malformed("1001 image models".to_owned()));
}

#[tokio::test]
async fn everything_within_a_model_is_cut() {
    let word = format!("\"{}\"", "ü".repeat(500));
    let words = vec![word.as_str(); 500].join(",");
    let image_models = IMAGE_MODELS
        .replace("\"image\",\"text\"", &words)
        .replace("\"n\"", &format!(r#""quality":{{"values":[{words}]}},"n""#));
    let line = format!(r#"{{"billable":{word},"unit":{word},"variant":{word},"cost_usd":1}}"#);
    let lines_told = vec![line.as_str(); 40].join(",");
    let endpoint = format!(r#"{{"provider_slug":{word},"pricing":[{lines_told}]}}"#);
    let endpoints = format!(r#"{{"endpoints":[{}]}}"#, [endpoint.as_str(); 5].join(","));
    let upstream = Upstream::but(move |asked| match asked.path.as_str() {
        "models" => Some(json(&page(0, 1, ""))),
        "images/models" => Some(json(&image_models)),
        DRAWS => Some(json(&endpoints)),
        _ => None,
    })
    .await;
    let list = upstream.list().await.expect("a list");
    let listed = find(&list, "b/draws");
    let offer = listed.offer.as_ref().expect("an offer");
    let sizes = [&listed.inputs, &offer.qualities].map(Vec::len);
    assert_eq!((sizes, offer.lines.len()), ([64, 64], 64));
    let line = &offer.lines[63];
    for cut in [
        &listed.inputs[63],
        &line.provider,
        &line.unit,
        &line.variant,
    ] {
        assert_eq!(cut.chars().count(), 64);
    }
}

#[tokio::test]
async fn a_slow_list_ends_at_its_time() {
    let pending = || Body::from_stream(stream::pending::<io::Result<Bytes>>());
    let upstream =
        Upstream::but(move |asked| (asked.path == DRAWS).then(|| Response::new(pending()))).await;
    let mut lists = upstream.lists();
    lists.patience = Duration::from_millis(300);
    let error = lists.list().await.expect_err("too slow");
    assert_eq!(error, ListError::TimedOut(lists.patience));
}

#[tokio::test]
async fn a_list_that_nobody_waits_for_is_given_up() {
    let begun = Arc::new(Notify::new());
    let dropped = CancellationToken::new();
    let (signal, guard) = (Arc::clone(&begun), dropped.clone());
    let upstream = Upstream::start(move |asked| {
        if asked.path != DRAWS {
            return Box::pin(std::future::ready(usual(&asked)));
        }
        let (signal, guard) = (Arc::clone(&signal), guard.clone().drop_guard());
        Box::pin(async move {
            signal.notify_one();
            // Dropped by the server as soon as the connection is gone.
            let _guard = guard;
            std::future::pending().await
        })
    })
    .await;
    let lists = upstream.lists();
    tokio::select! {
        list = lists.list() => panic!("{list:?}"),
        () = begun.notified() => {}
    }
    dropped.cancelled().await;
}

#[tokio::test]
async fn eight_endpoints_are_asked_for_at_once_and_never_more() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (open, highest) = (Arc::clone(&now), Arc::clone(&most));
    // Nobody is answered before eight are there; more than eight would be seen.
    let eight = Arc::new(Barrier::new(8));
    let image_models = page(0, 24, "");
    let upstream = Upstream::start(move |asked| {
        let (open, highest) = (Arc::clone(&open), Arc::clone(&highest));
        let (eight, image_models) = (Arc::clone(&eight), image_models.clone());
        Box::pin(async move {
            match asked.path.as_str() {
                "images/models" => json(&image_models),
                path if path.ends_with("/endpoints") => {
                    let count = open.fetch_add(1, Ordering::SeqCst) + 1;
                    highest.fetch_max(count, Ordering::SeqCst);
                    eight.wait().await;
                    open.fetch_sub(1, Ordering::SeqCst);
                    json(ENDPOINTS)
                }
                _ => usual(&asked),
            }
        })
    })
    .await;
    assert_eq!(upstream.list().await.expect("a list").len(), 26);
    assert_eq!(most.load(Ordering::SeqCst), 8);
    assert_eq!(now.load(Ordering::SeqCst), 0);
}
