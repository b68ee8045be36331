//! Servers that lie, dawdle, never end or send something else.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use super::answer::BYTES_MAX;
use super::server::Site;
use super::*;

const MIB: usize = 1024 * 1024;

async fn answer_of(site: &Site) -> Result<Bytes, FetchError> {
    let client = client(&Book::with([]), Rules::new(&[network("127.0.0.1", 32)]));
    fetch(&client, &site.url()).await
}

/// With little time.
async fn answer_soon(site: &Site) -> Result<Bytes, FetchError> {
    let hasty = Limits {
        total: Duration::from_millis(400),
        ..LIMITS
    };
    let rules = Rules::new(&[network("127.0.0.1", 32)]);
    let client = client_within(hasty, &Book::with([]), rules);
    fetch(&client, &site.url()).await
}

#[tokio::test]
async fn a_picture_is_brought_byte_for_byte_however_it_is_framed() {
    let body = png(640, 480, 200_000);
    let length = format!("Content-Length: {}\r\n", body.len());
    let mut chunked = Vec::new();
    for piece in body.chunks(777) {
        chunked.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        chunked.extend(piece);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    for (headers, sent) in [
        (length.as_str(), &body),
        (
            "Content-Length: 200000\r\nContent-Type: text/html\r\n",
            &body,
        ),
        (
            "Content-Length: 200000\r\nContent-Encoding: identity\r\n",
            &body,
        ),
        ("Transfer-Encoding: chunked\r\n", &chunked),
        ("Connection: close\r\n", &body),
    ] {
        let site = Site::with_body(headers, sent).await;
        assert_eq!(
            answer_of(&site).await.as_deref(),
            Ok(&body[..]),
            "{headers}"
        );
    }
}

#[tokio::test]
async fn the_largest_picture_is_taken_and_one_byte_more_is_not() {
    for (size, announced) in [(BYTES_MAX, true), (BYTES_MAX, false)] {
        let body = png(4000, 3000, size);
        let length = format!("Content-Length: {size}\r\n");
        let headers = if announced { length.as_str() } else { "" };
        let site = Site::with_body(headers, &body).await;
        assert_eq!(answer_of(&site).await.map(|bytes| bytes.len()), Ok(size));
    }
    // Announced: refused before a byte of it is read.
    let length = format!("Content-Length: {}\r\n", 11 * MIB);
    let site = Site::with_body(&length, b"").await;
    let size_bytes = 11 * MIB;
    assert_eq!(
        answer_of(&site).await,
        Err(FetchError::TooLarge { size_bytes })
    );
    // Not announced: refused with the first byte that is too many.
    let site = Site::with_body("", &png(4000, 3000, BYTES_MAX + 1)).await;
    let answer = answer_of(&site).await;
    assert!(matches!(answer, Err(FetchError::TooLarge { size_bytes }) if size_bytes > BYTES_MAX));
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_off_at_the_limit() {
    let site = Site::on("127.0.0.1:0", |mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head).await;
        let piece = png(4000, 3000, MIB);
        let piece = [b"100000\r\n", &piece[..], b"\r\n"].concat();
        while stream.write_all(&piece).await.is_ok() {}
    })
    .await;
    let answer = answer_of(&site).await;
    let Err(FetchError::TooLarge { size_bytes }) = answer else {
        panic!("{answer:?}")
    };
    assert!(
        (BYTES_MAX..BYTES_MAX + MIB).contains(&size_bytes),
        "{size_bytes}"
    );
}

#[tokio::test]
async fn whoever_dawdles_is_left_when_the_time_is_over() {
    let drip = |head: &'static [u8], drop: &'static [u8]| {
        Site::on("127.0.0.1:0", move |mut stream| async move {
            let _ = stream.write_all(head).await;
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            while stream.write_all(drop).await.is_ok() {
                tick.tick().await;
            }
        })
    };
    for site in [
        // Nothing; a head that never ends; a thousand promises; a picture byte by byte.
        drip(b"", b"").await,
        drip(b"HTTP/1.1 200 OK\r\nX: ", b"x").await,
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n").await,
        drip(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n\x89PNG\r\n\x1a\n",
            b"x",
        )
        .await,
    ] {
        // Each goes on for minutes at least.
        let answer = timeout(Duration::from_secs(30), answer_soon(&site)).await;
        let answer = answer.expect("left when the time is over");
        assert_eq!(answer, Err(FetchError::Unreachable));
    }
}

#[tokio::test]
async fn a_length_that_is_not_true_is_not_believed() {
    let body = png(64, 48, 1000);
    for headers in [
        "Content-Length: 2000\r\n",
        "Content-Length: 1000\r\nContent-Length: 500\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x3e8\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let site = Site::with_body(headers, &body).await;
        assert_eq!(
            answer_of(&site).await,
            Err(FetchError::Unreachable),
            "{headers}"
        );
    }
    // One that is too small is where the answer ends.
    let site = Site::with_body("Content-Length: 400\r\n", &body).await;
    assert_eq!(answer_of(&site).await.as_deref(), Ok(&body[..400]));
    let site = Site::with_body("Content-Length: 0\r\n", &body).await;
    assert_eq!(answer_of(&site).await, Err(FetchError::NotAPicture));
}

#[tokio::test]
async fn what_is_no_picture_is_refused_whatever_it_is_called() {
    let bodies: [&[u8]; 8] = [
        b"<!DOCTYPE html><html><body><img src=a.png></body></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='http://127.0.0.1/'/></svg>",
        b"<?xml version='1.0'?><svg/>",
        b"%PDF-1.7 and so on and so on",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03 compressed and so on",
        b"RIFF\x10\0\0\0WAVEfmt and so on",
        b"\x89PNG",
        b"",
    ];
    for body in bodies {
        let headers = format!(
            "Content-Type: image/png\r\nContent-Length: {}\r\n",
            body.len()
        );
        let site = Site::with_body(&headers, body).await;
        assert_eq!(
            answer_of(&site).await,
            Err(FetchError::NotAPicture),
            "{body:?}"
        );
    }
}

#[tokio::test]
async fn a_page_is_left_after_its_first_bytes() {
    let site = Site::on("127.0.0.1:0", |mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\n<!DOCTYPE html>")
            .await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(answer_of(&site).await, Err(FetchError::NotAPicture));
}

#[tokio::test]
async fn whatever_is_packed_is_not_unpacked() {
    let body = png(64, 48, 1000);
    for headers in [
        "Content-Length: 1000\r\nContent-Encoding: gzip\r\n",
        "Content-Length: 1000\r\nContent-Encoding: br\r\n",
        "Content-Length: 1000\r\nContent-Encoding: identity, gzip\r\n",
        "Content-Length: 1000\r\nContent-Encoding: identity\r\nContent-Encoding: zstd\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
    ] {
        let site = Site::with_body(headers, &body).await;
        assert_eq!(
            answer_of(&site).await,
            Err(FetchError::Unreachable),
            "{headers}"
        );
    }
}

#[tokio::test]
async fn only_a_plain_success_is_one() {
    let body = png(64, 48, 100);
    for status in [201, 203, 204, 206, 400, 401, 403, 404, 407, 429, 500, 503] {
        let head = format!("HTTP/1.1 {status} So\r\nContent-Length: 100\r\n\r\n");
        let site = Site::answering([head.as_bytes(), &body].concat()).await;
        assert_eq!(
            answer_of(&site).await,
            Err(FetchError::Unreachable),
            "{status}"
        );
    }
    for garbage in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"220 mail ready\r\n",
        b"-ERR\r\n",
        b"\0\0\0\0",
    ] {
        let site = Site::answering(garbage).await;
        assert_eq!(answer_of(&site).await, Err(FetchError::Unreachable));
    }
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let site = Site::with_body(&format!("{many}Content-Length: 100\r\n"), &body).await;
    assert_eq!(answer_of(&site).await, Err(FetchError::Unreachable));
}

#[tokio::test]
async fn a_closed_port_a_silent_server_and_a_private_address_are_told_alike() {
    // Bound and not listening: nobody else can take the port.
    let closed = TcpSocket::new_v4().expect("a socket");
    closed.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let address = closed.local_addr().expect("an address");
    let url = format!("http://{address}/a.png");
    let client = client(&Book::with([]), Rules::new(&[network("127.0.0.1", 32)]));
    let refused = fetch(&client, &url).await;
    let private = fetch(&client, "http://10.0.0.1/a.png").await;
    let unknown = fetch(&client, "https://nowhere.example.com/a.png").await;
    let silent = Site::on("127.0.0.1:0", |_stream| std::future::pending()).await;
    let silent = answer_soon(&silent).await;
    let hung_up = answer_of(&Site::answering("").await).await;
    for answer in [refused, private, unknown, silent, hung_up] {
        assert_eq!(answer, Err(FetchError::Unreachable));
    }
}

#[tokio::test]
async fn bytes_take_their_room_as_they_come_and_none_is_taken_for_promises() {
    let body = png(4000, 3000, 3 * MIB);
    let length = format!("Content-Length: {}\r\n", body.len());
    let site = Site::with_body(&length, &body).await;
    let client = client(&Book::with([]), Rules::new(&[network("127.0.0.1", 32)]));
    let small = Bytesful {
        left: Mutex::new(2 * MIB),
    };
    let answer = client.fetch(&site.url(), &small, Arc::new(())).await;
    assert_eq!(answer, Err(FetchError::Overloaded));
    let large = Bytesful {
        left: Mutex::new(8 * MIB),
    };
    let bytes = client
        .fetch(&site.url(), &large, Arc::new(()))
        .await
        .expect("room");
    let taken = 8 * MIB - *large.left.lock().unwrap();
    assert!((bytes.len()..=2 * bytes.len()).contains(&taken), "{taken}");
    let promises = Site::with_body("Content-Length: 10000000\r\n", &body[..1000]).await;
    let large = Bytesful {
        left: Mutex::new(MIB),
    };
    let answer = client.fetch(&promises.url(), &large, Arc::new(())).await;
    assert_eq!(answer, Err(FetchError::Unreachable));
    assert_eq!(*large.left.lock().unwrap(), MIB - 64 * 1024);
}
