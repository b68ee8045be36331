//! What the demo plays on: a gateway of its own, and a stand-in for OpenRouter if there is no key.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::super::failed::Failed;
use super::super::terminal;
use crate::app::App;
use crate::config::{Config, Given};
use crate::domain::catalog::Catalog;
use crate::logging;
use crate::mock::{Drip, Mock, Options};

/// What the log shows unless told otherwise: nothing that would stand in the picture's way.
const QUIET: &str = "warn";

/// The stand-in takes this long to think …
const MOCK_LATENCY_MS: u64 = 1_000;
/// … and this long to send, so that the picture is seen coming.
const MOCK_DRIP_MS: u64 = 1_500;

/// A gateway that runs, and what is needed to use it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) app: App,
    /// The stand-in, if there is no key for OpenRouter.
    pub(super) mock: Option<Mock>,
    /// The operator's key: the given one, or one made for this run.
    pub(super) operator_key: SecretString,
    pub(super) drain_timeout: Duration,
}

// === impl Stage ===

impl Stage {
    /// Starts everything.
    pub(super) async fn build(mut given: Given) -> Result<Self, Failed> {
        let mock = if names_an_upstream(&given) {
            None
        } else {
            Some(stand_in(&mut given).await?)
        };
        if !has_text(given.operator_key.as_ref()) && !is_set(given.operator_key_file.as_deref()) {
            given.operator_key = Some(one_time_key());
        }
        // Only the gRPC port is worth a fixed number here: it stands in the printed command line.
        given.http_addr = or_else(given.http_addr, "127.0.0.1:0");
        given.rust_log = or_else(given.rust_log, QUIET);
        without_tls(&mut given);
        let config = Config::parse(given)?;
        logging::start(&config.log)?;
        let operator_key = config.operator_key.clone();
        let operator_key = operator_key.ok_or_else(|| Failed::new("there is no operator key"))?;
        let drain_timeout = config.drain_timeout;
        let app = App::start(config, Catalog::built_in()).await?;
        Ok(Self {
            app,
            mock,
            operator_key,
            drain_timeout,
        })
    }
}

/// Whether pictures are to come from somewhere else than the stand-in.
fn names_an_upstream(given: &Given) -> bool {
    has_text(given.openrouter_api_key.as_ref())
        || is_set(given.openrouter_api_key_file.as_deref())
        || is_set(given.openrouter_base_url.as_deref())
}

/// Starts the stand-in and points the settings to it.
async fn stand_in(given: &mut Given) -> Result<Mock, Failed> {
    let options = Options {
        latency_ms: MOCK_LATENCY_MS,
        drip: Some(Drip::Total {
            total_ms: MOCK_DRIP_MS,
        }),
        ..Options::default()
    };
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mock = Mock::start(free, options)
        .await
        .map_err(|error| Failed::new("cannot start the mock OpenRouter").because(error))?;
    terminal::note(format_args!(
        "Drawing with a mock OpenRouter at {}; set OPENROUTER_API_KEY for real pictures.",
        mock.base_url()
    ));
    given.openrouter_base_url = Some(mock.base_url());
    given.openrouter_api_key = Some("any-key-will-do".into());
    Ok(mock)
}

/// Two random UUIDs: 244 random bits, known to this process only.
fn one_time_key() -> SecretString {
    let (one, two) = (Uuid::new_v4().simple(), Uuid::new_v4().simple());
    SecretString::from(format!("{one}{two}"))
}

/// The demo and the command line it prints speak plaintext.
fn without_tls(given: &mut Given) {
    given.tls_cert_file = None;
    given.tls_key_file = None;
    given.tls_client_ca_file = None;
}

fn has_text(secret: Option<&SecretString>) -> bool {
    secret.is_some_and(|secret| !secret.expose_secret().is_empty())
}

fn is_set(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

/// What was given, or what the demo prefers to the usual default.
fn or_else(given: Option<String>, preferred: &str) -> Option<String> {
    given
        .filter(|text| !text.is_empty())
        .or_else(|| Some(preferred.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_draws_only_if_nothing_else_is_named() {
        let named = |change: fn(&mut Given)| {
            let mut given = Given::default();
            change(&mut given);
            names_an_upstream(&given)
        };
        assert!(!named(|_| ()));
        assert!(!named(|given| given.openrouter_api_key = Some("".into())));
        assert!(!named(
            |given| given.openrouter_base_url = Some(String::new())
        ));
        assert!(named(|given| given.openrouter_api_key = Some("sk".into())));
        assert!(named(
            |given| given.openrouter_api_key_file = Some("f".into())
        ));
        assert!(named(
            |given| given.openrouter_base_url = Some("http://x".into())
        ));
    }

    #[test]
    fn a_key_made_for_one_run_is_one_that_the_settings_take() {
        let key = one_time_key();
        assert_ne!(key.expose_secret(), one_time_key().expose_secret());
        let config = Config::parse(Given {
            operator_key: Some(key),
            openrouter_api_key: Some("any-key-will-do".into()),
            ..Given::default()
        });
        assert!(config.is_ok(), "{config:?}");
    }
}
