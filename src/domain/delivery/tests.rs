use super::*;
use crate::domain::catalog::Catalog;
use crate::domain::generation::MediaType;
use crate::domain::ids::Slug;
use crate::domain::job::{SentShape, estimate};
use crate::domain::pricing::Question;
use crate::domain::shape::{AspectRatio, Resolution};

fn job(slug: &str, requested: u32) -> Job {
    let slug = Slug::parse(slug).expect("a slug");
    let model = Catalog::built_in().find(&slug).expect("a model").clone();
    let question = Question {
        count: requested,
        ..Question::one(Resolution::R1K)
    };
    let estimate = estimate(&model, &question).expect("an estimate");
    Job {
        model,
        aspect_ratio: AspectRatio::SQUARE,
        resolution: Resolution::R1K,
        requested,
        calls: vec![requested],
        sent: SentShape {
            aspect_ratio: Some(AspectRatio::SQUARE),
            ..SentShape::default()
        },
        quality: None,
        output_format: None,
        background: None,
        seed: None,
        adjustments: Vec::new(),
        question,
        hold: estimate.bounds.high,
        estimate,
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

fn told(usd: &str) -> CallCost {
    let cost = UsdCost::from_json(usd).expect("a cost");
    CallCost {
        known: Some((cost, CostSource::Usage)),
        ..CallCost::default()
    }
}

const SEEDREAM: &str = "bytedance-seed/seedream-4.5";
const K1: (u32, u32) = (1024, 1024);

fn charged(requested: u32, delivered: usize, calls: &[CallCost]) -> Charge {
    verdict(
        &job(SEEDREAM, requested),
        KeyMode::Platform,
        &images(&vec![K1; delivered]),
        calls,
    )
    .charge
}

#[test]
fn costs_of_all_calls_are_summed_and_rounded_once() {
    let charge = charged(3, 3, &[told("0.0051601"), told("0.00516"), told("0.00516")]);
    assert_eq!(charge.credits.to_string(), "33.97");
    assert_eq!(charge.explanation(), "0.0154801 × 2000 + 3 = 33.97");
}

#[test]
fn fewer_images_are_charged_as_delivered_and_more_as_asked() {
    assert_eq!(charged(4, 3, &[told("0.12")]).credits.to_string(), "243.00");
    assert_eq!(charged(1, 2, &[told("0.08")]).credits.to_string(), "161.00");
}

#[test]
fn a_free_image_still_costs_the_overhead() {
    assert_eq!(charged(1, 1, &[told("0")]).credits.to_string(), "1.00");
}

#[test]
fn a_cost_nobody_told_is_computed_and_marked_so() {
    let unknown = CallCost {
        pixels: vec![PixelSize {
            width: 1024,
            height: 1024,
        }],
        ..CallCost::default()
    };
    let charge = charged(2, 2, &[told("0.04"), unknown]);
    assert_eq!(charge.credits.to_string(), "162.00");
    assert_eq!(charge.cost_source, CostSource::Computed);
}

#[test]
fn an_unbelievable_cost_is_settled_at_the_hold_and_kept_for_reconciliation() {
    let job = job(SEEDREAM, 1);
    let verdict = verdict(&job, KeyMode::Platform, &images(&[K1]), &[told("400")]);
    assert_eq!(verdict.charge.credits, job.hold);
    assert_eq!(verdict.charge.cost_source, CostSource::Estimate);
    assert_eq!(verdict.disputed, UsdCost::from_json("400"));
    // Dear, but within sense: the customer pays what it cost.
    let dear = self::verdict(&job, KeyMode::Platform, &images(&[K1]), &[told("4.99")]);
    assert_eq!(dear.disputed, None);
    assert_eq!(dear.charge.credits.to_string(), "9981.00");
}

#[test]
fn an_own_key_pays_one_credit_per_delivered_image() {
    let verdict = verdict(
        &job(SEEDREAM, 3),
        KeyMode::Organization,
        &images(&[K1; 3]),
        &[told("0.12")],
    );
    assert_eq!(verdict.charge.credits.to_string(), "3.00");
    assert_eq!(verdict.charge.explanation(), "3 × 1 = 3.00");
}

#[test]
fn pictures_of_another_outline_are_reported() {
    let mut job = job("black-forest-labs/flux.2-pro", 1);
    job.aspect_ratio = AspectRatio::whole(16, 9);
    job.sent = SentShape {
        size: Some(job.aspect_ratio.pixels(Resolution::R2K)),
        ..SentShape::default()
    };
    let fields = |sizes: &[(u32, u32)]| {
        let noted = measured_adjustments(&job, &images(sizes));
        noted.into_iter().map(|a| a.field).collect::<Vec<_>>()
    };
    assert_eq!(fields(&[(2720, 1536)]), Vec::<String>::new());
    assert_eq!(fields(&[(1360, 768)]), ["resolution"]);
    assert_eq!(fields(&[K1]), ["aspect_ratio", "resolution"]);
}
