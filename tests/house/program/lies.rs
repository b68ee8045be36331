//! A gateway that lies: it keeps to the contract, and every text in it is one that would act on a
//! terminal, begin a line, or have a colour.

use std::fs;
use std::net::SocketAddr;
use std::pin::Pin;

use axum::Router;
use axum::extract::Request;
use futures_util::stream::{Iter, iter};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, MethodDescriptor, Value,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::server::{Grpc, ServerStreamingService};

use super::names::{ODD, SEEN, assert_harmless};
use super::{Ended, finish, program};
use crate::reflection::{Dynamic, contract};

/// What stands in every text. In CSV it begins a formula.
fn odd() -> String {
    format!("=1+1{ODD}")
}

/// What a liar answers with.
#[derive(Clone, Copy)]
enum Lie {
    Answers,
    Refusals,
    /// After every page of a list comes another.
    Pages,
}

/// One call, whatever it is.
#[derive(Clone)]
struct Call {
    method: MethodDescriptor,
    lie: Lie,
}

type Messages = Iter<std::vec::IntoIter<Result<DynamicMessage, Status>>>;
type Answer = Result<tonic::Response<Messages>, Status>;

// === impl Call ===

impl ServerStreamingService<DynamicMessage> for Call {
    type Response = DynamicMessage;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn call(&mut self, _: tonic::Request<DynamicMessage>) -> Self::Future {
        let Self { method, lie } = self.clone();
        Box::pin(async move {
            match lie {
                Lie::Refusals => Err(Status::failed_precondition(odd())),
                Lie::Pages => {
                    let mut page = DynamicMessage::new(method.output());
                    let token = Value::String("again".to_owned());
                    page.set_field_by_name("next_page_token", token);
                    Ok(tonic::Response::new(iter(vec![Ok(page)])))
                }
                Lie::Answers => Ok(tonic::Response::new(iter(answers(&method)))),
            }
        })
    }
}

/// Every answer of a stream, or the one of a call.
fn answers(method: &MethodDescriptor) -> Vec<Result<DynamicMessage, Status>> {
    let output = method.output();
    if !method.is_server_streaming() {
        return vec![Ok(filled(&output, 0))];
    }
    let events = ["accepted", "progress", "completed"].map(|name| {
        let mut event = DynamicMessage::new(output.clone());
        let field = output.get_field_by_name(name).expect("an event");
        let Kind::Message(inner) = field.kind() else {
            panic!("{name} is no message");
        };
        event.set_field(&field, Value::Message(filled(&inner, 1)));
        Ok(event)
    });
    events.into()
}

/// A message with a lie in every text.
fn filled(of: &MessageDescriptor, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields() {
        // A list of pages would have no end, and a picture would have to be sent.
        let pictures = field.name() == "images" && field.is_list();
        let lie = value(&field, depth).filter(|_| !pictures && field.name() != "next_page_token");
        if let Some(lie) = lie {
            message.set_field(&field, lie);
        }
    }
    message
}

fn value(field: &FieldDescriptor, depth: usize) -> Option<Value> {
    let one = match field.kind() {
        Kind::String => Value::String(odd()),
        Kind::Int32 => Value::I32(1),
        Kind::Int64 => Value::I64(1),
        Kind::Enum(_) => Value::EnumNumber(1),
        Kind::Bool => Value::Bool(true),
        Kind::Message(entry) if entry.is_map_entry() => {
            let inner = entry.map_entry_value_field();
            let value = value(&inner, depth)?;
            return Some(Value::Map(
                [(MapKey::String("1K".to_owned()), value)].into(),
            ));
        }
        Kind::Message(inner) if depth < 4 => Value::Message(filled(&inner, depth + 1)),
        _ => return None,
    };
    Some(if field.is_list() {
        Value::List(vec![one])
    } else {
        one
    })
}

/// Listens, and lies until it is aborted.
async fn liar(lie: Lie) -> (SocketAddr, JoinHandle<()>) {
    let calls = contract();
    let router = Router::new().fallback(move |request: Request| {
        let path = request.uri().path().to_owned();
        let named = |call: &&MethodDescriptor| {
            path == format!("/{}/{}", call.parent_service().full_name(), call.name())
        };
        let method = calls
            .iter()
            .find(named)
            .expect("a call of the contract")
            .clone();
        async move {
            // One answer and a stream of one are the same on the wire.
            let mut grpc = Grpc::new(Dynamic(method.input()));
            let answer = grpc.server_streaming(Call { method, lie }, request).await;
            answer.map(axum::body::Body::new)
        }
    });
    let listener = TcpListener::bind(super::FREE).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = async move { axum::serve(listener, router).await.expect("it serves") };
    (address, TaskTracker::new().spawn(serving))
}

/// What the program says, asking a liar, to somebody whose terminal shows colours.
async fn told(address: SocketAddr, arguments: &[&str]) -> Ended {
    let address = address.to_string();
    let mut command = program(arguments);
    let command = command.args(["--address", &address]);
    let key = "sq_live_AAAAAAAA_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
    finish(command.env("CLICOLOR_FORCE", "1").env("GATEWAY_KEY", key)).await
}

#[tokio::test]
async fn whatever_a_gateway_answers_nothing_that_is_printed_acts_on_a_terminal_or_forges_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("x.png");
    let openrouter = folder.path().join("openrouter.key");
    fs::write(&openrouter, "sk-or-v1-0").expect("written");
    let (picture, openrouter) = (picture.to_str().unwrap(), openrouter.to_str().unwrap());
    let (answers, answering) = liar(Lie::Answers).await;
    let (refusals, refusing) = liar(Lie::Refusals).await;
    for arguments in [
        &["models"][..],
        &["usage"],
        &["keys", "list"],
        &["keys", "create", "--role", "runtime", "--name", "n"],
        &["keys", "revoke", "01a224ee-90f5-744d-a1f3-df81cddee9bb"],
        &["keys", "set-openrouter", openrouter],
        &["keys", "delete-openrouter"],
        &["generate", "x", "--agent", "p", "--out", picture],
    ] {
        for json in [&[][..], &["--json"]] {
            let arguments = [arguments, json].concat();
            let ended = told(answers, &arguments).await;
            assert_eq!(ended.status, Some(0), "{arguments:?}: {ended:#?}");
            assert!(ended.stdout.contains(SEEN), "{arguments:?}: {ended:#?}");
            assert_harmless(&ended.stdout);
            assert_harmless(&ended.stderr);
            let ended = told(refusals, &arguments).await;
            assert_eq!(ended.status, Some(1), "{arguments:?}: {ended:#?}");
            assert!(ended.stderr.contains(SEEN), "{arguments:?}: {ended:#?}");
            assert_harmless(&ended.stderr);
            let own = |line: &str| line.contains("error:") || line.contains("hint:");
            assert!(ended.stderr.lines().all(own), "{ended:#?}");
        }
    }
    // A file gets what was answered, but nothing that a spreadsheet would compute.
    let csv = told(answers, &["usage", "--csv"]).await.stdout;
    assert!(csv.contains(&format!(",\"'{}\"", odd())), "{csv:?}");
    assert!(!csv.contains(",=") && !csv.contains("\"="), "{csv:?}");
    answering.abort();
    refusing.abort();
}

#[tokio::test]
async fn a_list_that_does_not_end_is_not_followed_without_end() {
    let (address, serving) = liar(Lie::Pages).await;
    for arguments in [&["models"][..], &["keys", "list"]] {
        let ended = told(address, arguments).await;
        assert_eq!(ended.status, Some(1), "{ended:#?}");
        assert!(ended.stderr.contains("does not end"), "{ended:#?}");
    }
    serving.abort();
}
