//! Keys and their ends, and who changed what.

use super::*;
use crate::domain::ids::ApiKeyId;
use crate::domain::tool::Tool;
use crate::domain::trail::{Action, Change, Deed, Trail};
use crate::ports::{
    ActorId, ApiKey, AuditEntry, AuditFilter, KeyHash, Period, Records, Role, SettingsError,
};

/// What a key does, at the end of a day.
pub(super) fn by(key: &ApiKey) -> By {
    By {
        actor: Actor::Key {
            id: key.id,
            prefix: key.prefix.clone(),
        },
        at: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24),
    }
}

impl Books {
    pub(super) async fn key(&self, id: &str, role: Role) -> ApiKey {
        let uuid = Uuid::now_v7();
        let key = ApiKey {
            id: ApiKeyId::from_uuid(uuid),
            organization: organization(id),
            name: "key".to_owned(),
            prefix: format!("sq_live_{}", &uuid.simple().to_string()[20..]),
            role,
            created: Timestamp::UNIX_EPOCH,
            expires: None,
            last_used: None,
            revoked: None,
        };
        let hash = KeyHash {
            pepper: [2; 8],
            mac: [3; 32],
        };
        let made = self.sqlite.create_api_key(key.clone(), hash, operator());
        made.await.expect("a key");
        key
    }

    pub(super) async fn trail(&self, id: &str) -> Vec<AuditEntry> {
        self.entries(&Trail::Organization(organization(id))).await
    }

    pub(super) async fn platform_trail(&self) -> Vec<AuditEntry> {
        self.entries(&Trail::Platform).await
    }

    async fn entries(&self, trail: &Trail) -> Vec<AuditEntry> {
        let all = AuditFilter::default();
        let entries = self.sqlite.audit_entries(trail, all, None, 1000);
        entries.await.expect("a trail")
    }

    pub(super) async fn revoke(&self, key: &ApiKey, by: By) -> Result<ApiKey, SettingsError> {
        let ended = self
            .sqlite
            .revoke_api_key(&key.organization, key.id, Role::Owner, by);
        ended.await
    }
}

pub(super) fn painter() -> Tool {
    let agent = AgentId::parse("painter").expect("an agent");
    Tool::new(agent, Timestamp::UNIX_EPOCH)
}

fn change(field: &str, old: Option<&str>, new: Option<&str>) -> Change {
    Change {
        field: field.to_owned(),
        old: old.map(str::to_owned),
        new: new.map(str::to_owned),
    }
}

/// Makes every change there is, each twice where the second changes nothing.
async fn change_everything(books: &Books, key: &ApiKey) {
    let (acme, sqlite) = (organization("acme"), &books.sqlite);
    let model = Slug::parse("acme/model").expect("a slug");
    let drawing = Tool {
        enabled: true,
        model: Some(model.clone()),
        ..painter()
    };
    assert_eq!(books.buy("acme", 10_000, "first").await.ok(), Some(true));
    let (old, new) = (Some(painter()), Some(drawing));
    let states = [None, old.clone(), old, new.clone(), new];
    for two in states.windows(2) {
        let (before, after) = (two[0].clone(), two[1].clone().expect("a tool"));
        let saved = sqlite.save_tool(&acme, before, after, by(key)).await;
        assert!(saved.expect("saved"));
    }
    let late = sqlite.save_tool(&acme, None, painter(), by(key)).await;
    assert!(!late.expect("passed over"), "another was faster");
    for changes in [true, false] {
        let off = sqlite.set_available(&acme, &model, false, by(key)).await;
        assert_eq!(off.expect("off"), changes);
    }
    for deletes in [true, false] {
        let gone = sqlite.delete_tool(&acme, &painter().agent, by(key)).await;
        assert_eq!(gone.expect("gone"), deletes);
    }
    for ender in [by(key), operator()] {
        books.revoke(key, ender).await.expect("revoked");
    }
}

#[tokio::test]
async fn every_change_has_its_entry_and_what_changes_nothing_has_none() {
    let books = Books::open(100).await;
    let key = books.key("acme", Role::Admin).await;
    change_everything(&books, &key).await;
    let trail = books.trail("acme").await;
    let told: Vec<_> = trail.iter().rev().map(|entry| entry.deed.action).collect();
    assert_eq!(
        told,
        [
            Action::OrganizationCreated,
            Action::CreditsAdded,
            Action::ApiKeyCreated,
            Action::ToolCreated,
            Action::ToolUpdated,
            Action::ModelAvailabilityChanged,
            Action::ToolDeleted,
            Action::ApiKeyRevoked,
        ]
    );
    let sequences: Vec<_> = trail.iter().rev().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, (0..8).collect::<Vec<_>>());
    let by_key = trail.iter().filter(|entry| entry.by == by(&key)).count();
    let by_operator = trail.iter().filter(|entry| entry.by == operator()).count();
    assert_eq!((by_key, by_operator), (5, 3));
    let updated = Deed {
        action: Action::ToolUpdated,
        subject: "painter".to_owned(),
        changes: vec![
            change("enabled", Some("false"), Some("true")),
            change("model", None, Some("acme/model")),
        ],
    };
    assert_eq!(trail[3].deed, updated);
    let gone = change("model", Some("acme/model"), None);
    assert!(trail[1].deed.changes.contains(&gone));
    assert_eq!(trail[2].deed.subject, "acme/model");
    let off = change("available", Some("true"), Some("false"));
    assert_eq!(trail[2].deed.changes, [off]);
    let given = change("credits", None, Some("100.00"));
    assert_eq!(trail[6].deed.changes, [given]);
    books.audited().await;
}

#[tokio::test]
async fn a_refused_change_leaves_no_entry() {
    let books = Books::open(100).await;
    let (nobody, sqlite) = (organization("nobody"), &books.sqlite);
    let model = Slug::parse("acme/model").expect("a slug");
    let before = books.trail("acme").await;
    sqlite
        .save_tool(&nobody, None, painter(), operator())
        .await
        .expect_err("nobody");
    sqlite
        .set_available(&nobody, &model, false, operator())
        .await
        .expect_err("nobody");
    books.buy("nobody", 100, "x").await.expect_err("nobody");
    books
        .buy("acme", 1, "first")
        .await
        .expect_err("another amount");
    assert_eq!(books.trail("acme").await, before);
    books.audited().await;
}

#[tokio::test]
async fn the_largest_change_that_can_be_is_taken() {
    let books = Books::open(0).await;
    let acme = organization("acme");
    let long = Tool {
        when_to_use: "\u{1}".repeat(4000),
        allowed_aspect_ratios: vec![AspectRatio::parse("9:19.5").expect("a ratio"); 50],
        model: Slug::parse(&"m".repeat(128)).ok(),
        ..painter()
    };
    let other = Tool {
        when_to_use: "\u{2}".repeat(4000),
        ..painter()
    };
    for (before, tool) in [(None, long.clone()), (Some(long), other)] {
        let saved = books.sqlite.save_tool(&acme, before, tool, operator());
        assert!(saved.await.expect("saved"));
    }
    assert_eq!(books.trail("acme").await.len(), 3);
    books.audited().await;
}

#[tokio::test]
async fn a_trail_is_searched_by_what_by_whom_and_when_and_is_one_organizations() {
    let books = Books::open(100).await;
    books.organization("other").await;
    let acme = organization("acme");
    let key = books.key("acme", Role::Admin).await;
    let saved = books.sqlite.save_tool(&acme, None, painter(), by(&key));
    saved.await.expect("saved");
    let of_acme = Trail::Organization(acme);
    let ask = async |filter: AuditFilter, before| {
        let found = books.sqlite.audit_entries(&of_acme, filter, before, 100);
        let found = found.await.expect("a trail");
        found.iter().map(|entry| entry.sequence).collect::<Vec<_>>()
    };
    let actor = |actor| AuditFilter {
        actor: Some(actor),
        ..AuditFilter::default()
    };
    let action = AuditFilter {
        action: Some(Action::CreditsAdded),
        ..AuditFilter::default()
    };
    let later = AuditFilter {
        done: Period {
            from: Some(by(&key).at),
            before: None,
        },
        ..AuditFilter::default()
    };
    assert_eq!(ask(AuditFilter::default(), None).await, [3, 2, 1, 0]);
    assert_eq!(ask(AuditFilter::default(), Some(2)).await, [1, 0]);
    assert_eq!(ask(action, None).await, [1]);
    assert_eq!(ask(actor(ActorId::Operator), None).await, [2, 1, 0]);
    assert_eq!(ask(actor(ActorId::Key(key.id)), None).await, [3]);
    assert_eq!(ask(later, None).await, [3]);
    assert_eq!(books.trail("other").await.len(), 1);
    let nobody = Trail::Organization(organization("nobody"));
    let asked = books
        .sqlite
        .audit_entries(&nobody, AuditFilter::default(), None, 1);
    assert!(matches!(
        asked.await,
        Err(LedgerError::OrganizationNotFound)
    ));
}

/// The next entry in the trail of acme, but for one of its columns.
fn entry(replaced: (&str, &str)) -> String {
    let columns = [
        ("trail", "trail"),
        ("seq", "seq + 1"),
        ("prev_seq", "seq"),
        ("action", "'tool_created'"),
        ("actor_kind", "'operator'"),
        ("actor", "NULL"),
        ("actor_prefix", "NULL"),
        ("subject", "'a'"),
        ("changes", "'[]'"),
        ("at_us", "0"),
        ("prev_hash", "hash"),
        ("hash", "randomblob(32)"),
    ];
    let pick = |(name, value)| {
        if name == replaced.0 {
            replaced.1
        } else {
            value
        }
    };
    let values: Vec<&str> = columns.into_iter().map(pick).collect();
    format!(
        "INSERT INTO audit_entry SELECT {} FROM audit_entry WHERE trail = 'acme' ORDER BY seq DESC LIMIT 1",
        values.join(", ")
    )
}

#[tokio::test]
async fn a_trail_and_a_key_cannot_be_changed() {
    let books = Books::open(100).await;
    let key = books.key("acme", Role::Admin).await;
    books.organization("other").await;
    books.revoke(&key, operator()).await.expect("revoked");
    let raw = books.raw();
    raw.execute_batch(&entry(("", "")))
        .expect("a good one is taken");
    let ended = format!("(SELECT id FROM api_key WHERE prefix = '{}')", key.prefix);
    for sql in [
        entry(("trail", "'other'")),
        entry(("trail", "'nobody'")),
        entry(("trail", "''")),
        entry(("seq", "seq")),
        entry(("seq", "seq + 2")),
        entry(("prev_seq", "seq - 1")),
        entry(("prev_seq", "NULL")),
        entry(("action", "'painted'")),
        entry(("action", "'organization_created'")),
        entry(("action", "'models_synced'")),
        entry(("actor_kind", "'nobody'")),
        entry(("actor_kind", "'key'")),
        entry(("actor", "randomblob(16)")),
        entry(("actor", &ended)),
        entry(("actor_prefix", "'sq_live_x'")),
        entry(("subject", "''")),
        entry(("changes", "'no json'")),
        entry(("changes", "json_array(printf('%.*c', 16000, 'x'))")),
        entry(("prev_hash", "zeroblob(32)")),
        entry(("prev_hash", "NULL")),
        entry(("hash", "zeroblob(31)")),
        // A revoked key does nothing, though everything else is as it must be.
        entry(("actor", &ended))
            .replacen("'operator'", "'key'", 1)
            .replacen("NULL", &format!("'{}'", key.prefix), 1),
        "UPDATE audit_entry SET subject = 'x'".to_owned(),
        "DELETE FROM audit_entry".to_owned(),
        "UPDATE api_key SET revoked_us = NULL".to_owned(),
        "UPDATE api_key SET revoked_us = revoked_us + 1".to_owned(),
        "UPDATE api_key SET role = 'owner'".to_owned(),
        "UPDATE api_key SET organization = 'other'".to_owned(),
        "UPDATE api_key SET expires_us = 1".to_owned(),
        "UPDATE api_key SET mac = zeroblob(32)".to_owned(),
        "DELETE FROM api_key".to_owned(),
    ] {
        assert!(raw.execute_batch(&sql).is_err(), "taken: {sql}");
    }
}
