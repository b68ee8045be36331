//! `audit` and `reconcile` as their users meet them.

use image_gateway::mock::{GenerationLookup, Script};
use serde_json::Value;

use super::names::{ODD, SEEN, assert_harmless};
use super::{OPENROUTER_KEY, Served, finish, page, program, reconciled, until};
use crate::calendar::away_from_midnight;
use crate::helpers::{NANO, Story, request};

#[tokio::test]
async fn the_books_of_a_running_gateway_are_audited_and_a_doctored_copy_is_found_out() {
    let served = Served::start(&[]).await;
    served
        .house
        .generate(request("a"))
        .await
        .expect("a picture");
    let folder = served.house.dir.path().to_string_lossy().into_owned();
    let live = finish(&mut program(&["audit", "--data-dir", &folder])).await;
    assert_eq!((live.status, live.stderr.as_str()), (Some(0), ""));
    live.assert_plain();
    assert!(
        live.stdout
            .contains("1 organization, 1 generation, 3 ledger entries")
    );
    for invariant in [
        "I1 ", "I2 ", "I3 ", "I5 ", "I7 ", "I9 ", "I11 ", "I12 ", "I13 ", "I14 ",
    ] {
        let found = live.stdout.lines().any(|line| line.starts_with(invariant));
        assert!(found, "{invariant} in {}", live.stdout);
    }

    let copy = served.house.dir.path().join("copy.sqlite3");
    let connection = rusqlite::Connection::open(served.house.database()).expect("the books");
    connection
        .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
        .expect("a copy");
    let name = copy.to_string_lossy().into_owned();
    let copied = finish(&mut program(&["audit", "--database", &name, "--json"])).await;
    assert_eq!(copied.status, Some(0), "{copied:#?}");
    let report: Value = serde_json::from_str(&copied.stdout).expect("JSON");
    assert_eq!(
        (&report["breaks"], &report["credits"]),
        (&0.into(), &"9971.00".into())
    );

    let doctored = rusqlite::Connection::open(&copy).expect("the copy");
    doctored
        .execute_batch("DROP TRIGGER ledger_fixed; PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; UPDATE ledger SET amount_cc = 1 WHERE kind = 'charge'")
        .expect("doctored");
    drop(doctored);
    let found = finish(&mut program(&["audit", "--database", &name])).await;
    assert_eq!(found.status, Some(1));
    assert!(
        found.stdout.contains("does not carry its hash"),
        "{found:#?}"
    );
    assert!(
        found.stderr.contains("the books do not agree"),
        "{found:#?}"
    );

    let nowhere = finish(&mut program(&["audit", "--database", "/nowhere/at/all"])).await;
    nowhere.assert_failed(1);
    let text = served.house.dir.path().join("text");
    std::fs::write(&text, "no database").expect("a file");
    let text = text.to_string_lossy().into_owned();
    finish(&mut program(&["audit", "--database", &text]))
        .await
        .assert_failed(1);
    served.close().await;
}

#[tokio::test]
async fn a_receipt_is_computed_again_from_what_is_stored() {
    let served = Served::start(&[]).await;
    let house = &served.house;
    house.tool(|tool| tool.model = NANO.to_owned()).await;
    let mut three = request("three");
    three.count = 3;
    let story = house.generate(three).await.expect("pictures");
    let folder = house.dir.path().to_string_lossy().into_owned();
    let id = story.completed.id.clone();
    let receipt = ["audit", "--data-dir", &folder, "--generation", &id];
    let receipt = finish(&mut program(&receipt)).await;
    assert_eq!((receipt.status, receipt.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = receipt.stdout.lines().collect();
    let calls = lines
        .iter()
        .filter(|line| line.starts_with("Call "))
        .count();
    assert_eq!(calls, 3, "{lines:#?}");
    let explanation = &story.charge().explanation;
    assert!(receipt.stdout.contains(explanation.as_str()), "{lines:#?}");
    assert!(lines.last().is_some_and(|line| line.ends_with("agrees")));

    let by_request = [
        "audit",
        "--data-dir",
        &folder,
        "--organization",
        "acme",
        "--request",
        "three",
        "--json",
    ];
    let by_request = finish(&mut program(&by_request)).await;
    let json: Value = serde_json::from_str(&by_request.stdout).expect("JSON");
    assert_eq!(json["generation"], id.as_str());

    let absent = uuid::Uuid::now_v7().to_string();
    let absent = ["audit", "--data-dir", &folder, "--generation", &absent];
    finish(&mut program(&absent)).await.assert_failed(1);
    let wrong = ["audit", "--data-dir", &folder, "--generation", "x"];
    finish(&mut program(&wrong)).await.assert_failed(2);
    served.close().await;
}

#[tokio::test]
async fn the_books_are_held_against_the_bill_and_differences_are_itemised() {
    away_from_midnight().await;
    let served = Served::start(&[]).await;
    let house = &served.house;
    house.generate(request("a")).await.expect("a picture");
    let folder = house.dir.path().to_string_lossy().into_owned();
    let upstream = house.mock.base_url();
    let reconcile = |arguments: &[&str]| {
        let mut all = vec!["reconcile", "--data-dir", folder.as_str()];
        all.extend(arguments);
        let mut command = program(&all);
        command
            .env("OPENROUTER_BASE_URL", &upstream)
            .env("OPENROUTER_API_KEY", OPENROUTER_KEY);
        command
    };
    let equal = finish(&mut reconcile(&[])).await;
    assert_eq!(
        (equal.status, equal.stderr.as_str()),
        (Some(0), ""),
        "{equal:#?}"
    );
    assert!(equal.stdout.contains("every difference is explained"));
    assert!(!equal.stdout.contains(OPENROUTER_KEY));

    let address = upstream.replace("/api/v1", "/mock/bill");
    let (_, bill) = page(&address).await;
    let file = house.dir.path().join("bill.json");
    std::fs::write(&file, bill).expect("a file");
    let file = file.to_string_lossy().into_owned();
    let by_call = finish(&mut reconcile(&["--bill", &file, "--json"])).await;
    let report: Value = serde_json::from_str(&by_call.stdout).expect("JSON");
    assert_eq!(report["periods"][3]["difference"], "0", "{report}");
    assert_eq!(report["calls"], serde_json::json!([]));

    // Billed, and never named: the answer hung up before its head.
    house.mock.script(Script {
        billing: Some(image_gateway::mock::Billing::Always),
        ..Script::hang_up()
    });
    house.generate(request("lost")).await.expect_err("hung up");
    let lost = finish(&mut reconcile(&[])).await;
    assert!(
        lost.stdout.contains("broke off") || lost.stdout.contains("not ended"),
        "{lost:#?}"
    );

    // Somebody else uses the key: one uncertain picture of 0.014 USD does not explain 0.40 USD.
    let order = serde_json::json!({"model": "bytedance-seed/seedream-4.5", "prompt": "x", "n": 10});
    let bought = reqwest::Client::new()
        .post(format!("{upstream}/images"))
        .bearer_auth(OPENROUTER_KEY)
        .body(order.to_string())
        .send();
    let bought = bought.await.expect("an answer").bytes().await;
    assert!(bought.expect("pictures").len() > 10_000);
    house.mock.wait_for_bill(3).await;
    let other = finish(&mut reconcile(&[])).await;
    let mut lines = other.stdout.lines();
    assert!(
        lines.any(|line| line.starts_with("Day (UTC)")),
        "{other:#?}"
    );
    assert!(lines.next().is_some_and(|day| day.ends_with("0.014")));
    assert_eq!(other.status, Some(1), "{other:#?}");
    assert!(other.stdout.contains("nothing explains"), "{other:#?}");
    // A bill that knows nothing of what was charged is not one that agrees.
    std::fs::write(&file, r#"{"entries": []}"#).expect("a file");
    let unbilled = finish(&mut reconcile(&["--bill", &file, "--json"])).await;
    let report: Value = serde_json::from_str(&unbilled.stdout).expect("JSON");
    assert_eq!(report["calls"][0]["ours"], "0.014", "{report}");
    assert_eq!(report["calls"][0]["theirs"], "0");

    // What a bill holds is somebody else's.
    let entry =
        serde_json::json!({"generation_id": ODD, "cost": "1", "billed": true, "session_id": ODD});
    let odd = serde_json::json!({ "entries": [entry] }).to_string();
    std::fs::write(&file, odd).expect("a file");
    let mut odd = reconcile(&["--bill", &file]);
    let odd = finish(odd.env("CLICOLOR_FORCE", "1")).await;
    assert!(odd.stdout.contains(SEEN), "{odd:#?}");
    assert_harmless(&odd.stdout);
    std::fs::write(&file, "# no bill").expect("a file");
    let none = finish(&mut reconcile(&["--bill", &file])).await;
    none.assert_failed(1);
    assert!(none.stderr.contains("/mock/bill"), "{none:#?}");

    let mut stranger = reconcile(&[]);
    stranger.env_remove("OPENROUTER_API_KEY");
    finish(&mut stranger).await.assert_failed(2);
    let (house, ended) = served.stop().await;
    assert_eq!(ended.status, Some(0));
    house.mock.stop().await;
}

#[tokio::test]
async fn the_sums_of_books_that_the_records_contradict_are_explained() {
    away_from_midnight().await;
    let served = Served::start(&[("COST_CHECK_AFTER", "1s")]).await;
    let house = &served.house;
    for (id, cost) in [("less", "0.01"), ("more", "0.02")] {
        house.mock.script(Script {
            generation_lookup: Some(GenerationLookup::Cost(cost.to_owned())),
            ..Script::default()
        });
        house.generate(request(id)).await.expect("a picture");
    }
    until("checked", async || {
        let (_, metrics) = served.page("/metrics").await;
        let outcome = |name: &str| format!("cost_checks_total{{outcome=\"{name}\"}} 1");
        metrics.contains(&outcome("lower")) && metrics.contains(&outcome("higher"))
    })
    .await;
    let folder = house.dir.path().to_string_lossy().into_owned();
    let (status, report) = reconciled(house).await;
    assert_eq!(status, Some(0), "{report}");
    assert_eq!(report["periods"][3]["ours"], "0.03", "{report}");
    assert_eq!(report["periods"][3]["difference"], "0", "{report}");
    assert_eq!(report["calls"], serde_json::json!([]));
    for (place, ours) in [(0, "0.02"), (1, "0.01")] {
        let item = &report["items"][place];
        assert_eq!(item["ours"], ours, "{report}");
        let why = item["why"].as_str().expect("a reason");
        assert!(why.contains("records say another cost"), "{why}");
    }
    // The bill may go by the answers instead; it may not go by anything.
    for (billed, expected) in [("0.028", Some(0)), ("0.5", Some(1))] {
        let key = format!(r#"{{"data":{{"usage":{billed}}}}}"#);
        let key = Script::raw_body("application/json", &key);
        house.mock.script(key.for_path("/key"));
        let (status, report) = reconciled(house).await;
        assert_eq!(status, expected, "{report}");
    }
    for (id, line) in [("less", "Refunded"), ("more", "Absorbed")] {
        let receipt = [
            "audit",
            "--data-dir",
            &folder,
            "--organization",
            "acme",
            "--request",
            id,
        ];
        let receipt = finish(&mut program(&receipt)).await;
        assert_eq!(receipt.status, Some(0), "{receipt:#?}");
        assert!(receipt.stdout.contains(line), "{receipt:#?}");
    }
}

#[tokio::test]
async fn a_generation_that_goes_on_has_no_receipt_yet() {
    let served = Served::start(&[]).await;
    let house = &served.house;
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&house.runtime);
    let events = images.generate_image(request("slow")).await;
    house.mock.wait_at_gate("slow").await;
    let folder = house.dir.path().to_string_lossy().into_owned();
    let of_it = ["--organization", "acme", "--request", "slow"];
    let receipt = ["audit", "--data-dir", &folder].into_iter().chain(of_it);
    let receipt: Vec<&str> = receipt.collect();
    let open = finish(&mut program(&receipt)).await;
    assert_eq!(open.status, Some(0), "{open:#?}");
    assert!(open.stdout.contains("not written yet"), "{open:#?}");
    assert!(!open.stdout.contains("agrees"), "{open:#?}");
    house.mock.open_gate("slow");
    let events = events.expect("taken").into_inner();
    Story::read(events).await.expect("a picture");
    let ended = finish(&mut program(&receipt)).await;
    assert!(ended.stdout.contains("credits for 1 image\n"), "{ended:#?}");
    assert!(ended.stdout.contains("agrees"), "{ended:#?}");
    served.close().await;
}

#[tokio::test]
async fn a_call_that_was_refused_and_billed_is_found_on_the_bill() {
    away_from_midnight().await;
    let served = Served::start(&[]).await;
    let house = &served.house;
    house.mock.script(Script {
        billing: Some(image_gateway::mock::Billing::Always),
        ..Script::error(500, Value::Null)
    });
    house.generate(request("refused")).await.expect_err("500");
    house
        .mock
        .script(Script::usage_cost("0.0140000000000000001"));
    house.generate(request("fine")).await.expect("a picture");
    // The recovery asks what the refused one has cost.
    until("absorbed", async || {
        let (_, report) = reconciled(house).await;
        let absorbed = report["days"][0]["absorbed"] != "0";
        assert!(
            !absorbed || report["calls"] == serde_json::json!([]),
            "{report}"
        );
        absorbed
    })
    .await;
    served.close().await;
}
