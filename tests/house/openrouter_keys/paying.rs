//! Who pays whom: one credit here, the rest at OpenRouter.

use tonic_types::StatusExt;

use super::*;

#[tokio::test]
async fn with_its_own_key_an_organization_pays_one_credit_per_image_and_openrouter_bills_the_key() {
    let house = House::open().await;
    let set = house.set_openrouter_key(&house.admin, OWN).await;
    let set = set.expect("OpenRouter takes it");
    assert_eq!(set.key_mode(), proto::KeyMode::Organization);
    assert_eq!(set.openrouter_key_masked, "sk-or-v1-…c0de");
    assert_eq!(house.organization().await, set);

    let story = house.generate(request("one")).await.expect("a picture");
    assert_eq!(story.accepted.hold, "1.00");
    let charge = story.charge();
    assert_eq!(charge.key_mode(), proto::KeyMode::Organization);
    assert_eq!(
        (charge.credits.as_str(), charge.usd_cost.as_str()),
        ("1.00", "0.014")
    );
    assert_eq!(charge.explanation, "1 × 1 = 1.00");
    assert_eq!(charge.balance_after, "9999.00");

    let three = proto::GenerateImageRequest {
        count: 3,
        ..request("three")
    };
    let story = house.generate(three).await.expect("pictures");
    assert_eq!(story.charge().credits, "3.00");
    assert_eq!(story.charge().explanation, "3 × 1 = 3.00");
    assert_eq!(house.payers().len(), 1, "one key has paid for all of it");

    house
        .delete_openrouter_key(&house.admin)
        .await
        .expect("gone");
    let story = house.generate(request("by cost")).await.expect("a picture");
    assert_eq!(story.charge().key_mode(), proto::KeyMode::Platform);
    assert_eq!(story.charge().credits, "29.00");
    assert_eq!(house.payers().len(), 2);
    // A replay tells what was charged then.
    let again = house.generate(request("one")).await.expect("a picture");
    assert!(again.completed.replayed);
    assert_eq!(again.charge().credits, "1.00");
    house.close().await;
}

#[tokio::test]
async fn estimates_models_and_tools_show_one_credit_and_beside_it_what_openrouter_asks() {
    let house = House::open().await;
    let models = async |key: &str| {
        let list = proto::ListModelsRequest::default();
        let listed = house.models(key).list_models(list).await;
        listed.expect("models").into_inner().models
    };
    let before = models(&house.runtime).await;
    house
        .set_openrouter_key(&house.owner, OWN)
        .await
        .expect("set");
    let after = models(&house.runtime).await;
    let slugs = |models: &[proto::Model]| -> Vec<String> {
        models.iter().map(|model| model.slug.clone()).collect()
    };
    assert_eq!(slugs(&before), slugs(&after), "cheap first by its bill");
    for (old, new) in before.iter().zip(&after) {
        let (old, new) = (old.estimate.as_ref(), new.estimate.as_ref());
        let (old, new) = (old.expect("an estimate"), new.expect("an estimate"));
        assert_eq!((new.display.as_str(), new.high.as_str()), ("1", "1.00"));
        assert_eq!(new.usd_expected, old.usd_expected);
        assert!(new.basis.contains(&old.basis), "{}", new.basis);
    }
    assert_eq!(models(OPERATOR_KEY).await[0].estimate, before[0].estimate);

    let estimate = proto::EstimateImageRequest {
        count: 4,
        resolution: "4K".to_owned(),
        subject: Some(proto::estimate_image_request::Subject::Model(
            GPT.to_owned(),
        )),
        ..Default::default()
    };
    let estimate = house.images(&house.runtime).estimate_image(estimate).await;
    let estimate = estimate.expect("an estimate").into_inner();
    assert_eq!(
        (estimate.expected.as_str(), estimate.display.as_str()),
        ("4.00", "4")
    );
    assert!(estimate.usd_expected.parse::<Decimal>().expect("USD") > Decimal::ZERO);
    let tool = house.painter().await.estimate.expect("an estimate");
    assert_eq!(
        (tool.high.as_str(), tool.usd_expected.as_str()),
        ("1.00", "0.014")
    );
    house.close().await;
}

#[tokio::test]
async fn an_own_key_still_needs_a_credit_per_image() {
    let house = House::with(Setup {
        credits: "2.00",
        ..Setup::default()
    })
    .await;
    house
        .set_openrouter_key(&house.admin, OWN)
        .await
        .expect("set");
    let three = proto::GenerateImageRequest {
        count: 3,
        ..request("three")
    };
    let refused = house.generate(three).await.expect_err("too few credits");
    assert_eq!(reason(&refused), "INSUFFICIENT_CREDITS");
    assert_eq!(detail(&refused, "needed"), "3.00");
    house.generate(request("one")).await.expect("a picture");
    house.generate(request("two")).await.expect("a picture");
    let refused = house
        .generate(request("more"))
        .await
        .expect_err("no credit");
    assert_eq!(reason(&refused), "INSUFFICIENT_CREDITS");
    house.close().await;
}

#[tokio::test]
async fn a_running_generation_keeps_the_key_it_was_begun_with() {
    let house = House::open().await;
    house
        .set_openrouter_key(&house.admin, OWN)
        .await
        .expect("set");
    for (change, request_id) in [("replaced", "one"), ("deleted", "two")] {
        house.mock.script(Script::gated(change));
        let mut images = house.images(&house.runtime);
        images
            .start_generation(request(request_id))
            .await
            .expect("it begins");
        house.mock.wait_at_gate(change).await;
        if change == "replaced" {
            house
                .set_openrouter_key(&house.admin, OTHER)
                .await
                .expect("set");
        } else {
            house
                .delete_openrouter_key(&house.admin)
                .await
                .expect("gone");
        }
        house.mock.open_gate(change);
        let ended = house.ended(request_id).await;
        let charge = ended.charge.expect("a charge");
        assert_eq!(charge.key_mode(), proto::KeyMode::Organization, "{change}");
        assert_eq!(charge.credits, "1.00");
    }
    assert_eq!(
        house.payers().len(),
        2,
        "each by its own key, none by the platform's"
    );
    let again = house.delete_openrouter_key(&house.admin).await;
    assert_eq!(
        again.expect("nothing to do").key_mode(),
        proto::KeyMode::Platform
    );
    house.close().await;
}

#[tokio::test]
async fn what_is_lost_under_an_own_key_is_asked_with_that_key_and_no_loss_of_the_platform() {
    let mut house = House::open().await;
    house
        .set_openrouter_key(&house.admin, OWN)
        .await
        .expect("set");
    let asked_with = |house: &House| {
        let requests = house.mock.requests();
        requests
            .into_iter()
            .filter(|request| request.path.ends_with("/generation"))
            .map(|request| request.headers["authorization"].clone())
            .collect::<Vec<_>>()
    };
    let broken = Script {
        billing: Some(image_gateway::mock::Billing::Always),
        ..Script::cut_at(2_000)
    };
    house.mock.script(broken);
    let lost = house
        .generate(request("lost"))
        .await
        .expect_err("broken off");
    assert_eq!(detail(&lost, "billed_by_openrouter"), "perhaps");
    let ended = house.ended("lost").await;
    assert_eq!(ended.stage(), proto::Stage::Voided);
    assert_eq!(house.balance().await.credits, "10000.00");
    let keys = asked_with(&house);
    let draws = house.mock.requests();
    let drew = &draws
        .iter()
        .find(|request| request.path.ends_with("/images"))
        .expect("a call")
        .headers["authorization"];
    assert!(
        !keys.is_empty() && keys.iter().all(|key| key == drew),
        "{keys:?}"
    );
    // The organization has paid it itself.
    house.absorbed = house.mock.total_billed();
    house.close().await;
}

#[tokio::test]
async fn a_missing_cost_under_an_own_key_delays_no_charge() {
    let house = House::open().await;
    house.tool(|tool| tool.model = SEEDREAM.to_owned()).await;
    house
        .set_openrouter_key(&house.admin, OWN)
        .await
        .expect("set");
    let late = Script {
        generation_lookup: Some(image_gateway::mock::GenerationLookup::MissingFirst(6)),
        ..Script::without_usage()
    };
    house.mock.script(late);
    let story = house.generate(request("late")).await.expect("a picture");
    let charge = story.charge();
    assert!(!charge.pending, "it does not go by the cost");
    assert_eq!(
        (charge.credits.as_str(), charge.key_mode()),
        ("1.00", proto::KeyMode::Organization)
    );
    house.close().await;
}

#[tokio::test]
async fn whatever_brings_no_picture_says_that_openrouter_may_have_billed_the_organization() {
    let house = House::open().await;
    for (id, own) in [("none", true), ("odd", true), ("platform", false)] {
        if own {
            let set = house.set_openrouter_key(&house.admin, OWN).await;
            set.expect("set");
        } else {
            let gone = house.delete_openrouter_key(&house.admin).await;
            gone.expect("gone");
        }
        house.mock.script(if id == "odd" {
            Script {
                image: Some(image_gateway::mock::ImageScript::NotBase64),
                billing: Some(image_gateway::mock::Billing::Never),
                ..Script::default()
            }
        } else {
            Script {
                billing: Some(image_gateway::mock::Billing::Never),
                ..Script::images(0)
            }
        });
        let failed = house.generate(request(id)).await.expect_err("no picture");
        let details = failed.get_error_details();
        let info = details.error_info().expect("an ErrorInfo");
        let told = info
            .metadata
            .get("billed_by_openrouter")
            .map(String::as_str);
        assert_eq!(told, own.then_some("perhaps"), "{id}: {info:?}");
    }
    house.close().await;
}

#[tokio::test]
async fn usage_tells_what_openrouter_billed_the_platform_from_what_it_billed_the_organization() {
    let house = House::open().await;
    let (mut platform, mut own, mut credits) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
    let number = |text: &str| text.parse::<Decimal>().expect("a number");
    for (id, with_own) in [
        ("a", false),
        ("b", true),
        ("c", true),
        ("d", false),
        ("e", true),
    ] {
        if with_own {
            let set = house.set_openrouter_key(&house.admin, OWN).await;
            set.expect("set");
        } else {
            let gone = house.delete_openrouter_key(&house.admin).await;
            gone.expect("gone");
        }
        let charge = house.generate(request(id)).await.expect("a picture");
        let charge = charge.charge();
        *if with_own { &mut own } else { &mut platform } += number(&charge.usd_cost);
        credits += number(&charge.credits);
    }
    assert!(own > platform && platform > Decimal::ZERO);
    let usage = async |key_mode: proto::KeyMode| {
        let query = proto::QueryUsageRequest {
            group_by: proto::UsageGroup::Agent.into(),
            key_mode: key_mode.into(),
            ..Default::default()
        };
        let usage = house.billing(&house.admin).query_usage(query).await;
        let usage = usage.expect("sums").into_inner();
        assert_eq!(usage.rows.len(), 1);
        let (row, total) = (&usage.rows[0], usage.total.as_ref().expect("a total"));
        assert_eq!(
            (&row.usd_cost, &row.own_usd_cost),
            (&total.usd_cost, &total.own_usd_cost)
        );
        let sums = [&row.usd_cost, &row.own_usd_cost, &row.credits];
        (row.generations, sums.map(|sum| number(sum)))
    };
    let whole = usage(proto::KeyMode::Unspecified).await;
    assert_eq!(whole, (5, [platform, own, credits]));
    let (count, sums) = usage(proto::KeyMode::Platform).await;
    assert_eq!((count, &sums[..2]), (2, &[platform, Decimal::ZERO][..]));
    let (count, sums) = usage(proto::KeyMode::Organization).await;
    assert_eq!((count, sums), (3, [Decimal::ZERO, own, Decimal::from(3)]));
    house.close().await;
}
