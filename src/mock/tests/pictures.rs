//! The drawing, its sizes and what is kept of it.

use base64_simd::STANDARD;

use super::decoded_size;
use crate::mock::draw::Motif;
use crate::mock::render::Easel;
use crate::mock::size::{ASPECT_RATIOS, Pixels, clamp_shape};

fn motif(prompt: &str, width: u32, height: u32) -> Motif {
    Motif::new("example/model", prompt, Pixels { width, height }, 0)
}

#[test]
fn a_picture_has_exactly_the_size_that_was_asked_for() {
    for (width, height) in [
        (1024, 1024),
        (768, 1344),
        (1536, 672),
        (64, 64),
        (999, 701),
        (4096, 512),
    ] {
        let png = motif("a fox", width, height).png().expect("a picture");
        assert_eq!(
            decoded_size(&STANDARD.encode_to_string(png)),
            (width, height)
        );
    }
}

#[test]
fn the_same_words_draw_the_same_picture_and_others_another() {
    let png = |motif: Motif| motif.png().expect("a picture");
    assert_eq!(png(motif("a fox", 256, 256)), png(motif("a fox", 256, 256)));
    assert_ne!(
        png(motif("a fox", 256, 256)),
        png(motif("a wolf", 256, 256))
    );
    let second = Motif::new(
        "example/model",
        "a fox",
        Pixels {
            width: 256,
            height: 256,
        },
        1,
    );
    assert_ne!(png(motif("a fox", 256, 256)), png(second));
}

#[test]
fn any_prompt_can_be_written_on_any_shape() {
    let long = "Donaudampfschifffahrtsgesellschaft ".repeat(40);
    for prompt in [
        "",
        " \n\t ",
        "日本語のプロンプト 🦊",
        "ünïcödé",
        long.as_str(),
    ] {
        for (width, height) in [(64, 64), (512, 64), (64, 512), (1024, 128)] {
            assert!(
                motif(prompt, width, height).png().is_ok(),
                "{prompt} at {width}x{height}"
            );
        }
    }
}

#[tokio::test]
async fn padding_reaches_the_asked_size_and_the_picture_still_decodes() {
    let easel = Easel::default();
    let base64 = easel
        .base64(motif("a fox", 128, 128), 1_500_000)
        .await
        .expect("a picture");
    let file = STANDARD.decode_to_vec(&base64).expect("base64");
    assert_eq!(file.len(), 1_500_000);
    assert_eq!(
        decoded_size(std::str::from_utf8(&base64).expect("text")),
        (128, 128)
    );
}

#[tokio::test]
async fn a_kept_picture_is_shared_and_not_copied() {
    let easel = Easel::default();
    let first = easel
        .base64(motif("a fox", 128, 128), 0)
        .await
        .expect("a picture");
    let second = easel
        .base64(motif("a fox", 128, 128), 0)
        .await
        .expect("a picture");
    assert_eq!(first.as_ptr(), second.as_ptr());
}

#[test]
fn every_shape_of_the_shared_list_has_about_the_same_area() {
    for shape in ASPECT_RATIOS.iter().filter(|shape| **shape != "auto") {
        let pixels = Pixels::of_shape(shape, 1024);
        assert!(pixels.has_shape(shape), "{shape} is not {pixels:?}");
        assert!(
            (900_000..=1_048_576).contains(&pixels.count()),
            "{shape} is {pixels:?}"
        );
    }
    assert_eq!(
        Pixels::of_shape("16:9", 2048),
        Pixels {
            width: 2688,
            height: 1536
        }
    );
}

#[test]
fn a_shape_the_model_lacks_becomes_the_nearest_one() {
    let supported = ["1:1", "3:2", "2:3", "auto"].map(str::to_owned);
    assert_eq!(clamp_shape("16:9", &supported), "3:2");
    assert_eq!(clamp_shape("9:21", &supported), "2:3");
    assert_eq!(clamp_shape("3:2", &supported), "3:2");
}

#[test]
fn pixels_out_of_bounds_are_not_a_size() {
    assert_eq!(
        Pixels::parse("1344x768"),
        Some(Pixels {
            width: 1344,
            height: 768
        })
    );
    for text in [
        "1K",
        "0x10",
        "10000x10",
        "8192x8192",
        "-1x5",
        "x",
        "1024x1024x3",
    ] {
        assert_eq!(Pixels::parse(text), None, "{text}");
    }
}
