//! The program as its users meet it: a process with arguments, an environment, two outputs, an exit
//! status and signals. Nothing of the tests' own environment reaches it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use image_gateway::mock::{self, Mock};
use image_gateway::ports::Ledger as _;
use image_gateway::proto;
use image_gateway::store::sqlite::Sqlite;
use rust_decimal::Decimal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::helpers::{House, OPERATOR_KEY};

mod audit;
mod closed;
#[cfg(target_os = "linux")]
mod core;
mod demo;
mod encrypted;
mod encryption;
mod full;
mod generate;
mod help;
mod keys;
mod lies;
mod lost;
mod mock_openrouter;
mod names;
mod pages;
mod quoted;
mod restored;
mod rotation;
mod secrets;
mod serve;
mod settings;
mod signals;
mod slips;
mod usage;

/// The key the gateway shows to the mock; no other text contains it.
const OPENROUTER_KEY: &str = "sk-or-v1-7c1e-of-the-platform";
/// Nothing here takes long; what hangs fails.
const PATIENCE: Duration = Duration::from_secs(90);
/// Any free port.
const FREE: &str = "127.0.0.1:0";

/// How a process ended.
#[derive(Debug)]
struct Ended {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// A process that serves.
struct Running {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: JoinHandle<String>,
}

/// `serve` as a process, with a mock upstream, and the clients of a house that has no gateway of
/// its own.
struct Served {
    house: House,
    running: Running,
    grpc: SocketAddr,
    http: SocketAddr,
}

/// The program with these arguments and an empty environment.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_image-gateway"));
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs a program that ends by itself.
async fn finish(command: &mut Command) -> Ended {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("it ends").expect("it starts");
    Ended {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// Asks over and over until the answer is yes: for what another process does a moment later.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    asked.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}

/// A page, by its status and its text.
async fn page(url: &str) -> (u16, String) {
    // Another test may have been first; then it is the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let answer = reqwest::get(url).await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.expect("a text"))
}

// === impl Ended ===

impl Ended {
    /// No output is coloured, because none goes to a terminal.
    fn assert_plain(&self) {
        let Self { stdout, stderr, .. } = self;
        assert!(!stdout.contains('\x1b'), "{stdout:?}");
        assert!(!stderr.contains('\x1b'), "{stderr:?}");
    }

    /// It ended with this status, and said why on stderr only.
    fn assert_failed(&self, status: i32) {
        assert_eq!(self.status, Some(status), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        assert!(self.stderr.starts_with("error: ") || self.stderr.contains("\nerror: "));
        self.assert_plain();
    }
}

// === impl Running ===

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut stderr = child.stderr.take().expect("a pipe");
        // Read all the time: a full pipe would stop the program.
        let stderr = TaskTracker::new().spawn(async move {
            let mut text = String::new();
            stderr.read_to_string(&mut text).await.expect("text");
            text
        });
        Self {
            child,
            stdout: BufReader::new(stdout).lines(),
            stderr,
        }
    }

    /// The next line of stdout; `None` if it ended instead.
    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(PATIENCE, self.stdout.next_line()).await;
        line.expect("a line in time").expect("text")
    }

    /// Sends a signal by its name, as `kill` does.
    async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs");
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {id}")])
            .status()
            .await;
        assert!(sent.expect("a shell").success());
    }

    /// Waits for its end; `stdout` is what was not read before.
    async fn ended(mut self) -> Ended {
        let mut stdout = String::new();
        while let Some(line) = self.line().await {
            stdout.push_str(&line);
            stdout.push('\n');
        }
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        Ended {
            status: status.expect("it ends").expect("a status").code(),
            stdout,
            stderr: self.stderr.await.expect("its stderr"),
        }
    }
}

// === impl Served ===

impl Served {
    /// A new data folder with an organization of 10,000 credits and its tool.
    async fn start(settings: &[(&str, &str)]) -> Self {
        Self::with(mock::Options::default(), settings).await
    }

    async fn with(options: mock::Options, settings: &[(&str, &str)]) -> Self {
        let house = Self::empty(options).await;
        let mut served = Self::again(house, settings).await;
        served.furnish().await;
        served
    }

    /// The same, reached over TLS.
    async fn encrypted(settings: &[(&str, &str)], tls: ClientTlsConfig) -> Self {
        let house = Self::empty(mock::Options::default()).await;
        let command = serve(&house, settings);
        let mut served = Self::reach(house, command, Some(tls)).await;
        served.furnish().await;
        served
    }

    /// A house without a gateway.
    async fn empty(options: mock::Options) -> House {
        let mock = Mock::start(FREE.parse().unwrap(), options).await.unwrap();
        let nowhere = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        House {
            mock,
            app: None,
            channel: nowhere,
            runtime: String::new(),
            admin: String::new(),
            owner: String::new(),
            dir: tempfile::tempdir().unwrap(),
            absorbed: Decimal::ZERO,
            in_doubt: 0,
        }
    }

    /// Another process on the data of an earlier one.
    async fn again(house: House, settings: &[(&str, &str)]) -> Self {
        let command = serve(&house, settings);
        Self::on(house, command).await
    }

    /// The same, with a command of the test's.
    async fn on(house: House, command: Command) -> Self {
        Self::reach(house, command, None).await
    }

    async fn reach(mut house: House, mut command: Command, tls: Option<ClientTlsConfig>) -> Self {
        let mut running = Running::start(&mut command);
        let (grpc, http) = (running.line().await, running.line().await);
        let (Some(grpc), Some(http)) = (grpc, http) else {
            panic!("it does not serve: {:#?}", running.ended().await);
        };
        let (grpc, http) = (address(&grpc, "gRPC"), address(&http, "HTTP"));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut endpoint = Channel::from_shared(format!("{scheme}://{grpc}")).unwrap();
        if let Some(tls) = tls {
            endpoint = endpoint.tls_config(tls).expect("certificates");
        }
        house.channel = endpoint.connect().await.expect("a connection");
        Self {
            house,
            running,
            grpc,
            http,
        }
    }

    async fn furnish(&mut self) {
        let house = &mut self.house;
        house.add_organization("acme").await;
        house.top_up("acme", "10000", "first").await;
        house.runtime = house.key("acme", proto::Role::Runtime).await;
        house.admin = house.key("acme", proto::Role::Admin).await;
        house.tool(|_| {}).await;
    }

    async fn page(&self, path: &str) -> (u16, String) {
        page(&format!("http://{}{path}", self.http)).await
    }

    /// Waits until it no longer takes connections.
    async fn wait_for_drain(&self) {
        let (http, grpc) = (self.http, self.grpc);
        let url = format!("http://{http}/readyz");
        until("draining", async || page(&url).await.0 == 503).await;
        let connect = async || tokio::net::TcpStream::connect(grpc).await;
        until("refusing", async || connect().await.is_err()).await;
    }

    /// Tells it to end, and waits.
    async fn stop(self) -> (House, Ended) {
        self.running.signal("TERM").await;
        (self.house, self.running.ended().await)
    }

    /// Ends it, and audits its books as [`House::close`] does.
    async fn close(self) -> Ended {
        let (house, ended) = self.stop().await;
        assert_eq!(ended.status, Some(0), "{ended:#?}");
        assert_eq!(audited_open_holds(&house).await, 0);
        house.mock.stop().await;
        ended
    }
}

/// `serve` on the data of a house.
fn serve(house: &House, settings: &[(&str, &str)]) -> Command {
    let mut command = program(&["serve"]);
    command
        .env("LISTEN_ADDR", FREE)
        .env("HTTP_ADDR", FREE)
        .env("DATA_DIR", house.dir.path())
        .env("OPENROUTER_BASE_URL", house.mock.base_url())
        .env("OPENROUTER_API_KEY", OPENROUTER_KEY)
        .env("OPERATOR_KEY", OPERATOR_KEY)
        // So that what the mock is asked is what the test asks for.
        .env("CATALOG_SYNC_INTERVAL", "0s")
        .envs(settings.iter().copied());
    command
}

/// The open holds in the books of a process that has ended; the books agree with themselves.
async fn audited_open_holds(house: &House) -> u64 {
    let books = Sqlite::open(house.dir.path()).expect("the books");
    let breaks = books.audit().await.expect("an audit");
    assert!(breaks.is_empty(), "{breaks:#?}");
    books.open_holds().await.expect("a count")
}

/// What `reconcile --json` says of the books of a house, held against the mock's bill of this moment;
/// and its status.
async fn reconciled(house: &House) -> (Option<i32>, Value) {
    let upstream = house.mock.base_url();
    let (_, bill) = page(&upstream.replace("/api/v1", "/mock/bill")).await;
    let file = house.dir.path().join("bill.json");
    std::fs::write(&file, bill).expect("a file");
    let mut command = program(&["reconcile", "--json", "--data-dir"]);
    command
        .arg(house.dir.path())
        .arg("--bill")
        .arg(&file)
        .env("OPENROUTER_BASE_URL", &upstream)
        .env("OPENROUTER_API_KEY", OPENROUTER_KEY);
    let ended = finish(&mut command).await;
    let report = serde_json::from_str(&ended.stdout);
    (
        ended.status,
        report.unwrap_or_else(|_| panic!("{ended:#?}")),
    )
}

/// The address in a line such as `gRPC  127.0.0.1:50051`.
fn address(line: &str, name: &str) -> SocketAddr {
    let words: Vec<_> = line.split_whitespace().collect();
    let [label, address] = words[..] else {
        panic!("{line:?}");
    };
    assert_eq!(label, name);
    address.parse().expect("an address")
}
