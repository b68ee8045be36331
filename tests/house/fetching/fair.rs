//! Nobody's slow references keep those of others from being fetched.

use image_gateway::mock::Script;
use tokio::task::JoinSet;

use super::*;
use crate::faults::{fail, move_in, spared, until_spared};
use crate::helpers::AGENT;

/// While a model is down, one call in this time is sent all the same (`domain::throttle`).
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Calls with slow references: so many that not all of them are let through by chance.
const SLOW: usize = 10;

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

#[tokio::test]
async fn a_call_whose_references_are_slow_takes_nobodys_turn_while_upstream_is_down() {
    let site = Site::open().await;
    let house = house_beside(&site).await;
    let first = a_picture(&house).await;
    house.mock.script(Script::sample("err-503").times(u32::MAX));
    fail(&house, AGENT, "down", 50).await;
    until_spared(&house, AGENT, "more").await;
    tokio::time::sleep(PROBE_EVERY).await;
    let mut slow = JoinSet::new();
    for n in 0..SLOW {
        let mut images = house.images(&house.runtime);
        let asked = with_urls(&format!("slow-{n}"), &[site.url()]);
        slow.spawn(async move {
            let begun = images.generate_image(asked).await?;
            Story::read(begun.into_inner()).await
        });
    }
    site.come(SLOW).await;
    let sent = house.sent();
    let quick = house.generate(request("quick")).await.expect_err("down");
    assert_eq!(spared(&quick), None, "it is its turn");
    assert!(house.sent() > sent);
    // When their pictures have come, the turn is gone, and they are refused before any hold, but for
    // the few that are let through by chance.
    site.answer_all("200 OK", &first.images[&0]);
    let mut refused = 0;
    while let Some(late) = slow.join_next().await {
        let status = late.expect("an answer").expect_err("down");
        refused += usize::from(spared(&status).as_deref() == Some("organization"));
    }
    assert!(refused > SLOW / 2, "{refused} of {SLOW} were refused");
    let balance = house.balance().await;
    assert_eq!(balance.held, "0.00");
    house.close().await;
}
