//! What the audit trails tell is what is there, whatever a hand in the database does to it.

use super::*;
use crate::domain::catalog::{Caution, Kept, PriceChange, PricePart};
use crate::domain::ids::OpenRouterKeyId;
use crate::domain::listing::{Listed, ListedPrices};
use crate::domain::openrouter_key::Sealed;
use crate::domain::tool::Tool;
use crate::ports::{KeyNote, ListUpdate, OpenRouterKey, OpenRouterKeys, PriceStore};
use crate::store::sqlite::Replacing;

/// What a hand may do to break one question about the trails and no other, and the question.
const EXACTLY: &[(&str, &str)] = &[
    ("A1", "UPDATE audit_entry SET at_us = at_us + 1 WHERE trail = 'acme' AND seq = 1"),
    ("A1", "UPDATE audit_entry SET actor_kind = 'gateway' WHERE trail = '' AND seq = 0"),
    ("A1", "UPDATE audit_entry SET prev_hash = zeroblob(32) WHERE trail = '' AND seq = 1"),
    ("A1", "UPDATE audit_entry SET hash = zeroblob(32) WHERE trail = '' AND seq = (SELECT max(seq) FROM audit_entry WHERE trail = '')"),
    ("A3", "UPDATE api_key SET role = 'owner'"),
    ("A3", "UPDATE api_key SET role = 'king'"),
    ("A3", "UPDATE api_key SET name = 'spare'"),
    ("A3", "UPDATE api_key SET prefix = 'sq_live_other'"),
    ("A3", "UPDATE api_key SET expires_us = 9000000000000000"),
    (
        "A3",
        "INSERT INTO api_key SELECT randomblob(16), organization, name, 'sq_live_other', mac, pepper, role, created_us,
           NULL, NULL, NULL FROM api_key",
    ),
    ("A4", "UPDATE api_key SET revoked_us = NULL"),
    ("A4", "UPDATE api_key SET revoked_us = revoked_us + 1"),
    // What comes last in a trail leaves no gap behind.
    ("A5", "DELETE FROM audit_entry WHERE trail = 'acme' AND seq = (SELECT max(seq) FROM audit_entry WHERE trail = 'acme')"),
    ("A6", "UPDATE organization SET name = 'Acne'"),
    ("A7", "DELETE FROM tool"),
    ("A7", "UPDATE tool SET agent = 'stranger'"),
    (
        "A7",
        "CREATE TEMP TABLE copy AS SELECT * FROM tool; UPDATE copy SET agent = 'stranger'; INSERT INTO tool SELECT * FROM copy",
    ),
    ("A7", "UPDATE tool SET enabled = 1 - enabled"),
    ("A7", "UPDATE tool SET model = 'acme/other'"),
    ("A7", "UPDATE tool SET model = NULL"),
    ("A7", "UPDATE tool SET default_aspect_ratio = '2:3'"),
    ("A7", "UPDATE tool SET default_resolution = '4K'"),
    ("A7", "UPDATE tool SET default_resolution = '9K'"),
    ("A7", "UPDATE tool SET max_resolution = '512'"),
    ("A7", "UPDATE tool SET allowed_aspect_ratios = '1:1'"),
    ("A7", "UPDATE tool SET quality = 'low'"),
    ("A7", "UPDATE tool SET max_images_per_call = max_images_per_call + 1"),
    ("A7", "UPDATE tool SET daily_image_limit = daily_image_limit + 1"),
    ("A7", "UPDATE tool SET monthly_credit_limit_cc = 1"),
    ("A7", "UPDATE tool SET allow_reference_images = 1 - allow_reference_images"),
    // Its end is beyond what the trail holds word for word.
    ("A7", "UPDATE tool SET when_to_use = when_to_use || 'x'"),
    ("A8", "DELETE FROM model_off"),
    ("A8", "UPDATE model_off SET model = 'acme/other'"),
    ("A8", "INSERT INTO model_off VALUES ('acme', 'acme/other')"),
    ("A9", "UPDATE openrouter_key SET masked = '…beef'"),
    ("A9", "UPDATE openrouter_key SET fingerprint = 'fedcba9876543210'"),
    ("A9", "UPDATE openrouter_key SET refusals = 0"),
    ("A9", "UPDATE openrouter_key SET id = zeroblob(16)"),
    ("A9", "UPDATE openrouter_key SET ended_us = created_us, kek = NULL, wrapped = NULL, sealed = NULL"),
    ("A9", "DELETE FROM openrouter_key"),
    (
        "A9",
        "CREATE TEMP TABLE copy AS SELECT * FROM openrouter_key; UPDATE copy SET id = zeroblob(16), ended_us = created_us,
           kek = NULL, wrapped = NULL, sealed = NULL; INSERT INTO openrouter_key SELECT * FROM copy",
    ),
    ("A10", "DELETE FROM price_change WHERE model = 'acme/sure'"),
    ("A10", "UPDATE price_change SET flagged = 0"),
    ("A10", "UPDATE price_change SET before = '2'"),
    ("A10", "UPDATE price_change SET after = '99'"),
    ("A10", "UPDATE price_change SET price = '2K'"),
    ("A10", "UPDATE price_change SET model = 'acme/gone' WHERE model = 'acme/sure'"),
    ("A10", "UPDATE price_change SET at_us = at_us + 1"),
    ("A10", "INSERT INTO price_change SELECT at_us + 1, model, price, before, after, flagged FROM price_change LIMIT 1"),
    ("A10", "INSERT INTO price_change SELECT at_us, model, '2K', before, after, flagged FROM price_change LIMIT 1"),
    ("A10", "UPDATE model SET withdrawn_us = 5 WHERE slug = 'acme/gone'"),
    ("A10", "UPDATE model SET withdrawn_us = NULL"),
    ("A10", "UPDATE model SET withdrawn_us = price_changed_us WHERE slug = 'acme/sure'"),
    ("A10", "UPDATE model SET price_changed_us = 5 WHERE slug = 'acme/gone'"),
    ("A10", "INSERT INTO model SELECT 'acme/other', listed, NULL, NULL, NULL, NULL FROM model LIMIT 1"),
    ("A10", "DELETE FROM model WHERE slug = 'acme/sure'"),
    // As ConfirmPrice would have, and did not.
    ("A10", "UPDATE model SET doubted = NULL, doubted_us = NULL"),
    // As if ConfirmPrice had not, and it did.
    ("A10", "UPDATE model SET doubted = listed, doubted_us = price_changed_us WHERE slug = 'acme/sure'"),
    ("A10", "UPDATE model SET doubted_us = doubted_us - 1"),
    ("A11", "DELETE FROM audit_entry WHERE trail = '' AND seq = (SELECT max(seq) FROM audit_entry WHERE trail = '')"),
    ("A11", "UPDATE pepper SET kek = zeroblob(8)"),
    ("A11", "UPDATE openrouter_key SET kek = zeroblob(8)"),
    ("A11", "UPDATE openrouter_key SET kek = zeroblob(8); UPDATE pepper SET kek = zeroblob(8)"),
];

/// What breaks more than one, each with words of one of the breaks that must be found.
const BREAKS: &[(&str, &str)] = &[
    (
        "A2: there is no audit trail, or one with a gap: the platform",
        "DELETE FROM audit_entry WHERE trail = ''",
    ),
    (
        "A2: there is no audit trail, or one with a gap: the platform",
        "DELETE FROM audit_entry WHERE trail = '' AND seq = 1",
    ),
    (
        "A1: entry 2 of the audit trail does not carry its hash: the platform",
        "DELETE FROM audit_entry WHERE trail = '' AND seq = 1",
    ),
    (
        "A3: an API key is not what its audit trail tells (role)",
        "UPDATE api_key SET role = 'owner'",
    ),
    (
        "A5: a top-up is not what its audit trail tells (credits)",
        "UPDATE ledger SET amount_cc = amount_cc + 1 WHERE kind = 'purchase'",
    ),
    (
        "A6: the platform's audit trail does not tell",
        "INSERT INTO organization VALUES ('ghost', 'Ghost', 0)",
    ),
    (
        "A6: an organization is not what its audit trail tells (name): the platform acme",
        "DELETE FROM organization",
    ),
    (
        "A7: entry 5 of the audit trail does not go on from what a tool was",
        "UPDATE audit_entry SET changes = json_set(changes, '$[0].old', 'other') WHERE trail = 'acme' AND seq = 5",
    ),
    (
        "A9: entry 8 of the audit trail does not go on",
        "UPDATE audit_entry SET changes = json_set(changes, '$[0].old', 'other') WHERE trail = 'acme' AND seq = 8",
    ),
];

fn at(second: i64) -> By {
    By {
        actor: Actor::Gateway,
        at: Timestamp::from_second(second).expect("a time"),
    }
}

fn slug(name: &str) -> Slug {
    Slug::parse(&format!("acme/{name}")).expect("a slug")
}

/// One of everything that the trails tell of. The entries of acme: 4 and 5 a tool, 6 a model that is
/// switched off, 7 its own OpenRouter key, 8 that it is invalid, 9 more credits. The platform's: 1
/// and 3 lists of prices, 2 a price that was confirmed, 4 a replaced key-encryption key.
pub(super) async fn furnish(books: &Books) {
    let (sqlite, acme) = (&books.sqlite, organization("acme"));
    let fresh = Tool::new(
        AgentId::parse("painter").expect("an agent"),
        Timestamp::UNIX_EPOCH,
    );
    let tool = Tool {
        enabled: true,
        model: Some(slug("sure")),
        when_to_use: "when ".repeat(100),
        ..fresh.clone()
    };
    for (before, after) in [(None, fresh.clone()), (Some(fresh), tool)] {
        let saved = sqlite.save_tool(&acme, before, after, operator()).await;
        assert!(saved.expect("saved"));
    }
    let gone = slug("gone");
    let off = sqlite.set_available(&acme, &gone, false, operator());
    assert!(off.await.expect("switched off"));
    own_key(books).await;
    prices(books).await;
    let seal = |sealed: &Sealed| Sealed {
        kek: [9; 8],
        ..sealed.clone()
    };
    let replacing = Replacing {
        old: [1; 8],
        pepper: ([7; 8], seal(&sealed(72))),
        by: operator(),
    };
    let replaced = sqlite.hand_over(replacing, move |_, sealed| {
        Ok::<_, std::io::Error>(seal(sealed))
    });
    replaced.await.expect("replaced");
    assert_eq!(books.buy("acme", 100, "gift").await.ok(), Some(false));
}

fn sealed(bytes: usize) -> Sealed {
    Sealed {
        kek: [1; 8],
        wrapped: vec![1; 72],
        sealed: vec![1; bytes],
    }
}

/// A key that OpenRouter has refused for good.
async fn own_key(books: &Books) {
    let key = OpenRouterKey {
        id: OpenRouterKeyId::from_uuid(Uuid::now_v7()),
        organization: organization("acme"),
        fingerprint: "0123456789abcdef".to_owned(),
        masked: "…c0de".to_owned(),
        sealed: Some(sealed(100)),
        refusals: 0,
        created: Timestamp::UNIX_EPOCH,
        checked: Timestamp::UNIX_EPOCH,
    };
    let id = key.id;
    let set = books.sqlite.set_openrouter_key(key, operator()).await;
    set.expect("set");
    for second in [10, 20] {
        let noted = books
            .sqlite
            .note_openrouter_key(id, KeyNote::Refused, at(second).at);
        noted.await.expect("noted");
    }
}

/// Three models: of one a leap was confirmed, of one a leap is doubted, and one is gone.
async fn prices(books: &Books) {
    let first = ["doubted", "gone", "sure"].map(|name| model(name, None));
    let first = ListUpdate {
        models: first.to_vec(),
        prices: Vec::new(),
        added: 3,
        withdrawn: 0,
    };
    let kept = books.sqlite.keep(first, at(100)).await;
    kept.expect("kept");
    let leap = |name: &str, second: i64| ListUpdate {
        models: vec![model(name, Some(second))],
        prices: vec![PriceChange {
            slug: slug(name),
            at: at(second).at,
            part: PricePart::Picture(Resolution::R1K),
            before: 1.into(),
            after: 100.into(),
            flagged: true,
        }],
        added: 0,
        withdrawn: 0,
    };
    let kept = books.sqlite.keep(leap("sure", 200), at(200)).await;
    kept.expect("kept");
    let confirmed = books
        .sqlite
        .believe(model("sure", Some(200)), operator())
        .await;
    confirmed.expect("confirmed");
    let mut last = leap("doubted", 300);
    last.withdrawn = 1;
    last.models.push(Kept {
        withdrawn: Some(at(300).at),
        ..model("gone", None)
    });
    let kept = books.sqlite.keep(last, at(300)).await;
    kept.expect("kept");
}

/// A model whose price leapt then, if it did.
fn model(name: &str, leapt: Option<i64>) -> Kept {
    let listed = Listed {
        slug: slug(name),
        name: name.to_owned(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        context_tokens: None,
        prices: ListedPrices::default(),
        last_good: ListedPrices::default(),
        offer: None,
    };
    let leapt = leapt.map(|second| at(second).at);
    Kept {
        withdrawn: None,
        price_changed: leapt,
        caution: leapt.map(|since| Caution {
            before: listed.clone(),
            since,
        }),
        listed,
    }
}

#[tokio::test]
async fn whatever_differs_from_the_trails_is_found_by_its_question_and_by_no_other() {
    exactly(EXACTLY).await;
}

#[tokio::test]
async fn what_breaks_a_trail_in_more_than_one_way_is_found_in_each() {
    let mut missed = Vec::new();
    for (expected, sql) in BREAKS {
        let breaks = found(sql).await;
        if !breaks.iter().any(|text| text.starts_with(*expected)) {
            missed.push((expected, sql, breaks));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[tokio::test]
async fn every_question_about_the_trails_is_tried() {
    let books = Books::open(0).await;
    let mut asked = BTreeSet::new();
    let inspector = Inspector::of_folder(books.dir.path()).expect("the books");
    let audited = inspector.audit(PictureCheck::Size, |progress| {
        if let AuditProgress::Answer(finding) = progress {
            asked.insert(finding.name);
        }
    });
    audited.expect("an audit");
    asked.retain(|name| name.starts_with('A'));
    let tried = EXACTLY.iter().map(|(name, _)| *name);
    // A gap that is nothing else has its own test.
    let tried: BTreeSet<&str> = tried.chain(["A2"]).collect();
    assert_eq!(asked, tried);
}
