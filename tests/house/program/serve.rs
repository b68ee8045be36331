//! `serve`: what it prints, and what it keeps.

use image_gateway::proto;
use serde_json::json;

use super::{Running, Served, serve};
use crate::helpers::{AGENT, House, KLEIN, OPERATOR_KEY, request};
use crate::prices::{reprice, sync};

async fn organization(house: &House) -> proto::Organization {
    let request = proto::GetOrganizationRequest::default();
    let mut organizations = house.organizations(&house.admin);
    let found = organizations.get_organization(request).await;
    found.expect("an organization").into_inner()
}

#[tokio::test]
async fn it_prints_its_two_addresses_and_nothing_else() {
    let served = Served::start(&[]).await;
    assert_ne!(served.grpc.port(), 0);
    assert_ne!(served.http.port(), 0);
    assert_eq!(served.page("/healthz").await.0, 200);
    let ended = served.close().await;
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("serving"), "{ended:#?}");
    assert!(ended.stderr.contains("drained"), "{ended:#?}");
    ended.assert_plain();
}

#[tokio::test]
async fn it_speaks_json_to_programs() {
    let served = Served::start(&[]).await;
    let (house, _) = served.stop().await;
    let mut running = Running::start(&mut serve(&house, &[("LOG_FORMAT", "json")]));
    let addresses = running.line().await.expect("a line");
    let addresses: serde_json::Value = serde_json::from_str(&addresses).expect("JSON");
    let keys: Vec<_> = addresses.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["grpc", "http"]);
    running.signal("TERM").await;
    let ended = running.ended().await;
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(0), ""));
    assert!(ended.stderr.lines().count() > 0);
    for line in ended.stderr.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(
            line["message"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
}

#[tokio::test]
async fn another_start_finds_organizations_balances_and_pictures_as_they_were() {
    let served = Served::start(&[]).await;
    let before = served.house.generate(request("kept")).await.expect("drawn");
    let (acme, balance) = (
        organization(&served.house).await,
        served.house.balance().await,
    );
    let (house, ended) = served.stop().await;
    assert_eq!(ended.status, Some(0), "{ended:#?}");

    let served = Served::again(house, &[]).await;
    assert_eq!(organization(&served.house).await, acme);
    assert_eq!(served.house.balance().await, balance);
    let replay = served.house.generate(request("kept")).await.expect("kept");
    assert!(replay.accepted.replayed && replay.completed.replayed);
    assert_eq!(replay.images, before.images);
    assert_eq!(replay.finished, before.finished);
    assert_eq!(replay.charge(), before.charge());
    assert_eq!(served.house.sent(), 1, "drawn once");

    let next = served.house.generate(request("next")).await.expect("drawn");
    assert_eq!(next.completed.agent_id, AGENT);
    assert_eq!(next.charge().balance_after, "9942.00");
    served.close().await;
}

#[tokio::test]
async fn what_the_operator_does_about_prices_is_logged() {
    let served = Served::start(&[]).await;
    let house = &served.house;
    sync(house).await.expect("a list");
    reprice(house, json!("1.4e-4")).await;
    let synced = sync(house).await.expect("a list");
    // Its price at each of its sizes.
    assert_eq!(synced.prices_flagged, 3);
    let slug = KLEIN.to_owned();
    let confirm = proto::ConfirmPriceRequest { slug };
    // The second time there is nothing left to confirm.
    for _ in 0..2 {
        let mut operator = house.models(OPERATOR_KEY);
        operator
            .confirm_price(confirm.clone())
            .await
            .expect("klein");
    }
    let ended = served.close().await;
    let told = |what: &str| -> Vec<&str> {
        let lines = ended.stderr.lines().filter(|line| line.contains(what));
        lines.collect()
    };
    let syncs = told("the prices were synced on demand");
    assert_eq!(syncs.len(), 2, "{ended:#?}");
    assert!(syncs.iter().all(|line| line.contains("operator")));
    assert!(syncs[1].contains("flagged=3"), "{syncs:?}");
    let confirmed = told("a doubted price was confirmed");
    assert_eq!(confirmed.len(), 1, "{ended:#?}");
    assert!(confirmed[0].contains("operator") && confirmed[0].contains(KLEIN));
}
