//! Each crossing of a port fails once, before its effect and after it. Then the recovery runs until
//! nothing is open, and the truth is asked: the books agree with themselves, at most one charge, only
//! for pictures that can be read back whole; the same request sent again ends in the same truth.

use futures_util::StreamExt;
use futures_util::stream::iter;
use image_gateway::domain::failure::Reason;
use image_gateway::mock::{Billing, GenerationLookup, ImageScript, Script, UsageScript};
use sha2::{Digest, Sha256};

use crate::helpers::{KLEIN, NANO};
use studio::{Scene, Studio, Told};
use trap::{Crossing, Plan, Side};
use truth::must;

mod books;
mod studio;
mod trap;
mod truth;
mod world;

/// Runs side by side: most of their time they wait for a disk or a clock.
const SIDE_BY_SIDE: usize = 32;

/// A run that never comes to its crossing ends the search; this many crossings are a mistake.
const CROSSINGS_MAX: u64 = 1_000;

/// A place in an answer where its picture has begun and not ended.
const IN_THE_PICTURE: usize = 800;

/// A small picture, as base64: its bytes are few crossings. Noise, so that it does not shrink.
fn picture() -> String {
    const SIDE: u32 = 24;
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, SIDE, SIDE);
    encoder.set_color(png::ColorType::Rgb);
    let noise = |n: u32| Sha256::digest(n.to_be_bytes())[0];
    let pixels: Vec<u8> = (0..SIDE * SIDE * 3).map(noise).collect();
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&pixels).expect("pixels");
    writer.finish().expect("a picture");
    base64_simd::STANDARD.encode_to_string(png)
}

fn scene(name: &'static str, script: Script) -> Scene {
    Scene {
        name,
        model: KLEIN,
        count: 1,
        script: Script {
            image: Some(ImageScript::Base64(picture())),
            ..script
        },
    }
}

fn untold(lookup: GenerationLookup) -> Script {
    Script {
        usage: Some(UsageScript::Omit),
        generation_lookup: Some(lookup),
        ..Script::default()
    }
}

/// One run: a caller asks, something fails, the recovery ends it; then the caller asks again. Tells
/// whether it came to the crossing that was to fail.
async fn run(scene: Scene, plan: Plan) -> Result<bool, String> {
    let studio = Studio::open(scene, plan).await;
    let mut process = studio.process();
    let told = studio.ask(&process).await;
    if studio.trap.is_dead() {
        process = studio.process();
    }
    studio.recover(&process).await;
    let sprung = studio.trap.sprung();
    let springs = sprung.is_some();
    let place = sprung.unwrap_or_else(|| "nothing".to_owned());
    let at = |when: &str, what: String| format!("{place} failed; {when}: {what}");
    let first = studio.check(&told).await;
    first.map_err(|what| at("after the recovery", what))?;
    let ended = studio.generation().await;
    let charged = ended.as_ref().is_some_and(|one| one.charge.is_some());
    studio.trap.disarm();
    let next = studio.process();
    let again = studio.ask(&next).await;
    studio.recover(&next).await;
    let second = studio.check(&again).await;
    second.map_err(|what| at("asked again", what))?;
    let same = match (&told, &again) {
        (Told::Pictures(one, first), Told::Pictures(two, second)) => {
            one.draft.id == two.draft.id && first == second
        }
        (Told::Pictures(..), Told::Failed(_)) => false,
        (Told::Failed(_), _) => !charged || matches!(again, Told::Pictures(..)),
    };
    must(same, "another answer than at first").map_err(|what| at("asked again", what))?;
    studio.mock.stop().await;
    Ok(springs)
}

/// Every crossing of a scene fails, before and after its effect; returns how many there are.
async fn break_every_step(scene: Scene, dies_at: Option<&'static str>) -> u64 {
    let mut broken = Vec::new();
    let plans = (1..CROSSINGS_MAX).flat_map(|n| {
        let sides = [Side::Before, Side::After];
        sides.map(|side| Plan {
            dies_at,
            fails: Some((Crossing::Place(n), side)),
        })
    });
    let runs = iter(plans).map(|plan| run(scene.clone(), plan));
    let mut ends = runs.buffered(SIDE_BY_SIDE);
    let mut crossings = 0;
    while let Some(end) = ends.next().await {
        match end {
            Ok(true) => crossings += 1,
            // It has ended before this crossing, and will before those behind it.
            Ok(false) => break,
            Err(what) => broken.push(what),
        }
    }
    assert!(broken.is_empty(), "{}: {broken:#?}", scene.name);
    crossings
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_one_picture_may_break() {
    let crossings = break_every_step(scene("one picture", Script::default()), None).await;
    assert!(crossings > 30, "{crossings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_four_calls_side_by_side_may_break() {
    let four = Scene {
        model: NANO,
        count: 4,
        ..scene("four calls", Script::default())
    };
    let crossings = break_every_step(four, None).await;
    assert!(crossings > 80, "{crossings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_may_break_where_no_picture_comes() {
    let none = scene("no picture", Script::images(0));
    let crossings = break_every_step(none, None).await;
    assert!(crossings > 20, "{crossings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_may_break_where_the_answer_breaks_off() {
    let (inside, behind) = (IN_THE_PICTURE, picture().len() + 75);
    for (name, cut_at, billing) in [
        ("broken off", inside, Billing::Documented),
        ("broken off and billed", inside, Billing::Always),
        ("broken off behind the picture", behind, Billing::Always),
    ] {
        let cut = Script {
            billing: Some(billing),
            ..Script::cut_at(cut_at)
        };
        let crossings = break_every_step(scene(name, cut), None).await;
        assert!(crossings > 20, "{crossings}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_may_break_where_the_cost_is_looked_up() {
    let soon = untold(GenerationLookup::MissingFirst(1));
    let crossings = break_every_step(scene("cost looked up", soon), None).await;
    assert!(crossings > 30, "{crossings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_may_break_where_the_cost_is_told_late_or_never() {
    for (name, lookup) in [
        ("cost told late", GenerationLookup::MissingFirst(6)),
        ("cost never told", GenerationLookup::Never),
    ] {
        let crossings = break_every_step(scene(name, untold(lookup)), None).await;
        assert!(crossings > 30, "{crossings}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_that_is_told_while_the_books_are_asked_again_is_not_passed_over() {
    // The answer breaks off behind the picture, before it says that it cost less than computed.
    let cheap = Script {
        usage: Some(UsageScript::Cost("0.01".to_owned())),
        billing: Some(Billing::Always),
        generation_lookup: Some(GenerationLookup::MissingFirst(4)),
        ..Script::cut_at(picture().len() + 75)
    };
    let plan = Plan {
        dies_at: None,
        fails: Some((Crossing::Named("store"), Side::After)),
    };
    let studio = Studio::open(scene("cheap", cheap), plan).await;
    let process = studio.process();
    let told = studio.read(&process).await;
    assert!(
        studio.trap.sprung().is_some(),
        "the answer of `store` is lost"
    );
    // OpenRouter tells the cost before the process has found out that its pictures are stored.
    studio.look_at(2, &process).await;
    studio.end(&process).await;
    studio.recover(&process).await;
    studio
        .check(&told)
        .await
        .expect("no more is taken than is due");
    studio.mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_surely_failed_is_put_off_and_one_that_may_stand_is_our_own_fault() {
    for (side, reason) in [
        (Side::Before, Reason::StorageUnavailable),
        (Side::After, Reason::Internal),
    ] {
        let plan = Plan {
            dies_at: None,
            fails: Some((Crossing::Named("hold"), side)),
        };
        let studio = Studio::open(scene("a picture", Script::default()), plan).await;
        let process = studio.process();
        assert_eq!(studio.refusal(&process).await, Some(reason), "{side:?}");
        studio.end(&process).await;
        let stands = studio.generation().await.is_some();
        assert_eq!(stands, side == Side::After, "{side:?}");
        studio.recover(&process).await;
        assert!(studio.mock.requests().is_empty(), "nothing was sent");
        assert_eq!(studio.check(&Told::Failed(None)).await, Ok(()), "{side:?}");
        studio.mock.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_the_recovery_may_break_wherever_the_process_died() {
    let whole = scene("died", Script::default());
    let cut = scene("died in doubt", Script::cut_at(IN_THE_PICTURE));
    let none = scene("died without a picture", Script::images(0));
    let four = Scene {
        model: NANO,
        count: 4,
        ..scene("died among four", Script::default())
    };
    for (scene, place) in [
        (&whole, "dispatch"),
        (&whole, "draw"),
        (&whole, "stream"),
        (&whole, "keep"),
        (&whole, "settle"),
        (&four, "note"),
        (&four, "settle"),
        (&cut, "doubt"),
        (&none, "void"),
    ] {
        let crossings = break_every_step(scene.clone(), Some(place)).await;
        assert!(crossings > 8, "{} at {place}: {crossings}", scene.name);
    }
}
