use super::*;
use crate::domain::catalog::Catalog;
use crate::domain::generation::MediaType;
use crate::domain::ids::Slug;
use crate::domain::pricing::Question;
use crate::domain::shape::{AspectRatio, Resolution, SentShape};

fn draft(slug: &str, requested: u32) -> Draft {
    let slug = Slug::parse(slug).expect("a slug");
    let model = Catalog::built_in().find(&slug).expect("a model").clone();
    let question = Question {
        count: requested,
        ..Question::one(Resolution::R1K)
    };
    let estimate = model.estimate_for(&question).expect("an estimate");
    Draft {
        requested,
        sent: SentShape {
            aspect_ratio: Some(AspectRatio::SQUARE),
            ..SentShape::default()
        },
        pricing: model.pricing.clone(),
        question,
        hold: estimate.bounds.high,
        bounds: estimate.bounds,
        ..Draft::sample()
    }
}

fn images(sizes: &[(u32, u32)]) -> Vec<StoredImage> {
    let image = |(index, (width, height)): (u32, &(u32, u32))| StoredImage {
        index,
        sha256: [0; 32],
        size_bytes: 1,
        pixels: PixelSize {
            width: *width,
            height: *height,
        },
        media_type: MediaType::Png,
        object_name: format!("{index}.png"),
    };
    (0..).zip(sizes).map(image).collect()
}

/// A call that brought the picture at `index` for so much.
fn told(index: u32, usd: &str) -> CallRecord {
    let cost = UsdCost::from_json(usd).expect("a cost");
    CallRecord {
        call: index,
        images: vec![index],
        cost: Some((cost, CostSource::Usage)),
        ..CallRecord::default()
    }
}

const SEEDREAM: &str = "bytedance-seed/seedream-4.5";
const K1: (u32, u32) = (1024, 1024);

fn charged(requested: u32, delivered: usize, calls: &[CallRecord]) -> Charge {
    let draft = draft(SEEDREAM, requested);
    verdict(&draft, &images(&vec![K1; delivered]), calls).charge
}

#[test]
fn costs_of_all_calls_are_summed_and_rounded_once() {
    let charge = charged(
        3,
        3,
        &[told(0, "0.0051601"), told(1, "0.00516"), told(2, "0.00516")],
    );
    assert_eq!(charge.credits.to_string(), "33.97");
    assert_eq!(charge.explanation(), "0.0154801 × 2000 + 3 = 33.97");
}

#[test]
fn fewer_images_are_charged_as_delivered_and_more_as_asked() {
    assert_eq!(
        charged(4, 3, &[told(0, "0.12")]).credits.to_string(),
        "243.00"
    );
    assert_eq!(
        charged(1, 2, &[told(0, "0.08")]).credits.to_string(),
        "161.00"
    );
}

#[test]
fn a_free_image_still_costs_the_overhead() {
    assert_eq!(charged(1, 1, &[told(0, "0")]).credits.to_string(), "1.00");
}

#[test]
fn a_cost_nobody_told_is_computed_and_marked_so() {
    let unknown = CallRecord {
        call: 1,
        images: vec![1],
        ..CallRecord::default()
    };
    let charge = charged(2, 2, &[told(0, "0.04"), unknown]);
    assert_eq!(charge.credits.to_string(), "162.00");
    assert_eq!(charge.cost_source, CostSource::Computed);
}

#[test]
fn an_unbelievable_cost_is_settled_at_the_hold_and_kept_for_reconciliation() {
    let draft = draft(SEEDREAM, 1);
    let verdict = verdict(&draft, &images(&[K1]), &[told(0, "400")]);
    assert_eq!(verdict.charge.credits, draft.hold);
    assert_eq!(verdict.charge.cost_source, CostSource::Estimate);
    assert_eq!(verdict.disputed, UsdCost::from_json("400"));
    // Dear, but within sense: the customer pays what it cost.
    let dear = self::verdict(&draft, &images(&[K1]), &[told(0, "4.99")]);
    assert_eq!(dear.disputed, None);
    assert_eq!(dear.charge.credits.to_string(), "9981.00");
}

#[test]
fn an_own_key_pays_one_credit_per_delivered_image() {
    let draft = Draft {
        key_mode: KeyMode::Organization,
        ..draft(SEEDREAM, 3)
    };
    let verdict = verdict(&draft, &images(&[K1; 3]), &[told(0, "0.12")]);
    assert_eq!(verdict.charge.credits.to_string(), "3.00");
    assert_eq!(verdict.charge.explanation(), "3 × 1 = 3.00");
}

#[test]
fn pictures_of_another_outline_are_reported() {
    let mut draft = draft("black-forest-labs/flux.2-pro", 1);
    draft.aspect_ratio = AspectRatio::whole(16, 9);
    draft.sent = SentShape {
        size: Some(draft.aspect_ratio.pixels(Resolution::R2K)),
        ..SentShape::default()
    };
    let fields = |sizes: &[(u32, u32)]| {
        let noted = measured_adjustments(&draft, &images(sizes));
        noted.into_iter().map(|a| a.field).collect::<Vec<_>>()
    };
    assert_eq!(fields(&[(2720, 1536)]), Vec::<String>::new());
    assert_eq!(fields(&[(1360, 768)]), ["resolution"]);
    assert_eq!(fields(&[K1]), ["aspect_ratio", "resolution"]);
}

#[test]
fn a_lower_cost_told_later_comes_back_and_a_higher_one_is_borne() {
    let unknown = CallRecord {
        images: vec![0],
        ..CallRecord::default()
    };
    let charge = charged(1, 1, &[unknown]);
    assert_eq!(charge.credits.to_string(), "81.00");
    let usd = |text: &str| UsdCost::from_json(text).expect("a cost");
    let now = |text: &str| {
        let draft = draft(SEEDREAM, 1);
        correction(&charge, &verdict(&draft, &images(&[K1]), &[told(0, text)]))
    };
    let lower = now("0.03");
    assert_eq!(lower.refund.to_string(), "20.00");
    assert_eq!((lower.cost, lower.absorbed), (usd("0.03"), UsdCost::ZERO));
    let higher = now("0.05");
    assert_eq!(higher.refund, Credits::ZERO);
    assert_eq!((higher.cost, higher.absorbed), (usd("0.04"), usd("0.01")));
    let unbelievable = now("400");
    assert_eq!(unbelievable.refund, Credits::ZERO);
    assert_eq!(unbelievable.absorbed, UsdCost::ZERO);
}

#[test]
fn what_was_billed_without_a_picture_is_absorbed() {
    let platform = KeyMode::Platform;
    let mut call = told(0, "0.04");
    assert_eq!(absorbed(platform, &call), None);
    call.images.clear();
    assert_eq!(absorbed(platform, &call), UsdCost::from_json("0.04"));
    assert_eq!(absorbed(platform, &CallRecord::default()), None);
}

#[test]
fn what_an_organizations_own_key_is_billed_is_told_and_never_paid_here() {
    let own_key = Draft {
        key_mode: KeyMode::Organization,
        ..draft(SEEDREAM, 1)
    };
    let settle = |usd| verdict(&own_key, &images(&[K1]), &[told(0, usd)]);
    let (charge, later) = (settle("0.04").charge, settle("400"));
    assert_eq!(later.disputed, None);
    let told_later = correction(&charge, &later);
    assert_eq!(told_later.cost, UsdCost::from_json("400").expect("a cost"));
    assert_eq!((told_later.refund, told_later.absorbed), Default::default());
    let mut lost = told(0, "0.04");
    lost.images.clear();
    assert_eq!(absorbed(KeyMode::Organization, &lost), None);
}
