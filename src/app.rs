//! Hands the rooms to each other. Nothing is decided here: each room opens itself, this is the
//! list of them, and the order in which they close.

use std::error::Error;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::server::HealthReporter;

use crate::config::Config;
use crate::domain::catalog::Catalog;
use crate::fetch;
use crate::generate::{self, Generator, Payers};
use crate::grpc;
use crate::http;
use crate::metrics::Metrics;
use crate::openrouter;
use crate::ports::{Gallery, ImageProvider, Ledger, OpenRouterKeys, Settings};
use crate::prices::{self, Prices};
use crate::recover::{self, Recovery};
use crate::transport::{self, Tls};

use cellar::Cellar;

pub use secrets::{GivenUp, Replaced, give_up_lost, replace_key};

mod cellar;
mod doors;
mod folder;
mod secrets;

/// How long the side door waits for those still reading when everything else is done.
const HTTP_PATIENCE: Duration = Duration::from_secs(2);

/// A running gateway. It must be [drained](App::drain): dropping it lets the doors stay open until
/// the runtime ends.
#[derive(Debug)]
pub struct App {
    grpc_address: SocketAddr,
    http_address: SocketAddr,
    ledger: Arc<dyn Ledger>,
    settings: Arc<dyn Settings>,
    health: HealthReporter,
    /// Cancelled when no new call is taken any more.
    draining: CancellationToken,
    /// Cancelled when nobody needs to look any more.
    closing: CancellationToken,
    /// Generations, which outlive their callers.
    work: TaskTracker,
    /// Finishes what nobody works on.
    recovery: JoinHandle<()>,
    /// Keeps prices up to date.
    prices: JoinHandle<()>,
    /// Writes when keys were last used.
    last_used: JoinHandle<()>,
    grpc_door: JoinHandle<()>,
    http_door: JoinHandle<()>,
    /// Keeps other gateways out of the data folder.
    _lock: File,
}

/// How draining ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything that ran has finished.
    Complete,
    /// Time was up first.
    TimedOut {
        /// Generations that still ran; their holds stay in the books. If none, then only callers
        /// were left that did not read, and they can have their pictures again.
        running: usize,
    },
}

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({setting})")]
    Listen {
        /// The setting that named it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another gateway runs on the same data: two would sweep away each other's drafts.
    #[error("another gateway uses the data folder {}", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// What is kept in the data folder cannot be opened.
    #[error("cannot open {what} in {}", folder.display())]
    Data {
        /// Which part of it.
        what: &'static str,
        /// The folder.
        folder: PathBuf,
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A room cannot be opened.
    #[error("cannot open {room}")]
    Room {
        /// Which, in words.
        room: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

// === impl App ===

impl App {
    /// Listens, opens every room and serves. The price list is the given one until the first sync.
    ///
    /// # Errors
    /// See [`StartError`]; then nothing is left running.
    pub async fn start(config: Config, catalog: Catalog) -> Result<Self, StartError> {
        // Before anything is made on disk: a taken port is the most common mistake.
        let (grpc_listener, grpc_address) = listen("LISTEN_ADDR", config.listen)?;
        let (http_listener, http_address) = listen("HTTP_ADDR", config.http)?;
        let metrics = Arc::new(Metrics::new());
        let tls = tls(&config, &metrics)?;
        let cellar = Cellar::open(&config).await?;
        let ledger: Arc<dyn Ledger> = cellar.books.clone();
        let settings: Arc<dyn Settings> = cellar.books.clone();
        let work = TaskTracker::new();
        let draining = CancellationToken::new();
        let provider = provider(&config)?;
        let prices = prices(&config, &cellar, catalog, (&metrics, &draining)).await?;
        let fetcher = fetch::Client::new(&config.reference_url_allow);
        let fetcher = Arc::new(fetcher.map_err(room("the way to reference images"))?);
        let outside = (&provider, fetcher);
        let parts = parts(&config, &cellar, &prices, outside, (&metrics, &work));
        let recovery = Recovery::new(recover::Parts {
            ledger: Arc::clone(&ledger),
            upkeep: cellar.books.clone(),
            gallery: Arc::clone(&parts.gallery),
            payers: Arc::clone(parts.generator.payers()),
            generator: Arc::clone(&parts.generator),
            metrics: Arc::clone(&metrics),
            retention: config.image_retention,
            check_after: config.cost_check_after,
        });
        let served = grpc::serve(parts)
            .await
            .map_err(room("the contract for reflection"))?;
        let closing = CancellationToken::new();
        let pages = http::routes(http::Parts {
            ledger: Arc::clone(&ledger),
            metrics: Arc::clone(&metrics),
            draining: draining.clone(),
        });
        let doors = TaskTracker::new();
        if let Some(tls) = &tls {
            doors.spawn(Arc::clone(tls).watch(closing.clone()));
        }
        let unrationed = doors::unrationed(&config.unrationed_addresses);
        let (routes, longest) = (served.routes, config.upstream_timeout);
        let front = doors::grpc(routes, tls, metrics, longest, unrationed);
        let grpc_door = transport::serve_calls(grpc_listener, front, draining.clone());
        let http_door = transport::serve_pages(http_listener, pages, closing.clone());
        let recovering = recovery.run(closing.clone());
        let syncing = prices.run(closing.clone());
        let noting = served.last_used.run(closing.clone());
        Ok(Self {
            grpc_address,
            http_address,
            ledger,
            settings,
            health: served.health,
            draining,
            closing,
            recovery: doors.spawn(recovering),
            prices: doors.spawn(syncing),
            last_used: doors.spawn(noting),
            work,
            grpc_door: doors.spawn(grpc_door),
            http_door: doors.spawn(http_door),
            _lock: cellar.lock,
        })
    }

    /// Where gRPC is served.
    pub const fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// Where health and metrics are served.
    pub const fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// The books.
    pub fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Organizations, keys and tools.
    pub fn settings(&self) -> Arc<dyn Settings> {
        Arc::clone(&self.settings)
    }

    /// Ends the gateway. At once: not serving, not ready, no new connection, no new call on an old
    /// one (GOAWAY). Then running streams and generations finish, for at most `timeout`; whoever
    /// wants to look at health or metrics can do so until then.
    pub async fn drain(self, timeout: Duration) -> Drained {
        doors::turn_away(self.health, &self.draining).await;
        let work = self.work;
        work.close();
        let streams_and_work = async {
            ended("gRPC", self.grpc_door.await);
            work.wait().await;
        };
        let in_time = tokio::time::timeout(timeout, streams_and_work).await;
        self.closing.cancel();
        for (what, task) in [
            ("recovery", self.recovery),
            ("price list", self.prices),
            ("last use of keys", self.last_used),
            ("HTTP", self.http_door),
        ] {
            if let Ok(result) = tokio::time::timeout(HTTP_PATIENCE, task).await {
                ended(what, result);
            }
        }
        match in_time {
            Ok(()) => Drained::Complete,
            Err(_) => Drained::TimedOut {
                running: work.len(),
            },
        }
    }
}

/// What gRPC is encrypted with, if it is.
fn tls(config: &Config, metrics: &Arc<Metrics>) -> Result<Option<Arc<Tls>>, StartError> {
    let Some(files) = config.tls.clone() else {
        return Ok(None);
    };
    let files = transport::Files {
        certificate: files.certificate,
        key: files.key,
        client_ca: files.client_ca,
    };
    let tls = Tls::open(files, Arc::clone(metrics)).map_err(room("the TLS files"))?;
    Ok(Some(tls))
}

/// The way to OpenRouter.
fn provider(config: &Config) -> Result<Arc<dyn ImageProvider>, StartError> {
    let client =
        openrouter::Client::new(upstream(config)).map_err(room("the way to OpenRouter"))?;
    Ok(Arc::new(client))
}

/// The price list as it was kept, or the given one.
async fn prices(
    config: &Config,
    cellar: &Cellar,
    catalog: Catalog,
    (metrics, draining): (&Arc<Metrics>, &CancellationToken),
) -> Result<Arc<Prices>, StartError> {
    let lists = openrouter::Lists::new(upstream(config)).map_err(room("the way to OpenRouter"))?;
    let parts = prices::Parts {
        lister: Arc::new(lists),
        store: cellar.books.clone(),
        metrics: Arc::clone(metrics),
        interval: config.catalog_sync_interval,
        tracker: TaskTracker::new(),
        stop: draining.clone(),
    };
    let prices = Prices::open(parts, catalog);
    Ok(Arc::new(prices.await.map_err(room("the price list"))?))
}

fn upstream(config: &Config) -> openrouter::Config {
    let mut upstream = openrouter::Config::new(
        config.openrouter_base_url.clone(),
        config.openrouter_api_key.clone(),
    );
    upstream.total_timeout = config.upstream_timeout;
    upstream
}

/// Everything that gRPC serves, made of what was opened.
fn parts(
    config: &Config,
    cellar: &Cellar,
    prices: &Arc<Prices>,
    (provider, fetcher): (&Arc<dyn ImageProvider>, Arc<fetch::Client>),
    (metrics, work): (&Arc<Metrics>, &TaskTracker),
) -> grpc::Parts {
    let ledger: Arc<dyn Ledger> = cellar.books.clone();
    let settings: Arc<dyn Settings> = cellar.books.clone();
    let gallery: Arc<dyn Gallery> = cellar.gallery.clone();
    let keyring = cellar.secrets.keyring(config.operator_key.as_ref());
    let keyring = Arc::new(keyring);
    let vault = Arc::new(cellar.secrets.vault());
    let openrouter_keys: Arc<dyn OpenRouterKeys> = cellar.books.clone();
    let payers = Arc::new(Payers::new(
        Arc::clone(&openrouter_keys),
        Arc::clone(&vault),
        Arc::clone(&keyring),
        Arc::clone(provider),
    ));
    let generator = Generator::new(generate::Parts {
        ledger: Arc::clone(&ledger),
        settings: Arc::clone(&settings),
        gallery: Arc::clone(&gallery),
        provider: Arc::clone(provider),
        payers,
        prices: Arc::clone(prices),
        keyring: Arc::clone(&keyring),
        metrics: Arc::clone(metrics),
        tracker: work.clone(),
        max_concurrent: config.limits.max_concurrent_generations,
        max_concurrent_each: config.limits.max_concurrent_per_organization,
        upstream_timeout: config.upstream_timeout,
    });
    grpc::Parts {
        generator,
        openrouter_keys,
        provider: Arc::clone(provider),
        vault,
        records: cellar.books.clone(),
        ledger,
        settings,
        gallery,
        fetcher,
        prices: Arc::clone(prices),
        keyring,
        metrics: Arc::clone(metrics),
        tracker: work.clone(),
        calls_per_second: config.limits.calls_per_second,
    }
}

fn listen(
    setting: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen {
        setting,
        address,
        source,
    };
    let listener = transport::listen(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Names the room that an error came from.
fn room<E: Into<Box<dyn Error + Send + Sync>>>(room: &'static str) -> impl FnOnce(E) -> StartError {
    move |source| StartError::Room {
        room,
        source: source.into(),
    }
}

/// A door that ended by itself, long before or now, is worth a line.
fn ended(door: &'static str, result: Result<(), tokio::task::JoinError>) {
    if let Err(error) = result {
        tracing::error!(%error, "the {door} server ended by itself");
    }
}
