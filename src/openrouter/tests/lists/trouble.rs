//! Failures: all or nothing, and never in vain.

use std::future::ready;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::net::TcpSocket;

use super::*;
use crate::openrouter::Config;

const ALL: [&str; 3] = ["models", "images/models", DRAWS];

/// Answers one path with a status so often, then as usual.
async fn refusing(
    path: &'static str,
    times: usize,
    refusal: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static,
) -> Upstream {
    let count = Arc::new(AtomicUsize::new(0));
    Upstream::but(move |asked| {
        let refused = asked.path == path && count.fetch_add(1, Ordering::Relaxed) < times;
        refused.then(&refusal)
    })
    .await
}

#[tokio::test]
async fn a_passing_trouble_is_waited_out_twice() {
    for path in ALL {
        for code in [429, 500, 502, 503, 524, 529] {
            let upstream = refusing(path, 2, move || status(code, "{}")).await;
            let list = upstream.list().await.expect(path);
            assert_eq!(list.len(), 2);
            assert_eq!(upstream.count(path), 3, "{path} {code}");
            let upstream = refusing(path, 3, move || status(code, "{}")).await;
            let error = upstream.list().await.expect_err(path);
            assert!(matches!(error, ListError::Unavailable(_)), "{error:?}");
            assert!(error.to_string().contains(&code.to_string()), "{error}");
            assert_eq!(upstream.count(path), 3, "{path} {code}");
        }
    }
}

#[tokio::test]
async fn a_trouble_that_stays_is_not_asked_about_again() {
    for path in ALL {
        for code in [400, 402, 403, 410, 413] {
            let upstream = refusing(path, 1, move || status(code, "{}")).await;
            upstream.list().await.expect_err(path);
            assert_eq!(upstream.count(path), 1, "{path} {code}");
        }
    }
    let upstream = refusing("models", 1, || status(404, "{}")).await;
    upstream.list().await.expect_err("no such thing");
    let wait = || answer(429, &[("retry-after", "3600")], "{}");
    let upstream = refusing("models", 1, wait).await;
    upstream.list().await.expect_err("an hour is too long");
    assert_eq!(upstream.count("models"), 1);
}

#[tokio::test]
async fn without_a_list_of_image_models_all_are_models_of_chat() {
    let told = r#"{"error":{"code":404,"message":"Not Found"}}"#;
    for code in [404, 200] {
        let upstream = refusing("images/models", 9, move || status(code, told)).await;
        let list = upstream.list().await.expect("a list");
        assert_eq!(slugs(&list), ["a/text", "b/draws"]);
        assert!(list.iter().all(|listed| listed.offer.is_none()));
        assert_eq!(upstream.count("images/models"), 1);
    }
    // A page was not made by the API: it says nothing of what there is.
    let page = || answer(404, &[("content-type", "text/html")], "<html></html>");
    let upstream = refusing("images/models", 9, page).await;
    upstream.list().await.expect_err("a page");
}

#[tokio::test]
async fn one_failing_endpoint_of_many_fails_the_list() {
    let slugs: Vec<_> = (0..30).map(|number| format!("m/{number}")).collect();
    let records: Vec<_> = slugs
        .iter()
        .map(|slug| format!(r#"{{"id":"{slug}"}}"#))
        .collect();
    let image_models = format!(r#"{{"data":[{}]}}"#, records.join(","));
    for (code, fails) in [(404, false), (200, false), (400, true), (503, true)] {
        let image_models = image_models.clone();
        let upstream = Upstream::but(move |asked| match asked.path.as_str() {
            "images/models" => Some(json(&image_models)),
            "images/models/m/17/endpoints" => Some(status(code, r#"{"endpoints":[]}"#)),
            path if path.ends_with("/endpoints") => Some(json(ENDPOINTS)),
            _ => None,
        })
        .await;
        let list = upstream.list().await;
        assert_eq!(list.is_err(), fails, "{code}: {list:?}");
        if let Ok(list) = list {
            assert_eq!(lines(&list, "m/17"), []);
            assert_eq!(lines(&list, "m/18").len(), 1);
        }
    }
}

#[tokio::test]
async fn a_page_is_no_list_by_its_type_or_its_first_letter() {
    let page = "\n <html><body>Just a moment...</body></html>";
    for path in ALL {
        for (code, kind) in [(200, "text/html; charset=utf-8"), (200, "application/json")] {
            let upstream = refusing(path, 1, move || {
                answer(code, &[("content-type", kind)], page)
            });
            let upstream = upstream.await;
            let error = upstream.list().await.expect_err("a page");
            assert!(matches!(error, ListError::Malformed(_)), "{error:?}");
            assert!(error.to_string().ends_with("an HTML page"), "{error}");
            assert_eq!(upstream.count(path), 1);
        }
    }
    // Not even a page about something that is not there: it was not made by the API.
    let missing = move || answer(404, &[("content-type", "text/html")], page);
    let upstream = refusing(DRAWS, 1, missing).await;
    let error = upstream.list().await.expect_err("a page");
    assert!(matches!(error, ListError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn half_a_list_is_no_list_wherever_it_ends() {
    for (path, body) in [
        ("models", MODELS),
        ("images/models", IMAGE_MODELS),
        (DRAWS, ENDPOINTS),
    ] {
        for at in (0..body.len()).step_by(17) {
            let upstream = Upstream::with(path, &body[..at]).await;
            let error = upstream.list().await.expect_err("half a list");
            assert!(matches!(error, ListError::Malformed(_)), "{at}: {error:?}");
            assert_eq!(upstream.count(path), 1);
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let broken = || {
        let half = Bytes::from_static(&MODELS.as_bytes()[..40]);
        let begun = stream::once(ready(Ok(half)));
        // What waits is sent, so that the client has seen a beginning.
        let broken = stream::once(async {
            tokio::task::yield_now().await;
            Err(io::Error::other("gone"))
        });
        Response::new(Body::from_stream(begun.chain(broken)))
    };
    let upstream = refusing("models", 2, broken).await;
    assert_eq!(upstream.list().await.expect("a list").len(), 2);
    let upstream = refusing("models", 3, broken).await;
    let error = upstream.list().await.expect_err("broken");
    assert!(matches!(error, ListError::Malformed(_)), "{error:?}");
    assert_eq!(upstream.count("models"), 3);
}

#[tokio::test]
async fn json_that_is_no_list_is_refused() {
    for (path, body) in [
        ("models", "[]"),
        ("models", "{}"),
        ("models", r#"{"data":null}"#),
        ("models", r#"{"data":{"a/text":{}}}"#),
        ("models", r#"{"data":"none"}"#),
        ("images/models", r#"{"models":[]}"#),
        (DRAWS, r#"{"data":{"endpoints":[]}}"#),
        (DRAWS, r#"{"endpoints":7}"#),
        (DRAWS, "null"),
        (DRAWS, ""),
    ] {
        let upstream = Upstream::with(path, body).await;
        let error = upstream.list().await.expect_err(body);
        assert!(
            matches!(error, ListError::Malformed(_)),
            "{body}: {error:?}"
        );
    }
}

#[tokio::test]
async fn an_error_within_an_answer_counts_like_its_status() {
    let told = r#"{"error":{"code":503,"message":"overloaded"},"data":[]}"#;
    let upstream = refusing("models", 2, move || json(told)).await;
    assert_eq!(upstream.list().await.expect("a list").len(), 2);
    let told = r#"{"error":{"code":400,"message":"sk-or-v1-0123456789abcdef is bad"}}"#;
    let upstream = refusing("models", 9, move || json(told)).await;
    let error = upstream.list().await.expect_err("an error");
    let shown = "error 400 in the answer: [redacted] is bad".to_owned();
    assert_eq!(error, ListError::Unavailable(shown));
    assert_eq!(upstream.count("models"), 1);
    let told = r#"{"error":{"code":404,"message":"no such model"}}"#;
    let upstream = refusing(DRAWS, 9, move || json(told)).await;
    let list = upstream.list().await.expect("a list");
    assert_eq!(lines(&list, "b/draws"), []);
}

#[tokio::test]
async fn the_key_stays_at_home_unless_it_is_asked_for() {
    let bearer = format!("Bearer {}", super::super::KEY);
    let wanted = bearer.clone();
    let upstream = Upstream::but(move |asked| {
        let known = asked.header("authorization") == Some(&wanted);
        (!known).then(|| status(401, "{}"))
    })
    .await;
    let lists = upstream.lists();
    for _ in 0..2 {
        assert_eq!(lists.list().await.expect("a list").len(), 2);
        let mut asked = upstream.asked.lock().expect("no panic");
        let keyed = asked.iter().map(|asked| asked.header("authorization"));
        let keyed: Vec<_> = keyed.collect();
        // Every list asks without it first; what is asked later in the same list has it at once.
        assert_eq!(keyed.first(), Some(&None));
        assert_eq!(keyed.last(), Some(&Some(&*bearer)));
        assert!((4..=5).contains(&keyed.len()), "{keyed:?}");
        asked.clear();
    }
    let upstream = Upstream::but(|_| Some(status(401, "{}"))).await;
    let error = upstream.list().await.expect_err("the key is refused");
    assert!(error.to_string().contains("401"), "{error}");
    assert!(upstream.count("models") <= 2);
}

#[tokio::test]
async fn what_a_list_repeats_of_a_key_is_withheld() {
    const ODD_KEY: &str = "weirdprovider.key/with+chars=0123456789";
    let told = format!(r#"{{"error":{{"code":400,"message":"no: {ODD_KEY}"}}}}"#);
    for code in [400, 503] {
        let said = told.clone();
        let upstream = Upstream::but(move |_| Some(status(code, &said))).await;
        let config = Config {
            api_key: ODD_KEY.into(),
            ..config(&upstream.url)
        };
        let lists = Lists::new(config).expect("an address");
        let error = lists.list().await.expect_err("refused");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("weird"), "{shown}");
        assert!(shown.contains("(withheld: it quotes the key"), "{shown}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = || answer(302, &[("location", "/api/v1/elsewhere")], "");
    let upstream = refusing("images/models", 9, elsewhere).await;
    let error = upstream.list().await.expect_err("a redirect");
    assert_eq!(error, ListError::Malformed("HTTP 302".to_owned()));
    assert_eq!(upstream.count("elsewhere"), 0);
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    // Bound and not listening: nobody else can take the port.
    let shut = TcpSocket::new_v4().expect("a socket");
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    shut.bind(any).expect("a free port");
    let address = shut.local_addr().expect("bound");
    let lists = Lists::new(config(&format!("http://{address}"))).expect("an address");
    let error = lists.list().await.expect_err("nobody");
    assert!(matches!(error, ListError::Unavailable(_)), "{error:?}");
    assert!(Lists::new(config("no address")).is_err());
}
