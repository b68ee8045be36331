//! What was typed: every setting as raw text, from the environment or from the flag of the same
//! name, which overrides it. clap only carries the texts, so that all of them are judged together.

use std::convert::Infallible;

use clap::Args;
use secrecy::SecretString;

/// Every setting, unread. The first line of each is what `serve --help` says about it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Settings")]
pub struct Given {
    /// Where gRPC is served; port 0 picks a free one and prints it. Other addresses than those of
    /// this machine alone need TLS or ALLOW_PLAINTEXT [default: 127.0.0.1:50051]
    #[arg(long, env = "LISTEN_ADDR", value_name = "IP:PORT")]
    pub listen_addr: Option<String>,
    /// Where /healthz, /readyz and /metrics are served, in plaintext; port 0 picks a free one
    /// [default: 127.0.0.1:8080]
    #[arg(long, env = "HTTP_ADDR", value_name = "IP:PORT")]
    pub http_addr: Option<String>,
    /// The certificate that gRPC is encrypted with, and those between it and a root, in PEM. Read
    /// again when it changes [default: none, so gRPC is plaintext]
    #[arg(long, env = "TLS_CERT_FILE", value_name = "FILE")]
    pub tls_cert_file: Option<String>,
    /// The key of the certificate, in PEM
    #[arg(long, env = "TLS_KEY_FILE", value_name = "FILE")]
    pub tls_key_file: Option<String>,
    /// The authorities that sign callers' certificates, in PEM [default: none, so callers need no
    /// certificate]
    #[arg(long, env = "TLS_CLIENT_CA_FILE", value_name = "FILE")]
    pub tls_client_ca_file: Option<String>,
    /// Whether gRPC may be served without TLS where others could listen, because a proxy or a
    /// private network protects it: true or false [default: false]
    #[arg(
        long,
        env = "ALLOW_PLAINTEXT",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true"
    )]
    pub allow_plaintext: Option<String>,
    /// Folder of the database and the images; made if it is not there [default: ./data]
    #[arg(long, env = "DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Where images are asked for.
    #[arg(
        long,
        env = "OPENROUTER_BASE_URL",
        value_name = "URL",
        hide_env_values = true,
        help = "Where images are asked for: OpenRouter, or any server that speaks its API \
                [default: https://openrouter.ai/api/v1]"
    )]
    pub openrouter_base_url: Option<String>,
    /// The platform's key at OpenRouter; `serve` needs it [no default]
    #[arg(
        long,
        env = "OPENROUTER_API_KEY",
        value_name = "KEY",
        hide_env_values = true,
        value_parser = secret
    )]
    pub openrouter_api_key: Option<SecretString>,
    /// A file that holds OPENROUTER_API_KEY; other users cannot see it in the list of processes
    #[arg(
        long,
        env = "OPENROUTER_API_KEY_FILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub openrouter_api_key_file: Option<String>,
    /// The operator's key: 32 to 256 printable ASCII characters [default: none, so nobody can act
    /// for the platform]
    #[arg(
        long,
        env = "OPERATOR_KEY",
        value_name = "KEY",
        hide_env_values = true,
        value_parser = secret
    )]
    pub operator_key: Option<SecretString>,
    /// A file that holds OPERATOR_KEY
    #[arg(
        long,
        env = "OPERATOR_KEY_FILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub operator_key_file: Option<String>,
    /// Protects stored keys: 32 bytes as 64 hexadecimal digits or in base64 [default: made on
    /// first start as `key-encryption-key` under DATA_DIR, mode 0600]
    #[arg(
        long,
        env = "KEY_ENCRYPTION_KEY",
        value_name = "KEY",
        hide_env_values = true,
        value_parser = secret
    )]
    pub key_encryption_key: Option<SecretString>,
    /// A file that holds KEY_ENCRYPTION_KEY
    #[arg(
        long,
        env = "KEY_ENCRYPTION_KEY_FILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub key_encryption_key_file: Option<String>,
    /// The longest a call to OpenRouter may take: a number and ms, s, m, h or d; 1s to 14m
    /// [default: 5m]
    #[arg(long, env = "UPSTREAM_TIMEOUT", value_name = "DURATION")]
    pub upstream_timeout: Option<String>,
    /// How long running generations are waited for when the program is told to end: a number and
    /// ms, s, m, h or d; 0s to 1h [default: 60s]
    #[arg(long, env = "DRAIN_TIMEOUT", value_name = "DURATION")]
    pub drain_timeout: Option<String>,
    /// Generations that may run at once; more are refused as OVERLOADED before anything is held
    /// [default: 256]
    #[arg(long, env = "MAX_CONCURRENT_GENERATIONS", value_name = "N")]
    pub max_concurrent_generations: Option<String>,
    /// Calls a second that the keys of one organization may make together, whatever they ask; twice
    /// as many at once; 0: no limit [default: 200]
    #[arg(long, env = "MAX_CALLS_PER_SECOND", value_name = "N")]
    pub max_calls_per_second: Option<String>,
    /// The most generations of one organization at a time, 0 to 100000; 0: as many as leaves an
    /// eighth of all to others, at least one [default: 0]
    #[arg(long, env = "MAX_CONCURRENT_PER_ORGANIZATION", value_name = "N")]
    pub max_concurrent_per_organization: Option<String>,
    /// The most bytes of images that are kept; beyond it new ones are refused as STORAGE_FULL.
    /// 0 means as much as the disk holds [default: 0]
    #[arg(long, env = "IMAGE_STORE_QUOTA", value_name = "BYTES")]
    pub image_store_quota: Option<String>,
    /// How long images are kept after their generation has ended; their records and charges stay. A
    /// number and ms, s, m, h or d; 1s to 3650d [default: 30d]
    #[arg(long, env = "IMAGE_RETENTION", value_name = "DURATION")]
    pub image_retention: Option<String>,
    /// How often models and prices are read from OpenRouter, beside the start and whenever the
    /// operator asks. A number and ms, s, m, h or d; 1s to 7d; 0s: only when the operator asks
    /// [default: 15m]
    #[arg(long, env = "CATALOG_SYNC_INTERVAL", value_name = "DURATION")]
    pub catalog_sync_interval: Option<String>,
    /// How long after its end a picture whose answer told its cost is asked about a second time: the
    /// lower of the two is charged; with an organization's own key, its USD become what is told then
    /// and its credits stay. A number and ms, s, m, h or d; 1s to 7d; 0s: never
    /// [default: 10m]
    #[arg(long, env = "COST_CHECK_AFTER", value_name = "DURATION")]
    pub cost_check_after: Option<String>,
    /// Where reference URLs may lead though it is not public, also by http and on other ports: hosts
    /// (files.internal), hosts and ports (files.internal:9000) and networks (10.0.0.0/8), separated
    /// by commas [default: none]
    #[arg(long, env = "REFERENCE_URL_ALLOW", value_name = "LIST")]
    pub reference_url_allow: Option<String>,
    /// Addresses from where newcomers never take turns, whatever others from there did: proxies in
    /// front that limit their callers themselves. Networks (10.0.0.0/8) and addresses, separated by
    /// commas [default: none]
    #[arg(long, env = "UNRATIONED_ADDRESSES", value_name = "LIST")]
    pub unrationed_addresses: Option<String>,
    /// What is logged on stderr, such as `info` or `image_gateway=debug,h2=warn`
    /// [default: info]
    #[arg(long, env = "RUST_LOG", value_name = "DIRECTIVES")]
    pub rust_log: Option<String>,
    /// The form of log lines: text or json [default: text]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// Wraps a secret the moment it is read, so that no later message can show it.
pub(crate) fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text))
}
