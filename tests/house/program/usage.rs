//! `usage` as its users meet it.

use super::{Served, finish, program};
use crate::helpers::{OPERATOR_KEY, request};

#[tokio::test]
async fn consumption_is_printed_as_a_table_as_csv_and_as_json() {
    let served = Served::start(&[]).await;
    for id in ["a", "b"] {
        served.house.generate(request(id)).await.expect("a picture");
    }
    let address = served.grpc.to_string();
    let usage = |arguments: &[&str]| {
        let mut all = vec!["usage", "--address", address.as_str()];
        all.extend(arguments);
        let mut command = program(&all);
        command.env("GATEWAY_KEY", &served.house.admin);
        command
    };
    let table = finish(&mut usage(&["--by", "agent"])).await;
    assert_eq!((table.status, table.stderr.as_str()), (Some(0), ""));
    table.assert_plain();
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].starts_with("Agent "), "{lines:#?}");
    assert!(lines[1].starts_with("painter ") && lines[1].ends_with('█'));
    assert!(lines[2].contains("58.00"), "{lines:#?}");

    let csv = finish(&mut usage(&["--by", "model", "--csv"])).await;
    assert_eq!(
        csv.stdout,
        "model,generations,images,credits,usd_cost,own_usd_cost,failed\r\n\
         \"black-forest-labs/flux.2-klein-4b\",2,2,58.00,0.028,0,0\r\n"
    );

    // Its own key pays for one more.
    let own = "sk-or-v1-0123456789abcdef0123456789abcdef-c0de";
    let set = served.house.set_openrouter_key(OPERATOR_KEY, own).await;
    set.expect("set");
    served
        .house
        .generate(request("c"))
        .await
        .expect("a picture");
    for (whose, line) in [
        (&[][..], "3,3,59.00,0.028,0.014,0"),
        (&["--key-mode", "platform"], "2,2,58.00,0.028,0,0"),
        (&["--key-mode", "organization"], "1,1,1.00,0,0.014,0"),
    ] {
        let csv = finish(&mut usage(&[&["--by", "agent", "--csv"], whose].concat())).await;
        assert!(
            csv.stdout.contains(&format!("\"painter\",{line}\r\n")),
            "{csv:#?}"
        );
    }
    let table = finish(&mut usage(&["--key-mode", "organization"])).await;
    assert!(table.stdout.contains("Own USD"), "{table:#?}");

    let mut operator = usage(&["--by", "agent", "--csv", "--organization", "acme"]);
    let operator = finish(operator.env("GATEWAY_KEY", OPERATOR_KEY)).await;
    assert!(
        operator.stdout.contains("\"painter\",3,3,"),
        "{operator:#?}"
    );
    let mut nobody = usage(&[]);
    let nobody = finish(nobody.env("GATEWAY_KEY", OPERATOR_KEY)).await;
    nobody.assert_failed(1);
    assert!(nobody.stderr.contains("organization_id"), "{nobody:#?}");

    let json = finish(&mut usage(&["--json", "--from", "2020-01-01"])).await;
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["total"]["credits"], "59.00");
    assert_eq!(json["total"]["images"], "3");
    assert_eq!(json["total"]["usdCost"], "0.028");
    assert_eq!(json["total"]["ownUsdCost"], "0.014");

    let past = finish(&mut usage(&["--to", "2020-01-01"])).await;
    assert!(past.stdout.contains("nothing was consumed"), "{past:#?}");

    // A key in a file, for those who share a machine.
    let file = served.house.dir.path().join("key");
    std::fs::write(&file, format!("{}\n", served.house.admin)).expect("a file");
    let file = file.to_string_lossy();
    let by_file = ["usage", "--address", &address, "--key-file", &file];
    assert_eq!(finish(&mut program(&by_file)).await.status, Some(0));
    served.close().await;
}

#[tokio::test]
async fn what_goes_to_a_program_is_what_was_kept() {
    let served = Served::start(&[]).await;
    let user = "\u{1b}[31m=1;@x\u{9b}";
    let mut asked = request("odd");
    asked.user_id = user.to_owned();
    let drawn = served.house.generate(asked).await;
    drawn.expect("a picture");
    let address = served.grpc.to_string();
    let mut usage = program(&["usage", "--address", &address, "--by", "user", "--csv"]);
    let csv = finish(usage.env("GATEWAY_KEY", &served.house.admin)).await;
    let cell = "\u{1b}[31m=1;'@x\u{9b}";
    assert!(csv.stdout.contains(&format!("\"{cell}\",1,1,")), "{csv:#?}");
    served.close().await;
}

#[tokio::test]
async fn usage_says_what_stands_in_its_way() {
    let served = Served::start(&[]).await;
    let address = served.grpc.to_string();
    let ask = ["usage", "--address", address.as_str()];
    let without = finish(&mut program(&ask)).await;
    without.assert_failed(2);
    assert!(without.stderr.contains("GATEWAY_KEY"), "{without:#?}");

    let mut low = program(&ask);
    low.env("GATEWAY_KEY", &served.house.runtime);
    let low = finish(&mut low).await;
    low.assert_failed(1);
    assert!(low.stderr.contains("PERMISSION_DENIED"), "{low:#?}");

    let mut wrong = program(&ask);
    wrong.env("GATEWAY_KEY", "sq_live_no_such_key");
    let wrong = finish(&mut wrong).await;
    wrong.assert_failed(1);
    assert!(wrong.stderr.contains("UNAUTHENTICATED"), "{wrong:#?}");
    assert!(!wrong.stderr.contains("no_such_key"), "{wrong:#?}");

    let mut nowhere = program(&["usage", "--address", "127.0.0.1:1"]);
    nowhere.env("GATEWAY_KEY", "any");
    let nowhere = finish(&mut nowhere).await;
    nowhere.assert_failed(1);
    assert!(
        nowhere.stderr.contains("is it running there?"),
        "{nowhere:#?}"
    );

    let mut whose = program(&ask);
    let whose = finish(whose.env("GATEWAY_KEY", OPERATOR_KEY)).await;
    whose.assert_failed(1);
    let hint = "\nhint: name the organization with --organization";
    assert!(whose.stderr.contains(hint), "{whose:#?}");

    let mut day = program(&["usage", "--from", "yesterday"]);
    assert_eq!(finish(&mut day).await.status, Some(2));
    for (from, to) in [
        ("2026-11-05", "2026-11-04"),
        ("2026-11-05T12:00:00Z", "2026-11-05T12:00:00Z"),
    ] {
        let mut never = program(&[&ask[..], &["--from", from, "--to", to]].concat());
        let never = finish(never.env("GATEWAY_KEY", &served.house.admin)).await;
        never.assert_failed(2);
        assert!(
            never.stderr.contains("between --from and --to"),
            "{never:#?}"
        );
    }
    let mut day = program(&[&ask[..], &["--from", "2026-11-05", "--to", "2026-11-05"]].concat());
    let day = finish(day.env("GATEWAY_KEY", &served.house.admin)).await;
    assert_eq!(day.status, Some(0), "{day:#?}");
    served.close().await;
}

#[tokio::test]
async fn a_door_that_opens_and_says_nothing_is_not_waited_for_without_end() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let mut command = program(&["usage", "--address", address.as_str()]);
    command.env("GATEWAY_KEY", "any");
    let ended =
        tokio::time::timeout(std::time::Duration::from_secs(60), finish(&mut command)).await;
    let ended = ended.expect("it gives up by itself");
    ended.assert_failed(1);
    assert!(
        ended.stderr.contains("nothing answered on it"),
        "{ended:#?}"
    );
}

#[tokio::test]
async fn a_door_that_is_shut_before_a_word_may_be_that_of_a_full_gateway() {
    let door = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = door.local_addr().expect("an address").to_string();
    std::thread::spawn(move || door.incoming().for_each(drop));
    let mut command = program(&["usage", "--address", address.as_str()]);
    command.env("GATEWAY_KEY", "any");
    let ended = finish(&mut command).await;
    ended.assert_failed(1);
    assert!(ended.stderr.contains("full"), "{ended:#?}");
    assert!(ended.stderr.contains("LISTEN_ADDR"), "{ended:#?}");
}
