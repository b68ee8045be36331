//! What the descriptor of the contract gives rise to: every call with made-up fields, and every field
//! that names something, with the name of what another organization has.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::helpers::{AGENT, House, KLEIN, OPERATOR_KEY, reason, request};
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

/// The paths to all texts of a message that name something, as JSON names.
fn names(of: &MessageDescriptor, path: &[String], found: &mut Vec<Vec<String>>) {
    for field in of.fields() {
        let path = [path, &[field.json_name().to_owned()]].concat();
        match field.kind() {
            Kind::String if field.name() == "id" || field.name().ends_with("_id") => {
                found.push(path);
            }
            Kind::Message(inner) if path.len() < 4 && !field.is_map() => {
                names(&inner, &path, found);
            }
            _ => {}
        }
    }
}

/// A message that is whole but for the name at the end of the path.
fn with_name(method: &MethodDescriptor, path: &[String], name: &str) -> Value {
    let mut message = match method.name() {
        "GenerateImage" | "StartGeneration" => {
            json!({"agentId": AGENT, "prompt": "x", "maxCredits": "0.01"})
        }
        "EstimateImage" => json!({"agentId": AGENT}),
        "CreateApiKey" => json!({"name": "k", "role": "ROLE_RUNTIME"}),
        "AddCredits" => json!({"credits": "1", "reference": "fuzz"}),
        _ => json!({}),
    };
    let mut of = method.input();
    let mut place = &mut message;
    for (depth, step) in path.iter().enumerate() {
        let field = of.get_field_by_json_name(step).expect("a field");
        let last = depth + 1 == path.len();
        place = &mut place[step];
        if field.is_list() {
            *place = json!([{}]);
            place = &mut place[0];
        }
        match field.kind() {
            Kind::Message(inner) if !last => {
                if place.is_null() {
                    *place = json!({});
                }
                of = inner;
            }
            _ => *place = json!(name),
        }
    }
    message
}

/// Everything that is told, but for the name itself.
fn told(outcome: Result<Vec<Value>, Status>, name: &str) -> String {
    match outcome {
        // What is new has a name and a time of its own.
        Ok(answers) => format!("{} answers", answers.len()),
        Err(status) => {
            let details = status.get_error_details();
            let info = details.error_info();
            let mut metadata: Vec<_> = info.iter().flat_map(|info| &info.metadata).collect();
            metadata.sort();
            let all = format!("{:?} {} {metadata:?}", status.code(), status.message());
            all.replace(name, "<name>")
        }
    }
}

/// Asks for what another organization has, and for what nobody has, wherever something can be named.
async fn compare(
    house: &House,
    method: &MethodDescriptor,
    spy: &str,
    pairs: &[(String, String)],
) -> usize {
    let mut paths = Vec::new();
    names(&method.input(), &[], &mut paths);
    let places = paths
        .iter()
        .flat_map(|path| pairs.iter().map(move |pair| (path, pair)));
    let mut compared = 0;
    for (path, (theirs, nobodys)) in places {
        let mut answers = Vec::new();
        for name in [theirs, nobodys] {
            let asked = with_name(method, path, name).to_string();
            let outcome = invoke(house, method, &asked, spy).await;
            answers.push(told(outcome, name));
        }
        assert_eq!(
            answers[0],
            answers[1],
            "{} {path:?} {theirs}",
            method.name()
        );
        compared += 1;
    }
    compared
}

#[tokio::test]
async fn what_another_organization_has_is_answered_as_what_nobody_has() {
    let house = House::open().await;
    let made = house.generate(request("theirs")).await.expect("a picture");
    let owner = &house.owner;
    let listed = contract();
    let rpc = |name: &str| {
        listed
            .iter()
            .find(|rpc| rpc.name() == name)
            .expect("a call")
    };
    let tool =
        json!({"generateImageTool": {"agentId": "their-agent", "model": KLEIN, "enabled": true}});
    let tool = tool.to_string();
    let tool = invoke(&house, rpc("UpdateGenerateImageTool"), &tool, owner);
    tool.await.expect("a tool");
    let keys = invoke(&house, rpc("ListApiKeys"), "{}", owner).await;
    let keys = keys.expect("keys");
    let key = keys[0]["apiKeys"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let beta = json!({"id": "beta", "name": "Beta"}).to_string();
    let made_org = invoke(&house, rpc("CreateOrganization"), &beta, OPERATOR_KEY);
    made_org.await.expect("an organization");

    let pairs = [
        ("acme".to_owned(), "nobody".to_owned()),
        ("their-agent".to_owned(), "nobodys-agent".to_owned()),
        ("theirs".to_owned(), "nobodys".to_owned()),
        (made.completed.id.clone(), uuid::Uuid::now_v7().to_string()),
        (key, uuid::Uuid::now_v7().to_string()),
    ];
    let mut compared = 0;
    for role in [
        image_gateway::proto::Role::Runtime,
        image_gateway::proto::Role::Owner,
    ] {
        let spy = house.key("beta", role).await;
        if role == image_gateway::proto::Role::Owner {
            // So that what is asked for is looked at beyond the agent.
            let own =
                json!({"generateImageTool": {"agentId": AGENT, "model": KLEIN, "enabled": true}});
            let own = own.to_string();
            let own = invoke(&house, rpc("UpdateGenerateImageTool"), &own, &spy);
            own.await.expect("a tool");
        }
        for method in &listed {
            compared += compare(&house, method, &spy, &pairs).await;
        }
    }
    assert!(compared > 200, "{compared}");
    house.close().await;
}
