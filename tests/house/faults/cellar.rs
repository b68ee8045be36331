//! A database that fails, a disk that fails, a price list that makes no sense.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use image_gateway::domain::catalog::{Catalog, Model};
use image_gateway::domain::pricing::OutputPrice;
use image_gateway::keys::Keyring;
use image_gateway::mock::Script;
use image_gateway::proto;
use image_gateway::proto::generation_event::Event;
use rusqlite::Connection;
use rust_decimal::Decimal;
use secrecy::ExposeSecret;
use tonic::Code;
use tonic_types::StatusExt;

use super::{close, fails, is_charged, is_voided, page};
use crate::helpers::{House, KLEIN, Setup, Story, detail, reason, request};

/// A second hand on the database, which waits while the gateway writes.
fn hand(house: &House) -> Connection {
    let connection = Connection::open(house.database()).expect("the database");
    let patience = Duration::from_secs(30);
    connection.busy_timeout(patience).expect("patience");
    connection
}

fn run(house: &House, sql: &str) {
    hand(house).execute_batch(sql).expect(sql);
}

#[tokio::test]
async fn nobody_is_let_in_or_turned_away_by_a_database_that_cannot_be_read() {
    let house = House::open().await;
    // A key of the right form that nobody has.
    let elsewhere = Keyring::new([1; 32], None);
    let stranger = elsewhere.mint().expect("random").secret;
    let stranger = stranger.expose_secret().to_owned();
    let keys = [&house.runtime, &house.admin, &stranger];
    let tables = ["api_key", "generation_state"];
    for table in tables {
        run(
            &house,
            &format!("ALTER TABLE {table} RENAME TO {table}_away"),
        );
    }
    for key in keys {
        let mut images = house.images(key);
        let status = images.generate_image(request("r")).await.expect_err("down");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::Unavailable, "STORAGE_UNAVAILABLE")
        );
    }
    assert_eq!(page(&house, "/readyz").await.0, 503);
    assert_eq!(page(&house, "/healthz").await.0, 200);
    for table in tables {
        run(
            &house,
            &format!("ALTER TABLE {table}_away RENAME TO {table}"),
        );
    }
    house.assert_untouched().await;
    assert_eq!(page(&house, "/readyz").await.0, 200);
    let mut images = house.images(&stranger);
    let status = images.generate_image(request("r")).await;
    assert_eq!(reason(&status.expect_err("unknown")), "UNAUTHENTICATED");
    house.generate(request("r")).await.expect("a picture");
    close(house, 1).await;
}

#[tokio::test]
async fn a_price_list_that_makes_no_sense_is_refused_before_any_hold() {
    for price in ["-0.014", "1000000000"] {
        let house = House::with(Setup {
            catalog: priced(price.parse().expect("a price")),
            ..Setup::default()
        })
        .await;
        let status = house.generate(request("r")).await.expect_err(price);
        assert_eq!(reason(&status), "MODEL_UNAVAILABLE", "{price}");
        assert_eq!(detail(&status, "cause"), "no_usable_price", "{price}");
        house.assert_untouched().await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_price_list_that_says_nothing_costs_is_overruled_by_the_bill() {
    let house = House::with(Setup {
        catalog: priced(Decimal::ZERO),
        ..Setup::default()
    })
    .await;
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&house.runtime);
    let events = images.generate_image(request("r")).await.expect("taken");
    house.mock.wait_at_gate("slow").await;
    assert_eq!(house.balance().await.held, "1.00", "one credit an image");
    house.mock.open_gate("slow");
    let story = Story::read(events.into_inner()).await.expect("a picture");
    assert_eq!(story.charge().credits, "29.00");
    close(house, 1).await;
}

/// The price list with another price per megapixel of the usual model.
fn priced(usd: Decimal) -> Catalog {
    let built_in = Catalog::built_in();
    let models = built_in.models().iter().map(|model| {
        let mut model = Model::clone(model);
        if model.slug.as_str() == KLEIN {
            let pricing = model.pricing.as_mut().expect("a price");
            pricing.output = OutputPrice::PerMegapixel {
                first: usd,
                next: None,
            };
        }
        model
    });
    Catalog::new(models.collect(), built_in.as_of)
}

#[tokio::test]
async fn a_database_that_is_locked_for_a_moment_is_waited_for() {
    let house = House::open().await;
    let other = hand(&house);
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let release = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(house.mock.requests().is_empty(), "nothing without a hold");
        other.execute_batch("ROLLBACK").expect("no lock");
    };
    let (story, ()) = tokio::join!(house.generate(request("r")), release);
    story.expect("a picture");
    close(house, 1).await;
}

/// A call that has begun nothing, and is told when to come back.
async fn is_put_off(house: &House, id: &str) {
    let told = fails(house, id, Code::Unavailable, "STORAGE_UNAVAILABLE").await;
    assert!(told.get_error_details().retry_info().is_some(), "{id}");
}

#[tokio::test]
async fn nothing_is_sent_upstream_while_the_database_is_locked_for_long() {
    let house = House::open().await;
    let other = hand(&house);
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    is_put_off(&house, "r").await;
    other.execute_batch("ROLLBACK").expect("no lock");
    house.assert_untouched().await;
    house.generate(request("r")).await.expect("a picture");
    close(house, 1).await;
}

#[tokio::test]
async fn nothing_is_sent_upstream_without_a_hold_and_its_dispatch_in_the_books() {
    let house = House::open().await;
    let moved = "UPDATE balance SET seq = seq + 1";
    for (name, event, action) in [
        ("the hold", "INSERT ON hold", "SELECT RAISE(ABORT, 'down')"),
        // The balance points at no row of the ledger, which is looked at only then.
        ("the commit of the hold", "INSERT ON hold", moved),
        (
            "the dispatch",
            "INSERT ON generation_event WHEN NEW.to_state = 'dispatched'",
            "SELECT RAISE(ABORT, 'down')",
        ),
    ] {
        run(
            &house,
            &format!("CREATE TRIGGER down BEFORE {event} BEGIN {action}; END"),
        );
        is_put_off(&house, name).await;
        run(&house, "DROP TRIGGER down");
        house.assert_untouched().await;
    }
    for name in ["the hold", "the commit of the hold", "the dispatch"] {
        house.generate(request(name)).await.expect("a picture");
    }
    close(house, 3).await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_noted_is_delivered_and_charged_all_the_same() {
    let house = House::open().await;
    run(
        &house,
        "CREATE TRIGGER down BEFORE INSERT ON generation_event WHEN NEW.to_state = 'streaming'
         BEGIN SELECT RAISE(ABORT, 'down'); END",
    );
    house.generate(request("r")).await.expect("a picture");
    run(&house, "DROP TRIGGER down");
    close(house, 1).await;
}

/// Makes a picture, and lets the database fail from when it is whole.
async fn fails_at_the_end(house: &House) -> tonic::Streaming<proto::GenerationEvent> {
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&house.runtime);
    let events = images.generate_image(request("r")).await.expect("taken");
    house.mock.wait_at_gate("slow").await;
    run(
        house,
        "CREATE TRIGGER down BEFORE INSERT ON hold_resolution BEGIN SELECT RAISE(ABORT, 'down'); END",
    );
    house.mock.open_gate("slow");
    events.into_inner()
}

#[tokio::test]
async fn a_database_that_fails_for_a_moment_at_the_end_loses_neither_picture_nor_charge() {
    let house = House::open().await;
    let mut events = fails_at_the_end(&house).await;
    loop {
        let event = events.message().await.expect("an event").expect("more");
        if matches!(event.event, Some(Event::ImageFinished(_))) {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(house.balance().await.held, "29.00", "it could not be ended");
    run(&house, "DROP TRIGGER down");
    let last = events.message().await.expect("an event").expect("the last");
    assert!(matches!(last.event, Some(Event::Completed(_))), "{last:?}");
    close(house, 1).await;
}

#[tokio::test]
async fn a_picture_is_delivered_though_the_database_fails_and_charged_when_it_works_again() {
    let house = House::open().await;
    let events = fails_at_the_end(&house).await;
    let story = Story::read(events).await.expect("the picture");
    assert_eq!(story.completed.stage(), proto::Stage::Stored);
    let charge = story.charge();
    assert_eq!(
        (charge.credits.as_str(), charge.usd_cost.as_str()),
        ("29.00", ""),
        "the most that it may cost"
    );
    run(&house, "DROP TRIGGER down");
    assert_eq!(house.ended("r").await.stage(), proto::Stage::Settled);
    let again = house.generate(request("r")).await.expect("replayed");
    assert!(again.images == story.images, "another picture");
    close(house, 1).await;
}

#[tokio::test]
async fn a_disk_that_fails_costs_nothing_and_nothing_is_handed_out_as_finished() {
    let house = House::open().await;
    let spool = house.dir.path().join("images/spool");
    fs::remove_dir_all(&spool).expect("a folder");
    fails(&house, "no draft", Code::Internal, "INTERNAL").await;
    is_voided(&house, "no draft", "INTERNAL").await;
    fs::create_dir(&spool).expect("a folder");
    // The draft goes away while it is written, so it cannot be given its name.
    house.mock.script(Script::gated_at("half", 100_000));
    let mut images = house.images(&house.runtime);
    let events = images
        .generate_image(request("no name"))
        .await
        .expect("taken");
    let mut events = events.into_inner();
    loop {
        let event = events.message().await.expect("an event").expect("more");
        if matches!(event.event, Some(Event::ImageChunk(_))) {
            break;
        }
    }
    fs::remove_dir_all(&spool).expect("a folder");
    house.mock.open_gate("half");
    let status = loop {
        match events.message().await {
            Ok(Some(event)) => assert!(
                matches!(event.event, Some(Event::ImageChunk(_))),
                "{event:?}"
            ),
            Ok(None) => panic!("it ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&status), "INTERNAL");
    is_voided(&house, "no name", "INTERNAL").await;
    is_charged(&house, 0).await;
    fs::create_dir(&spool).expect("a folder");
    for id in ["no draft", "no name"] {
        house.generate(request(id)).await.expect("a picture");
    }
    close(house, 2).await;
}

/// The file of a picture.
fn file_of(house: &House, id: &str) -> PathBuf {
    let sql = "SELECT object_name FROM image JOIN generation_state USING (generation) WHERE request_id = ?1";
    let name: String = hand(house)
        .query_row(sql, [id], |row| row.get(0))
        .expect("a name");
    house.dir.path().join("images").join(name)
}

#[tokio::test]
async fn a_picture_whose_file_is_lost_has_expired_and_its_charge_stands() {
    let house = House::open().await;
    for (id, harm) in [("gone", None), ("cut", Some(1000)), ("empty", Some(0))] {
        house.generate(request(id)).await.expect("a picture");
        let file = file_of(&house, id);
        match harm {
            None => fs::remove_file(file).expect("a file"),
            Some(length) => {
                let file = fs::File::options().write(true).open(file);
                file.expect("a file").set_len(length).expect("shorter");
            }
        }
        fails(&house, id, Code::FailedPrecondition, "RESULT_EXPIRED").await;
        let generation = house.generation(id).await;
        assert_eq!(generation.stage(), proto::Stage::Settled, "{id}");
    }
    assert_eq!(house.sent(), 3, "nothing is drawn again");
    close(house, 3).await;
}

#[tokio::test]
async fn a_picture_whose_file_has_rotted_has_expired_and_its_charge_stands() {
    let house = House::open().await;
    house.generate(request("r")).await.expect("a picture");
    let file = file_of(&house, "r");
    let mut bytes = fs::read(&file).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("a file");
    fails(&house, "r", Code::FailedPrecondition, "RESULT_EXPIRED").await;
    close(house, 1).await;
}
