//! Changes that share a transaction: together on the disk, each with an outcome of its own.

use std::future::Future;
use std::pin::Pin;

use rusqlite::Connection;

use super::*;
use crate::domain::generation::StoredImage;

type Outcome<'a> = Pin<Box<dyn Future<Output = Result<(), LedgerError>> + Send + 'a>>;

/// Makes all changes wait behind a lock of somebody else's, so that they share a batch.
async fn together(books: &Books, changes: Vec<Outcome<'_>>) -> Vec<Result<(), LedgerError>> {
    let raw = books.raw();
    raw.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    // Polled after all the others, which have put themselves into the queue by then.
    let let_go = async move { raw.execute_batch("COMMIT").expect("let go") };
    let (outcomes, ()) = tokio::join!(biased; futures_util::future::join_all(changes), let_go);
    outcomes
}

fn hold<'a>(books: &'a Books, draft: &Draft) -> Outcome<'a> {
    let opening = opening(draft);
    Box::pin(async move { books.sqlite.hold(opening).await.map(drop) })
}

/// Runs a statement in the writer's own connection, whatever becomes of it.
async fn in_the_writer<T: Send + 'static>(
    books: &Books,
    look: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, LedgerError> {
    books
        .sqlite
        .write(move |connection| Ok::<T, LedgerError>(look(connection)?))
        .await
}

/// A settlement that fails in the middle: its second picture has a place no generation has.
fn one_picture_too_far(id: GenerationId) -> Settlement {
    let mut settlement = settlement(id, "0.001");
    settlement.delivery.images.push(image(id, 40));
    settlement
}

#[tokio::test]
async fn a_refused_change_is_undone_alone_and_the_others_of_its_batch_stay() {
    let books = Books::open(100).await;
    let paid = books.held(&draft("paid", 500)).await;
    let now = Timestamp::UNIX_EPOCH;
    books.sqlite.dispatch(paid, now).await.expect("dispatched");
    let mut stranger = draft("stranger", 100);
    stranger.organization = organization("stranger");
    let good: Vec<Draft> = (0..40).map(|n| draft(&format!("g{n}"), 100)).collect();
    let nobody = GenerationId::from_uuid(Uuid::nil());
    let sqlite = &books.sqlite;
    let mut changes: Vec<Outcome<'_>> =
        good[..20].iter().map(|draft| hold(&books, draft)).collect();
    let broken = one_picture_too_far(paid);
    changes.push(Box::pin(async move {
        sqlite.settle(paid, broken).await.map(drop)
    }));
    changes.push(hold(&books, &stranger));
    changes.push(Box::pin(sqlite.dispatch(nobody, now)));
    changes.extend(good[20..].iter().map(|draft| hold(&books, draft)));
    let before = sqlite.commits();
    let outcomes = together(&books, changes).await;
    assert!(sqlite.commits() - before <= 2, "43 changes, two batches");
    for (place, outcome) in outcomes.iter().enumerate() {
        match place {
            20 => assert!(
                matches!(outcome, Err(LedgerError::Broken(_))),
                "{outcome:?}"
            ),
            21 => assert!(matches!(outcome, Err(LedgerError::OrganizationNotFound))),
            22 => assert!(matches!(
                outcome,
                Err(LedgerError::IllegalStep { from: None, .. })
            )),
            _ => assert!(outcome.is_ok(), "{place}: {outcome:?}"),
        }
    }
    assert_eq!(books.balance().await, [10_000, 500 + 40 * 100, 0]);
    assert_eq!(sqlite.open_holds().await.expect("a count"), 41);
    // Nothing of the broken settlement is left: not its history, not its first picture.
    let settled = sqlite.settle(paid, settlement(paid, "0.001")).await;
    assert_eq!(settled.expect("settled").images.len(), 1);
    books.audited().await;
}

#[tokio::test]
async fn a_settlement_that_cannot_be_written_leaves_the_hold_and_its_stage() {
    let books = Books::open(100).await;
    let id = books.held(&draft("a", 500)).await;
    let sqlite = &books.sqlite;
    let now = Timestamp::UNIX_EPOCH;
    sqlite.dispatch(id, now).await.expect("dispatched");
    let settlements: [fn(StoredImage) -> Vec<StoredImage>; 5] = [
        |_| Vec::new(),
        |image| vec![image.clone(), image],
        |image| {
            (0..41)
                .map(|index| StoredImage {
                    index,
                    object_name: index.to_string(),
                    ..image.clone()
                })
                .collect()
        },
        |image| {
            vec![StoredImage {
                media_type: MediaType::Gif,
                ..image
            }]
        },
        |image| {
            vec![StoredImage {
                size_bytes: u64::MAX,
                ..image
            }]
        },
    ];
    for images in settlements {
        let mut broken = settlement(id, "0.001");
        broken.delivery.images = images(image(id, 0));
        let error = sqlite.settle(id, broken).await.expect_err("impossible");
        assert!(matches!(error, LedgerError::Broken(_)), "{error:?}");
        assert_eq!(books.balance().await, [10_000, 500, 0]);
    }
    let voided = sqlite.void(id, voiding(Reason::Internal)).await;
    assert_eq!(voided.expect("voided").images, []);
    assert_eq!(books.balance().await, [10_000, 0, 0]);
    books.audited().await;
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_is_over_when_there_is_room() {
    let books = Books::open(100).await;
    let limit = "PRAGMA max_page_count = 1";
    let pages: i64 = in_the_writer(&books, move |connection| {
        connection.query_row(limit, [], |row| row.get(0))
    })
    .await
    .expect("as many pages as there are");
    let large = |name: &str| Draft {
        prompt: "x".repeat(100_000),
        ..draft(name, 100)
    };
    let (full, small) = (large("full"), draft("small", 100));
    let outcomes = together(&books, vec![hold(&books, &full), hold(&books, &small)]).await;
    assert!(
        matches!(outcomes[0], Err(LedgerError::Full)),
        "{outcomes:?}"
    );
    let held = i64::from(outcomes[1].is_ok()) * 100;
    assert_eq!(books.balance().await, [10_000, held, 0]);
    assert_eq!(books.sqlite.audit().await.expect("an audit"), [""; 0]);
    in_the_writer(&books, move |connection| {
        let more = format!("PRAGMA max_page_count = {}", pages + 1000);
        connection.query_row(&more, [], |_| Ok(()))
    })
    .await
    .expect("room");
    books.held(&full).await;
    books.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_folder_share_the_credits() {
    let books = Books::open(10).await;
    let other = Sqlite::open(books.dir.path()).expect("the same database");
    let drafts: Vec<Draft> = (0..64).map(|n| draft(&n.to_string(), 130)).collect();
    let holds = drafts.iter().enumerate().map(|(n, draft)| {
        let sqlite = if n % 2 == 0 { &books.sqlite } else { &other };
        sqlite.hold(opening(draft))
    });
    let outcomes = futures_util::future::join_all(holds).await;
    let held = |outcome: &&Result<HoldOutcome, _>| matches!(outcome, Ok(HoldOutcome::Held(_)));
    assert_eq!(outcomes.iter().filter(held).count(), 7, "1000 / 130");
    let refused =
        |outcome: &&Result<HoldOutcome, _>| matches!(outcome, Ok(HoldOutcome::Insufficient { .. }));
    assert_eq!(outcomes.iter().filter(refused).count(), 57);
    assert_eq!(books.balance().await, [1000, 910, 0]);
    books.audited().await;
}

#[tokio::test]
async fn a_change_that_panics_is_refused_and_stops_nobody() {
    let books = Books::open(10).await;
    let panics = books.sqlite.write(|connection| -> Result<(), LedgerError> {
        connection.execute("UPDATE balance SET held_cc = 1", [])?;
        panic!("a bug");
    });
    assert!(matches!(panics.await, Err(LedgerError::Broken(_))));
    assert_eq!(books.balance().await, [1000, 0, 0], "it is undone");
    books.held(&draft("a", 500)).await;
    books
        .sqlite
        .dispatch(GenerationId::from_uuid(Uuid::nil()), Timestamp::UNIX_EPOCH)
        .await
        .expect_err("nobody");
}
