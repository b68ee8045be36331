//! A key that cannot be opened: the organization is told so, everywhere the same, and nobody pays.

use super::*;

/// What a hand in the database, or a disk, may do to the row of a key.
const DOCTORED: [&str; 3] = [
    "UPDATE openrouter_key SET wrapped = zeroblob(72) WHERE ended_us IS NULL",
    "UPDATE openrouter_key SET sealed = zeroblob(80) WHERE ended_us IS NULL",
    // Sealed with another key-encryption key.
    "UPDATE openrouter_key SET kek = zeroblob(8) WHERE ended_us IS NULL",
];

#[tokio::test]
async fn a_key_that_cannot_be_opened_is_told_everywhere_and_the_platforms_never_helps_out() {
    let house = House::open().await;
    let books = rusqlite::Connection::open(house.database()).expect("the books");
    for (place, doctored) in DOCTORED.iter().enumerate() {
        let set = house.set_openrouter_key(&house.admin, OWN).await;
        set.expect("set");
        let drawn = house.generate(request(&format!("before-{place}"))).await;
        drawn.expect("a picture");
        let (balance, asked) = (house.balance().await, house.mock.requests().len());
        assert_eq!(books.execute(doctored, []).expect("doctored"), 1);

        let refused = house.generate(request(&format!("after-{place}"))).await;
        let refused = refused.expect_err("it cannot be opened");
        assert_eq!(
            (reason(&refused).as_str(), refused.code()),
            ("OPENROUTER_KEY_INVALID", Code::FailedPrecondition)
        );
        assert_eq!(detail(&refused, "cause"), "unreadable");
        assert!(refused.message().contains("administrator"), "{refused:?}");
        let organization = house.organization().await;
        assert_eq!(
            organization.openrouter_key_status(),
            proto::OpenRouterKeyStatus::Unreadable
        );
        assert_eq!(organization.key_mode(), proto::KeyMode::Organization);
        let tool = house.painter().await;
        assert_eq!(tool.status(), proto::ToolStatus::NeedsConfiguration);
        assert!(tool.status_reason.contains("set it once more"), "{tool:?}");
        assert_eq!(house.painters(proto::ToolStatus::Ready).await, 0);
        assert_eq!(house.balance().await, balance, "no money moved");
        assert_eq!(house.mock.requests().len(), asked, "nothing was sent");
    }
    let set = house.set_openrouter_key(&house.admin, OTHER).await;
    set.expect("set once more");
    assert_eq!(house.painter().await.status(), proto::ToolStatus::Ready);
    let drawn = house.generate(request("after-2")).await;
    assert_eq!(drawn.expect("a picture").charge().credits, "1.00");
    house.close().await;
}

#[tokio::test]
async fn a_key_that_cannot_be_opened_can_be_deleted_and_only_then_the_platform_pays() {
    let house = House::open().await;
    let set = house.set_openrouter_key(&house.admin, OWN).await;
    set.expect("set");
    let books = rusqlite::Connection::open(house.database()).expect("the books");
    assert_eq!(books.execute(DOCTORED[0], []).expect("doctored"), 1);
    let refused = house.generate(request("whose")).await;
    refused.expect_err("it cannot be opened");
    let deleted = house.delete_openrouter_key(&house.admin).await;
    deleted.expect("deleted");
    let drawn = house.generate(request("whose")).await.expect("a picture");
    assert_eq!(drawn.charge().key_mode(), proto::KeyMode::Platform);
    house.close().await;
}
