//! Price lists are kept as they were told, and what pictures cost is what was settled.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::domain::catalog::{Caution, Kept, PriceChange, PricePart};
use crate::domain::ids::Slug;
use crate::domain::listing::{Listed, ListedPrices, Offer, PriceLine};
use crate::domain::money::own_key_charge;
use crate::domain::recent::{Figures, GENERATIONS, Kind};
use crate::ports::{ChangePlace, ListUpdate, PriceStore};

fn slug(text: &str) -> Slug {
    Slug::parse(text).expect("a slug")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

/// A list that was read by the gateway.
fn read(second: i64) -> By {
    By {
        actor: Actor::Gateway,
        at: at(second),
    }
}

/// What a list has changed whose models are all new.
fn update(models: Vec<Kept>, prices: Vec<PriceChange>) -> ListUpdate {
    ListUpdate {
        added: u32::try_from(models.len()).expect("few"),
        withdrawn: 0,
        models,
        prices,
    }
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(any::<String>(), 0..3)
}

fn listed() -> impl Strategy<Value = Listed> {
    let line =
        any::<[String; 6]>().prop_map(|[provider, billable, unit, variant, usd, last_good]| {
            PriceLine {
                provider,
                billable,
                unit,
                variant,
                usd,
                last_good,
            }
        });
    let lines = proptest::collection::vec(line, 0..3);
    let lists = [texts(), texts(), texts(), texts(), texts()];
    let offer = (lists, any::<(bool, Option<u32>, Option<u32>)>(), lines);
    let offer = offer.prop_map(|(lists, (seed, images_per_call, references), lines)| {
        let [
            aspect_ratios,
            resolutions,
            qualities,
            output_formats,
            backgrounds,
        ] = lists;
        Offer {
            aspect_ratios,
            resolutions,
            qualities,
            output_formats,
            backgrounds,
            seed,
            images_per_call,
            references,
            lines,
        }
    });
    let model = (
        "[a-z]{1,9}/[a-z]{1,9}",
        any::<[String; 7]>(),
        (texts(), texts()),
        any::<Option<u64>>(),
        proptest::option::of(offer),
    );
    model.prop_map(
        |(name, [shown, a, b, c, d, e, f], modalities, tokens, offer)| Listed {
            slug: slug(&name),
            name: shown,
            inputs: modalities.0,
            outputs: modalities.1,
            context_tokens: tokens,
            prices: prices([a, b, c]),
            last_good: prices([d, e, f]),
            offer,
        },
    )
}

fn prices([prompt, completion, image_output]: [String; 3]) -> ListedPrices {
    ListedPrices {
        prompt,
        completion,
        image_output,
    }
}

fn kept() -> impl Strategy<Value = Kept> {
    let time = || proptest::option::of((0i64..2_000_000_000).prop_map(at));
    (
        listed(),
        time(),
        time(),
        proptest::option::of((listed(), 0i64..2_000_000_000)),
    )
        .prop_map(|(listed, withdrawn, price_changed, caution)| Kept {
            caution: caution.map(|(before, since)| Caution {
                before: Listed {
                    slug: listed.slug.clone(),
                    ..before
                },
                since: at(since),
            }),
            listed,
            withdrawn,
            price_changed,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_was_listed_is_kept_to_the_letter(models in proptest::collection::vec(kept(), 0..6)) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let books = Books::open(0).await;
            assert_eq!(books.sqlite.kept().await.expect("a look"), None);
            let mut expected: Vec<Kept> = Vec::new();
            for model in models.iter().rev() {
                if expected.iter().all(|one| one.listed.slug != model.listed.slug) {
                    expected.push(model.clone());
                }
            }
            expected.sort_by(|a, b| a.listed.slug.cmp(&b.listed.slug));
            books.sqlite.keep(update(models, Vec::new()), read(7)).await.expect("kept");
            let Books { sqlite, dir } = books;
            drop(sqlite);
            let again = Sqlite::open(dir.path()).expect("a database");
            let found = again.kept().await.expect("a look").expect("a list");
            assert_eq!((found.models, found.read), (expected, at(7)));
        });
    }
}

fn model(name: &str) -> Kept {
    Kept {
        listed: Listed {
            slug: slug(name),
            name: name.to_owned(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            context_tokens: None,
            prices: ListedPrices::default(),
            last_good: ListedPrices::default(),
            offer: None,
        },
        withdrawn: None,
        price_changed: None,
        caution: None,
    }
}

fn change(name: &str, second: i64) -> PriceChange {
    PriceChange {
        slug: slug(name),
        at: at(second),
        part: PricePart::Picture(Resolution::R1K),
        before: Decimal::new(4, 2),
        after: Decimal::new(second, 28),
        flagged: second % 2 == 0,
    }
}

#[tokio::test]
async fn price_changes_come_the_newest_first_in_pages() {
    let books = Books::open(0).await;
    let changes = [
        change("a/a", 1),
        change("a/b", 1),
        PriceChange {
            part: PricePart::PictureAtMost(Resolution::R4K),
            ..change("a/b", 1)
        },
        change("a/a", 2),
        change("a/a", 3),
    ];
    let models = vec![model("a/a"), model("a/b")];
    let listed = update(models, changes.to_vec());
    let kept = books.sqlite.keep(listed, read(3)).await;
    kept.expect("kept");
    let page = |model: Option<&str>, after: Option<&PriceChange>, limit| {
        let after = after.map(|change| ChangePlace {
            at: change.at,
            slug: change.slug.clone(),
            part: change.part,
        });
        books.sqlite.price_changes(model.map(slug), after, limit)
    };
    let newest_first: Vec<_> = changes.iter().rev().collect();
    let mut seen: Vec<PriceChange> = Vec::new();
    loop {
        let last = seen.last().cloned();
        let one = page(None, last.as_ref(), 1).await.expect("a page");
        if one.is_empty() {
            break;
        }
        seen.extend(one);
    }
    assert_eq!(seen.iter().collect::<Vec<_>>(), newest_first);
    let of_a = page(Some("a/a"), Some(&changes[4]), 9)
        .await
        .expect("a page");
    assert_eq!(of_a, [changes[3].clone(), changes[0].clone()]);
    for sql in [
        "UPDATE price_change SET after = '0'",
        "DELETE FROM price_change",
        "DELETE FROM model",
    ] {
        assert!(books.raw().execute_batch(sql).is_err(), "{sql}");
    }
    // All or nothing: what cannot be kept leaves no trace of what could.
    let twice = vec![change("a/b", 9), change("a/b", 9)];
    let before = books.platform_trail().await;
    let refused = update(vec![model("a/c")], twice);
    let refused = books.sqlite.keep(refused, read(9)).await;
    assert!(refused.is_err());
    let found = books.sqlite.kept().await.expect("a look").expect("a list");
    assert_eq!((found.models.len(), found.read), (2, at(3)));
    assert_eq!(books.platform_trail().await, before);
}

/// Draws one picture for so much.
async fn settled(books: &Books, draft: &Draft, pico: i64) -> GenerationId {
    let id = books.held(draft).await;
    books
        .sqlite
        .dispatch(id, Timestamp::UNIX_EPOCH)
        .await
        .expect("dispatched");
    let cost = UsdCost::from_pico(pico).expect("a cost").to_string();
    let mut settlement = settlement(id, &cost);
    if draft.key_mode == KeyMode::Organization {
        settlement.charge.key_mode = KeyMode::Organization;
        settlement.charge.credits = own_key_charge(1);
    }
    let settled = books.sqlite.settle(id, settlement).await;
    settled.expect("settled");
    id
}

#[tokio::test]
async fn what_pictures_cost_lately_is_what_was_settled_last() {
    let books = Books::open(100_000).await;
    let count = i64::from(GENERATIONS) + 10;
    let mut costs = Vec::new();
    for n in 0..count {
        let pico = 1_000_000_000 * (n + 1);
        settled(&books, &draft(&format!("r{n}"), 9000), pico).await;
        costs.push((UsdCost::from_pico(pico).expect("a cost"), 1));
    }
    let own = Draft {
        key_mode: KeyMode::Organization,
        ..draft("own", 9000)
    };
    let mut from_another = draft("references", 9000);
    from_another.question.references = 1;
    for beside in [own, from_another] {
        settled(&books, &beside, 4_000_000_000_000).await;
    }
    let found = books.sqlite.figures().await.expect("a look");
    let kind = Kind {
        model: draft("x", 1).model,
        resolution: draft("x", 1).resolution,
        quality: draft("x", 1).question.quality,
    };
    // All ended at the same instant: the newest are those with the greatest ids, made last.
    let newest = &costs[10..];
    assert_eq!(found, [(kind, Figures::of(newest).expect("figures"))]);
    let plan = "EXPLAIN QUERY PLAN SELECT cost_pd, images FROM actual
                 WHERE model = 'a' AND resolution = 'b' AND quality = 'c'
                 ORDER BY finished_us DESC, generation DESC LIMIT 200";
    let plan: String = books
        .raw()
        .query_row(plan, [], |row| row.get(3))
        .expect("a plan");
    assert!(
        plan.starts_with("SEARCH actual USING PRIMARY KEY"),
        "{plan}"
    );
    assert!(books.raw().execute_batch("DELETE FROM actual").is_err());
    books.audited().await;
}
