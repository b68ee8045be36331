//! The bytes of a stored picture, from any offset.

use image_gateway::mock::Script;
use image_gateway::proto;
use tonic::{Code, Status};

use crate::helpers::{House, reason, request};

async fn read(
    house: &House,
    request: proto::ReadImageRequest,
) -> Result<Vec<proto::ReadImageResponse>, Status> {
    let mut images = house.images(&house.runtime);
    let mut stream = images.read_image(request).await?.into_inner();
    let mut pieces = Vec::new();
    while let Some(piece) = stream.message().await? {
        pieces.push(piece);
    }
    Ok(pieces)
}

#[tokio::test]
async fn a_picture_is_read_from_any_offset() {
    let house = House::open().await;
    let story = house.generate(request("r")).await.expect("a picture");
    let picture = &story.images[&0];
    let size = picture.len() as i64;
    let whole = proto::ReadImageRequest {
        generation_id: story.completed.id.clone(),
        ..Default::default()
    };
    for (read_offset, read_limit) in [
        (0, 0),
        (0, 1),
        (1, 0),
        (65_535, 2),
        (0, size),
        (size - 1, 99),
        (size, 0),
    ] {
        let asked = proto::ReadImageRequest {
            read_offset,
            read_limit,
            ..whole.clone()
        };
        let pieces = read(&house, asked).await.expect("pieces");
        assert!(pieces.iter().all(|piece| piece.data.len() <= 65_536));
        let found: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.data.to_vec())
            .collect();
        let from = usize::try_from(read_offset).unwrap();
        let length = match read_limit {
            0 => size,
            limit => limit,
        };
        let to = usize::try_from((read_offset + length).min(size)).unwrap();
        assert_eq!(found, picture[from..to], "{read_offset} {read_limit}");
        let first = &pieces[0];
        assert_eq!(first.size_bytes, size);
        assert_eq!(first.sha256, story.finished[0].sha256);
        assert_eq!(first.media_type, "image/png");
    }
    for (asked, expected) in [
        ((0, size + 1, 0), "INVALID_REQUEST"),
        ((0, -1, 0), "INVALID_REQUEST"),
        ((0, 0, -1), "INVALID_REQUEST"),
        ((-1, 0, 0), "INVALID_REQUEST"),
        ((1, 0, 0), "GENERATION_NOT_FOUND"),
    ] {
        let (index, read_offset, read_limit) = asked;
        let asked = proto::ReadImageRequest {
            index,
            read_offset,
            read_limit,
            ..whole.clone()
        };
        let status = read(&house, asked).await.expect_err("refused");
        assert_eq!(reason(&status), expected);
    }
    let nobody = proto::ReadImageRequest {
        generation_id: uuid::Uuid::now_v7().to_string(),
        ..whole
    };
    let status = read(&house, nobody).await.expect_err("nobody");
    assert_eq!(reason(&status), "GENERATION_NOT_FOUND");
    house.close().await;
}

#[tokio::test]
async fn a_picture_that_is_not_there_yet_is_not_read() {
    let house = House::open().await;
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&house.runtime);
    let started = images
        .start_generation(request("r"))
        .await
        .expect("started");
    let generation_id = started.into_inner().id;
    let asked = proto::ReadImageRequest {
        generation_id,
        ..Default::default()
    };
    let status = read(&house, asked).await.expect_err("too early");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Aborted, "GENERATION_IN_PROGRESS")
    );
    house.mock.open_gate("slow");
    house.ended("r").await;
    house.close().await;
}

#[tokio::test]
async fn a_foreign_picture_and_an_absent_one_are_refused_in_the_same_words() {
    let mut house = House::open().await;
    let story = house.generate(request("r")).await.expect("a picture");
    house.add_organization("other").await;
    house.runtime = house.key("other", proto::Role::Owner).await;
    let mut answers = Vec::new();
    for generation_id in [story.completed.id, uuid::Uuid::now_v7().to_string()] {
        let asked = proto::ReadImageRequest {
            generation_id,
            ..Default::default()
        };
        let status = read(&house, asked).await.expect_err("not theirs");
        assert_eq!(reason(&status), "GENERATION_NOT_FOUND");
        answers.push((status.code(), status.message().to_owned()));
    }
    assert_eq!(answers[0], answers[1]);
    house.close().await;
}

#[tokio::test]
async fn a_picture_that_is_no_longer_kept_has_expired_and_a_failed_generation_has_none() {
    let house = House::open().await;
    let story = house.generate(request("gone")).await.expect("a picture");
    let images = house.dir.path().join("images");
    let file = images.join(&story.finished[0].object_name);
    let asked = proto::ReadImageRequest {
        generation_id: story.completed.id,
        ..Default::default()
    };
    let whole = std::fs::read(&file).expect("was kept");
    let mut rotten = whole.clone();
    rotten[whole.len() / 2] ^= 1;
    std::fs::write(&file, rotten).expect("writable");
    let status = read(&house, asked.clone()).await.expect_err("rotten");
    assert_eq!(reason(&status), "RESULT_EXPIRED");
    std::fs::write(&file, whole).expect("writable");
    read(&house, asked.clone()).await.expect("as it was kept");
    let cut = std::fs::OpenOptions::new().write(true).open(&file);
    cut.and_then(|file| file.set_len(70_000)).expect("was kept");
    let status = read(&house, asked.clone()).await.expect_err("cut off");
    assert_eq!(reason(&status), "RESULT_EXPIRED");
    std::fs::remove_file(file).expect("was kept");
    let status = read(&house, asked).await.expect_err("gone");
    assert_eq!(reason(&status), "RESULT_EXPIRED");
    // The reason of its failure is about drawing: some say that trying again helps.
    house.mock.script(Script::sample("err-403-moderation"));
    house.generate(request("bad")).await.expect_err("rejected");
    let asked = proto::ReadImageRequest {
        generation_id: house.generation("bad").await.id,
        ..Default::default()
    };
    let status = read(&house, asked).await.expect_err("nothing");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "GENERATION_NOT_FOUND")
    );
    house.close().await;
}
