//! Names that are in the database since before they were looked at, or by somebody's hand.

use image_gateway::domain::seen::hides;

use super::{Ended, Running, Served, finish, program, serve};
use crate::helpers::request;

/// Clears the screen, colours what follows, goes back over what stands there, turns the direction of
/// writing, has what nobody sees, and begins a line of its own in a colour of ours.
pub(super) const ODD: &str = "\u{1b}[2J\u{1b}[31mgone\u{9b}32m\r\u{8}\u{202e}\u{ad}\u{e0061}\u{1b}]0;title\u{7}\n\u{1b}[36mforged";

/// What is left to see of it.
pub(super) const SEEN: &str = "[2J";

/// Whatever was printed acts on a terminal by ends of lines and colours of ours alone.
pub(super) fn assert_harmless(printed: &str) {
    let mut plain = printed.to_owned();
    for ours in ["0", "1", "2", "4", "31", "32", "33", "36"] {
        plain = plain.replace(&format!("\u{1b}[{ours}m"), "");
    }
    let acts = |c: char| hides(c) && c != '\n';
    assert!(!plain.contains(acts), "{printed:?}");
    assert!(
        !plain.lines().any(|line| line.starts_with("forged")),
        "{printed:?}"
    );
    for colour in ["31m", "36m"] {
        let forged = format!("\u{1b}[{colour}");
        assert!(!printed.contains(&(forged.clone() + "gone")), "{printed:?}");
        assert!(!printed.contains(&(forged + "forged")), "{printed:?}");
    }
}

/// What the program says with these arguments to somebody whose terminal shows colours.
async fn told(served: &Served, arguments: &[&str]) -> Ended {
    let mut command = program(arguments);
    let ended = finish(
        command
            .env("CLICOLOR_FORCE", "1")
            .env("GATEWAY_KEY", &served.house.admin),
    )
    .await;
    assert_harmless(&ended.stdout);
    assert_harmless(&ended.stderr);
    ended
}

#[tokio::test]
async fn what_was_mistyped_is_told_in_the_colours_of_this_program_alone() {
    let forged = format!("x{ODD}");
    for arguments in [
        &["usage", "--by", &forged][..],
        &["usage", "--from", &forged],
        &["usage", &forged],
        &["keys", &format!("--{forged}")],
        &["keys", &forged],
        &[&forged],
    ] {
        let mut command = program(arguments);
        let ended = finish(command.env("CLICOLOR_FORCE", "1")).await;
        assert_eq!(ended.status, Some(2), "{ended:#?}");
        assert!(ended.stderr.contains(SEEN), "{ended:#?}");
        assert!(ended.stderr.contains("\u{1b}[31merror:"), "{ended:?}");
        assert_harmless(&ended.stderr);
    }
    let help = finish(program(&["usage", "--help"]).env("CLICOLOR_FORCE", "1")).await;
    assert!(help.stdout.contains("\u{1b}["), "{help:?}");
    assert_harmless(&help.stdout);
}

#[tokio::test]
async fn whatever_the_database_holds_as_a_name_nothing_that_is_printed_acts_on_a_terminal() {
    let served = Served::start(&[]).await;
    let story = served.house.generate(request("r")).await.expect("drawn");
    let id = &story.accepted.generation_id;
    let database = rusqlite::Connection::open(served.house.database()).expect("the database");
    let odd = [ODD];
    for sql in [
        "UPDATE api_key SET name = ?1",
        "UPDATE organization SET name = ?1",
        "UPDATE generation SET user = ?1, details = json_set(details, '$.model_name', ?1)",
    ] {
        let table = sql.split(' ').nth(1).expect("a table");
        let fixed = format!("DROP TRIGGER IF EXISTS {table}_fixed");
        database.execute_batch(&fixed).expect("not fixed");
        assert!(database.execute(sql, odd).expect("changed") > 0, "{sql}");
    }
    let address = format!("http://{}", served.grpc);
    let folder = served.house.dir.path().to_str().expect("text");
    let keys = told(&served, &["keys", "list", "--address", &address]).await;
    assert!(keys.stdout.contains(SEEN), "{keys:#?}");
    let usage = ["usage", "--by", "user", "--address", &address];
    assert!(told(&served, &usage).await.stdout.contains(SEEN));
    for json in [&["--json"][..], &[]] {
        let receipt = ["audit", "--data-dir", folder, "--generation", id];
        let receipt = told(&served, &[&receipt, json].concat()).await;
        assert!(receipt.stdout.contains(SEEN), "{receipt:#?}");
        let all = told(&served, &[&["audit", "--data-dir", folder], json].concat()).await;
        assert!(all.stdout.contains("A3"), "{all:#?}");
        told(&served, &[&usage, json].concat()).await;
    }
    // What another process on these books logs.
    let (house, ended) = served.stop().await;
    assert_harmless(&ended.stderr);
    for format in ["text", "json"] {
        let settings = [("LOG_FORMAT", format), ("RUST_LOG", "debug")];
        let mut running = Running::start(&mut serve(&house, &settings));
        running.line().await.expect("it serves");
        running.signal("TERM").await;
        assert_harmless(&running.ended().await.stderr);
    }
    house.mock.stop().await;
}
