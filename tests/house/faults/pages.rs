//! Pages of the database that are malformed where only calls look.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use image_gateway::domain::catalog::Catalog;
use rusqlite::Connection;
use tonic::Code;

use super::{close, fails, page};
use crate::helpers::{House, request};

/// The first page of a table: where it begins in the file, and what stands there.
struct Page {
    at: u64,
    good: Vec<u8>,
}

impl Page {
    /// Of a database that nobody has open.
    fn of(house: &House, table: &str) -> Self {
        let database = Connection::open(house.database()).expect("the database");
        let number = |sql: &str| {
            let number = database.query_row(sql, [], |row| row.get::<_, i64>(0));
            u64::try_from(number.expect(sql)).expect("a number of pages")
        };
        let size = number("PRAGMA page_size");
        let root = format!("SELECT rootpage FROM sqlite_schema WHERE name = '{table}'");
        let at = (number(&root) - 1) * size;
        let mut good = vec![0; usize::try_from(size).expect("a page")];
        let file = std::fs::File::open(house.database()).expect("the file");
        file.read_exact_at(&mut good, at).expect("a page");
        Self { at, good }
    }

    fn write(&self, house: &House, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(house.database());
        file.expect("the file")
            .write_all_at(bytes, self.at)
            .expect("written");
    }
}

#[tokio::test]
async fn a_database_of_which_only_some_pages_are_malformed_makes_it_not_ready_and_stays_so() {
    let mut house = House::open().await;
    let app = house.app.take().expect("open");
    app.drain(Duration::from_secs(20)).await;
    let tools = Page::of(&house, "tool");
    tools.write(&house, &vec![0xff; tools.good.len()]);
    house.start_again(Catalog::built_in()).await;
    // Nobody has met it, and what is looked at is well.
    assert_eq!(page(&house, "/readyz").await.0, 200);
    for id in ["first", "second", "third"] {
        fails(&house, id, Code::Unavailable, "STORAGE_UNAVAILABLE").await;
    }
    for _ in 0..3 {
        let (status, body) = page(&house, "/readyz").await;
        assert_eq!(
            (status, body.as_str()),
            (503, r#"{"status":"database_failed"}"#)
        );
        assert_eq!(page(&house, "/healthz").await.0, 200);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let app = house.app.take().expect("open");
    app.drain(Duration::from_secs(20)).await;
    tools.write(&house, &tools.good);
    house.start_again(Catalog::built_in()).await;
    assert_eq!(page(&house, "/readyz").await.0, 200);
    house.generate(request("first")).await.expect("a picture");
    close(house, 1).await;
}
