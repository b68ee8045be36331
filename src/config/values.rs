//! The kinds of values a setting can have: how each is read, and how to say what is accepted.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use super::{Allowed, LogFormat, MasterKey};

const SECOND: Duration = Duration::from_secs(1);
/// A hold is free 60 s after its call's deadline and never later than 15 minutes after it was taken
/// (`reliability.md` §2.2), so no call may take longer.
const CALL_MAX: Duration = Duration::from_secs(14 * 60);

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Ten years: longer than any of this is kept.
const RETENTION_MAX: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// A kind of value.
pub(super) struct Kind<T> {
    /// Completes the sentence "`VARIABLE` …".
    pub(super) accepted: &'static str,
    /// What it is, for somebody who has not heard of it.
    pub(super) meaning: &'static str,
    /// The value of a text, or nothing if it has none.
    pub(super) parse: fn(&str) -> Option<T>,
}

/// Where to listen.
pub(super) const ADDRESS: Kind<SocketAddr> = Kind {
    accepted: "must be an IP address and a port, such as 127.0.0.1:50051 or [::]:0",
    meaning: "where to listen",
    parse: |text| text.parse().ok(),
};

/// A folder, which need not exist yet.
pub(super) const FOLDER: Kind<PathBuf> = Kind {
    accepted: "must be the path of a folder",
    meaning: "a folder",
    parse: |text| (!text.contains('\0')).then(|| PathBuf::from(text)),
};

/// A file, if there is to be one.
pub(super) const OPTIONAL_FILE: Kind<Option<PathBuf>> = Kind {
    accepted: "must be the path of a file",
    meaning: "a file",
    parse: |text| {
        let path = (!text.is_empty()).then(|| PathBuf::from(text));
        (!text.contains('\0')).then_some(path)
    },
};

/// Whether something is so.
pub(super) const YES_OR_NO: Kind<bool> = Kind {
    accepted: "must be true or false",
    meaning: "yes or no",
    parse: |text| text.parse().ok(),
};

/// The beginning of every address of a server that speaks OpenRouter's API.
pub(super) const BASE_URL: Kind<String> = Kind {
    accepted: "must be an https URL, or an http one of this machine, without user, query and fragment, such as https://openrouter.ai/api/v1",
    meaning: "a server that speaks OpenRouter's API",
    parse: base_url,
};

/// A key for OpenRouter: goes into a header, so it must be able to.
pub(super) const API_KEY: Kind<SecretString> = Kind {
    accepted: "must be at most 1024 visible ASCII characters",
    meaning: "the key that pays for images at OpenRouter (https://openrouter.ai/keys)",
    parse: |text| {
        let fits = text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| SecretString::from(text))
    },
};

/// The operator's key (`api.md`, settings: any 32–256 printable characters; ASCII, because it is
/// sent in a header, and without white space at its ends, because headers lose it).
pub(super) const OPERATOR_KEY: Kind<SecretString> = Kind {
    accepted: "must be 32 to 256 printable ASCII characters",
    meaning: "the operator's key",
    parse: |text| {
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let fits = (32..=256).contains(&text.len()) && text.trim() == text;
        (printable && fits).then(|| SecretString::from(text))
    },
};

/// The key of keys.
pub(super) const MASTER_KEY: Kind<MasterKey> = Kind {
    accepted: "must be 32 bytes as 64 hexadecimal digits or in standard base64 (make one with `openssl rand -hex 32`)",
    meaning: "the key that protects stored keys",
    parse: MasterKey::parse,
};

/// How long an upstream call may take: long enough to connect, short enough to end.
pub(super) const RETENTION: Kind<Duration> = Kind {
    accepted: "must be a duration from 1s to 3650d, such as 12h or 30d",
    meaning: "a duration",
    parse: |text| duration(text).filter(|value| (SECOND..=RETENTION_MAX).contains(value)),
};

pub(super) const UPSTREAM_TIMEOUT: Kind<Duration> = Kind {
    accepted: "must be a duration from 1s to 14m, such as 90s or 5m",
    meaning: "a duration",
    parse: |text| duration(text).filter(|value| (SECOND..=CALL_MAX).contains(value)),
};

/// After which time something is done; zero is never.
pub(super) const OR_NEVER: Kind<Duration> = Kind {
    accepted: "must be a duration from 1s to 7d, such as 15m or 1h, or 0s for never",
    meaning: "a duration",
    parse: |text| {
        let fits = |value: &Duration| value.is_zero() || (SECOND..=WEEK).contains(value);
        duration(text).filter(fits)
    },
};

/// How long to wait at the end; zero is not at all.
pub(super) const DRAIN_TIMEOUT: Kind<Duration> = Kind {
    accepted: "must be a duration from 0s to 1h, such as 90s or 5m",
    meaning: "a duration",
    parse: |text| duration(text).filter(|value| *value <= HOUR),
};

/// How many at once. The upper end only catches slips of the finger.
pub(super) const CONCURRENCY: Kind<usize> = Kind {
    accepted: "must be a whole number from 1 to 100000",
    meaning: "a number of generations",
    parse: |text| whole(text).filter(|number| (1..=100_000).contains(number)),
};

/// The same for one organization; zero is as many as is fair.
pub(super) const CONCURRENCY_EACH: Kind<usize> = Kind {
    accepted: "must be a whole number from 1 to 100000, or 0 for as many as is fair",
    meaning: "a number of generations",
    parse: |text| whole(text).filter(|number| *number <= 100_000),
};

/// Calls a second; zero is no limit.
pub(super) const CALL_RATE: Kind<u32> = Kind {
    accepted: "must be a whole number from 1 to 1000000, or 0 for no limit",
    meaning: "a number of calls a second",
    parse: |text| {
        let number = u32::try_from(whole(text)?).ok()?;
        Some(number).filter(|number| *number <= 1_000_000)
    },
};

/// A number of bytes.
pub(super) const BYTES: Kind<u64> = Kind {
    accepted: "must be a number of bytes, 0 for no limit",
    meaning: "bytes",
    parse: |text| text.parse().ok(),
};

/// Where reference URLs may lead.
pub(super) const ALLOWED: Kind<Vec<Allowed>> = Kind {
    accepted: "must be hosts, hosts with a port, and networks, separated by commas, such as files.internal,minio:9000,10.0.0.0/8",
    meaning: "places that reference URLs may lead to",
    parse: Allowed::list,
};

/// Addresses, as networks.
pub(super) const NETWORKS: Kind<Vec<(IpAddr, u8)>> = Kind {
    accepted: "must be networks and addresses, separated by commas, such as 10.0.0.0/8,192.0.2.7",
    meaning: "networks and addresses",
    parse: Allowed::networks,
};

/// What is logged.
pub(super) const LOG_FILTER: Kind<String> = Kind {
    accepted: "must be log directives such as info or image_gateway=debug,h2=warn",
    meaning: "log directives",
    parse: |text| EnvFilter::try_new(text).ok().map(|_| text.to_owned()),
};

/// How it is logged.
pub(super) const LOG_FORMAT: Kind<LogFormat> = Kind {
    accepted: "must be text or json",
    meaning: "the form of log lines",
    parse: |text| match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    },
};

/// A whole number and its unit: `250ms`, `90s`, `5m`, `12h`, `30d`. Zero needs no unit.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds_per_unit = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number
        .checked_mul(seconds_per_unit)
        .map(Duration::from_secs)
}

/// An absolute URL whose paths can be built by appending, without credentials that logs would
/// show.
fn base_url(text: &str) -> Option<String> {
    let uri: http::Uri = text.parse().ok()?;
    let scheme = uri.scheme_str()?;
    let authority = uri.authority()?;
    let plain = !authority.as_str().contains('@') && uri.query().is_none() && !text.contains('#');
    let host = authority.host();
    // Keys and prompts go there, so nobody in between may listen (`reliability.md` §6).
    let usable = !host.is_empty() && (scheme == "https" || (scheme == "http" && is_here(host)));
    (plain && usable).then(|| text.trim_end_matches('/').to_owned())
}

/// Whether a host is this machine, without asking anybody.
pub(crate) fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = address
        .parse()
        .map(|address: std::net::IpAddr| address.is_loopback());
    loopback.unwrap_or_else(|_| host.eq_ignore_ascii_case("localhost"))
}

/// Digits alone, without sign or blanks.
fn whole(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("90s", 90_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("30d", 2_592_000_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "+5s",
            "5 s",
            "1.5s",
            "5S",
            "5min",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_base_url_can_be_appended_to_and_holds_no_secret() {
        let parse = BASE_URL.parse;
        assert_eq!(
            parse("http://127.0.0.1:8081/api/v1/").as_deref(),
            Some("http://127.0.0.1:8081/api/v1")
        );
        for text in [
            "openrouter.ai/api/v1",
            "ftp://openrouter.ai",
            "https://",
            "http://openrouter.ai/api/v1",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1/api/v1",
            "https://user:pass@openrouter.ai",
            "https://openrouter.ai/?x=1",
            "https://openrouter.ai/#top",
            "/api/v1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_bounds_of_every_number_are_kept() {
        assert_eq!((UPSTREAM_TIMEOUT.parse)("999ms"), None);
        assert_eq!((UPSTREAM_TIMEOUT.parse)("14m"), Some(CALL_MAX));
        assert_eq!((UPSTREAM_TIMEOUT.parse)("15m"), None);
        assert_eq!((DRAIN_TIMEOUT.parse)("0s"), Some(Duration::ZERO));
        assert_eq!((CONCURRENCY.parse)("0"), None);
        assert_eq!((CONCURRENCY.parse)("+5"), None);
        assert_eq!((CONCURRENCY.parse)("100000"), Some(100_000));
    }
}
