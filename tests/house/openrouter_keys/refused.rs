//! What OpenRouter refuses a key, and when that ends it.

use image_gateway::domain::openrouter_key::REFUSALS_APART;
use image_gateway::proto::AuditAction;
use tonic_types::StatusExt;

use super::*;

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
        (
            "err-429-platform",
            "UPSTREAM_RATE_LIMITED",
            Code::Unavailable,
        ),
    ] {
        // A limit is waited for, some times.
        let times = if sample == "err-429-platform" { 9 } else { 1 };
        house.mock.script(Script::sample(sample).times(times));
        let refused = house.generate(request(sample)).await.expect_err(sample);
        assert_eq!(
            (reason(&refused).as_str(), refused.code()),
            (expected, code),
            "{sample}"
        );
        let details = refused.get_error_details();
        let metadata = &details.error_info().expect("an ErrorInfo").metadata;
        let is_own_limit = metadata
            .get("cause")
            .is_some_and(|cause| cause == "openrouter_key");
        assert_eq!(is_own_limit, sample == "err-429-platform", "{metadata:?}");
        house.mock.clear_scripts();
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

impl House {
    /// The gateway found out that the key is refused; whoever set another made it good again.
    async fn tells_what_became_of_the_key(&self) {
        let trail = self.newest_entries(2).await;
        let expected = [
            (AuditAction::OpenrouterKeySet, "invalid", "active", false),
            (
                AuditAction::OpenrouterKeyStatusChanged,
                "active",
                "invalid",
                true,
            ),
        ];
        assert_eq!(trail.len(), expected.len());
        for (entry, expected) in trail.iter().zip(expected) {
            let mut changes = entry.changes.iter();
            let change = changes.find(|change| change.field == "openrouter_key_status");
            let change = change.unwrap_or_else(|| panic!("no status in {entry:?}"));
            let by_itself = entry.actor == "gateway";
            let (old, new) = (change.old_value(), change.new_value());
            assert_eq!((entry.action(), old, new, by_itself), expected);
        }
    }
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
        if attempt == "e" {
            // What comes sooner is the same moment.
            let apart = Duration::try_from(REFUSALS_APART).expect("a while");
            tokio::time::sleep(apart).await;
        }
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

    let set = house.set_openrouter_key(&house.admin, OTHER).await;
    set.expect("set");
    house.tells_what_became_of_the_key().await;
    assert_eq!(house.painter().await.status(), proto::ToolStatus::Ready);
    house.generate(request("f")).await.expect("a picture");
    house.close().await;
}
