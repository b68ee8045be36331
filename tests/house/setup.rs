//! How a house is built, and the settings that follow from it.

use image_gateway::config::{Config, Given};
use image_gateway::domain::catalog::Catalog;
use image_gateway::mock::{self, Mock};
use secrecy::SecretString;
use tempfile::TempDir;

use crate::helpers::{OPERATOR_KEY, PLATFORM_KEY};

/// How a house is built.
pub(crate) struct Setup {
    pub(crate) catalog: Catalog,
    pub(crate) credits: &'static str,
    pub(crate) upstream_timeout: &'static str,
    pub(crate) max_concurrent: usize,
    pub(crate) mock: mock::Options,
    pub(crate) image_quota: Option<u64>,
    pub(crate) image_retention: Option<&'static str>,
    /// No limit, unless this says otherwise.
    pub(crate) max_calls_per_second: Option<&'static str>,
    pub(crate) max_concurrent_each: Option<&'static str>,
    /// Prices are only read when the operator asks, unless this says otherwise.
    pub(crate) sync_interval: Option<&'static str>,
    /// Whether it has an operator.
    pub(crate) operator: bool,
    /// Costs are asked for again after the usual time, unless this says otherwise.
    pub(crate) cost_check_after: Option<&'static str>,
    pub(crate) reference_url_allow: Option<String>,
    /// Newcomers from everywhere may have to take turns, unless this says otherwise.
    pub(crate) unrationed_addresses: Option<&'static str>,
    /// What the gateway takes for the upstream; `None` is the mock itself.
    pub(crate) base_url: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            catalog: Catalog::built_in(),
            credits: "10000",
            // Nothing here takes as long, however slow the machine is.
            upstream_timeout: "120s",
            max_concurrent: 256,
            mock: mock::Options::default(),
            image_quota: None,
            image_retention: None,
            max_calls_per_second: None,
            max_concurrent_each: None,
            sync_interval: None,
            operator: true,
            cost_check_after: None,
            reference_url_allow: None,
            unrationed_addresses: None,
            base_url: None,
        }
    }
}

impl Setup {
    /// The settings, of a gateway with its data there and that upstream.
    pub(crate) fn settings(&self, mock: &Mock, dir: &TempDir) -> Config {
        let given = Given {
            listen_addr: Some("127.0.0.1:0".to_owned()),
            http_addr: Some("127.0.0.1:0".to_owned()),
            data_dir: Some(dir.path().to_string_lossy().into_owned()),
            openrouter_base_url: Some(self.base_url.clone().unwrap_or_else(|| mock.base_url())),
            openrouter_api_key: Some(SecretString::from(PLATFORM_KEY)),
            operator_key: self.operator.then(|| SecretString::from(OPERATOR_KEY)),
            upstream_timeout: Some(self.upstream_timeout.to_owned()),
            max_concurrent_generations: Some(self.max_concurrent.to_string()),
            image_store_quota: self.image_quota.map(|bytes| bytes.to_string()),
            image_retention: self.image_retention.map(str::to_owned),
            max_calls_per_second: Some(self.max_calls_per_second.unwrap_or("0").to_owned()),
            max_concurrent_per_organization: self.max_concurrent_each.map(str::to_owned),
            catalog_sync_interval: Some(self.sync_interval.unwrap_or("0s").to_owned()),
            cost_check_after: self.cost_check_after.map(str::to_owned),
            reference_url_allow: self.reference_url_allow.clone(),
            unrationed_addresses: self.unrationed_addresses.map(str::to_owned),
            ..Given::default()
        };
        Config::parse(given).expect("settings")
    }
}
