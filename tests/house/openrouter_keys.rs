//! Organizations' own OpenRouter keys: who pays whom, what is checked, what is kept, what is never
//! done in their place.

use std::time::Duration;

use image_gateway::mock::Script;
use image_gateway::proto;
use rust_decimal::Decimal;
use tonic::{Code, Status};

use crate::helpers::{
    AGENT, GPT, House, KLEIN, OPERATOR_KEY, PLATFORM_KEY, SEEDREAM, Setup, detail, reason, request,
};

const OWN: &str = "sk-or-v1-acmes-own-key-0123456789abcdef-c0de";
const OTHER: &str = "sk-or-v1-another-key-of-acme-0123456789-beef";

/// How long a note that nobody waits for may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl House {
    pub(crate) async fn set_openrouter_key(
        &self,
        with: &str,
        key: &str,
    ) -> Result<proto::Organization, Status> {
        let request = proto::SetOpenRouterKeyRequest {
            organization_id: "acme".to_owned(),
            key: key.to_owned(),
        };
        let set = self.organizations(with).set_open_router_key(request).await;
        set.map(tonic::Response::into_inner)
    }

    async fn delete_openrouter_key(&self, with: &str) -> Result<proto::Organization, Status> {
        let request = proto::DeleteOpenRouterKeyRequest {
            organization_id: "acme".to_owned(),
        };
        let mut organizations = self.organizations(with);
        let deleted = organizations.delete_open_router_key(request).await;
        deleted.map(tonic::Response::into_inner)
    }

    async fn organization(&self) -> proto::Organization {
        let request = proto::GetOrganizationRequest::default();
        let mut organizations = self.organizations(&self.admin);
        let found = organizations.get_organization(request).await;
        found.expect("an organization").into_inner()
    }

    async fn painter(&self) -> proto::GenerateImageTool {
        let request = proto::GetGenerateImageToolRequest {
            agent_id: AGENT.to_owned(),
        };
        let mut tools = self.tools(&self.runtime);
        let tool = tools.get_generate_image_tool(request).await;
        tool.expect("a tool").into_inner()
    }

    async fn painters(&self, status: proto::ToolStatus) -> usize {
        let request = proto::ListGenerateImageToolsRequest {
            status: status.into(),
            ..Default::default()
        };
        let mut tools = self.tools(&self.runtime);
        let listed = tools.list_generate_image_tools(request).await;
        listed
            .expect("a list")
            .into_inner()
            .generate_image_tools
            .len()
    }

    /// The keys of the bill, each once, by what paid.
    fn payers(&self) -> Vec<String> {
        let bill = self.mock.bill();
        let mut keys: Vec<_> = bill.into_iter().map(|call| call.key_fingerprint).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// Waits until the key has this status.
    async fn key_becomes(&self, status: proto::OpenRouterKeyStatus) {
        let becoming = async {
            while self.organization().await.openrouter_key_status() != status {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let became = tokio::time::timeout(PATIENCE, becoming).await;
        became.unwrap_or_else(|_| panic!("never {status:?}"));
    }

    /// Whether any file of the data folder holds these bytes.
    fn keeps(&self, secret: &str) -> bool {
        let files = std::fs::read_dir(self.dir.path()).expect("the folder");
        let mut files = files.map(|file| file.expect("a file").path());
        files.any(|path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            let secret = secret.as_bytes();
            bytes.windows(secret.len()).any(|window| window == secret)
        })
    }
}

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
async fn a_key_is_kept_only_if_openrouter_takes_it_and_nobody_sees_it_again() {
    let house = House::open().await;
    house
        .set_openrouter_key(&house.admin, OTHER)
        .await
        .expect("set");
    let kept = house.organization().await;
    let answer = |status, body| Script::error(status, body).for_path("/key");
    let manager = serde_json::json!({ "data": { "is_management_key": true } });
    let cases = [
        (
            Some(Script::bad_key(OWN).times(1)),
            "OPENROUTER_KEY_INVALID",
        ),
        (Some(answer(200, manager)), "INVALID_REQUEST"),
        (
            Some(Script::sample("err-402-insufficient-credits").for_path("/key")),
            "OPENROUTER_KEY_OUT_OF_CREDIT",
        ),
        (
            Some(Script::sample("err-429-platform").for_path("/key")),
            "UPSTREAM_RATE_LIMITED",
        ),
        (
            Some(Script::sample("err-502").for_path("/key")),
            "UPSTREAM_UNAVAILABLE",
        ),
        (
            Some(answer(200, serde_json::json!({ "nothing": 1 }))),
            "UPSTREAM_UNAVAILABLE",
        ),
    ];
    for (script, expected) in cases {
        house.mock.clear_scripts();
        script
            .into_iter()
            .for_each(|script| house.mock.script(script));
        let refused = house.set_openrouter_key(&house.admin, OWN).await;
        let refused = refused.expect_err(expected);
        assert_eq!(reason(&refused), expected, "{refused:?}");
        assert!(!format!("{refused:?}").contains(OWN));
        assert_eq!(house.organization().await, kept, "{expected}");
    }
    house.mock.clear_scripts();
    let long = "k".repeat(513);
    for odd in ["", "short", "sk-or-v1-with a space in the middle", &long] {
        let refused = house.set_openrouter_key(&house.admin, odd).await;
        let refused = refused.expect_err("no key");
        assert_eq!(
            (reason(&refused), refused.code()),
            ("INVALID_REQUEST".to_owned(), Code::InvalidArgument)
        );
        assert_eq!(detail(&refused, "field"), "key");
    }
    assert_eq!(house.organization().await, kept);
    for secret in [OWN, OTHER] {
        assert!(!house.keeps(secret), "in a file");
    }
    house.close().await;
}

#[tokio::test]
async fn the_platforms_own_key_cannot_be_an_organizations() {
    let house = House::open().await;
    let refused = house.set_openrouter_key(&house.admin, PLATFORM_KEY).await;
    let refused = refused.expect_err("the platform's");
    assert_eq!(reason(&refused), "INVALID_REQUEST");
    assert!(house.mock.requests().is_empty(), "nobody was asked");
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
async fn what_openrouter_refuses_a_key_is_told_apart_and_the_platforms_key_never_helps_out() {
    let house = House::open().await;
    house
        .set_openrouter_key(&house.admin, OWN)
        .await
        .expect("set");
    for (sample, expected, code) in [
        (
            "err-402-insufficient-credits",
            "OPENROUTER_KEY_OUT_OF_CREDIT",
            Code::FailedPrecondition,
        ),
        (
            "err-403-key-limit",
            "OPENROUTER_KEY_OUT_OF_CREDIT",
            Code::FailedPrecondition,
        ),
        (
            "err-401-no-credentials",
            "OPENROUTER_KEY_INVALID",
            Code::FailedPrecondition,
        ),
        (
            "err-401-relayed-from-provider",
            "UPSTREAM_UNAVAILABLE",
            Code::Unavailable,
        ),
        (
            "err-403-moderation",
            "CONTENT_REJECTED",
            Code::FailedPrecondition,
        ),
        (
            "err-429-capacity-exhausted",
            "UPSTREAM_RATE_LIMITED",
            Code::Unavailable,
        ),
    ] {
        house.mock.script(Script::sample(sample));
        let refused = house.generate(request(sample)).await.expect_err(sample);
        assert_eq!(
            (reason(&refused).as_str(), refused.code()),
            (expected, code),
            "{sample}"
        );
    }
    let mut keys = house
        .mock
        .requests()
        .into_iter()
        .map(|request| request.headers["authorization"].clone());
    let first = keys.next().expect("a request");
    assert!(keys.all(|key| key == first), "only its own key was shown");
    assert_eq!(house.balance().await.credits, "10000.00");
    assert!(house.payers().is_empty());
    house.close().await;
}

#[tokio::test]
async fn two_refusals_that_openrouter_confirms_end_a_key_and_the_tools_say_why() {
    let house = House::open().await;
    house
        .set_openrouter_key(&house.admin, OWN)
        .await
        .expect("set");
    assert_eq!(house.painters(proto::ToolStatus::Ready).await, 1);
    // A refusal that the key's own record does not confirm is a hiccup, however often it comes.
    for hiccup in ["a", "b", "c"] {
        house.mock.script(Script::sample("err-401-no-credentials"));
        house.generate(request(hiccup)).await.expect_err("refused");
    }
    house.generate(request("works")).await.expect("a picture");
    assert_eq!(
        house.organization().await.openrouter_key_status(),
        proto::OpenRouterKeyStatus::Active
    );

    house.mock.script(Script::bad_key(OWN));
    let asked = house.mock.requests().len();
    for attempt in ["d", "e"] {
        let refused = house.generate(request(attempt)).await;
        assert_eq!(
            reason(&refused.expect_err("refused")),
            "OPENROUTER_KEY_INVALID"
        );
        // The picture and the confirmation.
        let wanted = asked + if attempt == "d" { 2 } else { 4 };
        let confirmed = async {
            while house.mock.requests().len() < wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, confirmed)
            .await
            .expect("it is confirmed");
    }
    house.key_becomes(proto::OpenRouterKeyStatus::Invalid).await;
    let asked = house.mock.requests().len();
    let refused = house.generate(request("f")).await.expect_err("known");
    assert_eq!(reason(&refused), "OPENROUTER_KEY_INVALID");
    assert_eq!(house.mock.requests().len(), asked, "nothing was sent");
    let tool = house.painter().await;
    assert_eq!(tool.status(), proto::ToolStatus::NeedsConfiguration);
    assert!(
        tool.status_reason.contains("own key"),
        "{}",
        tool.status_reason
    );
    assert_eq!(house.painters(proto::ToolStatus::Ready).await, 0);
    assert_eq!(
        house.painters(proto::ToolStatus::NeedsConfiguration).await,
        1
    );

    house
        .set_openrouter_key(&house.admin, OTHER)
        .await
        .expect("set");
    assert_eq!(house.painter().await.status(), proto::ToolStatus::Ready);
    house.generate(request("f")).await.expect("a picture");
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
async fn whoever_sets_or_deletes_a_key_stands_in_the_audit_trail_and_the_key_does_not() {
    let house = House::open().await;
    for key in [&house.runtime, ""] {
        let refused = house.set_openrouter_key(key, OWN).await;
        let refused = reason(&refused.expect_err("not its to set"));
        assert!(["PERMISSION_DENIED", "UNAUTHENTICATED"].contains(&refused.as_str()));
    }
    house
        .set_openrouter_key(&house.admin, OWN)
        .await
        .expect("set");
    house
        .set_openrouter_key(OPERATOR_KEY, OTHER)
        .await
        .expect("set");
    house
        .delete_openrouter_key(&house.owner)
        .await
        .expect("gone");
    house
        .delete_openrouter_key(&house.owner)
        .await
        .expect("nothing to do");
    let trail = proto::ListAuditEntriesRequest::default();
    let trail = house
        .organizations(&house.admin)
        .list_audit_entries(trail)
        .await;
    let entries = trail.expect("the trail").into_inner().entries;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.action(), entry.actor == "operator"))
        .take_while(|(action, _)| {
            use proto::AuditAction::{OpenrouterKeyDeleted, OpenrouterKeySet};
            [OpenrouterKeySet, OpenrouterKeyDeleted].contains(action)
        })
        .collect();
    use proto::AuditAction::{OpenrouterKeyDeleted, OpenrouterKeySet};
    assert_eq!(
        told,
        [
            (OpenrouterKeyDeleted, false),
            (OpenrouterKeySet, true),
            (OpenrouterKeySet, false)
        ]
    );
    let shown = format!("{entries:?}");
    assert!(shown.contains("…c0de") && shown.contains("…beef"));
    assert!(!shown.contains(OWN) && !shown.contains(OTHER));
    assert_eq!(house.painter().await.model, KLEIN);
    house.close().await;
}
