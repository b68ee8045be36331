//! What the descriptor of the contract gives rise to: every call with made-up fields.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};
use tonic::Code;

use crate::helpers::{AGENT, House, KLEIN, OPERATOR_KEY, reason};
use crate::reflection::{contract, invoke};

/// Made-up messages per call and kind of key.
const MESSAGES: u64 = 12;

/// Where the dice begin.
const SEED: u64 = 0x5eed;

/// Messages in messages in messages, no deeper.
const DEPTH_MAX: u32 = 3;

/// What texts are made of: what makes sense somewhere, and what never does. The organization that the
/// house audits is not among them, so that what it owns is known.
const TEXTS: [&str; 20] = [
    "",
    " ",
    AGENT,
    KLEIN,
    "other",
    "r",
    "1K",
    "16:9",
    "1000:1",
    "10.50",
    "-1",
    "1e999",
    "99999999999999999999",
    "../../etc/passwd",
    "https://169.254.169.254/latest",
    "nul\u{0}",
    "\u{202e}txet",
    "日本語🦊",
    "01a20abe-faa3-73eb-b77e-93bfb04ba1b7",
    "AAAA",
];

const TIMES: [&str; 3] = [
    "0001-01-01T00:00:00Z",
    "2026-11-24T12:00:00.5Z",
    "9999-12-31T23:59:59.999999999Z",
];

/// Numbers without a pattern, the same for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("a place")]
    }
}

fn message(of: &MessageDescriptor, dice: &mut Dice, depth: u32) -> Value {
    let mut fields = Map::new();
    for field in of.fields() {
        let taken = field.containing_oneof().is_some_and(|oneof| {
            oneof
                .fields()
                .any(|one| fields.contains_key(one.json_name()))
        });
        if taken || dice.below(2) == 0 {
            continue;
        }
        if let Some(value) = values(&field, dice, depth) {
            fields.insert(field.json_name().to_owned(), value);
        }
    }
    Value::Object(fields)
}

fn values(field: &FieldDescriptor, dice: &mut Dice, depth: u32) -> Option<Value> {
    if field.is_map() {
        let key = dice.one(&TEXTS);
        return Some(json!({ key: dice.one(&TEXTS) }));
    }
    if field.is_list() {
        let many = 0..dice.below(3);
        return many.map(|_| value(field, dice, depth)).collect();
    }
    value(field, dice, depth)
}

fn value(field: &FieldDescriptor, dice: &mut Dice, depth: u32) -> Option<Value> {
    Some(match field.kind() {
        Kind::Bool => json!(dice.below(2) == 0),
        Kind::String if dice.below(16) == 0 => json!("x".repeat(40_000)),
        Kind::String => json!(dice.one(&TEXTS)),
        Kind::Bytes => json!(dice.one(&["", "AAAA", "iVBORw0KGgo=", "R0lGODlhAQABAAAAACw="])),
        Kind::Enum(_) => json!(dice.one(&[0, 1, 2, 3, -1, 99])),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!(dice.one(&[0, 1, 2, 4, 11, -1, i32::MAX, i32::MIN]))
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            json!(dice.one(&[0, 1, -1, i64::MAX, i64::MIN]).to_string())
        }
        Kind::Message(inner) => match inner.full_name() {
            "google.protobuf.Timestamp" => json!(dice.one(&TIMES)),
            "google.protobuf.FieldMask" => json!(dice.one(&["", "model", "noSuchField"])),
            _ if depth < DEPTH_MAX => message(&inner, dice, depth + 1),
            _ => return None,
        },
        other => panic!("the contract has no {other:?} yet"),
    })
}

/// Sends made-up messages; how many of them were taken. The others have a reason and a sentence, and
/// are not the gateway's own fault.
async fn made_up(house: &House, method: &MethodDescriptor, key: &str, seed: u64) -> u64 {
    let mut taken = 0;
    for round in 0..MESSAGES {
        let json = message(&method.input(), &mut Dice(seed + round), 0).to_string();
        let Err(status) = invoke(house, method, &json, key).await else {
            taken += 1;
            continue;
        };
        let short: String = json.chars().take(2_000).collect();
        let what = format!("{} with {short}: {status:?}", method.name());
        let ours = [Code::Internal, Code::Unknown, Code::DataLoss];
        assert!(!ours.contains(&status.code()), "{what}");
        assert!(!reason(&status).is_empty(), "{what}");
        assert!(status.message().ends_with('.'), "{what}");
    }
    taken
}

#[tokio::test]
async fn no_made_up_message_is_the_gateways_fault_and_none_that_fails_moves_money() {
    let house = House::open().await;
    let keys = [
        house.runtime.clone(),
        house.admin.clone(),
        house.owner.clone(),
        OPERATOR_KEY.to_owned(),
    ];
    let (mut drawn, mut refused) = (0, 0);
    for (n, method) in (0u64..).zip(contract()) {
        let draws = matches!(method.name(), "GenerateImage" | "StartGeneration");
        for (n, key) in (n * 10_000..).step_by(1_000).zip(&keys) {
            let taken = made_up(&house, &method, key, SEED + n).await;
            drawn += if draws { taken } else { 0 };
            refused += MESSAGES - taken;
        }
    }
    assert!(refused > 500, "{refused}");
    // Each bill belongs to a generation that was taken, of at most four pictures.
    let billed = house.mock.bill().len() as u64;
    assert!(billed <= 4 * drawn, "{drawn} drawn");
    house.close().await;
}
