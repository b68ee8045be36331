//! The settings, in two steps: [`Given`] is what was typed, in the environment or as flags, as raw
//! text; [`Config`] is what it means, whole and checked. Nothing half-configured can start, and
//! everything wrong is reported together.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

mod allowed;
mod distinct;
mod given;
mod master_key;
mod reader;
mod transport;
mod values;

pub use allowed::Allowed;
pub use given::Given;
pub(crate) use given::secret;
pub use master_key::{MasterKey, MasterKeyError};
use reader::Reader;
pub(crate) use reader::secret_file;
pub use transport::{ALLOW_PLAINTEXT, TlsFiles};
pub(crate) use values::{duration, is_here};

/// Default of `LISTEN_ADDR`.
pub const LISTEN_ADDR: &str = "127.0.0.1:50051";
/// Default of `HTTP_ADDR`.
pub const HTTP_ADDR: &str = "127.0.0.1:8080";
/// Default of `DATA_DIR`.
pub const DATA_DIR: &str = "./data";
/// Default of `OPENROUTER_BASE_URL`.
pub const OPENROUTER_BASE_URL: &str = "https://openrouter.ai/api/v1";
/// Default of `UPSTREAM_TIMEOUT`.
pub const UPSTREAM_TIMEOUT: &str = "5m";
/// Default of `DRAIN_TIMEOUT`.
pub const DRAIN_TIMEOUT: &str = "60s";
/// Default of `MAX_CONCURRENT_GENERATIONS`.
pub const MAX_CONCURRENT_GENERATIONS: &str = "256";
/// Default of `MAX_CONCURRENT_PER_ORGANIZATION`.
pub const MAX_CONCURRENT_PER_ORGANIZATION: &str = "0";
/// Default of `MAX_CALLS_PER_SECOND`.
pub const MAX_CALLS_PER_SECOND: &str = "200";
/// Default of `IMAGE_STORE_QUOTA`.
pub const IMAGE_STORE_QUOTA: &str = "0";
/// Default of `IMAGE_RETENTION`.
pub const IMAGE_RETENTION: &str = "30d";
/// Default of `CATALOG_SYNC_INTERVAL`.
pub const CATALOG_SYNC_INTERVAL: &str = "15m";
/// Default of `COST_CHECK_AFTER`.
pub const COST_CHECK_AFTER: &str = "10m";
/// Default of `REFERENCE_URL_ALLOW`.
pub const REFERENCE_URL_ALLOW: &str = "";
/// Default of `RUST_LOG`.
pub const RUST_LOG: &str = "info";
/// Default of `LOG_FORMAT`.
pub const LOG_FORMAT: &str = "text";

/// Everything the program can be told, checked.
#[derive(Debug)]
pub struct Config {
    /// Where gRPC is served; port 0 picks one.
    pub listen: SocketAddr,
    /// What gRPC is encrypted with; `None` is plaintext.
    pub tls: Option<TlsFiles>,
    /// Where health and metrics are served; port 0 picks one.
    pub http: SocketAddr,
    /// The folder of the database, the images and the key made on first start.
    pub data_dir: PathBuf,
    /// Where images are asked for, without a slash at its end.
    pub openrouter_base_url: String,
    /// The platform's key.
    pub openrouter_api_key: SecretString,
    /// The operator's key, if there is an operator.
    pub operator_key: Option<SecretString>,
    /// What protects stored keys, if it is not to be made under `data_dir`.
    pub key_encryption_key: Option<MasterKey>,
    /// The longest an upstream call may take.
    pub upstream_timeout: Duration,
    /// The longest that running generations are waited for at the end.
    pub drain_timeout: Duration,
    /// How much is too much.
    pub limits: Limits,
    /// The most bytes of images that are kept; `None` is as much as the disk holds.
    pub image_store_quota_bytes: Option<u64>,
    /// How long images are kept after their generation has ended.
    pub image_retention: Duration,
    /// How often prices are read from upstream; `None` is only when the operator asks.
    pub catalog_sync_interval: Option<Duration>,
    /// How long after its end a generation is asked about a second time; `None` is never.
    pub cost_check_after: Option<Duration>,
    /// Where reference URLs may lead though it is not public.
    pub reference_url_allow: Vec<Allowed>,
    /// Whose newcomers never take turns: networks, each by its first address and how many of the
    /// first bits its addresses share.
    pub unrationed_addresses: Vec<(IpAddr, u8)>,
    /// What is logged and how.
    pub log: Log,
}

/// How much is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Generations that may run at once; above it callers are told to come back.
    pub max_concurrent_generations: usize,
    /// Of them, those of one organization; `None` is what is fair.
    pub max_concurrent_per_organization: Option<usize>,
    /// Calls a second that one organization may make; `None` is no limit.
    pub calls_per_second: Option<u32>,
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Directives as of `tracing_subscriber::EnvFilter`, checked.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// All settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// What is wrong with each; never empty.
    pub problems: Vec<Problem>,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its name in the environment.
    pub variable: String,
    /// What was given; `None` if nothing was, or if it is or may carry a secret.
    pub value: Option<String>,
    /// What would be accepted, to follow the name: `must be …`.
    pub accepted: String,
}

// === impl Config ===

impl Config {
    /// What was given, checked and with its defaults. A setting that is given but empty counts as
    /// not given, because that is how unset variables arrive from compose files. Reads the files
    /// that `…_FILE` settings name, and nothing else.
    ///
    /// # Errors
    /// Every setting that cannot be used, together.
    pub fn parse(given: Given) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::default();
        let config = Self::read(given, &mut reader);
        if let Some(config) = &config {
            distinct::check(config, &mut reader);
        }
        match (config, reader.problems) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(ConfigErrors { problems }),
        }
    }

    /// Reads all settings before the first `?`, so that no problem hides another.
    fn read(given: Given, reader: &mut Reader) -> Option<Self> {
        let callers = transport::Given {
            listen: given.listen_addr,
            certificate: given.tls_cert_file,
            key: given.tls_key_file,
            client_ca: given.tls_client_ca_file,
            allow_plaintext: given.allow_plaintext,
            unrationed: given.unrationed_addresses,
        };
        let callers = callers.read(reader);
        let http = reader.plain("HTTP_ADDR", given.http_addr, HTTP_ADDR, &values::ADDRESS);
        let data_dir = reader.plain("DATA_DIR", given.data_dir, DATA_DIR, &values::FOLDER);
        let base_url = reader.plain(
            "OPENROUTER_BASE_URL",
            given.openrouter_base_url,
            OPENROUTER_BASE_URL,
            &values::BASE_URL,
        );
        let api_key = reader.required_secret(
            "OPENROUTER_API_KEY",
            (given.openrouter_api_key, given.openrouter_api_key_file),
            &values::API_KEY,
        );
        let operator_key = reader.secret(
            "OPERATOR_KEY",
            (given.operator_key, given.operator_key_file),
            &values::OPERATOR_KEY,
        );
        let key_encryption_key = reader.secret(
            "KEY_ENCRYPTION_KEY",
            (given.key_encryption_key, given.key_encryption_key_file),
            &values::MASTER_KEY,
        );
        let timeouts = timeouts((given.upstream_timeout, given.drain_timeout), reader);
        let limits = Limits::read(
            given.max_concurrent_generations,
            given.max_concurrent_per_organization,
            given.max_calls_per_second,
            reader,
        );
        let kept = kept((given.image_store_quota, given.image_retention), reader);
        let lookups = lookups(
            (given.catalog_sync_interval, given.cost_check_after),
            reader,
        );
        let (urls, none) = (given.reference_url_allow, REFERENCE_URL_ALLOW);
        let urls = reader.plain("REFERENCE_URL_ALLOW", urls, none, &values::ALLOWED);
        let log = Log::read(given.rust_log, given.log_format, reader);
        let callers = callers?;
        Some(Self {
            listen: callers.listen,
            tls: callers.tls,
            http: http?,
            data_dir: data_dir?,
            openrouter_base_url: base_url?,
            openrouter_api_key: api_key?,
            operator_key: operator_key?,
            key_encryption_key: key_encryption_key?,
            upstream_timeout: timeouts?.0,
            drain_timeout: timeouts?.1,
            limits: limits?,
            image_store_quota_bytes: kept?.0,
            image_retention: kept?.1,
            catalog_sync_interval: lookups?.0,
            cost_check_after: lookups?.1,
            reference_url_allow: urls?,
            unrationed_addresses: callers.unrationed,
            log: log?,
        })
    }
}

/// The secret in a file, or in stdin if its name is `-`, without the white space around it.
///
/// # Errors
/// What is wrong with it, without the secret.
pub(crate) fn secret_in_file(path: &std::path::Path) -> Result<SecretString, String> {
    if path.as_os_str() == "-" {
        return reader::secret_in(std::io::stdin());
    }
    let file = std::fs::File::open(path);
    reader::secret_in(file.map_err(|error| format!("{}: {error}", secret_file(path)))?)
}

/// A key-encryption key, given itself or as the path of a file, if it is given at all. `variable`
/// names it where it cannot be used.
///
/// # Errors
/// [`ConfigErrors`].
pub(crate) fn master_key(
    variable: &str,
    given: (Option<SecretString>, Option<String>),
) -> Result<Option<MasterKey>, ConfigErrors> {
    let mut reader = Reader::default();
    let key = reader.secret(variable, given, &values::MASTER_KEY);
    key.ok_or(ConfigErrors {
        problems: reader.problems,
    })
}

/// How long an upstream call may take, and how long is waited at the end.
fn timeouts(
    (upstream, drain): (Option<String>, Option<String>),
    reader: &mut Reader,
) -> Option<(Duration, Duration)> {
    let (long, short) = (&values::UPSTREAM_TIMEOUT, &values::DRAIN_TIMEOUT);
    let upstream = reader.plain("UPSTREAM_TIMEOUT", upstream, UPSTREAM_TIMEOUT, long);
    let drain = reader.plain("DRAIN_TIMEOUT", drain, DRAIN_TIMEOUT, short);
    Some((upstream?, drain?))
}

/// How often prices are read, and after which time a cost is asked for again; an inner `None` is
/// never.
fn lookups(
    (sync, check): (Option<String>, Option<String>),
    reader: &mut Reader,
) -> Option<(Option<Duration>, Option<Duration>)> {
    let kind = &values::OR_NEVER;
    let sync = reader.plain("CATALOG_SYNC_INTERVAL", sync, CATALOG_SYNC_INTERVAL, kind);
    let check = reader.plain("COST_CHECK_AFTER", check, COST_CHECK_AFTER, kind);
    let some = |time: Duration| (!time.is_zero()).then_some(time);
    Some((some(sync?), some(check?)))
}

/// How much of the images is kept, in bytes if there is a limit, and for how long.
fn kept(
    (quota, retention): (Option<String>, Option<String>),
    reader: &mut Reader,
) -> Option<(Option<u64>, Duration)> {
    let bytes = &values::BYTES;
    let quota = reader.plain("IMAGE_STORE_QUOTA", quota, IMAGE_STORE_QUOTA, bytes);
    let lasting = &values::RETENTION;
    let retention = reader.plain("IMAGE_RETENTION", retention, IMAGE_RETENTION, lasting);
    Some((Some(quota?).filter(|bytes| *bytes > 0), retention?))
}

// === impl Limits ===

impl Limits {
    fn read(
        all: Option<String>,
        each: Option<String>,
        rate: Option<String>,
        reader: &mut Reader,
    ) -> Option<Self> {
        let all = reader.plain(
            "MAX_CONCURRENT_GENERATIONS",
            all,
            MAX_CONCURRENT_GENERATIONS,
            &values::CONCURRENCY,
        );
        let each = reader.plain(
            "MAX_CONCURRENT_PER_ORGANIZATION",
            each,
            MAX_CONCURRENT_PER_ORGANIZATION,
            &values::CONCURRENCY_EACH,
        );
        let rate = reader.plain(
            "MAX_CALLS_PER_SECOND",
            rate,
            MAX_CALLS_PER_SECOND,
            &values::CALL_RATE,
        );
        Some(Self {
            max_concurrent_generations: all?,
            max_concurrent_per_organization: Some(each?).filter(|most| *most > 0),
            calls_per_second: Some(rate?).filter(|rate| *rate > 0),
        })
    }
}

// === impl Log ===

impl Log {
    /// What was given for logging alone, for commands that have no other settings.
    ///
    /// # Errors
    /// Both settings, if they cannot be used.
    pub fn parse(filter: Option<String>, format: Option<String>) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::default();
        Self::read(filter, format, &mut reader).ok_or(ConfigErrors {
            problems: reader.problems,
        })
    }

    fn read(filter: Option<String>, format: Option<String>, reader: &mut Reader) -> Option<Self> {
        let filter = reader.plain("RUST_LOG", filter, RUST_LOG, &values::LOG_FILTER);
        let format = reader.plain("LOG_FORMAT", format, LOG_FORMAT, &values::LOG_FORMAT);
        Some(Self {
            filter: filter?,
            format: format?,
        })
    }
}

// === impl ConfigErrors ===

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(f, "a setting cannot be used")?,
            n => write!(f, "{n} settings cannot be used")?,
        }
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variable, accepted, ..
        } = self;
        match &self.value {
            Some(value) => write!(f, "{variable} {accepted}, not {value:?}"),
            None => write!(f, "{variable} {accepted}"),
        }
    }
}

#[cfg(test)]
mod tests;
