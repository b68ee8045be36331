//! A disk that takes no more, for a whole process.

use std::process::Stdio;

use tokio::process::Command;

use super::{Served, audited_open_holds, serve};
use crate::helpers::{House, request};
use crate::story::Story;

/// Blocks of 512 bytes that a file may have: the books are smaller, and so is a picture, but what is
/// written to the write-ahead log before it is emptied is more.
const BLOCKS: u32 = 2048;

/// So many pictures never fit.
const PICTURES_MOST: usize = 100;

/// `serve`, on a system that lets no file grow beyond that.
fn cramped(house: &House) -> Command {
    let served = serve(house, &[("DRAIN_TIMEOUT", "1s")]);
    let served = served.as_std();
    let script = format!("trap '' XFSZ; ulimit -f {BLOCKS}; exec \"$@\"");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &script, "sh"])
        .arg(served.get_program())
        .args(served.get_args())
        .env_clear()
        .envs(
            served
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn files_that_may_not_grow_stop_new_calls_and_the_next_process_settles_the_rest() {
    let (house, _) = Served::start(&[]).await.stop().await;
    let command = cramped(&house);
    let served = Served::on(house, command).await;
    let mut told: Vec<(String, Story)> = Vec::new();
    let refused = loop {
        let id = format!("r{}", told.len());
        match served.house.generate(request(&id)).await {
            Ok(story) => told.push((id, story)),
            Err(status) => break status,
        }
        assert!(told.len() < PICTURES_MOST, "nothing was ever full");
    };
    assert_eq!(crate::helpers::reason(&refused), "INTERNAL");
    assert!(!told.is_empty());
    let sent = served.house.sent();
    for id in ["next", "after"] {
        let refused = served.house.generate(request(id)).await;
        refused.expect_err("full");
    }
    assert_eq!(served.house.sent(), sent, "sent upstream");
    let (house, _) = served.stop().await;

    let served = Served::again(house, &[]).await;
    for (id, story) in &told {
        let ended = served.house.ended(id).await;
        assert_eq!(ended.charge.expect("a charge").credits, "29.00", "{id}");
        let again = served.house.generate(request(id)).await.expect("replayed");
        assert!(again.completed.replayed, "{id}");
        assert_eq!(again.images, story.images, "{id}");
    }
    let next = served.house.generate(request("next")).await;
    assert_eq!(next.expect("room again").charge().credits, "29.00");
    let (house, ended) = served.stop().await;
    assert_eq!(ended.status, Some(0), "{ended:#?}");
    assert_eq!(audited_open_holds(&house).await, 0);
    house.mock.stop().await;
}
