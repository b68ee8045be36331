//! From one list to the next.

use jiff::{SignedDuration, ToSpan};

use super::reading::{by_chat, listed};
use super::*;
use crate::domain::listing::{Listed, ListedPrices, Offer};

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_795_000_000).expect("a time")
}

pub(super) fn one(slug: &str, usd: &'static str) -> Listed {
    listed(slug, &[("output_image", "image", "", usd)])
}

/// Four models; "a" costs so much.
pub(super) fn four(usd: &'static str) -> Vec<Listed> {
    let rest = ["somebody/b", "somebody/c", "somebody/d"];
    let mut all = vec![one("somebody/a", usd)];
    all.extend(rest.map(|slug| one(slug, "0.04")));
    all
}

fn begun() -> Vec<Kept> {
    renew(&[], four("0.04"), now()).expect("a list").kept
}

pub(super) fn a(kept: &[Kept]) -> &Kept {
    let found = kept
        .iter()
        .find(|kept| kept.listed.slug.as_str() == "somebody/a");
    found.expect("never gone")
}

/// What a picture of "a" would hold.
pub(super) fn held(kept: &[Kept], at: Timestamp) -> String {
    let catalog = Catalog::synced(kept, at, at);
    let model = catalog.find(&Slug::parse("somebody/a").expect("a slug"));
    let estimate = model.expect("never gone").estimate().expect("priced");
    estimate.bounds.high.to_string()
}

#[test]
fn the_same_list_again_changes_nothing() {
    let kept = begun();
    let again = renew(&kept, four("0.04"), now() + 1.hour()).expect("a list");
    assert_eq!((again.changed.len(), again.prices.len()), (0, 0));
    assert_eq!((again.added, again.withdrawn), (0, 0));
    assert_eq!(again.kept, kept);
}

#[test]
fn a_model_that_is_gone_is_withdrawn_and_comes_back() {
    let kept = begun();
    let gone = renew(&kept, four("0.04").split_off(1), now() + 1.hour()).expect("a list");
    assert_eq!((gone.withdrawn, gone.changed.len()), (1, 1));
    assert_eq!(a(&gone.kept).withdrawn, Some(now() + 1.hour()));
    let model = Catalog::synced(&gone.kept, now(), now());
    let slug = Slug::parse("somebody/a").expect("a slug");
    let usability = model.find(&slug).expect("kept").usability(true);
    assert_eq!(usability, Usability::Withdrawn);
    let still = renew(&gone.kept, four("0.04").split_off(1), now() + 2.hours()).expect("a list");
    assert_eq!((still.withdrawn, still.changed.len()), (0, 0));
    let back = renew(&still.kept, four("0.04"), now() + 3.hours()).expect("a list");
    assert_eq!((back.added, a(&back.kept).withdrawn), (1, None));
}

#[test]
fn a_price_that_moves_is_noted_with_its_time() {
    let later = now() + 1.hour();
    let moved = renew(&begun(), four("0.05"), later).expect("a list");
    let change = PriceChange {
        slug: Slug::parse("somebody/a").expect("a slug"),
        at: later,
        part: PricePart::Picture(Resolution::R1K),
        before: Decimal::new(4, 2),
        after: Decimal::new(5, 2),
        flagged: false,
    };
    assert_eq!(moved.prices, [change]);
    assert_eq!(a(&moved.kept).price_changed, Some(later));
    assert_eq!(a(&moved.kept).caution, None);
    assert_eq!(held(&moved.kept, later), "101.00");
}

#[test]
fn a_price_that_leaps_or_goes_through_zero_is_doubted_for_a_day() {
    for (usd, dearer) in [("0.41", "821.00"), ("0.0039", "81.00"), ("0", "81.00")] {
        let later = now() + 1.hour();
        let leapt = renew(&begun(), four(usd), later).expect("a list");
        assert!(leapt.prices[0].flagged, "{usd}");
        assert_eq!(
            held(&leapt.kept, later),
            dearer,
            "the dearer of old and new"
        );
        // It stands through the syncs of a day, and is believed after it.
        let (mut kept, mut at) = (leapt.kept, later);
        while at < later + CAUTION {
            assert_eq!(held(&kept, at), dearer);
            at += SignedDuration::from_mins(90);
            kept = renew(&kept, four(usd), at).expect("a list").kept;
        }
        assert_eq!(a(&kept).caution, None);
        let believed = renew(&[], four(usd), now()).expect("a list").kept;
        assert_eq!(held(&kept, at), held(&believed, at), "{usd}");
    }
    for believable in ["0.4", "0.004"] {
        let moved = renew(&begun(), four(believable), now()).expect("a list");
        assert!(!moved.prices[0].flagged, "{believable}");
    }
}

#[test]
fn a_doubted_price_that_comes_back_is_compared_with_the_one_before() {
    let leapt = renew(&begun(), four("4"), now() + 1.hour()).expect("a list");
    let back = renew(&leapt.kept, four("0.05"), now() + 2.hours()).expect("a list");
    assert!(!back.prices[0].flagged, "0.04 to 0.05 is believable");
    assert_eq!(a(&back.kept).caution, None);
    let on = renew(&leapt.kept, four("8"), now() + 2.hours()).expect("a list");
    assert!(on.prices[0].flagged, "0.04 to 8 is not");
    let caution = a(&on.kept).caution.as_ref().expect("doubted");
    assert_eq!(caution.since, now() + 2.hours());
    assert_eq!(caution.before, one("somebody/a", "0.04"));
}

#[test]
fn a_price_that_cannot_be_read_leaves_the_last_good_one() {
    for usd in ["", "-1", "soon", "1e9", "NaN"] {
        let odd = renew(&begun(), four(usd), now() + 1.hour()).expect("a list");
        assert_eq!(odd.prices, []);
        assert_eq!(held(&odd.kept, now()), "81.00", "{usd:?}");
    }
}

#[test]
fn a_list_that_cannot_be_true_changes_nothing() {
    let kept = begun();
    let absurd = |listing| renew(&kept, listing, now()).expect_err("absurd");
    assert_eq!(absurd(Vec::new()), Absurd::Empty);
    let unpriced = four("0.04")
        .into_iter()
        .map(|listed| one(listed.slug.as_str(), "soon"));
    assert_eq!(absurd(unpriced.collect()), Absurd::Empty);
    for gone in [2, 3] {
        let left = four("0.04").split_off(gone);
        assert_eq!(absurd(left), Absurd::HalfGone { gone, known: 4 });
    }
    let free = four("0.04")
        .into_iter()
        .map(|listed| one(listed.slug.as_str(), "0"));
    assert_eq!(
        absurd(free.collect()),
        Absurd::HalfUnpriced { odd: 4, known: 4 }
    );
    let with = |change: fn(&mut Listed)| {
        let mut all = four("0.04");
        all.iter_mut().take(2).for_each(change);
        for listed in &mut all {
            listed.prices.image_output = "0.00003".to_owned();
        }
        all
    };
    let unoffered = with(|listed| listed.offer = None);
    assert_eq!(
        absurd(unoffered),
        Absurd::HalfUnoffered { gone: 2, known: 4 }
    );
    let unlined = with(|listed| listed.offer = Some(Offer::default()));
    assert_eq!(absurd(unlined), Absurd::HalfUnlined { gone: 2, known: 4 });
    let rest = four("0.04").split_off(1);
    assert_eq!(renew(&kept, rest, now()).expect("a list").withdrawn, 1);
}

#[test]
fn a_model_that_is_listed_twice_is_read_as_the_last_word() {
    let mut twice = four("0.04");
    twice.push(one("somebody/a", "0.05"));
    let begun = renew(&[], twice, now()).expect("a list");
    assert_eq!((begun.kept.len(), begun.added), (4, 4));
    assert_eq!(held(&begun.kept, now()), "101.00");
}

#[test]
fn models_of_the_published_page_that_are_not_listed_are_withdrawn() {
    let catalog = Catalog::synced(&begun(), now(), now());
    assert_eq!(catalog.models().len(), 4 + 12);
    let withdrawn = catalog.models().iter().filter(|model| model.withdrawn);
    assert_eq!(withdrawn.count(), 12);
    assert!(catalog.synced);
}

/// The twelve models as a server lists them that has no image endpoints.
fn twelve_by_chat() -> Vec<Listed> {
    let page = Catalog::built_in();
    let models = page.models().iter();
    // 60 USD a million: a price of tokens for every model.
    let chat = models.map(|model| by_chat(model.slug.as_str(), "0.000003", "0.00006"));
    chat.collect()
}

#[test]
fn a_first_list_without_any_image_endpoints_is_one_of_chat_alone() {
    let first = renew(&[], twelve_by_chat(), now()).expect("a list");
    let catalog = Catalog::synced(&first.kept, now(), now());
    assert_eq!(catalog.models().len(), 12);
    for model in catalog.models() {
        assert_eq!(model.door, Door::Chat, "{}", model.slug);
        assert_eq!(model.usability(true), Usability::Usable, "{}", model.slug);
    }
    // It stays what it is, and gets its endpoints when there are some.
    let again = renew(&first.kept, twelve_by_chat(), now()).expect("a list");
    assert_eq!(again.changed.len(), 0);
    let mut opened = twelve_by_chat();
    opened[0].offer = Some(Offer::default());
    let opened = renew(&first.kept, opened, now()).expect("a list");
    assert_eq!(opened.changed.len(), 1);
}

#[test]
fn a_model_of_chat_alone_without_a_price_gets_none_from_the_page() {
    let mut listing = twelve_by_chat();
    for listed in listing.iter_mut().take(5) {
        listed.prices = ListedPrices::default();
    }
    let silent = listing[0].slug.clone();
    let first = renew(&[], listing.clone(), now()).expect("a list");
    let catalog = Catalog::synced(&first.kept, now(), now());
    let model = catalog.find(&silent).expect("listed");
    assert_eq!(model.door, Door::Chat);
    assert_eq!(model.usability(true), Usability::Unpriced);
    // Half without a price is no list, by chat either.
    listing[5].prices = ListedPrices::default();
    let refused = renew(&[], listing, now()).expect_err("absurd");
    assert_eq!(refused, Absurd::HalfUnpriced { odd: 6, known: 12 });
}

#[test]
fn a_first_list_that_has_image_endpoints_for_a_few_is_refused() {
    let mut listing = twelve_by_chat();
    for listed in listing.iter_mut().take(6) {
        listed.offer = Some(Offer::default());
    }
    let refused = renew(&[], listing, now()).expect_err("absurd");
    assert_eq!(refused, Absurd::HalfUnoffered { gone: 6, known: 12 });
}

#[test]
fn a_price_by_chat_that_is_far_from_the_pages_is_doubted() {
    let klein = Slug::parse("black-forest-labs/flux.2-klein-4b").expect("a slug");
    let doubted = |image_output: &str| {
        let mut listing = twelve_by_chat();
        let mut found = listing.iter_mut();
        let listed = found.find(|listed| listed.slug == klein).expect("listed");
        listed.prices.image_output = image_output.to_owned();
        let first = renew(&[], listing, now()).expect("a list");
        let kept = first.kept.into_iter().find(|one| one.listed.slug == klein);
        kept.expect("listed").caution.is_some()
    };
    // Times 4096, a megapixel: 0.014 USD as on the page, and 0.20 USD.
    assert!(!doubted("0.00000341796875"));
    assert!(doubted("0.000048828125"));
}
