//! The processes: the mock, the gateway, and the organization that pays.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use image_gateway::proto;
use image_gateway::proto::billing_service_client::BillingServiceClient;
use image_gateway::proto::image_service_client::ImageServiceClient;
use image_gateway::proto::organization_service_client::OrganizationServiceClient;
use image_gateway::proto::tool_service_client::ToolServiceClient;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::figures::Scrape;

/// The program under measurement, as cargo has just built it.
const PROGRAM: &str = env!("CARGO_BIN_EXE_image-gateway");
/// A folder beside what is built: a real disk, where `/tmp` may be memory.
const TEMP: &str = env!("CARGO_TARGET_TMPDIR");
const OPERATOR_KEY: &str = "operator-key-for-the-benchmark-0123456789";
const ORGANIZATION: &str = "bench";
/// Who draws.
pub(crate) const AGENT: &str = "painter";
/// The cheapest model, drawn through `/images`.
pub(crate) const MODEL: &str = "black-forest-labs/flux.2-klein-4b";
/// Far more than any run can spend.
const CREDITS: &str = "100000000";
/// A process that has not said where it listens by then has failed.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// Generations whose callers have hung up end within this.
const SETTLE_PATIENCE: Duration = Duration::from_secs(10);

/// A client with a key.
pub(crate) type Images = ImageServiceClient<Keyed>;
/// A connection that adds a key to every call.
pub(crate) type Keyed = InterceptedService<Channel, Bearer>;
/// Settings of the gateway beside the usual ones, by name.
pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

/// The mock and a gateway in front of it.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) mock: Mock,
    pub(crate) gateway: Gateway,
    folder: TempDir,
}

/// The mock in its process.
#[derive(Debug)]
pub(crate) struct Mock {
    /// `http://…/api/v1`.
    pub(crate) base_url: String,
    http: reqwest::Client,
    _process: Child,
}

/// A gateway in its process, with an organization that can pay.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) pid: u32,
    /// Where gRPC is served: `127.0.0.1:50051`.
    pub(crate) address: String,
    metrics: String,
    key: Bearer,
    http: reqwest::Client,
    _process: Child,
}

/// Adds the key to every call.
#[derive(Clone, Debug)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

// === impl House ===

impl House {
    /// Starts both.
    pub(crate) async fn open() -> Result<Self> {
        Self::with(&[]).await
    }

    /// Starts both, the gateway with these settings.
    pub(crate) async fn with(settings: Settings<'_>) -> Result<Self> {
        let folder = tempfile::tempdir_in(TEMP)?;
        let mock = Mock::start(folder.path()).await?;
        let gateway = Gateway::with(&mock, &folder.path().join("data"), settings).await?;
        Ok(Self {
            mock,
            gateway,
            folder,
        })
    }

    /// Another gateway in front of the same mock, with data of its own under this name.
    pub(crate) async fn another_gateway(
        &self,
        name: &str,
        settings: Settings<'_>,
    ) -> Result<Gateway> {
        Gateway::with(&self.mock, &self.folder().join(name), settings).await
    }

    /// Where everything is written.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

// === impl Mock ===

impl Mock {
    async fn start(folder: &Path) -> Result<Self> {
        let mut command = Command::new(PROGRAM);
        command.args(["mock-openrouter", "--listen", "127.0.0.1:0", "--json"]);
        let (process, said) = start(command, &folder.join("mock.log")).await?;
        Ok(Self {
            base_url: text(&said, "base_url")?,
            http: reqwest::Client::new(),
            _process: process,
        })
    }

    /// From now on all calls are answered by this script alone.
    pub(crate) async fn play(&self, script: &Value) -> Result<()> {
        let root = self.root()?;
        let url = format!("{root}/mock/script");
        let cleared = self.http.delete(&url).send().await?;
        ensure!(cleared.status().is_success(), "the mock keeps its scripts");
        let added = self.http.post(&url).body(script.to_string()).send().await?;
        ensure!(added.status().is_success(), "the mock refuses {script}");
        Ok(())
    }

    /// Lets through what waits at this gate.
    pub(crate) async fn open_gate(&self, name: &str) -> Result<()> {
        let url = format!("{}/mock/gate/{name}", self.root()?);
        let opened = self.http.post(url).send().await?;
        ensure!(opened.status().is_success(), "the mock has no gates");
        Ok(())
    }

    /// `127.0.0.1:4010`.
    pub(crate) fn address(&self) -> Result<&str> {
        let address = self.root()?.strip_prefix("http://");
        address.context("the mock is not on http")
    }

    fn root(&self) -> Result<&str> {
        let root = self.base_url.strip_suffix("/api/v1");
        root.context("the mock is elsewhere")
    }
}

// === impl Gateway ===

impl Gateway {
    /// Starts a gateway with its own data, and an organization in it.
    pub(crate) async fn start(mock: &Mock, folder: &Path, name: &str) -> Result<Self> {
        Self::with(mock, &folder.join(name), &[]).await
    }

    /// The same with other settings.
    async fn with(mock: &Mock, data: &Path, settings: Settings<'_>) -> Result<Self> {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").env_clear().envs([
            ("LISTEN_ADDR", "127.0.0.1:0"),
            ("HTTP_ADDR", "127.0.0.1:0"),
            ("OPENROUTER_BASE_URL", &mock.base_url),
            ("OPENROUTER_API_KEY", "sk-or-v1-mock"),
            ("OPERATOR_KEY", OPERATOR_KEY),
            ("MAX_CALLS_PER_SECOND", "0"),
            ("RUST_LOG", "warn"),
            ("LOG_FORMAT", "json"),
        ]);
        command.env("DATA_DIR", data).envs(settings.iter().copied());
        let (process, said) = start(command, &data.with_extension("log")).await?;
        let mut gateway = Self {
            pid: process.id().context("the gateway has ended")?,
            address: text(&said, "grpc")?,
            metrics: format!("http://{}/metrics", text(&said, "http")?),
            key: Bearer::new(OPERATOR_KEY)?,
            http: reqwest::Client::new(),
            _process: process,
        };
        gateway.key = gateway.furnish(ORGANIZATION).await?;
        Ok(gateway)
    }

    /// What it counts.
    pub(crate) async fn scrape(&self) -> Result<Scrape> {
        let page = self.http.get(&self.metrics).send().await?.text().await?;
        Ok(Scrape { page })
    }

    /// Holds that stay open although what still runs has had time to end.
    pub(crate) async fn open_holds(&self) -> Result<u64> {
        for _ in 0..100 {
            if self.scrape().await?.open_holds() == 0 {
                return Ok(0);
            }
            tokio::time::sleep(SETTLE_PATIENCE / 100).await;
        }
        Ok(self.scrape().await?.open_holds())
    }

    /// Where gRPC is served.
    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        let url = format!("http://{}", self.address);
        Ok(Endpoint::from_shared(url)?.tcp_nodelay(true))
    }

    /// A client on a connection of its own.
    pub(crate) async fn images(&self, endpoint: Endpoint) -> Result<Images> {
        let channel = endpoint.connect().await?;
        Ok(ImageServiceClient::with_interceptor(
            channel,
            self.key.clone(),
        ))
    }

    /// A connection of its own for the organization with this key; without one, for the first.
    pub(crate) async fn connect(&self, key: Option<&Bearer>) -> Result<Keyed> {
        let channel = self.endpoint()?.connect().await?;
        let key = key.unwrap_or(&self.key);
        Ok(InterceptedService::new(channel, key.clone()))
    }

    /// An organization, its credits and its agent's tool; told is its key.
    pub(crate) async fn furnish(&self, organization: &str) -> Result<Bearer> {
        let channel = self.endpoint()?.connect().await?;
        let operator = InterceptedService::new(channel.clone(), Bearer::new(OPERATOR_KEY)?);
        let request = proto::CreateOrganizationRequest {
            id: organization.to_owned(),
            name: "Bench".to_owned(),
        };
        let mut organizations = OrganizationServiceClient::new(operator.clone());
        organizations.create_organization(request).await?;
        let request = proto::AddCreditsRequest {
            organization_id: organization.to_owned(),
            credits: CREDITS.to_owned(),
            reference: "first".to_owned(),
            description: String::new(),
        };
        BillingServiceClient::new(operator)
            .add_credits(request)
            .await?;
        let request = proto::CreateApiKeyRequest {
            organization_id: organization.to_owned(),
            name: "bench".to_owned(),
            role: proto::Role::Admin.into(),
            expire_time: None,
        };
        let made = organizations.create_api_key(request).await?;
        let key = Bearer::new(&made.into_inner().secret)?;
        let tool = proto::GenerateImageTool {
            agent_id: AGENT.to_owned(),
            enabled: true,
            model: MODEL.to_owned(),
            ..proto::GenerateImageTool::default()
        };
        let request = proto::UpdateGenerateImageToolRequest {
            generate_image_tool: Some(tool),
            ..proto::UpdateGenerateImageToolRequest::default()
        };
        let admin = InterceptedService::new(channel, key.clone());
        ToolServiceClient::new(admin)
            .update_generate_image_tool(request)
            .await?;
        Ok(key)
    }
}

// === impl Bearer ===

impl Bearer {
    fn new(key: &str) -> Result<Self> {
        Ok(Self(format!("Bearer {key}").parse()?))
    }

    /// The key itself.
    pub(crate) fn key(&self) -> Option<&str> {
        self.0.to_str().ok()?.strip_prefix("Bearer ")
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = self.0.clone();
        request.metadata_mut().insert("authorization", header);
        Ok(request)
    }
}

/// Starts a process that ends with this one, and reads the line of JSON by which it says where it
/// listens.
async fn start(mut command: Command, log: &Path) -> Result<(Child, Value)> {
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(log)?)
        .kill_on_drop(true)
        .spawn()?;
    let stdout = process.stdout.take().context("stdout is not piped")?;
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    tokio::time::timeout(START_PATIENCE, reader.read_line(&mut line)).await??;
    let said = serde_json::from_str(&line).with_context(|| {
        let log = std::fs::read_to_string(log).unwrap_or_default();
        format!("a process did not start: {log}")
    })?;
    Ok((process, said))
}

fn text(said: &Value, name: &str) -> Result<String> {
    let value = said.get(name).and_then(Value::as_str);
    Ok(value.with_context(|| format!("no {name}"))?.to_owned())
}
