//! What a price list costs: 800 image models with endpoints, read by a real process from the mock,
//! and listed to callers meanwhile.
//!
//! `cargo bench --bench catalog` measures for about a minute, `-- --quick` for some seconds, `--
//! --json` prints one JSON document. Times on shared machines mean little by themselves: what is
//! listed while syncs replace the list stands beside the same without them, by turns.

#![expect(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "measurements are statistics, not money, and a benchmark prints them"
)]

use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use image_gateway::mock::{self, Mock, Script};
use image_gateway::openrouter::install_crypto;
use image_gateway::proto;
use image_gateway::proto::model_service_client::ModelServiceClient;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

/// The program under measurement, as cargo has just built it.
const PROGRAM: &str = env!("CARGO_BIN_EXE_image-gateway");
const TEMP: &str = env!("CARGO_TARGET_TMPDIR");
const OPERATOR_KEY: &str = "operator-key-for-the-benchmark-0123456789";

/// Models, each with endpoints of its own.
const MODELS: usize = 800;

/// Callers that list all models, each again as soon as it is answered.
const CALLERS: usize = 4;

/// Turns with and without syncs.
const TURNS: usize = 3;

/// Measures what a price list costs.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench catalog --")]
struct Args {
    /// Shorter turns
    #[arg(long)]
    quick: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
    /// Names of benchmarks, as cargo passes them on: there is one
    #[arg(hide = true)]
    names: Vec<String>,
}

/// A gateway in its process.
struct Gateway {
    process: Child,
    models: ModelServiceClient<Channel>,
    _folder: tempfile::TempDir,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    models: usize,
    /// The first sync, which keeps every model.
    first_sync_ms: f64,
    /// Later ones, of which each moves every price; medians.
    later_sync_ms: f64,
    /// Memory of the gateway before any list, in KiB.
    rss_before_kib: u64,
    /// Its peak.
    rss_peak_kib: u64,
    /// Nothing else going on.
    quiet: Listing,
    /// While syncs replace the list one after the other.
    syncing: Listing,
    syncs_meanwhile: usize,
}

/// `ListModels` of everything; medians of turns.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Listing {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    longest_ms: f64,
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("nothing is measured without --bench; use `cargo bench --bench catalog`");
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    install_crypto();
    match measure_and_print(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure_and_print(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(measure(args.quick))?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        report.print();
    }
    Ok(())
}

async fn measure(quick: bool) -> Result<Report> {
    let mock = Mock::start("127.0.0.1:0".parse()?, mock::Options::default()).await?;
    let gateway = Gateway::start(&mock.base_url()).await?;
    let rss_before_kib = gateway.memory("VmRSS")?;
    tell(&mock, "0.04");
    let first_sync_ms = gateway.sync().await?;
    let mut later = Vec::new();
    for turn in 0..5 {
        tell(&mock, if turn % 2 == 0 { "0.05" } else { "0.04" });
        later.push(gateway.sync().await?);
    }
    let time = Duration::from_secs(if quick { 1 } else { 5 });
    let (mut quiet, mut syncing, mut syncs_meanwhile) = (Vec::new(), Vec::new(), 0);
    for _ in 0..TURNS {
        quiet.push(gateway.list(time).await?);
        let stop = Arc::new(AtomicBool::new(false));
        let syncs = keep_syncing(&mock, &gateway, &stop);
        let listing = async {
            let listing = gateway.list(time).await;
            stop.store(true, Ordering::Relaxed);
            listing
        };
        let (syncs, listing) = tokio::join!(syncs, listing);
        syncs_meanwhile += syncs?;
        syncing.push(listing?);
    }
    Ok(Report {
        models: MODELS,
        first_sync_ms,
        later_sync_ms: median(later),
        rss_before_kib,
        rss_peak_kib: gateway.memory("VmHWM")?,
        quiet: Listing::of(&quiet),
        syncing: Listing::of(&syncing),
        syncs_meanwhile,
    })
}

async fn keep_syncing(mock: &Mock, gateway: &Gateway, stop: &AtomicBool) -> Result<usize> {
    let mut syncs = 0;
    while !stop.load(Ordering::Relaxed) {
        tell(mock, if syncs % 2 == 0 { "0.05" } else { "0.04" });
        gateway.sync().await?;
        syncs += 1;
    }
    Ok(syncs)
}

/// From now on the mock lists so many models at this price.
fn tell(mock: &Mock, usd: &str) {
    let slugs = || (0..MODELS).map(|n| format!("author-{}/model-{n}", n % 40));
    let model = |slug: String| {
        json!({
            "id": slug, "name": format!("Author: {slug}"), "context_length": 8192,
            "description": "A model that draws pictures from text and reference images. ".repeat(8),
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["image"]},
            "pricing": {"prompt": "0", "completion": "0", "image_output": "0.00000958083832335329"},
        })
    };
    let image_model = |slug: String| {
        let mut model = model(slug);
        model["supported_parameters"] = parameters();
        model
    };
    let endpoints = json!({"endpoints": [{
        "provider_slug": "first", "supported_parameters": parameters(),
        "pricing": [{"billable": "output_image", "unit": "image", "cost_usd": usd}],
    }]});
    let models: Vec<Value> = slugs().map(model).collect();
    let image_models: Vec<Value> = slugs().map(image_model).collect();
    mock.clear_scripts();
    for (path, body) in [
        ("/models", json!({"data": models})),
        ("/images/models", json!({"data": image_models})),
        ("/images/models/*", endpoints),
    ] {
        let script = Script::raw_body("application/json", &body.to_string());
        mock.script(script.for_path(path).times(u32::MAX));
    }
}

fn parameters() -> Value {
    json!({
        "aspect_ratio": {"type": "enum", "values": ["1:1", "16:9", "9:16", "4:3", "3:4"]},
        "resolution": {"type": "enum", "values": ["1K", "2K", "4K"]},
        "n": {"type": "range", "min": 1, "max": 4},
    })
}

// === impl Gateway ===

impl Gateway {
    async fn start(base_url: &str) -> Result<Self> {
        let folder = tempfile::tempdir_in(TEMP)?;
        let mut process = Command::new(PROGRAM)
            .arg("serve")
            .env_clear()
            .envs([
                ("LISTEN_ADDR", "127.0.0.1:0"),
                ("HTTP_ADDR", "127.0.0.1:0"),
                ("OPENROUTER_BASE_URL", base_url),
                ("OPENROUTER_API_KEY", "sk-or-v1-mock"),
                ("OPERATOR_KEY", OPERATOR_KEY),
                ("CATALOG_SYNC_INTERVAL", "0s"),
                ("RUST_LOG", "error"),
                ("LOG_FORMAT", "json"),
            ])
            .env("DATA_DIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().context("stdout is not piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let said: Value = serde_json::from_str(&line)?;
        let address = said["grpc"].as_str().context("no address")?;
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .connect()
            .await?;
        Ok(Self {
            process,
            models: ModelServiceClient::new(channel).max_decoding_message_size(64 << 20),
            _folder: folder,
        })
    }

    /// How long a sync takes.
    async fn sync(&self) -> Result<f64> {
        let begun = Instant::now();
        let mut models = self.models.clone();
        models
            .sync_models(keyed(proto::SyncModelsRequest {})?)
            .await?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }

    async fn list(&self, time: Duration) -> Result<Listing> {
        let until = Instant::now() + time;
        let callers = (0..CALLERS).map(|_| self.list_until(until));
        let mut took = Vec::new();
        for one in futures_util::future::join_all(callers).await {
            took.extend(one?);
        }
        took.sort_by(f64::total_cmp);
        let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
        Ok(Listing {
            per_second: took.len() as f64 / time.as_secs_f64(),
            p50_ms: at(50),
            p99_ms: at(99),
            longest_ms: at(100),
        })
    }

    async fn list_until(&self, until: Instant) -> Result<Vec<f64>> {
        let mut models = self.models.clone();
        let mut took = Vec::new();
        while took.is_empty() || Instant::now() < until {
            let begun = Instant::now();
            let (mut seen, mut page_token) = (0, String::new());
            loop {
                let asked = proto::ListModelsRequest {
                    page_size: 1000,
                    page_token,
                    ..proto::ListModelsRequest::default()
                };
                let page = models.list_models(keyed(asked)?).await?.into_inner();
                seen += page.models.len();
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            took.push(begun.elapsed().as_secs_f64() * 1e3);
            // Every model of the list, and the published page's.
            ensure!(seen >= MODELS, "only {seen} models");
        }
        Ok(took)
    }

    /// A line of `/proc/PID/status`, in KiB.
    fn memory(&self, name: &str) -> Result<u64> {
        let pid = self.process.id().context("the gateway has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_ascii_whitespace().nth(1));
        Ok(kib.context("no such line")?.parse()?)
    }
}

fn keyed<T>(message: T) -> Result<Request<T>> {
    let mut request = Request::new(message);
    let key = format!("Bearer {OPERATOR_KEY}").parse()?;
    request.metadata_mut().insert("authorization", key);
    Ok(request)
}

// === impl Report ===

impl Report {
    fn print(&self) {
        let mib = |kib: u64| kib as f64 / 1024.0;
        println!(
            "{} image models with endpoints, {CALLERS} callers\n",
            self.models
        );
        println!("first sync            {:>9.0} ms", self.first_sync_ms);
        println!("later syncs           {:>9.0} ms", self.later_sync_ms);
        println!(
            "memory before         {:>9.1} MiB",
            mib(self.rss_before_kib)
        );
        println!(
            "peak memory           {:>9.1} MiB\n",
            mib(self.rss_peak_kib)
        );
        println!("ListModels of all     per second    p50 ms    p99 ms    longest ms");
        for (what, listing) in [("quiet", self.quiet), ("while syncs run", self.syncing)] {
            println!(
                "{what:<20} {:>11.1} {:>9.1} {:>9.1} {:>13.1}",
                listing.per_second, listing.p50_ms, listing.p99_ms, listing.longest_ms
            );
        }
        let ratio = self.syncing.p99_ms / self.quiet.p99_ms;
        println!(
            "\n{} syncs meanwhile; p99 {ratio:.2} x of quiet",
            self.syncs_meanwhile
        );
    }
}

impl Listing {
    fn of(turns: &[Self]) -> Self {
        let over = |figure: fn(&Self) -> f64| median(turns.iter().map(figure).collect());
        Self {
            per_second: over(|turn| turn.per_second),
            p50_ms: over(|turn| turn.p50_ms),
            p99_ms: over(|turn| turn.p99_ms),
            longest_ms: over(|turn| turn.longest_ms),
        }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
