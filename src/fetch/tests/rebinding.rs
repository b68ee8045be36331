//! Names that lead elsewhere the second time, servers that send elsewhere, and the way between.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::Site;
use super::*;

/// A picture, as an answer.
fn picture() -> Vec<u8> {
    let body = png(64, 48, 300);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}

#[tokio::test]
async fn a_name_is_resolved_once_and_the_answer_is_what_is_connected_to() {
    let good = Site::answering(picture()).await;
    let port = good.address.port();
    let inside = Site::on(&format!("127.0.0.2:{port}"), |_| async {}).await;
    let book = Book::with([vec![ip("127.0.0.1")], vec![ip("127.0.0.2")]]);
    let client = client(&book, Rules::new(&[network("127.0.0.1", 32)]));
    let url = format!("http://rebinding.example.com:{port}/a.png");
    let bytes = fetch(&client, &url)
        .await
        .expect("the first answer leads there");
    assert_eq!(bytes, png(64, 48, 300));
    assert_eq!((book.asked(), good.accepts(), inside.accepts()), (1, 1, 0));
    // The second time the name leads inside, and the connection of before is not used again.
    assert_eq!(fetch(&client, &url).await, Err(FetchError::Unreachable));
    assert_eq!((book.asked(), good.accepts(), inside.accepts()), (2, 1, 0));
}

#[tokio::test]
async fn one_address_that_is_not_allowed_spoils_the_others() {
    let good = Site::answering(picture()).await;
    let port = good.address.port();
    let rules = || Rules::new(&[network("127.0.0.1", 32)]);
    for addresses in [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]] {
        let book = Book::with([addresses.map(ip).to_vec()]);
        let client = client(&book, rules());
        let url = format!("http://mixed.example.com:{port}/a.png");
        assert_eq!(fetch(&client, &url).await, Err(FetchError::Unreachable));
    }
    assert_eq!(good.accepts(), 0);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let inside = Site::answering(picture()).await;
    for status in [301, 302, 303, 307, 308, 300, 304] {
        let answer = format!(
            "HTTP/1.1 {status} Look\r\nLocation: {}\r\nRefresh: 0; url={}\r\nContent-Length: 0\r\n\r\n",
            inside.url(),
            inside.url()
        );
        let outside = Site::answering(answer).await;
        let only = Allowed::Network {
            base: outside.address.ip(),
            prefix: 32,
            port: Some(outside.address.port()),
        };
        let client = client(&Book::with([]), Rules::new(&[only]));
        let answer = fetch(&client, &outside.url()).await;
        assert_eq!(answer, Err(FetchError::Unreachable), "{status}");
        assert_eq!((outside.accepts(), inside.accepts()), (1, 0), "{status}");
    }
}

#[tokio::test]
async fn a_request_without_checked_addresses_connects_nowhere() {
    let site = Site::answering(picture()).await;
    let http = builder(LIMITS)
        .tls_certs_only([])
        .build()
        .expect("a client");
    let url = format!("http://localhost:{}/a.png", site.address.port());
    let error = http
        .get(&url)
        .send()
        .await
        .expect_err("nothing was checked");
    assert!(error.is_connect(), "{error:?}");
    let other = Checked {
        name: "example.com".to_owned(),
        addresses: vec![site.address],
    };
    let error = pinned::only(other, http.get(&url).send()).await;
    assert!(error.expect_err("checked for another name").is_connect());
    assert_eq!(site.accepts(), 0);
}

#[tokio::test]
async fn a_request_says_nothing_about_who_asks() {
    let site = Site::answering(picture()).await;
    let client = client(&Book::with([]), Rules::new(&[network("127.0.0.1", 32)]));
    let url = format!("{}?signature=1#fragment", site.url());
    for _ in 0..2 {
        fetch(&client, &url).await.expect("a picture");
    }
    let heads = site.heads();
    assert_eq!(heads[0], heads[1], "nothing is remembered");
    let lines: Vec<_> = heads[0].trim_end().split("\r\n").collect();
    assert_eq!(lines[0], "GET /a.png?signature=1 HTTP/1.1");
    let names = lines[1..].iter().filter_map(|line| line.split(':').next());
    let mut names: Vec<_> = names.map(str::to_ascii_lowercase).collect();
    names.sort();
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
    assert!(
        heads[0].contains("user-agent: image-gateway/"),
        "{}",
        heads[0]
    );
}

#[tokio::test]
async fn neither_a_cookie_nor_a_connection_is_kept() {
    let head = "HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 100\r\n\r\n";
    let site = Site::on("127.0.0.1:0", move |mut stream| async move {
        let answer = [head.as_bytes(), &png(8, 8, 100)].concat();
        let _ = stream.write_all(&answer).await;
        // It would be there for more.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let client = client(&Book::with([]), Rules::new(&[network("127.0.0.1", 32)]));
    for _ in 0..2 {
        fetch(&client, &site.url()).await.expect("a picture");
    }
    assert!(!site.heads()[1].to_lowercase().contains("cookie"));
    assert_eq!(site.accepts(), 2);
}

#[tokio::test]
async fn more_at_a_time_than_there_are_places_is_refused_at_once() {
    let site = Site::on("127.0.0.1:0", |mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let one = Limits {
        at_once: 1,
        total: Duration::from_millis(300),
        ..LIMITS
    };
    let rules = Rules::new(&[network("127.0.0.1", 32)]);
    let client = client_within(one, &Book::with([]), rules);
    let url = site.url();
    let (first, second) = tokio::join!(fetch(&client, &url), fetch(&client, &url));
    assert_eq!(first, Err(FetchError::Unreachable));
    assert_eq!(second, Err(FetchError::Overloaded));
    // The place is given back.
    assert_eq!(fetch(&client, &url).await, Err(FetchError::Unreachable));
}
