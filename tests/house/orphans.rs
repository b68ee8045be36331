//! What a process that is gone has left is finished by the next one, soon.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use image_gateway::domain::catalog::Catalog;
use image_gateway::domain::generation::{Channel, Context, Draft, KeyMode, Origin};
use image_gateway::domain::ids::{AgentId, GenerationId, OrganizationId, RequestId, Slug};
use image_gateway::domain::money::Credits;
use image_gateway::domain::pricing::{Bounds, Question};
use image_gateway::domain::shape::{AspectRatio, Resolution, SentShape};
use image_gateway::ports::{HoldOutcome, Ledger, Limits, Opening};
use image_gateway::store::sqlite::Sqlite;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use uuid::Uuid;

use crate::helpers::{AGENT, House, Setup, reason, request};

/// A generation of an hour ago.
fn draft(number: u32) -> Draft {
    let created: Timestamp = image_gateway::clock::now() - SignedDuration::from_hours(1);
    let credit = Credits::from_whole(1);
    Draft {
        id: GenerationId::from_uuid(Uuid::now_v7()),
        organization: OrganizationId::parse("acme").expect("a name"),
        request_id: RequestId::parse(&format!("orphan-{number}")).expect("a name"),
        fingerprint: [0; 32],
        agent: AgentId::parse(AGENT).expect("a name"),
        context: Context {
            conversation_id: String::new(),
            message_id: String::new(),
            user_id: String::new(),
            channel: Channel::Unspecified,
            origin: Origin::Live,
            metadata: Vec::new(),
        },
        model: Slug::parse("acme/model").expect("a slug"),
        model_name: String::new(),
        prompt: String::new(),
        resolution: Resolution::R1K,
        aspect_ratio: AspectRatio::SQUARE,
        requested: 1,
        adjustments: Vec::new(),
        sources: Vec::new(),
        key_mode: KeyMode::Platform,
        bounds: Bounds {
            low: credit,
            expected: credit,
            high: credit,
        },
        hold: credit,
        price_basis: String::new(),
        pricing: None,
        question: Question::one(Resolution::R1K),
        sent: SentShape::default(),
        upstream_key: String::new(),
        created,
        deadline: created + SignedDuration::from_mins(5),
    }
}

/// Leaves one generation as a process might that was killed.
async fn leave(books: &Sqlite, number: u32) {
    let draft = draft(number);
    let (id, then) = (draft.id, draft.created);
    let opening = Opening {
        draft,
        limits: Limits::default(),
        day_start: then,
        month_start: then,
    };
    let held = books.hold(opening).await.expect("an outcome");
    assert!(matches!(held, HoldOutcome::Held(_)), "{held:?}");
    if !number.is_multiple_of(3) {
        books.dispatch(id, then).await.expect("dispatched");
    }
    if number % 3 == 2 {
        let named = Some(format!("gen-{number}"));
        books.stream(id, 0, named, then).await.expect("streaming");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_orphans_are_finished_within_thirty_seconds_of_the_start() {
    const ORPHANS: u32 = 10_000;
    let mut house = House::with(Setup {
        credits: "20000",
        ..Setup::default()
    })
    .await;
    let app = house.app.take().expect("open");
    app.drain(Duration::from_secs(20)).await;
    let books = Sqlite::open(house.dir.path()).expect("the books");
    let begun = Instant::now();
    iter(0..ORPHANS)
        .for_each_concurrent(256, |number| leave(&books, number))
        .await;
    let leaving = begun.elapsed();
    assert_eq!(
        books.open_holds().await.expect("a count"),
        u64::from(ORPHANS)
    );
    drop(books);

    // Where the machine is slow, or has more to do, leaving them has taken its time as well; without
    // optimization it takes a sixth of the time of finishing them.
    let most = Duration::from_secs(30).max(20 * leaving);
    let begun = Instant::now();
    house.start_again(Catalog::built_in()).await;
    let ledger = house.app.as_ref().expect("open").ledger();
    while ledger.open_holds().await.expect("a count") > 0 {
        assert!(begun.elapsed() < most, "{most:?} are over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = begun.elapsed();
    println!("{ORPHANS} orphans left in {leaving:?}, finished in {took:?}");
    let balance = house.balance().await;
    assert_eq!(
        (balance.credits.as_str(), balance.held.as_str()),
        ("20000.00", "0.00")
    );
    house.close().await;
}

#[tokio::test]
async fn a_full_gallery_refuses_work_before_anything_is_sent_or_held() {
    let mut full = House::open().await;
    full.generate(request("fills")).await.expect("a picture");
    let sent = full.sent();
    full.restart_with(&Setup {
        image_quota: Some(1),
        ..Setup::default()
    })
    .await;
    let status = full.generate(request("b")).await.expect_err("no room");
    assert_eq!(reason(&status), "STORAGE_FULL");
    assert_eq!(full.sent(), sent);
    assert_eq!(full.balance().await.held, "0.00");
    // What is there can still be had.
    let again = full.generate(request("fills")).await.expect("the picture");
    assert!(again.completed.replayed);
    full.close().await;
}
