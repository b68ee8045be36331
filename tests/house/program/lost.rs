//! The key-encryption key is lost for good, or what it protects is damaged: what opens no more is
//! given up, nobody draws for nothing because of it, and everything else goes on.

use std::fs;

use image_gateway::proto;
use rusqlite::Connection;
use serde_json::Value;
use tonic::Code;

use super::encryption::{OTHER_KEY, OWN_KEY, key_file, replace, sealed};
use super::{Ended, Served, finish, program, serve};
use crate::helpers::{House, OPERATOR_KEY, detail, reason, request};

async fn give_up(house: &House, arguments: &[&str]) -> Ended {
    let folder = house.dir.path().to_str().expect("a path");
    let mut all = vec!["keys", "give-up-lost", "--data-dir", folder];
    all.extend(arguments);
    finish(&mut program(&all)).await
}

async fn told(house: &House, arguments: &[&str]) -> Value {
    let done = give_up(house, &[arguments, &["--json"]].concat()).await;
    assert_eq!(done.status, Some(0), "{done:#?}");
    serde_json::from_str(&done.stdout).expect("JSON")
}

fn by_hand(house: &House, change: &str) {
    let hand = Connection::open(house.database()).expect("the books");
    assert_eq!(hand.execute(change, []).expect("changed"), 1, "{change}");
}

async fn organization(house: &House) -> proto::Organization {
    let request = proto::GetOrganizationRequest {
        organization_id: "acme".to_owned(),
    };
    let mut organizations = house.organizations(OPERATOR_KEY);
    let found = organizations.get_organization(request).await;
    found.expect("an organization").into_inner()
}

/// Whether what is left agrees with itself, and with what the trails tell.
async fn agrees(house: &House) {
    let folder = house.dir.path().to_str().expect("a path");
    let audit = finish(&mut program(&["audit", "--data-dir", folder])).await;
    assert_eq!(audit.status, Some(0), "{audit:#?}");
}

/// The names of the key-encryption keys that replaced others, by the platform's trail.
async fn replaced(house: &House) -> Vec<proto::FieldChange> {
    let request = proto::ListAuditEntriesRequest {
        action: proto::AuditAction::EncryptionKeyReplaced.into(),
        ..Default::default()
    };
    let mut organizations = house.organizations(OPERATOR_KEY);
    let listed = organizations.list_audit_entries(request).await;
    let entries = listed.expect("a trail").into_inner().entries;
    entries
        .into_iter()
        .flat_map(|entry| entry.changes)
        .collect()
}

/// How often another operator's key was told of.
async fn operators(house: &House) -> usize {
    let trail = house.platform_trail().await;
    let of_operators = trail
        .iter()
        .filter(|entry| entry.action() == proto::AuditAction::OperatorKeyChanged);
    of_operators.count()
}

/// Makes the organization `other`, and gives it and `acme` own OpenRouter keys.
async fn two_own_keys(house: &House) {
    for (name, key) in [("acme", OWN_KEY), ("other", OTHER_KEY)] {
        if name == "other" {
            house.add_organization(name).await;
        }
        let set = proto::SetOpenRouterKeyRequest {
            organization_id: name.to_owned(),
            key: key.to_owned(),
        };
        let mut organizations = house.organizations(OPERATOR_KEY);
        let set = organizations.set_open_router_key(set).await;
        set.expect("set");
    }
}

/// What the operator has given up, by the trail of the organization.
async fn given_up(house: &House) -> Vec<String> {
    let request = proto::ListAuditEntriesRequest {
        organization_id: "acme".to_owned(),
        action: proto::AuditAction::OpenrouterKeyGivenUp.into(),
        ..Default::default()
    };
    let mut organizations = house.organizations(OPERATOR_KEY);
    let listed = organizations.list_audit_entries(request).await;
    let entries = listed.expect("a trail").into_inner().entries;
    assert!(entries.iter().all(|entry| entry.actor == "operator"));
    let changes = entries.into_iter().flat_map(|entry| entry.changes);
    changes
        .map(|change| format!("{} {:?}", change.field, change.new_value.as_deref()))
        .collect()
}

#[tokio::test]
async fn when_the_key_is_lost_for_good_everything_else_goes_on() {
    let served = Served::start(&[]).await;
    let set = served.house.set_openrouter_key(OPERATOR_KEY, OWN_KEY).await;
    set.expect("set");
    let drawn = served.house.generate(request("before")).await;
    drawn.expect("a picture");
    let balance = served.house.balance().await;
    let (mut house, _) = served.stop().await;
    fs::remove_file(key_file(&house)).expect("lost");
    let refused = finish(&mut serve(&house, &[])).await;
    refused.assert_failed(1);
    assert!(refused.stderr.contains("give-up-lost"), "{refused:#?}");

    // Told, and nothing is changed.
    let before = sealed(&house);
    let dry = give_up(&house, &[]).await;
    assert_eq!(dry.status, Some(0), "{dry:#?}");
    assert!(
        dry.stdout
            .contains("opens no more, because there is no key-encryption key")
    );
    assert!(dry.stdout.contains("1 OpenRouter key,") && dry.stdout.contains("acme"));
    assert!(dry.stderr.contains("--yes"), "{dry:#?}");
    let found = told(&house, &[]).await;
    assert_eq!(
        (&found["given_up"], &found["openrouter_keys"]),
        (&false.into(), &1.into())
    );
    assert!(!key_file(&house).exists() && sealed(&house) == before);

    let done = told(&house, &["--yes"]).await;
    assert_eq!(done["given_up"], true);
    assert_eq!(done["organizations"], serde_json::json!(["acme"]));
    assert_eq!(done["api_keys"], found["api_keys"]);
    assert!(
        done["api_keys"].as_u64().is_some_and(|count| count >= 2),
        "{done}"
    );
    let again = give_up(&house, &["--yes"]).await;
    assert!(again.stdout.contains("nothing to give up"), "{again:#?}");
    agrees(&house).await;

    house = go_on(Served::again(house, &[]).await, &balance).await;
    // By its new name the same operator's key is not another one; another one still is.
    let served = Served::again(house, &[]).await;
    assert_eq!(operators(&served.house).await, 1);
    house = served.stop().await.0;
    let another = format!("{OPERATOR_KEY}-another");
    let served = Served::again(house, &[("OPERATOR_KEY", &another)]).await;
    let hand = Connection::open(served.house.database()).expect("the books");
    let sql = "SELECT count(*) FROM audit_entry WHERE action = 'operator_key_changed'";
    let told: i64 = hand.query_row(sql, [], |row| row.get(0)).expect("a count");
    assert_eq!(told, 2);
    house = served.stop().await.0;
    house.mock.stop().await;
}

/// After the loss: nobody is let in with an old key, nobody draws, and the organization begins again.
async fn go_on(mut served: Served, balance: &proto::Balance) -> House {
    let house = &mut served.house;
    let old = house
        .ask(&house.runtime)
        .await
        .expect_err("it opens nothing");
    assert_eq!(old.code(), Code::Unauthenticated);
    house.admin = house.key("acme", proto::Role::Admin).await;
    house.runtime = house.key("acme", proto::Role::Runtime).await;
    assert_eq!(house.balance().await, *balance, "no money moved");
    let asked = house.mock.requests().len();
    let refused = house.generate(request("between")).await;
    let refused = refused.expect_err("nobody pays in its place");
    assert_eq!(reason(&refused), "OPENROUTER_KEY_INVALID");
    assert_eq!(detail(&refused, "cause"), "unreadable");
    assert_eq!(house.mock.requests().len(), asked, "nothing was sent");
    let shown = organization(house).await;
    assert_eq!(shown.key_mode(), proto::KeyMode::Organization);
    assert_eq!(
        shown.openrouter_key_status(),
        proto::OpenRouterKeyStatus::Unreadable
    );
    assert_eq!(
        given_up(house).await,
        [r#"openrouter_key_status Some("unreadable")"#]
    );
    // What was drawn before is still there, and so is its charge.
    let replayed = house.generate(request("before")).await.expect("a picture");
    assert!(replayed.completed.replayed);
    let set = house.set_openrouter_key(OPERATOR_KEY, OWN_KEY).await;
    set.expect("set once more");
    let drawn = house.generate(request("between")).await;
    assert_eq!(drawn.expect("a picture").charge().credits, "1.00");
    let (house, ended) = served.stop().await;
    assert_eq!(ended.status, Some(0), "{ended:#?}");
    agrees(&house).await;
    house
}

#[tokio::test]
async fn a_key_that_is_lost_after_others_is_told_as_the_next_of_them() {
    let served = Served::start(&[]).await;
    let set = served.house.set_openrouter_key(OPERATOR_KEY, OWN_KEY).await;
    set.expect("set");
    let (house, _) = served.stop().await;
    assert_eq!(replace(&house, &[]).await.status, Some(0));
    fs::remove_file(key_file(&house)).expect("lost");
    assert_eq!(told(&house, &["--yes"]).await["given_up"], true);
    agrees(&house).await;
    let served = Served::again(house, &[]).await;
    let set = served.house.set_openrouter_key(OPERATOR_KEY, OWN_KEY).await;
    set.expect("set once more");
    let told = replaced(&served.house).await;
    let [lost, first] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(lost.old_value, first.new_value);
    assert_ne!(lost.new_value, first.new_value);
    let (house, _) = served.stop().await;
    agrees(&house).await;
    house.mock.stop().await;
}

#[tokio::test]
async fn one_damaged_key_is_given_up_alone_and_the_rest_can_be_sealed_anew() {
    let served = Served::start(&[]).await;
    two_own_keys(&served.house).await;
    let (house, _) = served.stop().await;
    let before = sealed(&house);
    // Half of it opens: what is handed over would open with neither key.
    by_hand(
        &house,
        "UPDATE openrouter_key SET sealed = zeroblob(length(sealed)) WHERE organization = 'other'",
    );
    let failed = replace(&house, &[]).await;
    failed.assert_failed(1);
    assert!(failed.stderr.contains("key of other"), "{failed:#?}");
    assert!(failed.stderr.contains("give-up-lost"), "{failed:#?}");
    assert_eq!(sealed(&house)[..2], before[..2], "nothing is sealed anew");
    let done = told(&house, &["--yes"]).await;
    assert_eq!(done["organizations"], serde_json::json!(["other"]));
    assert_eq!(
        (&done["api_keys"], &done["peppers"]),
        (&0.into(), &0.into())
    );
    let replaced = replace(&house, &["--json"]).await;
    assert_eq!(replaced.status, Some(0), "{replaced:#?}");
    let replaced: Value = serde_json::from_str(&replaced.stdout).expect("JSON");
    assert_eq!(replaced["openrouter_keys"], 1);
    agrees(&house).await;
    let served = Served::again(house, &[]).await;
    let drawn = served.house.generate(request("acme")).await;
    assert_eq!(drawn.expect("a picture").charge().credits, "1.00");
    served.close().await;
}

#[tokio::test]
async fn a_row_that_names_another_key_stops_nobody_else_and_tells_of_no_other_key() {
    let served = Served::start(&[]).await;
    two_own_keys(&served.house).await;
    let (house, _) = served.stop().await;
    by_hand(
        &house,
        "UPDATE openrouter_key SET kek = zeroblob(8) WHERE organization = 'acme'",
    );
    let served = Served::again(house, &[]).await;
    let refused = served.house.generate(request("bent")).await;
    let refused = refused.expect_err("it cannot be opened");
    assert_eq!(reason(&refused), "OPENROUTER_KEY_INVALID");
    assert_eq!(detail(&refused, "cause"), "unreadable");
    let (house, _) = served.stop().await;
    let other = "5e".repeat(32);
    let wrong = finish(&mut serve(&house, &[("KEY_ENCRYPTION_KEY", &other)])).await;
    wrong.assert_failed(1);
    assert!(wrong.stderr.contains("another key"), "{wrong:#?}");

    let done = told(&house, &["--yes"]).await;
    assert_eq!(done["organizations"], serde_json::json!(["acme"]));
    agrees(&house).await;
    let served = Served::again(house, &[]).await;
    assert_eq!(replaced(&served.house).await, []);
    served.close().await;
}

#[tokio::test]
async fn what_api_keys_were_hashed_with_is_given_up_if_it_is_damaged_and_those_made_since_go_on() {
    let (house, _) = Served::start(&[]).await.stop().await;
    let replaced = replace(&house, &[]).await;
    assert_eq!(replaced.status, Some(0), "{replaced:#?}");
    let mut served = Served::again(house, &[]).await;
    let fresh = served.house.key("acme", proto::Role::Runtime).await;
    let old = std::mem::replace(&mut served.house.runtime, fresh);
    let (house, _) = served.stop().await;
    by_hand(&house, "UPDATE pepper SET wrapped = zeroblob(72)");
    let refused = finish(&mut serve(&house, &[])).await;
    refused.assert_failed(1);
    assert!(refused.stderr.contains("give-up-lost"), "{refused:#?}");
    let done = told(&house, &["--yes"]).await;
    assert_eq!(
        (&done["openrouter_keys"], &done["peppers"]),
        (&0.into(), &1.into())
    );
    agrees(&house).await;
    let served = Served::again(house, &[]).await;
    let refused = served.house.ask(&old).await.expect_err("it opens nothing");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let drawn = served.house.generate(request("fresh")).await;
    drawn.expect("a key of after the replacement goes on");
    served.close().await;
}

#[tokio::test]
async fn nothing_is_given_up_while_a_gateway_runs_or_where_there_are_no_books() {
    let served = Served::start(&[]).await;
    let busy = give_up(&served.house, &["--yes"]).await;
    busy.assert_failed(1);
    assert!(busy.stderr.contains("another gateway"), "{busy:#?}");
    let hint = "\nhint: stop the gateway that runs on this folder";
    assert!(busy.stderr.contains(hint), "{busy:#?}");
    served.close().await;
    let nowhere = ["keys", "give-up-lost", "--data-dir", "no/such/folder"];
    finish(&mut program(&nowhere)).await.assert_failed(1);
}
