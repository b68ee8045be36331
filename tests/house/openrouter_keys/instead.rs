//! Whatever happens to a key, the platform's is never used in its place, and no hiccup ends it.

use image_gateway::mock::{Billing, GenerationLookup};

use super::*;

impl House {
    /// With which keys OpenRouter was asked so.
    fn shown_to(&self, path: &str) -> Vec<String> {
        let requests = self.mock.requests().into_iter();
        let asked = requests.filter(|request| request.path.ends_with(path));
        asked
            .map(|request| request.headers["authorization"].clone())
            .collect()
    }

    fn books(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.database()).expect("the books")
    }

    /// How often the key in use was refused since it was last taken.
    fn refusals(&self) -> u32 {
        let sql = "SELECT refusals FROM openrouter_key WHERE ended_us IS NULL";
        let counted = self.books().query_row(sql, [], |row| row.get(0));
        counted.expect("a key")
    }
}

#[tokio::test]
async fn while_nobody_can_read_whose_key_it_is_nothing_is_drawn() {
    let house = House::open().await;
    let set = house.set_openrouter_key(&house.admin, OWN).await;
    set.expect("set");
    let hide = "ALTER TABLE openrouter_key RENAME TO openrouter_key_away";
    house.books().execute_batch(hide).expect("hidden");
    let refused = house.generate(request("hidden")).await;
    let refused = reason(&refused.expect_err("nobody knows who pays"));
    let back = "ALTER TABLE openrouter_key_away RENAME TO openrouter_key";
    house.books().execute_batch(back).expect("back");
    assert_eq!(refused, "STORAGE_UNAVAILABLE");
    assert!(house.shown_to("/images").is_empty(), "nothing was sent");
    house.close().await;
}

#[tokio::test]
async fn what_a_call_cost_is_asked_with_its_own_key_or_not_at_all() {
    let mut house = House::open().await;
    let set = house.set_openrouter_key(&house.admin, OWN).await;
    set.expect("set");
    house.mock.script(Script {
        billing: Some(Billing::Always),
        generation_lookup: Some(GenerationLookup::Never),
        ..Script::cut_at(2_000)
    });
    let lost = house.generate(request("lost")).await;
    lost.expect_err("broken off");
    let drew = house.shown_to("/images").remove(0);
    // Another one is not shown in its place, nor is the platform's.
    let set = house.set_openrouter_key(&house.admin, OTHER).await;
    set.expect("set");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let gone = house.delete_openrouter_key(&house.admin).await;
    gone.expect("gone");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let asked = house.shown_to("/generation");
    assert!(asked.iter().all(|key| *key == drew), "{asked:?}");
    // The organization has paid it itself.
    (house.absorbed, house.in_doubt) = (house.mock.total_billed(), 1);
    house.close().await;
}

#[tokio::test]
async fn an_unconfirmed_refusal_is_not_counted_and_a_picture_undoes_those_that_are() {
    let house = House::open().await;
    let set = house.set_openrouter_key(&house.admin, OWN).await;
    set.expect("set");
    let checked = house.shown_to("/key").len();
    house.mock.script(Script::sample("err-401-no-credentials"));
    let refused = house.generate(request("hiccup")).await;
    refused.expect_err("refused");
    let noted = async {
        while house.shown_to("/key").len() == checked {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let noted = tokio::time::timeout(PATIENCE, noted).await;
    noted.expect("OpenRouter is asked");
    assert_eq!(house.refusals(), 0, "its record says that it is good");
    let once = "UPDATE openrouter_key SET refusals = 1";
    house.books().execute_batch(once).expect("one refusal");
    house.generate(request("works")).await.expect("a picture");
    let undone = async {
        while house.refusals() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let undone = tokio::time::timeout(PATIENCE, undone).await;
    undone.expect("it was taken");
    house.close().await;
}
