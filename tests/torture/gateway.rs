//! The real program as a process that will not live long.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use image_gateway::crash;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tonic::transport::Channel;

use crate::helpers::{House, OPERATOR_KEY};

/// A process that does not do what is expected in this time never will.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running gateway.
pub(crate) struct Gateway {
    child: Child,
    /// Kept open: a program whose output is closed ends.
    _stdout: Lines<BufReader<ChildStdout>>,
}

/// What a process is told beside its usual settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    /// Where it dies.
    pub(crate) dies_at: Option<String>,
    /// Where it writes which places it passed.
    pub(crate) trace: Option<String>,
    /// How long it keeps pictures.
    pub(crate) retention: Option<&'static str>,
    /// When it asks a second time what pictures cost.
    pub(crate) check_after: Option<&'static str>,
}

impl Gateway {
    /// Starts it on the data of a house and connects; `None` if it dies before it serves.
    pub(crate) async fn start(house: &mut House, fate: &Fate) -> Option<Self> {
        let mut command = command(house, fate);
        let mut child = command.spawn().expect("it starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.expect("a line in time").expect("text");
        let Some(address) = line.and_then(|line| Some(line.split_whitespace().nth(1)?.to_owned()))
        else {
            child.wait().await.expect("an end");
            return None;
        };
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        match endpoint.connect().await {
            Ok(channel) => house.channel = channel,
            // It died in between.
            Err(_) => {
                child.wait().await.expect("an end");
                return None;
            }
        }
        Some(Self {
            child,
            _stdout: lines,
        })
    }

    /// Waits for its death; false if it lives on.
    pub(crate) async fn died(&mut self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.child.wait())
            .await
            .is_ok()
    }

    /// `kill -9`.
    pub(crate) async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    /// Tells it to end, and expects that it does, well.
    pub(crate) async fn stop(mut self) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(sent.expect("kill").success());
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        assert!(ended.expect("it ends").expect("a status").success());
    }
}

fn command(house: &House, fate: &Fate) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_image-gateway"));
    command
        .arg("serve")
        .env_clear()
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("HTTP_ADDR", "127.0.0.1:0")
        .env("DATA_DIR", house.dir.path())
        .env("OPENROUTER_BASE_URL", house.mock.base_url())
        .env("OPENROUTER_API_KEY", "sk-or-v1-mock")
        .env("OPERATOR_KEY", OPERATOR_KEY)
        // A hold that nobody can be asked about is free 60 s after this.
        .env("UPSTREAM_TIMEOUT", "3s")
        .env("CATALOG_SYNC_INTERVAL", "0s")
        .env("IMAGE_RETENTION", fate.retention.unwrap_or("30d"))
        .env("COST_CHECK_AFTER", fate.check_after.unwrap_or("10m"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log(house.dir.path()))
        .kill_on_drop(true);
    if let Some(place) = &fate.dies_at {
        command.env(crash::VARIABLE, place);
    }
    if let Some(trace) = &fate.trace {
        command.env(crash::TRACE_VARIABLE, trace);
    }
    command
}

/// What it logs stands beside its data, for those who look why something was lost.
fn log(folder: &Path) -> Stdio {
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"));
    file.map_or_else(|_| Stdio::null(), Stdio::from)
}
