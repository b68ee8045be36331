//! The promises of the ports, kept by the real database.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use uuid::Uuid;

use super::Sqlite;
use crate::domain::books::Stage;
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::{
    Adjustment, CallRecord, Channel, Charge, Context, CostSource, Draft, Generation, KeyMode,
    MediaType, Origin, SourceImage, StoredImage,
};
use crate::domain::ids::{
    AgentId, EntryId, GenerationId, OrganizationId, Reference, RequestId, Slug,
};
use crate::domain::money::{Credits, UsdCost, platform_charge};
use crate::domain::pricing::{Bounds, Question};
use crate::domain::shape::{AspectRatio, PixelSize, Quality, Resolution, SentShape};
use crate::domain::trail::{Actor, By};
use crate::ports::{
    Delivery, HoldOutcome, Ledger, LedgerError, Limits, Opening, Organization, Purchase, Settings,
    Settlement, Voiding,
};

mod answers;
mod api_keys;
mod audit;
mod batches;
mod checks;
mod constraints;
mod differential;
mod histories;
mod holds;
mod openrouter_keys;
mod prices;
mod records;
mod round_trip;
mod settings;
mod steps;
mod tools;
mod trail;
mod usage;

/// A database with the organization `acme`.
struct Books {
    sqlite: Sqlite,
    dir: TempDir,
}

impl Books {
    async fn open(credits: i32) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let sqlite = Sqlite::open(dir.path()).expect("a database");
        let books = Self { sqlite, dir };
        books.organization("acme").await;
        if credits > 0 {
            books
                .buy("acme", i64::from(credits) * 100, "first")
                .await
                .expect("credits");
        }
        books
    }

    async fn organization(&self, id: &str) {
        let organization = Organization {
            id: organization(id),
            name: id.to_owned(),
            created: Timestamp::UNIX_EPOCH,
        };
        self.sqlite
            .create_organization(organization, operator())
            .await
            .expect("an organization");
    }

    async fn buy(&self, id: &str, hundredths: i64, reference: &str) -> Result<bool, LedgerError> {
        let purchase = Purchase {
            id: EntryId::from_uuid(Uuid::now_v7()),
            organization: organization(id),
            credits: Credits::from_hundredths(hundredths),
            reference: Reference::parse(reference).expect("a reference"),
            description: "bought".to_owned(),
            actor: Actor::Operator,
            now: Timestamp::UNIX_EPOCH,
        };
        self.sqlite
            .add_credits(purchase)
            .await
            .map(|booked| booked.replayed)
    }

    /// Holds, and expects to.
    async fn held(&self, draft: &Draft) -> GenerationId {
        let outcome = self.sqlite.hold(opening(draft)).await.expect("an outcome");
        assert!(matches!(outcome, HoldOutcome::Held(_)), "{outcome:?}");
        draft.id
    }

    async fn balance(&self) -> [i64; 3] {
        let account = self
            .sqlite
            .account(&organization("acme"))
            .await
            .expect("an account");
        [account.posted, account.held, account.debt].map(Credits::hundredths)
    }

    /// The books agree with themselves.
    async fn audited(self) {
        self.audited_but_for(|_| false).await;
    }

    /// The same of books that no gateway could have written, but for what was made up.
    async fn audited_but_for(self, made_up: fn(&str) -> bool) {
        let mut breaks = self.sqlite.audit().await.expect("an audit");
        breaks.retain(|one| !made_up(one));
        assert!(breaks.is_empty(), "{breaks:#?}");
    }

    fn raw(&self) -> rusqlite::Connection {
        raw(self.dir.path())
    }
}

/// Whether the charge is not what the calls told: so it is where both are made up, each by itself.
fn is_of_made_up_calls(one: &str) -> bool {
    one.starts_with("I12: the calls cost") || one.starts_with("I13: ")
}

/// The operator, at the beginning of time.
fn operator() -> By {
    By {
        actor: Actor::Operator,
        at: Timestamp::UNIX_EPOCH,
    }
}

fn raw(dir: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(dir.join(super::FILE)).expect("the database");
    connection
        .pragma_update(None, "foreign_keys", "ON")
        .expect("a pragma");
    connection
}

fn organization(id: &str) -> OrganizationId {
    OrganizationId::parse(id).expect("an organization")
}

/// A draft of one picture with a hold of `hundredths`.
fn draft(request_id: &str, hundredths: i64) -> Draft {
    let credits = Credits::from_hundredths(hundredths);
    let created: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a time");
    Draft {
        id: GenerationId::from_uuid(Uuid::now_v7()),
        organization: organization("acme"),
        request_id: RequestId::parse(request_id).expect("a request id"),
        fingerprint: [7; 32],
        agent: AgentId::parse("painter").expect("an agent"),
        context: Context {
            conversation_id: "c".to_owned(),
            message_id: "m".to_owned(),
            user_id: "ü".to_owned(),
            channel: Channel::Whatsapp,
            origin: Origin::Test,
            metadata: vec![("k\"".to_owned(), "v\n'☃".to_owned())],
        },
        model: Slug::parse("acme/model").expect("a slug"),
        model_name: "Acme: Model".to_owned(),
        prompt: "ein Fuchs 🦊 \"im\" Schnee\u{0}".to_owned(),
        resolution: Resolution::R1K5,
        aspect_ratio: AspectRatio::parse("2.35:1").expect("a ratio"),
        requested: 1,
        adjustments: vec![adjustment("before")],
        sources: vec![SourceImage {
            generation: GenerationId::from_uuid(Uuid::nil()),
            index: 3,
        }],
        key_mode: KeyMode::Platform,
        bounds: Bounds {
            low: credits,
            expected: credits,
            high: credits,
        },
        hold: credits,
        price_basis: "by feel".to_owned(),
        pricing: None,
        question: Question {
            quality: Some(Quality::High),
            prompt_bytes: 7,
            ..Question::one(Resolution::R1K5)
        },
        sent: SentShape::default(),
        upstream_key: "0123abcd".to_owned(),
        created,
        deadline: created + SignedDuration::from_secs(300),
    }
}

fn adjustment(reason: &str) -> Adjustment {
    Adjustment {
        field: "resolution".to_owned(),
        requested: "4K".to_owned(),
        used: "2K".to_owned(),
        reason: reason.to_owned(),
    }
}

fn opening(draft: &Draft) -> Opening {
    Opening {
        draft: draft.clone(),
        limits: Limits::default(),
        day_start: Timestamp::UNIX_EPOCH,
        month_start: Timestamp::UNIX_EPOCH,
    }
}

fn image(id: GenerationId, index: u32) -> StoredImage {
    StoredImage {
        index,
        sha256: [9; 32],
        size_bytes: 1234,
        pixels: PixelSize {
            width: 1024,
            height: 768,
        },
        media_type: MediaType::Webp,
        object_name: format!("{id}/{index}.webp"),
    }
}

/// A settlement of one picture that cost `usd`.
fn settlement(id: GenerationId, usd: &str) -> Settlement {
    let cost = UsdCost::from_json(usd).expect("a cost");
    Settlement {
        delivery: Delivery {
            images: vec![image(id, 0)],
            text: "Here it is".to_owned(),
            adjustments: vec![adjustment("before"), adjustment("measured")],
            calls: vec![
                CallRecord {
                    images: vec![0],
                    cost: Some((cost, CostSource::Lookup)),
                    ..CallRecord::default()
                },
                billed_for_nothing(1, "0.01"),
            ],
            now: "2026-11-23T12:00:30.000001Z".parse().expect("a time"),
        },
        charge: Charge {
            credits: platform_charge(cost, 1),
            images: 1,
            key_mode: KeyMode::Platform,
            cost,
            cost_source: CostSource::Lookup,
            refunded: Credits::ZERO,
            corrected: None,
        },
        disputed: None,
    }
}

/// A call without a picture that was billed all the same.
fn billed_for_nothing(call: u32, usd: &str) -> CallRecord {
    let cost = UsdCost::from_json(usd).expect("a cost");
    CallRecord {
        call,
        cost: Some((cost, CostSource::Usage)),
        ..CallRecord::default()
    }
}

fn voiding(reason: Reason) -> Voiding {
    let failure = Failure::new(reason, "It did not work.")
        .with("needed", "1.00")
        .retry_after(std::time::Duration::from_millis(1500));
    Voiding {
        failure,
        calls: vec![billed_for_nothing(0, "0.5")],
        now: "2026-11-23T12:01:00Z".parse().expect("a time"),
    }
}

/// Takes a held generation to its charge.
async fn settled(books: &Books, id: GenerationId, usd: &str) -> Generation {
    let now = Timestamp::UNIX_EPOCH;
    books.sqlite.dispatch(id, now).await.expect("dispatched");
    books
        .sqlite
        .stream(id, 0, Some("gen-1".to_owned()), now)
        .await
        .expect("streaming");
    let settled = books
        .sqlite
        .settle(id, settlement(id, usd))
        .await
        .expect("settled");
    assert_eq!(settled.stage, Stage::Settled);
    settled
}
