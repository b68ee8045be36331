//! Taking up with what cannot be: what a caller says to have must be of this generation.

use image_gateway::mock::Script;
use tonic::Code;

use super::{cancel, start, watch, watched};
use crate::helpers::{House, reason, request};

#[tokio::test]
async fn a_resume_that_makes_no_sense_is_refused() {
    let house = House::open().await;
    let whole = house.generate(request("r")).await.expect("a picture");
    let size = whole.images[&0].len() as i64;
    let many: Vec<_> = (0..41).map(|index| (index, 0)).collect();
    for resume in [
        &[(0, size + 1)][..],
        &[(0, -1)],
        &[(-1, 0)],
        &[(0, 1), (0, 2)],
        &[(1, 0)],
        &[(0, 0), (7, 5)],
        &many,
    ] {
        let status = watch(&house, "r", resume).await.expect_err("refused");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "INVALID_REQUEST"),
            "{resume:?}"
        );
    }
    let nobody = watch(&house, "nobody", &[]).await.expect_err("nobody");
    assert_eq!(reason(&nobody), "GENERATION_NOT_FOUND");
    let nothing = cancel(&house, "nobody").await.expect_err("nobody");
    assert_eq!(reason(&nothing), "GENERATION_NOT_FOUND");
    house.close().await;
}

#[tokio::test]
async fn a_resume_of_an_image_that_never_was_is_refused_when_the_count_is_known() {
    let house = House::open().await;
    house.mock.script(Script::gated("slow"));
    start(&house, "r").await.expect("started");
    house.mock.wait_at_gate("slow").await;
    let open = async { house.mock.open_gate("slow") };
    let (status, ()) = tokio::join!(watch(&house, "r", &[(3, 7)]), open);
    let status = status.expect_err("there is no fourth");
    assert_eq!(reason(&status), "INVALID_REQUEST");
    assert!(status.message().contains("resume.index"), "{status:?}");
    assert_eq!(watched(&house, "r").await.charge().credits, "29.00");
    house.close().await;
}
