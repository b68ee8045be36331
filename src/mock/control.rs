//! The routes under `/mock`: scripting and reading the mock from another process.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Value, json};

use super::call::Stage;
use super::ledger::BillEntry;
use super::record::RecordedRequest;
use super::script::Script;

/// The answer of `GET /mock/bill`.
#[derive(Debug, Serialize)]
pub(crate) struct Bill {
    total_billed: String,
    entries: Vec<BillEntry>,
}

/// `POST /mock/script`: one script or a list of them.
pub(crate) async fn add_scripts(
    State(stage): State<Arc<Stage>>,
    body: Bytes,
) -> (StatusCode, Json<Value>) {
    let scripts = match parse(&body) {
        Ok(scripts) => scripts,
        Err(message) => return refused(&message),
    };
    let names = stage.samples.names();
    let unknown = scripts.iter().filter_map(|script| script.sample.as_deref());
    if let Some(name) = unknown.into_iter().find(|name| !names.contains(name)) {
        return refused(&format!(
            "no sample named {name}; there are: {}",
            names.join(", ")
        ));
    }
    for script in scripts {
        stage.scripts.add(script);
    }
    (
        StatusCode::OK,
        Json(json!({ "scripts_left": stage.scripts.left().len() })),
    )
}

/// `GET /mock/script`: the scripts that have not been used up.
pub(crate) async fn scripts_left(State(stage): State<Arc<Stage>>) -> Json<Vec<Script>> {
    Json(stage.scripts.left())
}

/// `DELETE /mock/script`: forgets all scripts.
pub(crate) async fn clear_scripts(State(stage): State<Arc<Stage>>) -> StatusCode {
    stage.scripts.clear();
    StatusCode::NO_CONTENT
}

/// `POST /mock/gate/{name}`: opens a gate.
pub(crate) async fn open_gate(
    State(stage): State<Arc<Stage>>,
    axum::extract::Path(name): axum::extract::Path<String>,
) -> StatusCode {
    stage.pacer.gates.open(&name);
    StatusCode::NO_CONTENT
}

/// `GET /mock/bill`.
pub(crate) async fn bill(State(stage): State<Arc<Stage>>) -> Json<Bill> {
    let total: Decimal = stage.ledger.total();
    let entries = stage.ledger.entries();
    Json(Bill {
        total_billed: total.normalize().to_string(),
        entries,
    })
}

/// `GET /mock/requests`.
pub(crate) async fn requests(State(stage): State<Arc<Stage>>) -> Json<Vec<RecordedRequest>> {
    Json(stage.recorder.requests())
}

/// Looks at the shape first, so that the error names the field that is wrong.
fn parse(body: &[u8]) -> Result<Vec<Script>, String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let scripts = match value {
        Value::Array(many) => many.into_iter().map(serde_json::from_value).collect(),
        one => serde_json::from_value(one).map(|script| vec![script]),
    };
    scripts.map_err(|error: serde_json::Error| error.to_string())
}

fn refused(message: &str) -> (StatusCode, Json<Value>) {
    (
        StatusCode::BAD_REQUEST,
        Json(json!({ "error": { "code": 400, "message": message } })),
    )
}
