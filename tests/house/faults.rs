//! Faults between the gateway and whatever it stands on: the wire, the upstream's words, the
//! database, the disk.

use std::time::Duration;

use image_gateway::proto;
use rust_decimal::Decimal;
use tonic::{Code, Status};

use crate::helpers::{House, Setup, reason, request};
use proxy::{Proxy, body_of, find};

mod bombs;
mod callers;
mod cellar;
mod connection;
mod cost;
mod cuts;
mod proxy;
mod refused;

/// What one picture of the usual request costs upstream, in USD.
const PRICE: &str = "0.014";

/// How long the recovery may take to find the end of a generation.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the parts of the usual answer begin, in bytes of the whole message.
#[derive(Clone, Copy, Debug)]
struct Places {
    /// The first byte behind the head.
    body: usize,
    /// The first character of the picture.
    picture: usize,
    /// The quotation mark behind the picture.
    quote: usize,
    /// The word `usage`.
    usage: usize,
    /// How many bytes there are.
    end: usize,
}

impl Places {
    /// So many places from the body to the end of the picture, and so many in the little that
    /// follows it.
    fn spread(self, picture: usize, rest: usize) -> impl Iterator<Item = usize> {
        let evenly = |from: usize, to: usize, count: usize| {
            (0..count).map(move |place| from + (to - from) * place / (count - 1))
        };
        evenly(self.body, self.quote, picture).chain(evenly(self.quote - 1, self.end, rest))
    }

    /// The characters of the picture.
    fn picture_of(self, answer: &[u8]) -> String {
        let text = answer[self.picture..self.quote].to_vec();
        String::from_utf8(text).expect("base64")
    }
}

/// A house whose gateway reaches the mock through a proxy.
async fn behind_a_proxy(setup: Setup) -> (House, Proxy) {
    let proxy = Proxy::open().await;
    let base_url = Some(proxy.base_url());
    let house = House::with(Setup { base_url, ..setup }).await;
    proxy.lead_to(house.mock.address());
    (house, proxy)
}

/// Makes one picture without any fault, to see what its answer looks like.
async fn rehearse(house: &House, proxy: &Proxy) -> Places {
    house
        .generate(request("rehearsal"))
        .await
        .expect("no fault");
    let answer = proxy.last_answer();
    let after = |start: usize, word: &[u8]| {
        start + find(&answer[start..], word).expect("a part") + word.len()
    };
    let body = body_of(&answer);
    let picture = after(body, br#""b64_json":""#);
    let quote = after(picture, b"\"") - 1;
    Places {
        body,
        picture,
        quote,
        usage: after(quote, br#","usage""#) - br#""usage""#.len(),
        end: answer.len(),
    }
}

/// A call that fails so.
async fn fails(house: &House, id: &str, code: Code, expected: &str) -> Status {
    let status = house.generate(request(id)).await.expect_err(id);
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (code, expected),
        "{id}: {status:?}"
    );
    status
}

/// The generation, once its money is decided.
async fn ended(house: &House, id: &str) -> proto::Generation {
    let looking = async {
        loop {
            let generation = house.generation(id).await;
            if matches!(
                generation.stage(),
                proto::Stage::Settled | proto::Stage::Voided
            ) {
                return generation;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    found.unwrap_or_else(|_| panic!("{id} does not end"))
}

/// The generation ended without a charge, for this reason.
async fn is_voided(house: &House, id: &str, expected: &str) {
    let generation = ended(house, id).await;
    assert_eq!(generation.stage(), proto::Stage::Voided, "{id}");
    assert_eq!(generation.charge, None, "{id}");
    let error = generation.error.expect("an error");
    assert_eq!(error.reason, expected, "{id}");
}

/// So many pictures of the usual kind are charged, and nothing is held.
async fn is_charged(house: &House, pictures: u32) {
    let balance = house.balance().await;
    let left = format!("{}.00", 10_000 - 29 * pictures);
    assert_eq!(
        (balance.credits, balance.held),
        (left, "0.00".to_owned()),
        "after {pictures} pictures"
    );
}

/// Ends the house after so many pictures of the usual kind were charged.
async fn close(mut house: House, pictures: u32) {
    is_charged(&house, pictures).await;
    write_off(&mut house, pictures);
    house.close().await;
}

/// A page of the side door, by its status and its text.
async fn page(house: &House, path: &str) -> (u16, String) {
    let address = house.app.as_ref().expect("open").http_address();
    let answer = reqwest::get(format!("http://{address}{path}")).await;
    let answer = answer.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.expect("a text"))
}

/// What upstream has billed for calls that brought no picture is not in the books until somebody
/// asks for it.
fn write_off(house: &mut House, pictures: u32) {
    let database = rusqlite::Connection::open(house.database()).expect("the database");
    if !database.table_exists(None, "absorption").expect("a schema") {
        let price: Decimal = PRICE.parse().expect("a price");
        house.absorbed = house.mock.total_billed() - price * Decimal::from(pictures);
    }
}
