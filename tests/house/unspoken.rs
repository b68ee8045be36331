//! What is no call, or none that is understood here, said by a client of HTTP/2 that knows no gRPC:
//! each refusal has its reason and says what to do.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::helpers::{House, detail, reason, request};

const BALANCE: &str = "/squados.images.v1.BillingService/GetBalance";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// An empty message, not compressed.
const MESSAGE: &[u8] = &[0; 5];

/// The same, with the flag that it is compressed.
const COMPRESSED: &[u8] = &[1, 0, 0, 0, 0];

/// A connection of its own.
async fn connect(house: &House) -> SendRequest<Bytes> {
    let address = house.app.as_ref().expect("open").grpc_address();
    let socket = TcpStream::connect(address).await.expect("a connection");
    let (client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    TaskTracker::new().spawn(connection);
    client.ready().await.expect("room")
}

/// A call of somebody who may make it.
fn call(house: &House, path: &str) -> Request<()> {
    let address = house.app.as_ref().expect("open").grpc_address();
    Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", house.admin))
        .body(())
        .expect("a request")
}

/// The code of HTTP of an answer, its head, and the status in it or in the trailers.
type Answer = (StatusCode, HeaderMap, Option<Status>);

/// What is answered to an empty message.
async fn answer(house: &House, request: Request<()>) -> Result<Answer, h2::Error> {
    answer_to(house, request, MESSAGE).await
}

async fn answer_to(
    house: &House,
    request: Request<()>,
    message: &'static [u8],
) -> Result<Answer, h2::Error> {
    let (answering, mut sending) = connect(house).await.send_request(request, false)?;
    // Who is refused without its body may hear so before it is sent.
    let _ = sending.send_data(Bytes::from_static(message), true);
    let (head, mut body) = answering.await?.into_parts();
    while let Some(data) = body.data().await {
        let bytes = data?.len();
        let _ = body.flow_control().release_capacity(bytes);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let status = Status::from_header_map(&head.headers);
    let status = status.or_else(|| Status::from_header_map(&trailers));
    Ok((head.status, head.headers, status))
}

/// The refusal of a request, which is answered with this code of HTTP.
async fn refused(house: &House, request: Request<()>, code: StatusCode) -> (Status, HeaderMap) {
    let (answered, head, status) = answer(house, request).await.expect("an answer");
    let status = status.expect("a status");
    assert_eq!(answered, code, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, "images.squados.io");
    assert!(status.message().ends_with('.'), "{status:?}");
    (status, head)
}

fn with(mut request: Request<()>, name: &'static str, value: &str) -> Request<()> {
    let value = value.parse().expect("a value");
    request.headers_mut().insert(name, value);
    request
}

#[tokio::test]
async fn a_call_that_is_not_there_is_refused_with_a_reason_whoever_asks() {
    let house = House::open().await;
    let good = answer(&house, call(&house, BALANCE)).await;
    let (_, _, status) = good.expect("an answer");
    assert_eq!(status.expect("a status").code(), Code::Ok);
    for path in [
        "/",
        "/foo/Bar",
        "/squados.images.v1.ImageService/PaintImage",
        "/squados.images.v1.PaintService/GenerateImage",
        "/squados.images.v1.imageservice/ReadImage",
        "/grpc.health.v1.Health/Heal",
        "/grpc.foo/Bar",
    ] {
        for with_key in [true, false] {
            let mut asked = call(&house, path);
            if !with_key {
                asked.headers_mut().remove("authorization");
            }
            let (status, _) = refused(&house, asked, StatusCode::OK).await;
            let told = (status.code(), reason(&status));
            assert_eq!(
                told,
                (Code::Unimplemented, "UNIMPLEMENTED".to_owned()),
                "{path}"
            );
            assert_eq!(detail(&status, "cause"), "call");
        }
    }
    house.close().await;
}

#[tokio::test]
async fn a_message_that_is_compressed_in_a_way_nobody_named_is_told_apart_from_one_that_is_broken()
{
    let house = House::open().await;
    let told = async |message| {
        let answered = answer_to(&house, call(&house, BALANCE), message).await;
        let (_, _, status) = answered.expect("an answer");
        status.expect("a status")
    };
    let status = told(COMPRESSED).await;
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
    assert_eq!(reason(&status), "UNIMPLEMENTED");
    assert_eq!(detail(&status, "cause"), "encoding");
    for broken in [&[7, 0, 0, 0, 0][..], &[0, 0, 0, 0, 1, 0xff]] {
        let status = told(broken).await;
        assert_eq!(reason(&status), "INVALID_REQUEST", "{status:?}");
        assert_eq!(detail(&status, "field"), "request");
    }
    house.close().await;
}

#[tokio::test]
async fn an_encoding_that_is_not_taken_is_refused_with_a_reason_and_those_that_are() {
    let house = House::open().await;
    for path in [
        BALANCE,
        HEALTH,
        "/squados.images.v1.ImageService/GenerateImage",
    ] {
        let mut asked = with(call(&house, path), "grpc-encoding", "gzip");
        if path.ends_with("GenerateImage") {
            asked = with(asked, "authorization", &format!("Bearer {}", house.runtime));
        }
        let (status, head) = refused(&house, asked, StatusCode::OK).await;
        let told = (status.code(), reason(&status));
        assert_eq!(
            told,
            (Code::Unimplemented, "UNIMPLEMENTED".to_owned()),
            "{path}"
        );
        assert_eq!(detail(&status, "cause"), "encoding");
        assert_eq!(head["grpc-accept-encoding"], "identity");
    }
    let plain = with(call(&house, BALANCE), "grpc-encoding", "identity");
    let (_, _, status) = answer(&house, plain).await.expect("an answer");
    assert_eq!(status.expect("a status").code(), Code::Ok);
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn what_is_no_grpc_is_told_so_in_the_words_of_http_and_with_a_reason() {
    let house = House::open().await;
    for path in [BALANCE, HEALTH, "/foo/Bar"] {
        for odd in ["application/json", "application/grpc-web", "text/plain"] {
            let asked = with(call(&house, path), "content-type", odd);
            let (status, _) = refused(&house, asked, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
            let told = (status.code(), reason(&status));
            assert_eq!(told, (Code::InvalidArgument, "INVALID_REQUEST".to_owned()));
            assert_eq!(detail(&status, "field"), "content-type");
        }
        let mut asked = call(&house, path);
        *asked.method_mut() = http::Method::GET;
        let (status, head) = refused(&house, asked, StatusCode::METHOD_NOT_ALLOWED).await;
        let told = (reason(&status), detail(&status, "field"));
        assert_eq!(told, ("INVALID_REQUEST".to_owned(), "method".to_owned()));
        assert_eq!(head["allow"], "POST");
    }
    house.close().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_told_so_and_beyond_twice_that_refused_by_http2_itself() {
    let house = House::open().await;
    let large = |kib: usize| with(call(&house, BALANCE), "x-more", &"x".repeat(kib * 1024));
    let (_, _, status) = answer(&house, large(15)).await.expect("an answer");
    assert_eq!(status.expect("a status").code(), Code::Ok);
    for kib in [16, 31] {
        let (status, _) = refused(&house, large(kib), StatusCode::OK).await;
        let told = (status.code(), reason(&status));
        assert_eq!(told, (Code::InvalidArgument, "INVALID_REQUEST".to_owned()));
        assert_eq!(detail(&status, "field"), "headers");
        assert_eq!(detail(&status, "limit_bytes"), "16384");
        let bytes: usize = detail(&status, "size_bytes").parse().expect("a number");
        assert!((kib * 1024..kib * 1024 + 1024).contains(&bytes), "{bytes}");
    }
    // The client does not even send what it was told is too large, or h2 answers for itself.
    match answer(&house, large(33)).await {
        Ok((code, _, status)) => {
            assert_eq!(code, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            assert!(status.is_none(), "{status:?}");
        }
        Err(error) => assert!(!error.is_io(), "{error}"),
    }
    house.generate(request("r")).await.expect("a picture");
    house.close().await;
}

#[tokio::test]
async fn whoever_sends_without_end_what_is_no_call_is_put_out() {
    let house = House::open().await;
    let mut client = connect(&house).await;
    let mut made = 0;
    let put_out = loop {
        let odd = with(call(&house, BALANCE), "content-type", "application/json");
        let Ok(ready) = client.ready().await else {
            break true;
        };
        client = ready;
        let answered = match client.send_request(odd, true) {
            Ok((answering, _)) => answering.await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(_) if made > 10_000 => break false,
            Ok(_) => made += 1,
            Err(_) => break true,
        }
    };
    assert!(put_out && made >= 200, "{made}");
    house.generate(request("r")).await.expect("a picture");
    house.close().await;
}
