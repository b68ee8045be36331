//! CPU per image beside nginx, which passes the very same answers on and does nothing else: no
//! decoding, no checksum, no file, no books. Rounds of both alternate, so that a noisy neighbour
//! meets both.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::Bench;
use crate::callers::{Caller, Work, work};
use crate::house::House;
use crate::load::{MEDIUM, OFTEN};
use crate::process;

/// Installs nginx if it is not there, and becomes it.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/nginx.sh");
const CONCURRENCY: usize = 16;
/// Installing may take a while.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// CPU seconds per image of both.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    pub(crate) rounds: u32,
    pub(crate) gateway_images: usize,
    pub(crate) gateway_cpu_seconds: f64,
    pub(crate) nginx_images: usize,
    pub(crate) nginx_cpu_seconds: f64,
    /// The gateway's, as a multiple of nginx's; `None` if nginx cannot be had here.
    pub(crate) ratio: Option<f64>,
    /// Why there is no nginx.
    pub(crate) missing: Option<String>,
}

/// A running nginx.
struct Nginx {
    pid: u32,
    url: String,
    process: Child,
}

/// Images and CPU seconds so far.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    images: usize,
    cpu_seconds: f64,
}

/// Both in turn.
pub(crate) async fn measure(bench: &Bench, house: &House) -> Result<Compared> {
    let rounds: u32 = if bench.quick { 2 } else { 4 };
    bench.expect(2);
    bench.step("starting nginx");
    let nginx = match Nginx::start(house).await {
        Ok(nginx) => nginx,
        Err(error) => return Ok(Compared::missing(&error)),
    };
    bench.step("CPU beside nginx");
    let script = json!({ "size_bytes": MEDIUM.bytes, "times": OFTEN });
    house.mock.play(&script).await?;
    let through = Caller::of_gateway(&house.gateway, CONCURRENCY).await?;
    let passed = Caller::of_url(&nginx.url, CONCURRENCY);
    let mut task = Work {
        prompt: MEDIUM.prompt,
        time: Duration::ZERO,
        spread: Duration::ZERO,
    };
    work(&through, task).await?;
    work(&passed, task).await?;
    task.time = Duration::from_millis(2000);
    let (mut ours, mut theirs) = (Sum::default(), Sum::default());
    for _ in 0..rounds {
        ours.add(&through, task, || process::cpu_seconds(house.gateway.pid))
            .await?;
        theirs.add(&passed, task, || nginx.cpu_seconds()).await?;
    }
    Ok(Compared {
        rounds,
        gateway_images: ours.images,
        gateway_cpu_seconds: ours.per_image(),
        nginx_images: theirs.images,
        nginx_cpu_seconds: theirs.per_image(),
        ratio: Some(ours.per_image() / theirs.per_image()),
        missing: None,
    })
}

// === impl Compared ===

impl Compared {
    fn missing(error: &anyhow::Error) -> Self {
        Self {
            rounds: 0,
            gateway_images: 0,
            gateway_cpu_seconds: 0.0,
            nginx_images: 0,
            nginx_cpu_seconds: 0.0,
            ratio: None,
            missing: Some(format!("{error:#}")),
        }
    }
}

// === impl Sum ===

impl Sum {
    /// One round.
    async fn add(
        &mut self,
        callers: &[Caller],
        task: Work,
        cpu_seconds: impl Fn() -> Result<f64>,
    ) -> Result<()> {
        let before = cpu_seconds()?;
        let outcome = work(callers, task).await?;
        self.cpu_seconds += cpu_seconds()? - before;
        self.images += outcome.samples.len();
        Ok(())
    }

    fn per_image(self) -> f64 {
        self.cpu_seconds / self.images as f64
    }
}

// === impl Nginx ===

impl Nginx {
    async fn start(house: &House) -> Result<Self> {
        // Free now, and most likely still free in a moment.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = house.folder().join("nginx");
        std::fs::create_dir_all(&folder)?;
        let log = folder.join("start.log");
        let started = Command::new(SCRIPT)
            .arg(house.mock.address()?)
            .arg(port.to_string())
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .spawn()
            .context("benches/nginx.sh cannot be run")?;
        let mut nginx = Self {
            pid: started.id().context("nginx has ended")?,
            url: format!("http://127.0.0.1:{port}/api/v1/images"),
            process: started,
        };
        nginx.ready(port, &log).await?;
        Ok(nginx)
    }

    async fn ready(&mut self, port: u16, log: &Path) -> Result<()> {
        let until = Instant::now() + START_PATIENCE;
        while Instant::now() < until {
            if tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
            {
                return Ok(());
            }
            if self.process.try_wait()?.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{}", std::fs::read_to_string(log)?.trim())
    }

    /// Of the master and its workers.
    fn cpu_seconds(&self) -> Result<f64> {
        let mut seconds = process::cpu_seconds(self.pid)?;
        for worker in process::children(self.pid)? {
            seconds += process::cpu_seconds(worker)?;
        }
        Ok(seconds)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A master that is killed leaves its workers behind; told to stop, it takes them along.
        let _ = std::process::Command::new("kill")
            .arg(self.pid.to_string())
            .status();
    }
}
