//! A database that is down for a while: every call is put off with the time to come back, nothing is
//! begun or changed, and afterwards everything is as it was.

use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{close, page};
use crate::helpers::{AGENT, House, KLEIN, OPERATOR_KEY, reason, request};
use crate::reflection::{contract, invoke};

/// Whose key makes a call.
#[derive(Clone, Copy)]
enum Who {
    Runtime,
    Admin,
    Operator,
}

/// Hides tables while it lives.
struct Away {
    database: Connection,
    tables: Vec<String>,
}

impl Away {
    fn hide(house: &House, stays: &str) -> Self {
        let database = Connection::open(house.database()).expect("the database");
        let patience = Duration::from_secs(5);
        database.busy_timeout(patience).expect("patience");
        let tables = {
            let sql =
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
            let mut statement = database.prepare(sql).expect("a statement");
            let names = statement.query_map([], |row| row.get(0)).expect("names");
            names.collect::<Result<Vec<String>, _>>().expect("names")
        };
        let mut away = Self { database, tables };
        away.tables.retain(|table| table != stays);
        away.rename(|table| (table.to_owned(), format!("{table}_away")));
        away
    }

    fn bring_back(&self) {
        self.rename(|table| (format!("{table}_away"), table.to_owned()));
    }

    fn rename(&self, names: impl Fn(&str) -> (String, String)) {
        let renamed = self.tables.iter().map(|table| {
            let (old, new) = names(table);
            format!("ALTER TABLE {old} RENAME TO {new};")
        });
        let sql = format!("BEGIN IMMEDIATE; {} COMMIT;", renamed.collect::<String>());
        self.database.execute_batch(&sql).expect(&sql);
    }
}

/// A message that would be taken, and who may send it.
fn asked(call: &str, api_key_id: &str) -> (Who, Value) {
    use Who::{Admin, Operator, Runtime};
    let picture = json!({"agentId": AGENT, "requestId": "r", "prompt": "a red fox in the snow"});
    let model = json!({"slug": KLEIN});
    let image = json!({"generationId": "01a20abe-faa3-73eb-b77e-93bfb04ba1b7"});
    let tool = json!({"agentId": AGENT, "model": KLEIN, "enabled": true});
    match call {
        "GenerateImage" | "StartGeneration" => (Runtime, picture),
        "WatchGeneration" | "CancelGeneration" | "GetGeneration" => {
            (Runtime, json!({"requestId": "r"}))
        }
        "ReadImage" => (Runtime, image),
        "GetGenerateImageTool" | "EstimateImage" => (Runtime, json!({"agentId": AGENT})),
        "ListGenerations" | "ListGenerateImageTools" | "ListModels" | "ListPriceChanges" => {
            (Runtime, json!({}))
        }
        "GetModel" => (Runtime, model),
        "UpdateGenerateImageTool" => (Admin, json!({"generateImageTool": tool, "updateMask": "*"})),
        "DeleteGenerateImageTool" => (Admin, json!({"agentId": AGENT})),
        "UpdateModelAvailability" => (Admin, json!({"slug": KLEIN, "available": false})),
        "GetBalance" | "ListLedgerEntries" | "QueryUsage" | "GetOrganization" | "ListApiKeys"
        | "ListAuditEntries" => (Admin, json!({})),
        "SetOpenRouterKey" => (Admin, json!({"key": "sk-or-v1-0123456789abcdef"})),
        "DeleteOpenRouterKey" => (Admin, json!({})),
        "CreateApiKey" => (Admin, json!({"name": "new", "role": "ROLE_RUNTIME"})),
        "RevokeApiKey" => (Admin, json!({"apiKeyId": api_key_id})),
        "AddCredits" => {
            let credits = json!({"organizationId": "acme", "credits": "1", "reference": "more"});
            (Operator, credits)
        }
        "CreateOrganization" => (Operator, json!({"id": "new", "name": "New"})),
        "SyncModels" => (Operator, json!({})),
        "ConfirmPrice" => (Operator, model),
        other => panic!("{other} is new: what is it asked while the database is down?"),
    }
}

fn key(house: &House, who: Who) -> &str {
    match who {
        Who::Runtime => &house.runtime,
        Who::Admin => &house.admin,
        Who::Operator => OPERATOR_KEY,
    }
}

/// The id of the key that the runtime uses.
async fn runtime_key(house: &House) -> String {
    let request = image_gateway::proto::ListApiKeysRequest::default();
    let mut organizations = house.organizations(&house.admin);
    let keys = organizations.list_api_keys(request).await;
    let keys = keys.expect("keys").into_inner().api_keys;
    let runtime = keys.into_iter().find(|key| key.name == "Runtime");
    runtime.expect("a key").id
}

fn is_put_off(call: &str, status: &Status) {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::Unavailable, "STORAGE_UNAVAILABLE"),
        "{call}: {status:?}"
    );
    let wait = status.get_error_details().retry_info().cloned();
    let wait = wait.and_then(|info| info.retry_delay);
    assert!(wait.is_some_and(|wait| !wait.is_zero()), "{call}");
    assert!(!status.message().contains("no such table"), "{call}");
}

/// Nothing was drawn, nothing is held, nothing was charged or given.
async fn is_as_before(house: &House) {
    assert_eq!(house.mock.bill().len(), 0, "drawn");
    let balance = house.balance().await;
    let (credits, held) = (balance.credits.as_str(), balance.held.as_str());
    assert_eq!((credits, held), ("10000.00", "0.00"));
}

#[tokio::test]
async fn every_call_is_put_off_while_the_database_is_down_and_nothing_is_begun() {
    let house = House::open().await;
    let api_key_id = runtime_key(&house).await;
    // At the door already, and behind it.
    for stays in ["", "api_key"] {
        let away = Away::hide(&house, stays);
        for method in contract() {
            let (who, message) = asked(method.name(), &api_key_id);
            let answer = invoke(&house, &method, &message.to_string(), key(&house, who)).await;
            match (method.name(), answer) {
                // A price that nobody doubts is confirmed without a word to the books.
                ("ConfirmPrice", Ok(_)) => {}
                (call, answer) => is_put_off(call, &answer.expect_err(call)),
            }
        }
        assert_eq!(page(&house, "/healthz").await.0, 200);
        away.bring_back();
        is_as_before(&house).await;
    }
    // The key is not revoked, the model not switched off, the tool there.
    house.generate(request("r")).await.expect("a picture");
    close(house, 1).await;
}

#[tokio::test]
async fn every_change_is_put_off_while_the_database_cannot_be_written() {
    let house = House::open().await;
    let api_key_id = runtime_key(&house).await;
    let other = Connection::open(house.database()).expect("the database");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let changes = contract().into_iter().filter(|method| {
        let reads = [
            "Get", "List", "Query", "Read", "Watch", "Estimate", "Confirm",
        ];
        // There is nothing to cancel, which takes no writing to see.
        let reads = reads.iter().any(|read| method.name().starts_with(read));
        !reads && method.name() != "CancelGeneration"
    });
    // Each waits five seconds for the lock; they wait side by side.
    let put_off = changes.map(async |method| {
        let (who, message) = asked(method.name(), &api_key_id);
        let answer = invoke(&house, &method, &message.to_string(), key(&house, who)).await;
        is_put_off(method.name(), &answer.expect_err(method.name()));
    });
    let put_off = futures_util::future::join_all(put_off).await;
    assert!(put_off.len() >= 9, "{} changes", put_off.len());
    other.execute_batch("ROLLBACK").expect("no lock");
    is_as_before(&house).await;
    house.generate(request("r")).await.expect("a picture");
    close(house, 1).await;
}
