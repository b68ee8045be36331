use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use futures_util::stream::unfold;
use h2::RecvStream;
use h2::client::{self, SendRequest};
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::metrics::Metrics;
use crate::transport::calls::{Calls, Words};
use crate::transport::complaint::Complaint;
use crate::transport::meter::Metered;
use crate::transport::origins::{Origins, Unrationed};
use crate::transport::seats::Seats;

const SECOND: Duration = Duration::from_secs(1);

/// Bytes of an answer that are sent before it is read: enough for what is small.
const WINDOW: u32 = 1024;

fn hall(seats: usize) -> Arc<Hall> {
    // A word every five seconds, as those get them who watch, for two minutes.
    let words = || async {
        let words = unfold(0, |word| async move {
            tokio::time::sleep(5 * SECOND).await;
            (word < 24).then_some((Ok::<_, std::io::Error>("word"), word + 1))
        });
        Body::from_stream(words)
    };
    let routes = Router::new()
        .route("/small", post(|| async { "words" }))
        .route("/large", post(|| async { vec![7; 1 << 16] }))
        .route("/words", post(words))
        .route("/hears", post(|_: Bytes| async {}));
    let metrics = Arc::<Metrics>::default();
    let words = Words {
        overloaded: Response::default,
        shows_good_key: |_| true,
    };
    Arc::new(Hall {
        calls: Calls::new(routes, Arc::clone(&metrics), words),
        tls: None,
        metrics,
        seats: Seats::new(seats, seats),
        longest_call: 900 * SECOND,
        floods: Complaint::default(),
        refusals: Complaint::default(),
        stop: CancellationToken::new(),
    })
}

/// Serves one connection, and tells why it ended.
async fn served(hall: Arc<Hall>, mut socket: DuplexStream) -> End {
    let mut preface = [0; 24];
    socket.read_exact(&mut preface).await.expect("a preface");
    let origins = Origins::new(Unrationed::nobody(), Arc::clone(&hall.metrics));
    let visitor = origins.knock(Ipv4Addr::LOCALHOST.into()).expect("a turn");
    let newcomer = hall.seats.arrive();
    let stream = Metered::new(
        Box::new(socket) as Box<dyn arrival::Bytes>,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    );
    serve(&hall, newcomer, &Arc::new(visitor), stream).await
}

/// A connection to a server of its own, and the two tasks behind it.
async fn connect(tasks: &mut JoinSet<Option<End>>) -> SendRequest<Bytes> {
    connect_to(&hall(1), WINDOW, tasks).await
}

/// A connection on which so many bytes of an answer are sent before it is read.
async fn connect_to(
    hall: &Arc<Hall>,
    window: u32,
    tasks: &mut JoinSet<Option<End>>,
) -> SendRequest<Bytes> {
    let (here, there) = duplex(1 << 20);
    let hall = Arc::clone(hall);
    tasks.spawn(async { Some(served(hall, there).await) });
    let mut builder = client::Builder::new();
    builder.initial_window_size(window);
    let (calls, connection) = builder.handshake(here).await.expect("HTTP/2");
    tasks.spawn(async {
        let _ = connection.await;
        None
    });
    calls
}

/// The answer to a call whose request is whole, or is not.
async fn call(calls: &mut SendRequest<Bytes>, path: &str, whole: bool) -> Option<RecvStream> {
    let request = Request::post(format!("http://gateway{path}")).body(());
    let sent = calls.send_request(request.expect("a request"), whole);
    let (answer, mut more) = sent.expect("room for a call");
    if !whole {
        more.send_data(Bytes::from_static(b"half"), false)
            .expect("a window");
        let answer = tokio::time::timeout(600 * SECOND, answer).await;
        assert!(answer.expect("an end").is_err(), "nothing is answered");
        return None;
    }
    Some(answer.await.expect("an answer").into_body())
}

async fn end(tasks: &mut JoinSet<Option<End>>) -> End {
    while let Some(ended) = tasks.join_next().await {
        if let Some(end) = ended.expect("no panic") {
            return end;
        }
    }
    panic!("nobody served");
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_read_is_waited_on_for_a_minute() {
    let mut tasks = JoinSet::new();
    let mut calls = connect(&mut tasks).await;
    let begun = Instant::now();
    let unread = call(&mut calls, "/large", true).await;
    assert_eq!(end(&mut tasks).await, End::Stalled);
    let waited = begun.elapsed();
    assert!(waited >= 60 * SECOND && waited < 62 * SECOND, "{waited:?}");
    drop(unread);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_finish_what_it_asks_is_waited_on_for_a_minute() {
    let mut tasks = JoinSet::new();
    let mut calls = connect(&mut tasks).await;
    let begun = Instant::now();
    let answer = call(&mut calls, "/hears", false).await;
    assert!(answer.is_none());
    assert_eq!(end(&mut tasks).await, End::Stalled);
    let waited = begun.elapsed();
    assert!(waited >= 60 * SECOND && waited < 62 * SECOND, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn what_moves_beside_it_goes_on_to_its_end_and_nothing_new_begins() {
    let mut tasks = JoinSet::new();
    let mut calls = connect(&mut tasks).await;
    let begun = Instant::now();
    let unread = call(&mut calls, "/large", true).await;
    let mut words = call(&mut calls, "/words", true).await.expect("an answer");
    let mut heard = 0;
    while let Some(word) = words.data().await {
        let word = word.expect("a word");
        let room = words.flow_control();
        room.release_capacity(word.len()).expect("what was read");
        // The last is empty: it says that nothing more comes.
        heard += usize::from(!word.is_empty());
        let is_told = calls.clone().ready().await.is_err();
        // Of those two that come with the sixtieth second either is the first.
        assert!(heard == 12 || is_told == (heard > 12), "at word {heard}");
    }
    assert_eq!((heard, begun.elapsed().as_secs()), (24, 125));
    assert_eq!(end(&mut tasks).await, End::Stalled);
    assert!(begun.elapsed() < 130 * SECOND);
    drop(unread);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_told_to_leave_has_time_to_hang_up() {
    let (mut here, there) = duplex(1 << 20);
    let (hall, mut tasks) = (hall(1), JoinSet::new());
    let served = served(Arc::clone(&hall), there);
    tasks.spawn(async { Some(served.await) });
    // HTTP/2 without a call: the preface, and settings that change nothing.
    let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    here.write_all(hello).await.expect("sent");
    tokio::time::sleep(SECOND).await;
    hall.stop.cancel();
    let told = Instant::now();
    assert_eq!(end(&mut tasks).await, End::Closed);
    assert_eq!(told.elapsed(), limits::FAREWELL);
}
