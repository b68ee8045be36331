use super::*;
use crate::domain::failure::Reason;
use crate::domain::generation::{Context, Origin};
use crate::domain::ids::AgentId;
use crate::domain::ids::Slug;
use crate::domain::shape::PixelSize;
use jiff::Timestamp;

fn request() -> ImageRequest {
    let agent = AgentId::parse("painter").expect("an agent");
    ImageRequest {
        prompt: "a red fox".into(),
        ..ImageRequest::bare(agent).expect("a request")
    }
}

fn tool(model: &str) -> Tool {
    let agent = AgentId::parse("painter").expect("an agent");
    Tool {
        enabled: true,
        model: Slug::parse(model).ok(),
        max_resolution: Resolution::R4K,
        max_images_per_call: 4,
        allow_reference_images: true,
        ..Tool::new(agent, Timestamp::UNIX_EPOCH)
    }
}

fn plan(model: &str, request: &ImageRequest) -> Result<Job, Failure> {
    let catalog = Catalog::built_in();
    let tool = tool(model);
    Job::plan(
        request,
        &tool,
        usable_model(&tool, &catalog, true)?,
        &PriceList::built_in(),
    )
}

const KLEIN: &str = "black-forest-labs/flux.2-klein-4b";
const GPT: &str = "openai/gpt-5-image";
const NANO: &str = "google/gemini-3.1-flash-image-preview";

fn ratio(text: &str) -> Option<AspectRatio> {
    AspectRatio::parse(text)
}

fn notes(job: &Job) -> Vec<(String, String, String)> {
    let note = |a: &Adjustment| (a.field.clone(), a.requested.clone(), a.used.clone());
    job.adjustments.iter().map(note).collect()
}

#[test]
fn what_the_model_lacks_is_bent_to_the_nearest_that_is_no_dearer() {
    let wide = ImageRequest {
        aspect_ratio: ratio("16:9"),
        resolution: Some(Resolution::R4K),
        ..request()
    };
    let job = plan(GPT, &wide).expect("a job");
    let expected = [("resolution", "4K", "1K"), ("aspect_ratio", "16:9", "3:2")];
    let expected = expected.map(|(f, r, u)| (f.to_owned(), r.to_owned(), u.to_owned()));
    assert_eq!(notes(&job), expected);
    assert_eq!(
        job.sent,
        SentShape {
            aspect_ratio: ratio("3:2"),
            ..SentShape::default()
        }
    );
}

#[test]
fn a_smaller_picture_than_the_model_has_is_refused_rather_than_made_dearer() {
    let small = ImageRequest {
        resolution: Some(Resolution::R512),
        ..request()
    };
    let failure = plan(KLEIN, &small).expect_err("too small");
    assert_eq!(failure.reason, Reason::InvalidRequest);
    assert!(plan(NANO, &small).expect("a job").adjustments.is_empty());
}

#[test]
fn flux_is_asked_in_pixels_above_1k_and_in_shape_at_1k() {
    let wide = ImageRequest {
        aspect_ratio: ratio("16:9"),
        ..request()
    };
    let job = plan(KLEIN, &wide).expect("a job");
    assert_eq!(
        job.sent,
        SentShape {
            aspect_ratio: ratio("16:9"),
            ..SentShape::default()
        }
    );
    let large = ImageRequest {
        resolution: Some(Resolution::R2K),
        ..wide
    };
    let size = PixelSize {
        width: 2720,
        height: 1536,
    };
    let job = plan(KLEIN, &large).expect("a job");
    assert_eq!(
        job.sent,
        SentShape {
            size: Some(size),
            ..SentShape::default()
        }
    );
}

#[test]
fn a_model_that_makes_one_image_per_call_gets_one_call_per_image() {
    let four = ImageRequest {
        count: 4,
        ..request()
    };
    assert_eq!(plan(NANO, &four).expect("a job").calls, [1, 1, 1, 1]);
    assert_eq!(
        plan("bytedance-seed/seedream-4.5", &four)
            .expect("a job")
            .calls,
        [4]
    );
    assert_eq!(split(7, 3), [3, 3, 1]);
}

#[test]
fn strict_refuses_what_would_be_adjusted() {
    let strict = ImageRequest {
        seed: Some(7),
        strict: true,
        ..request()
    };
    let failure = plan(GPT, &strict).expect_err("no seed");
    assert_eq!(failure.violations[0].0, "seed");
    assert!(plan(KLEIN, &strict).is_ok());
}

#[test]
fn amounts_over_the_tool_or_the_model_are_refused() {
    let five = ImageRequest {
        count: 5,
        ..request()
    };
    assert_eq!(
        plan(NANO, &five).expect_err("too many").violations[0].0,
        "count"
    );
    let reference = ReferenceFacts {
        sha256: [0; 32],
        pixels: PixelSize {
            width: 1,
            height: 1,
        },
        from: None,
    };
    let many = ImageRequest {
        references: vec![reference; 5],
        ..request()
    };
    let failure = plan(KLEIN, &many).expect_err("too many references");
    assert_eq!(failure.reason, Reason::ReferenceImageInvalid);
    assert_eq!(failure.violations[0].0, "reference_images[4]");
    assert!(plan(NANO, &many).is_ok());
}

#[test]
fn a_hold_above_what_the_caller_allows_is_refused_with_both_figures() {
    let capped = ImageRequest {
        max_credits: Some(Credits::from_whole(28)),
        ..request()
    };
    let failure = plan(KLEIN, &capped).expect_err("too dear");
    assert_eq!(failure.reason, Reason::MaxCreditsExceeded);
    assert_eq!(failure.metadata[0].1, "29.00");
    let enough = ImageRequest {
        max_credits: Some(Credits::from_whole(29)),
        ..request()
    };
    assert!(plan(KLEIN, &enough).is_ok());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table is read line by line")]
fn the_fingerprint_sees_every_field_but_metadata() {
    let base = request().fingerprint();
    let mut other = request();
    other
        .context
        .metadata
        .push(("k".to_owned(), "v".to_owned()));
    assert_eq!(other.fingerprint(), base);
    let changed = [
        ImageRequest {
            prompt: "a red box".into(),
            ..request()
        },
        ImageRequest {
            aspect_ratio: ratio("16:9"),
            ..request()
        },
        ImageRequest {
            resolution: Some(Resolution::R1K),
            ..request()
        },
        ImageRequest {
            count: 2,
            ..request()
        },
        ImageRequest {
            seed: Some(0),
            ..request()
        },
        ImageRequest {
            output_format: Some(OutputFormat::Png),
            ..request()
        },
        ImageRequest {
            background: Some(Background::Auto),
            ..request()
        },
        ImageRequest {
            max_credits: Some(Credits::ZERO),
            ..request()
        },
        ImageRequest {
            strict: true,
            ..request()
        },
        ImageRequest {
            context: Context {
                user_id: "u".to_owned(),
                ..request().context
            },
            ..request()
        },
        ImageRequest {
            context: Context {
                message_id: "u".to_owned(),
                ..request().context
            },
            ..request()
        },
        ImageRequest {
            context: Context {
                origin: Origin::Test,
                ..request().context
            },
            ..request()
        },
    ];
    let mut seen = vec![base];
    for request in changed {
        let fingerprint = request.fingerprint();
        assert!(!seen.contains(&fingerprint), "{request:?}");
        seen.push(fingerprint);
    }
}

#[test]
fn a_tool_that_cannot_draw_says_why() {
    let catalog = Catalog::built_in();
    let reason = |tool: &Tool, available| {
        usable_model(tool, &catalog, available)
            .expect_err("refused")
            .reason
    };
    let off = Tool {
        enabled: false,
        ..tool(KLEIN)
    };
    assert_eq!(reason(&off, true), Reason::ToolNotEnabled);
    let empty = Tool {
        model: None,
        ..tool(KLEIN)
    };
    assert_eq!(reason(&empty, true), Reason::ToolNeedsConfiguration);
    assert_eq!(reason(&tool(KLEIN), false), Reason::ModelUnavailable);
    assert_eq!(reason(&tool("acme/gone"), true), Reason::ModelUnavailable);
}

#[test]
fn a_level_of_work_that_the_model_lacks_is_the_next_lower_one_or_left_to_the_model() {
    let levels = [Quality::Auto, Quality::Medium, Quality::High];
    for (wanted, used, noted) in [
        (Quality::High, Some(Quality::High), None),
        (Quality::Max, Some(Quality::High), Some("high")),
        (Quality::Low, None, Some("")),
        (Quality::Auto, Some(Quality::Auto), None),
    ] {
        let catalog = Catalog::built_in();
        let slug = Slug::parse(GPT).expect("a slug");
        let mut model = Model::clone(catalog.find(&slug).expect("listed"));
        model.parameters.qualities = levels.to_vec();
        let tool = Tool {
            quality: Some(wanted),
            ..tool(GPT)
        };
        let model = Arc::new(model);
        let list = PriceList::built_in();
        let job = Job::plan(&request(), &tool, &model, &list).expect("a job");
        assert_eq!((job.quality, job.question.quality), (used, used));
        let told = |used: &str| vec![("quality".into(), wanted.to_string(), used.into())];
        assert_eq!(notes(&job), noted.map(told).unwrap_or_default());
    }
}
