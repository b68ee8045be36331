use std::future::poll_fn;
use std::time::Duration;

use http_body::Body as _;
use tokio::sync::Semaphore;

use super::*;
use crate::transport::seats::{Seated, Seats};

const PIECE: usize = 64 * 1024;

/// A connection, and what its calls share with others.
struct House {
    seated: Seated,
    room: Arc<Semaphore>,
}

impl House {
    fn open() -> Self {
        let seats = Seats::new(1, 1);
        Self {
            seated: seats.arrive().sit().expect("a seat"),
            room: Arc::new(Semaphore::new(1000)),
        }
    }

    fn answer(&self, bytes: usize) -> Answer {
        let seat = self.seated.seat();
        let room = Arc::clone(&self.room).try_acquire_owned();
        let mut extensions = Extensions::new();
        extensions.insert(Arc::clone(&self.room));
        let held = Held {
            _open: Open {
                call: seat.open_call(true),
                visit: None,
                _room: room.expect("room"),
            },
            reads: seat.stalls().call().1,
            _extensions: extensions,
        };
        Answer::new(Body::from(vec![7; bytes]), held, None, overloaded)
    }

    /// Whether nothing is held any more.
    fn is_empty(&self) -> bool {
        self.room.available_permits() == 1000 && Arc::strong_count(&self.room) == 1
    }
}

fn overloaded() -> Response {
    let mut answer = Response::default();
    answer.headers_mut().insert("grpc-status", 8.into());
    answer
}

async fn next(answer: &mut Answer) -> Frame<Bytes> {
    let frame = poll_fn(|cx| Pin::new(&mut *answer).poll_frame(cx)).await;
    frame.expect("a frame").expect("no error")
}

#[tokio::test(start_paused = true)]
async fn what_a_call_holds_is_held_until_the_last_byte_of_its_answer_is_gone() {
    let house = House::open();
    let stalls = house.seated.seat().stalls();
    let mut answer = house.answer(PIECE);
    let piece = next(&mut answer).await.into_data().expect("bytes");
    drop(answer);
    assert_eq!(piece.len(), PIECE);
    tokio::time::advance(Duration::from_secs(9)).await;
    assert!(!house.is_empty(), "h2 has it, and its peer has not");
    assert_eq!(stalls.calls(Duration::from_secs(9)), 1);
    let part = piece.slice(PIECE - 1..);
    drop(piece);
    assert!(!house.is_empty());
    drop(part);
    assert!(house.is_empty());
    assert_eq!(stalls.since(), None);
    drop(house.answer(PIECE));
    assert!(house.is_empty(), "nobody wants it");
}

#[tokio::test(start_paused = true)]
async fn a_page_goes_in_pieces_and_moves_with_each() {
    let house = House::open();
    let stalls = house.seated.seat().stalls();
    let mut page = house.answer(3 * PIECE + 1);
    let mut bytes = 0;
    for _ in 0..4 {
        let piece = next(&mut page).await.into_data().expect("bytes");
        assert!(!piece.is_empty() && piece.len() <= PIECE);
        bytes += piece.len();
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(stalls.calls(Duration::from_secs(60)), 0, "it moves");
    }
    assert_eq!(bytes, 3 * PIECE + 1);
    assert!(page.is_end_stream());
}
