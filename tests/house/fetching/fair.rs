//! Nobody's slow references keep those of others from being fetched.

use tokio::task::JoinSet;

use super::*;
use crate::faults::move_in;

#[tokio::test]
async fn an_organization_with_many_slow_references_keeps_no_others_from_being_fetched() {
    let site = Site::open().await;
    let mut house = house_beside(&site).await;
    let first = a_picture(&house).await;
    let mut loud = JoinSet::new();
    for n in 0..20 {
        let mut images = house.images(&house.runtime);
        let asked = with_urls(&format!("loud-{n}"), &vec![site.url(); 4]);
        loud.spawn(async move { images.generate_image(asked).await });
    }
    // Of 64 places, 56 are for whoever comes first.
    for _ in 0..20 - 14 {
        let refused = loud.join_next().await.expect("20 calls");
        let status = refused.expect("an answer").expect_err("too many");
        assert_eq!(reason(&status), "OVERLOADED");
        let details = status.get_error_details();
        assert!(details.quota_failure().is_some() && details.retry_info().is_some());
    }
    site.come(56).await;
    move_in(&mut house, "quiet").await;
    site.says("200 OK", &first.images[&0]);
    let asked = with_urls("quiet", &vec![site.url(); 4]);
    house.generate(asked).await.expect("a picture");
    assert_eq!(site.guests(), 60);
    loud.shutdown().await;
    house.close().await;
}
