//! A database that is full.

use image_gateway::mock::Script;
use image_gateway::proto;
use tonic::Code;

use super::{close, fails, is_charged, page};
use crate::helpers::{House, Story, request};

/// No row of these tables is taken any more, and SQLite says the same as of a full disk: a table has
/// used up its numbers (`SQLITE_FULL`). Nothing else makes a database full for an ordinary user on
/// every machine.
const FULL: &str = "
  CREATE TABLE numbers (number INTEGER PRIMARY KEY AUTOINCREMENT);
  INSERT INTO numbers VALUES (9223372036854775807);
  CREATE TRIGGER full_hold BEFORE INSERT ON hold BEGIN INSERT INTO numbers VALUES (NULL); END;
  CREATE TRIGGER full_end BEFORE INSERT ON hold_resolution BEGIN INSERT INTO numbers VALUES (NULL); END;";

/// There is room again.
const ROOM: &str = "DROP TRIGGER full_hold; DROP TRIGGER full_end; DROP TABLE numbers;";

fn run(house: &House, sql: &str) {
    let hand = rusqlite::Connection::open(house.database()).expect("the database");
    hand.busy_timeout(std::time::Duration::from_secs(5))
        .expect("patience");
    hand.execute_batch(sql).expect(sql);
}

#[tokio::test]
async fn a_full_database_takes_no_hold_sends_nothing_and_settles_what_ran_when_there_is_room() {
    let house = House::open().await;
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&house.runtime);
    let running = images.generate_image(request("running")).await;
    house.mock.wait_at_gate("slow").await;
    run(&house, FULL);
    for id in ["first", "second", "first"] {
        fails(&house, id, Code::ResourceExhausted, "STORAGE_FULL").await;
    }
    // What is read and written by a look has room, and calls have not.
    assert_eq!(page(&house, "/readyz").await.0, 503);
    assert_eq!(house.sent(), 1, "sent upstream");

    house.mock.open_gate("slow");
    let story = Story::read(running.expect("taken").into_inner()).await;
    let story = story.expect("the picture");
    assert!(story.charge().pending, "{:?}", story.charge());
    assert_eq!(
        house.generation("running").await.stage(),
        proto::Stage::Streaming
    );

    run(&house, ROOM);
    let settled = house.ended("running").await;
    assert_eq!(settled.charge.expect("a charge").credits, "29.00");
    is_charged(&house, 1).await;
    let first = house.generate(request("first")).await.expect("room again");
    assert_eq!(first.charge().credits, "29.00");
    close(house, 2).await;
}
