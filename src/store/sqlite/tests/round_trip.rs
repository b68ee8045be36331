//! What is written reads back: every field of a generation, whatever stands in it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::domain::catalog::Catalog;
use crate::domain::money::own_key_charge;
use crate::domain::pricing::Pricing;
use crate::ports::Which;

/// Any characters at all, NUL and those outside of the first plane included.
fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..12).prop_map(String::from_iter)
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((text(), text()), 0..4)
}

fn at() -> impl Strategy<Value = Timestamp> {
    (0..4_000_000_000_000_000i64)
        .prop_map(|micros| Timestamp::from_microsecond(micros).expect("a time"))
}

fn credits() -> impl Strategy<Value = Credits> {
    (1..1_000_000i64).prop_map(Credits::from_hundredths)
}

fn pico() -> impl Strategy<Value = UsdCost> {
    (0..=1_000_000_000_000_000_000i64).prop_map(|pico| UsdCost::from_pico(pico).expect("a cost"))
}

fn adjustments() -> impl Strategy<Value = Vec<Adjustment>> {
    let one =
        (text(), text(), text(), text()).prop_map(|(field, requested, used, reason)| Adjustment {
            field,
            requested,
            used,
            reason,
        });
    vec(one, 0..3)
}

fn context() -> impl Strategy<Value = Context> {
    let words = (select(Channel::ALL), select(Origin::ALL));
    (text(), text(), text(), words, pairs()).prop_map(
        |(conversation_id, message_id, user_id, (channel, origin), metadata)| Context {
            conversation_id,
            message_id,
            user_id,
            channel,
            origin,
            metadata,
        },
    )
}

fn a_draft() -> impl Strategy<Value = Draft> {
    let texts = (text(), text(), text(), context(), adjustments());
    let shape = (
        select(Resolution::ALL.to_vec()),
        select(vec!["1:1", "16:9", "2.35:1", "9:19.5"]),
        1..=10u32,
        select(KeyMode::ALL),
    );
    let money = (credits(), credits(), credits(), credits());
    let times = (at(), 1..1_000_000_000i64);
    let sources = vec((any::<[u8; 16]>(), 0..10u32), 0..3);
    let fixed = (sources, any::<[u8; 32]>(), prices(), sent());
    (texts, shape, money, times, fixed).prop_map(
        |(texts, shape, money, (created, patience), (sources, fingerprint, pricing, sent))| Draft {
            pricing,
            sent,
            question: Question {
                quality: Some(Quality::Low),
                count: shape.2,
                references: 3,
                reference_megapixels: 4,
                prompt_bytes: 5,
                ..Question::one(shape.0)
            },
            fingerprint,
            model_name: texts.0,
            prompt: texts.1,
            price_basis: texts.2,
            context: texts.3,
            adjustments: texts.4,
            resolution: shape.0,
            aspect_ratio: AspectRatio::parse(shape.1).expect("a ratio"),
            requested: shape.2,
            key_mode: shape.3,
            bounds: Bounds {
                low: money.0,
                expected: money.1,
                high: money.2,
            },
            hold: money.3,
            created,
            deadline: created + SignedDuration::from_micros(patience),
            sources: sources
                .into_iter()
                .map(|(id, index)| SourceImage {
                    generation: GenerationId::from_uuid(Uuid::from_bytes(id)),
                    index,
                })
                .collect(),
            ..draft("random", 1)
        },
    )
}

/// Prices of every kind there is.
fn prices() -> impl Strategy<Value = Option<Pricing>> {
    let catalog = Catalog::built_in();
    let models = catalog.models().iter();
    let known: Vec<_> = models.map(|model| model.pricing.clone()).collect();
    select(known)
}

fn sent() -> impl Strategy<Value = SentShape> {
    select(vec![
        SentShape::default(),
        SentShape {
            aspect_ratio: AspectRatio::parse("16:9"),
            resolution: Some(Resolution::R2K),
            size: None,
        },
        SentShape {
            size: Some(PixelSize {
                width: 2048,
                height: 1024,
            }),
            ..SentShape::default()
        },
    ])
}

fn images() -> impl Strategy<Value = Vec<StoredImage>> {
    let kinds = select(vec![MediaType::Png, MediaType::Jpeg, MediaType::Webp]);
    let pixels = (1..=16_384u32, 1..=16_384u32);
    let one = (any::<[u8; 32]>(), 1..=67_108_864u64, pixels, kinds, text()).prop_map(
        |(sha256, size_bytes, (width, height), media_type, object_name)| StoredImage {
            index: 0,
            sha256,
            size_bytes,
            pixels: PixelSize { width, height },
            media_type,
            object_name,
        },
    );
    vec(one, 1..=10).prop_map(|mut images| {
        for (index, image) in (0u32..).zip(&mut images) {
            image.index = index;
            image.object_name = format!("{index}/{}", image.object_name);
        }
        images
    })
}

fn a_settlement() -> impl Strategy<Value = Settlement> {
    let money = (
        pico(),
        select(CostSource::ALL),
        proptest::option::of(pico()),
        proptest::option::of(pico()),
    );
    // Its time may be before the draft's: a clock that was set back must not cost a picture.
    (images(), text(), adjustments(), money, at()).prop_map(
        |(images, text, adjustments, (cost, source, absorbed, disputed), now)| Settlement {
            charge: Charge {
                credits: Credits::ZERO,
                images: u32::try_from(images.len()).expect("few"),
                key_mode: KeyMode::Platform,
                cost,
                cost_source: source,
                refunded: Credits::ZERO,
                corrected: None,
            },
            delivery: Delivery {
                images,
                text,
                adjustments,
                calls: vec![unpaid(absorbed)],
                now,
            },
            disputed,
        },
    )
}

/// A call without a picture that cost this much, or nobody knows what.
fn unpaid(absorbed: Option<UsdCost>) -> CallRecord {
    CallRecord {
        cost: absorbed.map(|cost| (cost, CostSource::Usage)),
        ..CallRecord::default()
    }
}

fn a_voiding() -> impl Strategy<Value = Voiding> {
    let failure = (
        select(Reason::ALL),
        text(),
        pairs(),
        pairs(),
        proptest::option::of(0..1_000_000u64),
    );
    (failure, proptest::option::of(pico()), at()).prop_map(
        |((reason, message, metadata, violations, wait), absorbed, now)| {
            let mut failure = Failure::new(reason, message);
            let owned = |(name, value): (String, String)| (name.into(), value);
            failure.metadata = metadata.into_iter().map(owned).collect();
            failure.violations = violations;
            failure.retry_after = wait.map(std::time::Duration::from_millis);
            Voiding {
                failure,
                calls: vec![unpaid(absorbed)],
                now,
            }
        },
    )
}

/// A generation right after its hold.
pub(super) fn running(draft: Draft) -> Generation {
    Generation {
        attempt: 1,
        stage: Stage::Held,
        images: Vec::new(),
        text: String::new(),
        adjustments: draft.adjustments.clone(),
        charge: None,
        balance_after: None,
        failure: None,
        upstream_ids: Vec::new(),
        finished: None,
        draft,
    }
}

/// What the columns that no generation shows hold: absorbed, then disputed.
fn kept_aside(books: &Books) -> [Option<i64>; 2] {
    let sql = "
      SELECT (SELECT sum(cost_pd) FROM absorption WHERE why = 'no_image'), disputed_pd FROM generation_state";
    let row = books
        .raw()
        .query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?]));
    row.expect("one generation")
}

/// What these calls cost the platform, if anything.
fn billed(draft: &Draft, calls: &[CallRecord]) -> Option<i64> {
    if draft.key_mode == KeyMode::Organization {
        return None;
    }
    let told = calls.iter().filter_map(|call| call.cost);
    let pico: i64 = told.map(|(cost, _)| cost.pico()).sum();
    (pico > 0).then_some(pico)
}

/// Found as expected by id and by request, and again after the database is opened anew.
async fn reads_back(books: &Books, expected: &Generation) {
    let anew = Sqlite::open(books.dir.path()).expect("the same database");
    let acme = organization("acme");
    let request = expected.draft.request_id.clone();
    for sqlite in [&books.sqlite, &anew] {
        for which in [
            Which::Id(expected.draft.id),
            Which::Request(request.clone()),
        ] {
            let found = sqlite.generation(&acme, &which).await.expect("a look");
            assert_eq!(found.as_ref(), Some(expected));
        }
    }
}

async fn settles(draft: Draft, mut settlement: Settlement) {
    let books = Books::open(20_000).await;
    let charge = &mut settlement.charge;
    charge.key_mode = draft.key_mode;
    charge.credits = match draft.key_mode {
        KeyMode::Platform => platform_charge(charge.cost, charge.images),
        KeyMode::Organization => own_key_charge(charge.images),
    };
    let mut expected = running(draft);
    let id = books.held(&expected.draft).await;
    reads_back(&books, &expected).await;
    let sqlite = &books.sqlite;
    sqlite
        .dispatch(id, settlement.delivery.now)
        .await
        .expect("dispatched");
    let left = 2_000_000 - settlement.charge.credits.hundredths();
    expected.stage = Stage::Settled;
    expected.images.clone_from(&settlement.delivery.images);
    expected.text.clone_from(&settlement.delivery.text);
    expected
        .adjustments
        .clone_from(&settlement.delivery.adjustments);
    expected.charge = Some(settlement.charge.clone());
    expected.balance_after = Some(Credits::from_hundredths(left));
    expected.finished = Some(settlement.delivery.now.max(expected.draft.created));
    let absorbed = billed(&expected.draft, &settlement.delivery.calls);
    let aside = [absorbed, settlement.disputed.map(UsdCost::pico)];
    let settled = sqlite.settle(id, settlement).await.expect("settled");
    assert_eq!(settled, expected);
    reads_back(&books, &expected).await;
    assert_eq!(kept_aside(&books), aside);
    books.audited_but_for(is_of_made_up_calls).await;
}

async fn voids(draft: Draft, ending: Voiding) {
    let books = Books::open(20_000).await;
    let mut expected = running(draft);
    let id = books.held(&expected.draft).await;
    expected.stage = Stage::Voided;
    expected.failure = Some(ending.failure.clone());
    expected.finished = Some(ending.now.max(expected.draft.created));
    let absorbed = billed(&expected.draft, &ending.calls);
    let voided = books.sqlite.void(id, ending).await.expect("voided");
    assert_eq!(voided, expected);
    reads_back(&books, &expected).await;
    assert_eq!(kept_aside(&books), [absorbed, None]);
    assert_eq!(books.balance().await, [2_000_000, 0, 0]);
    books.audited_but_for(is_of_made_up_calls).await;
}

fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn every_field_of_a_settled_generation_reads_back(draft in a_draft(), settlement in a_settlement()) {
        run(settles(draft, settlement));
    }

    #[test]
    fn every_field_of_a_voided_generation_reads_back(draft in a_draft(), ending in a_voiding()) {
        run(voids(draft, ending));
    }
}
