//! Pictures: whole ones are kept, all others leave nothing behind.

use super::*;
use crate::domain::generation::MediaType;
use crate::domain::shape::PixelSize;

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a header");
    let pixels = vec![128; usize::try_from(width * height).expect("small")];
    writer.write_image_data(&pixels).expect("pixels");
    writer.finish().expect("an end");
    bytes
}

/// The bytes of a recorded picture of a format that the tests cannot make.
fn recorded(sample: &str) -> Vec<u8> {
    let envelope: serde_json::Value = serde_json::from_str(sample).expect("a sample");
    let data = match &envelope["body"] {
        serde_json::Value::String(text) => serde_json::from_str(text).expect("a body"),
        body => body.clone(),
    };
    let base64 = data["data"][0]["b64_json"]
        .as_str()
        .expect("a picture")
        .as_bytes()
        .to_vec();
    base64_simd::STANDARD.decode_to_vec(base64).expect("base64")
}

fn jpeg() -> Vec<u8> {
    recorded(include_str!(
        "../../../tests/fixtures/openrouter/images-200-jpeg-n2.json"
    ))
}

fn webp() -> Vec<u8> {
    recorded(include_str!(
        "../../../tests/fixtures/openrouter/images-200-no-media-type-no-usage.json"
    ))
}

fn id() -> GenerationId {
    GenerationId::from_uuid(uuid::Uuid::now_v7())
}

async fn draw(files: &Files, bytes: &[u8]) -> Result<StoredImage, GalleryError> {
    let mut canvas = files.begin(id(), 0).await?;
    for piece in bytes.chunks(1000) {
        canvas.write(Bytes::copy_from_slice(piece)).await?;
    }
    canvas.keep().await
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_below(&path))
        } else {
            found.push(path)
        }
    }
    found
}

#[tokio::test]
async fn a_whole_picture_is_kept_with_its_hash_and_size() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = Files::open(dir.path(), None).expect("a gallery");
    for (bytes, media_type, ending) in [
        (png(30, 20), MediaType::Png, "png"),
        (jpeg(), MediaType::Jpeg, "jpg"),
        (webp(), MediaType::Webp, "webp"),
    ] {
        let stored = draw(&files, &bytes).await.expect(ending);
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(
            (stored.sha256, stored.size_bytes),
            (digest, bytes.len() as u64)
        );
        assert_eq!(stored.media_type, media_type);
        assert!(stored.object_name.ends_with(&format!("-0.{ending}")));
        let source = files.open(&stored.object_name).await.expect("kept");
        assert_eq!(source.read(0, 1 << 20).await.expect("readable"), bytes);
        assert_eq!(source.read(5, 7).await.expect("readable"), bytes[5..12]);
        assert!(
            source
                .read(stored.size_bytes, 10)
                .await
                .expect("readable")
                .is_empty()
        );
    }
    let stored = draw(&files, &png(30, 20)).await.expect("kept");
    assert_eq!(
        stored.pixels,
        PixelSize {
            width: 30,
            height: 20
        }
    );
}

#[tokio::test]
async fn what_is_no_whole_picture_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = Files::open(dir.path(), None).expect("a gallery");
    let good = png(30, 20);
    let mut bad_check = good.clone();
    bad_check[30] ^= 1;
    let mut bomb = good.clone();
    bomb[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    let check = crc32fast::hash(&bomb[12..29]).to_be_bytes();
    bomb[29..33].copy_from_slice(&check);
    let (jpeg, webp) = (jpeg(), webp());
    let sized = |width: u32, height: u32| {
        let mut bytes = good.clone();
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let check = crc32fast::hash(&bytes[12..29]).to_be_bytes();
        bytes[29..33].copy_from_slice(&check);
        bytes
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no width", sized(0, 20)),
        ("no height", sized(30, 0)),
        ("a side too long", sized(16_385, 1)),
        ("too large an area", sized(8_193, 8_193)),
        ("nothing", Vec::new()),
        ("a cut PNG", good[..good.len() - 1].to_vec()),
        ("a PNG without its end", good[..good.len() - 12].to_vec()),
        (
            "a PNG with something behind",
            [&good[..], b"<script>"].concat(),
        ),
        ("a PNG with a bad check", bad_check),
        ("a bomb", bomb),
        ("a signature alone", good[..8].to_vec()),
        ("a cut JPEG", jpeg[..jpeg.len() - 100].to_vec()),
        ("a cut WebP", webp[..webp.len() - 1].to_vec()),
        ("a WebP with something behind", [&webp[..], b"x"].concat()),
        ("a GIF", b"GIF89a\x01\0\x01\0\0\0\0;".to_vec()),
        (
            "an SVG",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec(),
        ),
        ("a page", b"<!DOCTYPE html><html></html>".to_vec()),
    ];
    for (name, bytes) in cases {
        let error = draw(&files, &bytes).await.expect_err(name);
        assert!(
            matches!(error, GalleryError::NotAnImage(_)),
            "{name}: {error:?}"
        );
    }
    assert_eq!(files_below(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_reader_sees_what_is_written_and_stays_good_after_it_is_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = Files::open(dir.path(), None).expect("a gallery");
    let bytes = png(40, 40);
    let (first, rest) = bytes.split_at(50);
    let mut canvas = files.begin(id(), 3).await.expect("a canvas");
    let source = canvas.source();
    assert!(source.read(0, 100).await.expect("readable").is_empty());
    canvas
        .write(Bytes::copy_from_slice(first))
        .await
        .expect("written");
    assert_eq!(source.read(0, 100).await.expect("readable"), first);
    canvas
        .write(Bytes::copy_from_slice(rest))
        .await
        .expect("written");
    let stored = canvas.keep().await.expect("kept");
    assert_eq!(stored.index, 3);
    assert_eq!(source.read(0, 1 << 20).await.expect("readable"), bytes);
}

#[tokio::test]
async fn a_dropped_canvas_and_a_dead_process_leave_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = Files::open(dir.path(), None).expect("a gallery");
    let mut canvas = files.begin(id(), 0).await.expect("a canvas");
    canvas
        .write(Bytes::from_static(b"abc"))
        .await
        .expect("written");
    drop(canvas);
    assert_eq!(files_below(dir.path()), Vec::<PathBuf>::new());
    fs::write(dir.path().join("images/spool/left-over.part"), b"abc").expect("written");
    let kept = draw(&files, &png(5, 5)).await.expect("kept");
    let files = Files::open(dir.path(), None).expect("opened again");
    assert_eq!(files_below(dir.path()).len(), 1, "only what was kept");
    files.open(&kept.object_name).await.expect("still there");
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_gone() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("secret"), b"abc").expect("written");
    let files = Files::open(dir.path(), None).expect("a gallery");
    fs::write(dir.path().join("images/kept.png"), b"abc").expect("written");
    for name in [
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "",
        ".",
        "a//b",
        "none.png",
        "spool",
        "kept.png/below",
        "a\0b",
        "a\\b",
        &"x".repeat(300),
    ] {
        let error = files.open(name).await.expect_err(name);
        assert!(matches!(error, GalleryError::Gone), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn a_quota_that_is_used_up_begins_nothing_and_cuts_nothing_off() {
    let dir = tempfile::tempdir().expect("a folder");
    let picture = png(50, 50);
    let quota = Some(picture.len() as u64 + 10);
    let files = Files::open(dir.path(), quota).expect("a gallery");
    draw(&files, &picture).await.expect("kept");
    files.room().await.expect("ten bytes are left");
    let above = draw(&files, &picture).await.expect("it ran already");
    assert!(matches!(files.room().await, Err(GalleryError::Full)));
    let again = Files::open(dir.path(), quota).expect("a gallery");
    assert!(matches!(again.room().await, Err(GalleryError::Full)));
    again.remove(&above.object_name).await.expect("removed");
    again.room().await.expect("what went has made room");
}

#[tokio::test]
async fn a_reader_keeps_up_with_a_picture_that_is_written_beside_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = Files::open(dir.path(), None).expect("a gallery");
    let bytes = webp();
    let id = id();
    let mut canvas = files.begin(id, 7).await.expect("a canvas");
    let source = canvas.source();
    let write = async {
        for piece in bytes.chunks(333) {
            let piece = Bytes::copy_from_slice(piece);
            canvas.write(piece).await.expect("written");
            tokio::task::yield_now().await;
        }
        canvas.keep().await.expect("kept")
    };
    let read = async {
        let mut seen = Vec::new();
        while seen.len() < bytes.len() {
            let more = source.read(seen.len() as u64, 100).await;
            seen.extend_from_slice(&more.expect("readable"));
            tokio::task::yield_now().await;
        }
        seen
    };
    let (stored, seen) = tokio::join!(write, read);
    assert_eq!(seen, bytes);
    assert!(stored.object_name.contains(&format!("{id}-7.webp")));
    let on_disk = files_below(dir.path());
    assert_eq!(
        on_disk,
        [dir.path().join("images").join(&stored.object_name)]
    );
    assert_eq!(fs::read(&on_disk[0]).expect("a file"), bytes);
}

#[tokio::test]
async fn what_is_dropped_half_written_gives_its_room_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let picture = png(50, 50);
    let files = Files::open(dir.path(), Some(picture.len() as u64)).expect("a gallery");
    let mut canvas = files.begin(id(), 0).await.expect("a canvas");
    let whole = Bytes::copy_from_slice(&picture);
    canvas.write(whole).await.expect("written");
    assert!(matches!(files.room().await, Err(GalleryError::Full)));
    drop(canvas);
    files.room().await.expect("its room is free again");
    let cut = draw(&files, &picture[..picture.len() - 1]).await;
    assert!(matches!(cut, Err(GalleryError::NotAnImage(_))));
    files.room().await.expect("and so is that of no picture");
}
