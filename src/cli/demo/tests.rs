//! The demo's caller against a whole gateway: real sockets, a real database, real files.

use std::time::Duration;

use secrecy::SecretString;
use tempfile::TempDir;

use super::*;
use crate::app::{App, Drained};
use crate::config::Config;
use crate::domain::catalog::Catalog;
use crate::mock::{Mock, Options, Script};

const OPERATOR: &str = "the operator's key of these tests";
const GATE: &str = "gate";

/// A gateway on free ports, and the mock it draws with.
struct Gateway {
    app: App,
    mock: Mock,
    _folder: TempDir,
}

async fn open() -> Gateway {
    let mock = Mock::start("127.0.0.1:0".parse().unwrap(), Options::default());
    let mock = mock.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = Config::parse(Given {
        listen_addr: Some("127.0.0.1:0".into()),
        http_addr: Some("127.0.0.1:0".into()),
        data_dir: Some(folder.path().to_str().unwrap().into()),
        openrouter_base_url: Some(mock.base_url()),
        openrouter_api_key: Some("any".into()),
        operator_key: Some(OPERATOR.into()),
        ..Given::default()
    });
    Gateway {
        app: App::start(config.unwrap(), Catalog::built_in())
            .await
            .unwrap(),
        mock,
        _folder: folder,
    }
}

async fn connect(gateway: &Gateway, key: &SecretString) -> Caller {
    let address = gateway.app.grpc_address();
    Caller::connect(address, key).await.unwrap()
}

/// A caller whose agent may draw.
async fn prepared(gateway: &Gateway) -> Caller {
    let operator = connect(gateway, &OPERATOR.into()).await;
    let key = operator.prepare().await.unwrap();
    let caller = connect(gateway, &key).await;
    caller.allow_drawing().await.unwrap();
    caller
}

fn at_the_gate() -> Script {
    Script {
        gate: Some(GATE.to_owned()),
        ..Script::default()
    }
}

#[tokio::test]
async fn a_picture_comes_whole_with_its_price_and_a_second_run_tops_up_nothing() {
    let gateway = open().await;
    let first = prepared(&gateway).await.draw("a red fox").await.unwrap();
    assert_eq!(
        first.bytes.len(),
        usize::try_from(first.image.size_bytes).unwrap()
    );
    let charge = first.generation.charge.unwrap();
    assert_eq!(
        (charge.credits.as_str(), charge.usd_cost.as_str()),
        ("29.00", "0.014")
    );
    assert_eq!(charge.balance_after, "9971.00");
    let second = prepared(&gateway).await.draw("a red fox").await.unwrap();
    assert_eq!(second.generation.charge.unwrap().balance_after, "9942.00");
    assert_eq!(
        gateway.app.drain(Duration::from_secs(10)).await,
        Drained::Complete
    );
}

#[tokio::test]
async fn draining_lets_a_running_picture_reach_its_caller() {
    let gateway = open().await;
    let caller = prepared(&gateway).await;
    gateway.mock.script(at_the_gate());
    let ledger = gateway.app.ledger();
    let Gateway { app, mock, .. } = gateway;
    let (drawn, drained) = tokio::join!(caller.draw("a red fox"), async {
        mock.wait_at_gate(GATE).await;
        let (drained, ()) = tokio::join!(app.drain(Duration::from_secs(10)), async {
            assert_eq!(ledger.open_holds().await.unwrap(), 1);
            mock.open_gate(GATE);
        });
        drained
    });
    assert!(drawn.is_ok(), "{drawn:?}");
    assert_eq!(drained, Drained::Complete);
    assert_eq!(ledger.open_holds().await.unwrap(), 0);
}

#[tokio::test]
async fn draining_ends_in_time_though_a_picture_does_not() {
    let gateway = open().await;
    let caller = prepared(&gateway).await;
    gateway.mock.script(at_the_gate());
    let Gateway { app, mock, .. } = gateway;
    let drain = async {
        mock.wait_at_gate(GATE).await;
        app.drain(Duration::from_millis(50)).await
    };
    tokio::select! {
        drawn = caller.draw("a red fox") => panic!("the gate is shut: {drawn:?}"),
        drained = drain => assert_eq!(drained, Drained::TimedOut { running: 1 }),
    }
}

#[tokio::test]
async fn a_refused_call_is_told_with_its_reason() {
    let gateway = open().await;
    let failed = prepared(&gateway).await.draw("   ").await.unwrap_err();
    assert!(failed.message.contains("INVALID_REQUEST"), "{failed:?}");
    let operator = connect(&gateway, &OPERATOR.into()).await;
    let failed = operator.draw("a red fox").await.unwrap_err();
    assert!(failed.message.contains("PERMISSION_DENIED"), "{failed:?}");
}
