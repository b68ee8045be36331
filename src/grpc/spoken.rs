//! What is no call, or none that is understood here: each refusal has its reason and a sentence to act
//! on, so that whoever sets up a client finds out what is wrong with it.
//!
//! What can be seen in the head is refused before anything is looked up. A client of gRPC reads the
//! status whatever the code of HTTP, as long as that is 200; what is no gRPC has the code that HTTP
//! has for it as well (gRPC over HTTP/2, Requests).

use axum::extract::Request;
use axum::response::Response;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tonic::{Code, Status};

use super::status;
use crate::domain::failure::Failure;

/// Bytes of a call's head, unpacked (`reliability.md` section 6). Keys and what gRPC adds are far below.
/// HTTP/2 takes more, so that there is somebody to say this; beyond that it refuses by itself.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// What each header counts beside its name and value (RFC 9113 section 6.5.2).
const EACH_HEADER_BYTES: usize = 32;

/// The one codec there is, by its name and without.
const MEDIA_TYPES: [&str; 2] = ["application/grpc", "application/grpc+proto"];

/// Says how messages may be compressed; on an answer alone if they came otherwise.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// The answer to a request whose head is not that of a call.
pub(super) fn refusal(request: &Request) -> Option<Response> {
    if request.method() != Method::POST {
        let failure = Failure::invalid("method", "must be POST: gRPC knows no other");
        let mut answer = status::of(&failure).into_http();
        *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        answer
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(answer);
    }
    if !is_grpc(request.headers()) {
        let what = "must be application/grpc: this door speaks gRPC with protobuf alone";
        let mut answer = status::of(&Failure::invalid("content-type", what)).into_http();
        *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Some(answer);
    }
    let bytes = head_bytes(request);
    (bytes > HEAD_MAX_BYTES).then(|| {
        let what = format!("have {bytes} bytes, the limit is {HEAD_MAX_BYTES}: send less metadata");
        let failure = Failure::invalid("headers", what)
            .with("size_bytes", bytes)
            .with("limit_bytes", HEAD_MAX_BYTES);
        status::of(&failure).into_http()
    })
}

/// An answer of the routes, with a reason if it says without one that something is not there.
pub(super) fn with_reason(answer: Response) -> Response {
    let status = Status::from_header_map(answer.headers());
    let is_bare =
        |status: &Status| status.code() == Code::Unimplemented && status.details().is_empty();
    if !status.as_ref().is_some_and(is_bare) {
        return answer;
    }
    let accepted = answer.headers().get(ACCEPT_ENCODING);
    // The routes know two things that are not there, and only of one they say what there is.
    let failure = accepted.map_or_else(no_such_call, |_| no_such_encoding());
    let mut reasoned = status::of(&failure).into_http();
    if let Some(accepted) = accepted {
        reasoned
            .headers_mut()
            .insert(ACCEPT_ENCODING, accepted.clone());
    }
    reasoned
}

/// Messages are compressed, in a way that their head names or not.
pub(super) fn no_such_encoding() -> Failure {
    let what = "Messages are taken uncompressed alone: send no grpc-encoding, or identity.";
    Failure::unimplemented("encoding", what)
}

fn no_such_call() -> Failure {
    let what = "There is no such call here; check the names of its service and method. Reflection lists \
                all that there are.";
    Failure::unimplemented("call", what)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::to_str);
    let Some(Ok(value)) = value else {
        return false;
    };
    let media_type = value.split(';').next().unwrap_or_default().trim_end();
    MEDIA_TYPES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(media_type))
}

/// As HTTP/2 counts it, but for what every head has.
fn head_bytes(request: &Request) -> usize {
    let headers = request.headers().iter();
    let headers =
        headers.map(|(name, value)| name.as_str().len() + value.len() + EACH_HEADER_BYTES);
    headers.sum::<usize>() + request.uri().path().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grpc_with_protobuf_is_taken_for_it() {
        let read = |value: &'static str| {
            let value = (CONTENT_TYPE, HeaderValue::from_static(value));
            is_grpc(&HeaderMap::from_iter([value]))
        };
        for good in [
            "application/grpc",
            "application/grpc+proto",
            "Application/gRPC ; charset=utf-8",
        ] {
            assert!(read(good), "{good}");
        }
        for bad in [
            "",
            "application/json",
            "application/grpc+json",
            "application/grpc-web",
            "application/grpcx",
        ] {
            assert!(!read(bad), "{bad}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
