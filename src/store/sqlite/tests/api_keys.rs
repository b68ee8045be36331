//! Keys: their list, their last use and their end.

use super::trail::{by, painter};
use super::*;
use crate::domain::ids::ApiKeyId;
use crate::domain::tool::Tool;
use crate::domain::trail::Action;
use crate::ports::{LAST_USED_EVERY, Role, SettingsError};

#[tokio::test]
async fn a_key_ends_once_and_belongs_to_one_organization() {
    let books = Books::open(0).await;
    books.organization("other").await;
    let (key, owner) = (
        books.key("acme", Role::Admin).await,
        books.key("acme", Role::Owner).await,
    );
    let revoke = async |organization: &OrganizationId, id, up_to, by| {
        books
            .sqlite
            .revoke_api_key(organization, id, up_to, by)
            .await
    };
    let (acme, other) = (organization("acme"), organization("other"));
    let unknown = ApiKeyId::from_uuid(Uuid::now_v7());
    for (organization, id) in [(&acme, unknown), (&other, key.id)] {
        let refused = revoke(organization, id, Role::Owner, operator()).await;
        assert!(
            matches!(refused, Err(SettingsError::NoApiKey)),
            "{refused:?}"
        );
    }
    let refused = revoke(&organization("nobody"), key.id, Role::Owner, operator()).await;
    assert!(matches!(refused, Err(SettingsError::NoOrganization)));
    let refused = revoke(&acme, owner.id, Role::Admin, by(&key)).await;
    assert!(matches!(refused, Err(SettingsError::Above)));
    let ended = revoke(&acme, key.id, Role::Admin, by(&key))
        .await
        .expect("revoked");
    assert_eq!(ended.revoked, Some(by(&key).at));
    let again = revoke(&acme, key.id, Role::Owner, operator()).await;
    assert_eq!(again.expect("again"), ended);
    let (found, _) = books
        .sqlite
        .api_key(&key.prefix)
        .await
        .expect("a look")
        .expect("there");
    assert!(found == ended && !found.is_good(Timestamp::UNIX_EPOCH));
    let refused = books
        .sqlite
        .save_tool(&acme, None, painter(), by(&key))
        .await;
    assert!(matches!(refused, Err(SettingsError::ActorEnded)));
    let kept = books.sqlite.tool(&acme, &painter().agent).await;
    assert_eq!(
        kept.expect("a look"),
        None,
        "nothing is left of a refused change"
    );
    books.audited().await;
}

#[tokio::test]
async fn keys_are_listed_newest_first_in_pages() {
    let books = Books::open(0).await;
    books.organization("other").await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(books.key("acme", Role::Runtime).await);
    }
    books.key("other", Role::Runtime).await;
    books.revoke(&made[4], operator()).await.expect("revoked");
    made.reverse();
    let acme = organization("acme");
    let first = books.sqlite.api_keys(&acme, None, 3).await.expect("a page");
    let next = books
        .sqlite
        .api_keys(&acme, Some(first[2].id), 3)
        .await
        .expect("a page");
    assert!(first[0].revoked.is_some());
    let seen: Vec<_> = first.iter().chain(&next).map(|key| key.id).collect();
    let expected: Vec<_> = made.iter().map(|key| key.id).collect();
    assert_eq!(seen, expected);
    let nobody = books
        .sqlite
        .api_keys(&organization("nobody"), None, 3)
        .await;
    assert!(matches!(nobody, Err(SettingsError::NoOrganization)));
}

#[tokio::test]
async fn the_last_use_is_noted_at_most_once_a_minute() {
    let books = Books::open(0).await;
    let key = books.key("acme", Role::Runtime).await;
    let start = Timestamp::UNIX_EPOCH;
    let minute = LAST_USED_EVERY;
    let second = SignedDuration::from_secs(1);
    for (used, noted) in [
        (start, start),
        (start + second, start),
        (start + minute - second, start),
        (start - minute, start),
        (start + minute, start + minute),
    ] {
        books
            .sqlite
            .note_uses(vec![(key.id, used)])
            .await
            .expect("noted");
        let (found, _) = books
            .sqlite
            .api_key(&key.prefix)
            .await
            .expect("a look")
            .expect("there");
        assert_eq!(found.last_used, Some(noted), "used at {used}");
    }
    let unknown = vec![(ApiKeyId::from_uuid(Uuid::now_v7()), start)];
    books.sqlite.note_uses(unknown).await.expect("passed over");
    books.audited().await;
}

#[tokio::test]
async fn whatever_races_with_a_revocation_is_done_before_it_or_not_at_all() {
    let books = Books::open(0).await;
    let acme = organization("acme");
    for _ in 0..20 {
        let key = books.key("acme", Role::Admin).await;
        let saves = (0..20).map(|n| {
            let agent = AgentId::parse(&format!("{} {n}", key.prefix)).expect("an agent");
            let tool = Tool { agent, ..painter() };
            books.sqlite.save_tool(&acme, None, tool, by(&key))
        });
        let saves = futures_util::future::join_all(saves);
        let (saved, ended) = tokio::join!(saves, books.revoke(&key, operator()));
        ended.expect("revoked");
        let trail = books.trail("acme").await;
        let mine = trail.iter().filter(|entry| entry.by == by(&key));
        let sequences: Vec<_> = mine.map(|entry| entry.sequence).collect();
        let end = trail
            .iter()
            .find(|entry| entry.deed.subject == key.id.to_string());
        let end = end.expect("its end");
        assert_eq!(end.deed.action, Action::ApiKeyRevoked);
        assert!(sequences.iter().all(|sequence| *sequence < end.sequence));
        let done = saved.iter().filter(|saved| saved.is_ok()).count();
        assert_eq!(sequences.len(), done);
    }
    books.audited().await;
}
