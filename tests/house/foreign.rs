//! What another organization has is answered as what nobody has: in every call of the contract, by
//! every field that names something, with the same words, details and answers, after the same time.
//! Which fields there are is read from the descriptor; one that is new fails until it is known what
//! it names.

use std::collections::{BTreeMap, BTreeSet};

use image_gateway::proto::Role;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::helpers::{AGENT, House, KLEIN, OPERATOR_KEY, request};
use crate::reflection::{contract, invoke};

mod timing;

/// What a field names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Organization,
    Agent,
    Request,
    Generation,
    ApiKey,
    /// Somebody or something of the caller's own world.
    Label,
    /// A place in a list of an organization.
    Page,
}

/// Every field of a request that is a text and names what an organization has.
const NAMES: &[(&str, Names)] = &[
    ("organization_id", Names::Organization),
    ("id", Names::Organization),
    ("agent_id", Names::Agent),
    ("request_id", Names::Request),
    ("generation_id", Names::Generation),
    ("api_key_id", Names::ApiKey),
    ("actor", Names::ApiKey),
    ("user_id", Names::Label),
    ("conversation_id", Names::Label),
    ("message_id", Names::Label),
    ("channel", Names::Label),
    ("reference", Names::Label),
    ("page_token", Names::Page),
];

/// Every other text: it says something itself, or names a model, and these are everybody's.
const SAYS: &[&str] = &[
    "allowed_aspect_ratios",
    "aspect_ratio",
    "background",
    "basis",
    "credits",
    "data",
    "default_aspect_ratio",
    "default_resolution",
    "description",
    "display",
    "expected",
    "high",
    "key",
    "low",
    "max_credits",
    "max_resolution",
    "media_type",
    "metadata",
    "model",
    "monthly_credit_limit",
    "name",
    "output_format",
    "paths",
    "prompt",
    "quality",
    "recent_average",
    "resolution",
    "slug",
    "status_reason",
    "url",
    "usd_expected",
    "when_to_use",
];

/// Lists that are everybody's.
const EVERYBODYS: [&str; 2] = ["ListModels", "ListPriceChanges"];

/// Messages in messages, no deeper.
const DEPTH_MAX: usize = 6;

/// A field of a request, and the way to it.
#[derive(Clone, Debug)]
struct Place {
    /// As JSON names.
    path: Vec<String>,
    names: Names,
}

/// Something of an organization, and something of the same form that nobody has.
#[derive(Clone, Debug)]
struct Pair {
    names: Names,
    theirs: String,
    nobodys: String,
}

/// Every text of a message with the way to it, those in messages included.
fn texts(of: &MessageDescriptor, path: &[String], found: &mut Vec<(FieldDescriptor, Vec<String>)>) {
    for field in of.fields() {
        let path = [path, &[field.json_name().to_owned()]].concat();
        match field.kind() {
            Kind::String | Kind::Bytes => found.push((field, path)),
            Kind::Message(_) if field.is_map() => found.push((field, path)),
            Kind::Message(inner) if path.len() < DEPTH_MAX => texts(&inner, &path, found),
            _ => {}
        }
    }
}

/// The places of a call where something can be named.
fn places(method: &MethodDescriptor) -> Vec<Place> {
    let mut found = Vec::new();
    texts(&method.input(), &[], &mut found);
    let named = found.into_iter().filter_map(|(field, path)| {
        let (_, names) = NAMES.iter().find(|(name, _)| *name == field.name())?;
        let names = *names;
        Some(Place { path, names })
    });
    named.collect()
}

#[test]
fn of_every_text_in_a_request_it_is_known_whether_it_names_something() {
    let mut seen = BTreeSet::new();
    for method in contract() {
        let mut found = Vec::new();
        texts(&method.input(), &[], &mut found);
        seen.extend(found.into_iter().map(|(field, _)| field.name().to_owned()));
    }
    let names = NAMES.iter().map(|(name, _)| *name);
    let known: BTreeSet<String> = names
        .chain(SAYS.iter().copied())
        .map(str::to_owned)
        .collect();
    assert_eq!(
        known.len(),
        NAMES.len() + SAYS.len(),
        "each is one of the two"
    );
    assert_eq!(seen, known);
}

/// A message that would be taken if everything it names were there.
fn whole(call: &str) -> Value {
    match call {
        "GenerateImage" | "StartGeneration" => {
            json!({"agentId": AGENT, "prompt": "x", "maxCredits": "0.01"})
        }
        "EstimateImage" | "GetGenerateImageTool" | "DeleteGenerateImageTool" => {
            json!({"agentId": AGENT})
        }
        "UpdateGenerateImageTool" => {
            json!({"generateImageTool": {"agentId": AGENT, "model": KLEIN, "enabled": true}})
        }
        "CreateApiKey" => json!({"name": "k", "role": "ROLE_RUNTIME"}),
        "SetOpenRouterKey" => json!({"key": "sk-or-v1-0123456789abcdef"}),
        "AddCredits" => json!({"credits": "1", "reference": "fuzz"}),
        "CreateOrganization" => json!({"name": "New"}),
        "UpdateModelAvailability" => json!({"slug": KLEIN, "available": true}),
        "GetModel" | "ConfirmPrice" => json!({"slug": KLEIN}),
        "WatchGeneration"
        | "CancelGeneration"
        | "GetGeneration"
        | "ReadImage"
        | "ListGenerations"
        | "ListGenerateImageTools"
        | "ListModels"
        | "ListPriceChanges"
        | "SyncModels"
        | "GetBalance"
        | "ListLedgerEntries"
        | "QueryUsage"
        | "GetOrganization"
        | "ListApiKeys"
        | "RevokeApiKey"
        | "DeleteOpenRouterKey"
        | "ListAuditEntries" => json!({}),
        other => panic!("{other} is new: what does a whole message of it say?"),
    }
}

/// A whole message with this name at the end of the path.
fn with_name(method: &MethodDescriptor, path: &[String], name: &str) -> Value {
    let mut message = whole(method.name());
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

/// An answer, but for what is new each time: ids, times and keys.
fn plain(value: &Value) -> Value {
    match value {
        Value::String(text) if uuid::Uuid::parse_str(text).is_ok() => json!("<id>"),
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => json!("<time>"),
        Value::String(text) if text.starts_with("sq_live_") => json!("<key>"),
        Value::Array(all) => all.iter().map(plain).collect(),
        Value::Object(all) => {
            let all = all.iter();
            let all = all.map(|(name, value)| (name.clone(), plain(value)));
            Value::Object(all.collect())
        }
        other => other.clone(),
    }
}

/// Everything that is told, but for the name itself.
fn told(outcome: &Result<Vec<Value>, Status>, name: &str) -> String {
    let all = match outcome {
        Ok(answers) => answers.iter().map(plain).collect::<Value>().to_string(),
        Err(status) => {
            let mut details = status.get_error_details();
            let info = details.error_info().cloned().expect("an ErrorInfo");
            // In an order of its own each time.
            let metadata = BTreeMap::from_iter(info.metadata);
            details.set_error_info(info.reason, info.domain, []);
            format!(
                "{:?} {} {metadata:?} {details:?}",
                status.code(),
                status.message()
            )
        }
    };
    all.replace(name, "<name>")
}

/// An organization that has something of everything, and another that has its keys.
struct Street {
    house: House,
    pairs: Vec<Pair>,
    /// Of the other organization, the lesser first.
    spies: Vec<String>,
}

impl Street {
    async fn open() -> Self {
        let house = House::open().await;
        let made = house.generate(request("theirs")).await.expect("a picture");
        house
            .generate(request("theirs too"))
            .await
            .expect("a picture");
        let made = made.completed.id;
        let tool = json!({"agentId": "their-agent", "model": KLEIN, "enabled": true});
        let owner = house.owner.clone();
        let update = async |tool: &Value, key: &str| {
            let asked = json!({"generateImageTool": tool}).to_string();
            let saved = invoke(&house, &rpc("UpdateGenerateImageTool"), &asked, key).await;
            saved.expect("a tool");
        };
        update(&tool, &owner).await;
        let keys = invoke(&house, &rpc("ListApiKeys"), "{}", &owner).await;
        let keys = keys.expect("keys");
        let key = keys[0]["apiKeys"][0]["id"].as_str().expect("an id");
        let pair = |names, theirs: &str, nobodys: &str| Pair {
            names,
            theirs: theirs.to_owned(),
            nobodys: nobodys.to_owned(),
        };
        let nobodys = [uuid::Uuid::now_v7(), uuid::Uuid::now_v7()].map(|id| id.to_string());
        let pairs = vec![
            pair(Names::Organization, "acme", "nobody"),
            pair(Names::Agent, "their-agent", "nobodys-agent"),
            pair(Names::Request, "theirs", "nobodys"),
            pair(Names::Generation, &made, &nobodys[0]),
            pair(Names::ApiKey, key, &nobodys[1]),
            pair(Names::Label, "their-user", "nobodys-user"),
        ];
        let beta = json!({"id": "beta", "name": "Beta"}).to_string();
        let made = invoke(&house, &rpc("CreateOrganization"), &beta, OPERATOR_KEY).await;
        made.expect("an organization");
        let mut spies = Vec::new();
        for role in [Role::Runtime, Role::Owner] {
            spies.push(house.key("beta", role).await);
        }
        // So that what is asked for is looked at beyond the agent.
        let own = json!({"agentId": AGENT, "model": KLEIN, "enabled": true});
        update(&own, &spies[1]).await;
        Self {
            house,
            pairs,
            spies,
        }
    }

    /// The place of a list of the organization's where its second page begins, and one like it.
    async fn page(&self, method: &MethodDescriptor) -> Option<Pair> {
        let is_list = places(method)
            .iter()
            .any(|place| place.names == Names::Page);
        if !is_list || EVERYBODYS.contains(&method.name()) {
            return None;
        }
        let asked = json!({"pageSize": 1}).to_string();
        let owner = &self.house.owner;
        let answer = invoke(&self.house, method, &asked, owner).await;
        let answer = answer.expect("a list");
        let theirs = answer[0]["nextPageToken"].as_str().expect("a second page");
        let mut nobodys = theirs.to_owned();
        let last = nobodys.pop().expect("a token");
        nobodys.push(if last == '0' { '1' } else { '0' });
        Some(Pair {
            names: Names::Page,
            theirs: theirs.to_owned(),
            nobodys,
        })
    }

    async fn ask(
        &self,
        method: &MethodDescriptor,
        (path, name): (&[String], &str),
        spy: &str,
    ) -> Result<Vec<Value>, Status> {
        let asked = with_name(method, path, name).to_string();
        invoke(&self.house, method, &asked, spy).await
    }

    /// Asks for what the organization has, and for what nobody has, wherever something can be named.
    /// How often it was compared.
    async fn compare(&self, method: &MethodDescriptor, spy: &str) -> usize {
        let pairs: Vec<Pair> = match self.page(method).await {
            Some(page) => [&self.pairs[..], &[page]].concat(),
            None => self.pairs.clone(),
        };
        let mut compared = 0;
        for Place { path, .. } in places(method) {
            for Pair {
                theirs, nobodys, ..
            } in &pairs
            {
                let mut answers = Vec::new();
                for name in [theirs, nobodys] {
                    let outcome = self.ask(method, (&path, name), spy).await;
                    answers.push(told(&outcome, name));
                }
                let name = method.name();
                assert_eq!(answers[0], answers[1], "{name} {path:?} {theirs}");
                compared += 1;
            }
        }
        compared
    }
}

fn rpc(name: &str) -> MethodDescriptor {
    let mut all = contract().into_iter();
    all.find(|rpc| rpc.name() == name).expect("a call")
}

#[tokio::test]
async fn what_another_organization_has_is_answered_as_what_nobody_has() {
    let street = Street::open().await;
    let mut compared = 0;
    for spy in &street.spies {
        for method in &contract() {
            compared += street.compare(method, spy).await;
        }
    }
    assert!(compared > 400, "{compared}");
    street.house.close().await;
}
