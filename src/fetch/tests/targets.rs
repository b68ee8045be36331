//! Addresses as they are typed: what is read, what is refused and in which words.

use proptest::prelude::*;

use super::*;

fn host(name: &str, port: Option<u16>) -> Allowed {
    Allowed::Host {
        name: name.to_owned(),
        port,
    }
}

fn read(rules: &Rules, url: &str) -> Result<(Host, u16), FetchError> {
    rules.read(url).map(|target| (target.host, target.port))
}

fn name(text: &str) -> Host {
    Host::Name(text.to_owned())
}

#[test]
fn ordinary_addresses_are_read() {
    let rules = Rules::new(&[]);
    for (url, host) in [
        ("https://example.com/a.png", name("example.com")),
        ("https://example.com", name("example.com")),
        ("https://example.com?a=b", name("example.com")),
        (
            "https://example.com/a.png?X-Signature=a%2Fb&c=d#top",
            name("example.com"),
        ),
        ("HTTPS://Example.COM:443/a.png", name("example.com")),
        ("https://example.com:/a.png", name("example.com")),
        ("https://example.com./a.png", name("example.com.")),
        (
            "https://bücher.example/ä.png",
            name("xn--bcher-kva.example"),
        ),
        ("https://a_b.example.com/@me:1", name("a_b.example.com")),
        (
            "https://example.com/a?next=https://user@host/",
            name("example.com"),
        ),
        (
            "https://93.184.216.34/a.png",
            Host::Address(ip("93.184.216.34")),
        ),
        (
            "https://0x5db8d822/a.png",
            Host::Address(ip("93.184.216.34")),
        ),
        (
            "https://[2606:4700::1111]/a.png",
            Host::Address(ip("2606:4700::1111")),
        ),
        (
            "https://[64:ff9b::93.184.216.34]/",
            Host::Address(ip("64:ff9b::5db8:d822")),
        ),
    ] {
        assert_eq!(read(&rules, url), Ok((host, 443)), "{url}");
    }
}

#[test]
fn what_is_wrong_with_the_text_is_said() {
    let rules = Rules::new(&[]);
    let long = format!("https://example.com/{}", "a".repeat(2029));
    assert_eq!(long.len(), 2049);
    assert!(read(&rules, &long[..2048]).is_ok());
    for (url, word) in [
        (long.as_str(), "2048"),
        ("http://example.com/a.png", "https://"),
        ("ftp://example.com/a.png", "https://"),
        ("example.com/a.png", "https://"),
        ("https://user:password@example.com/a.png", "password"),
        ("https://example.com:8443/a.png", "443"),
        ("https://exa\tmple.com/a.png", "cannot be read"),
        ("https://exa\nmple.com/a.png", "cannot be read"),
        ("https://example.com/a.png\r\nX: y", "cannot be read"),
        ("https://example.com/\0", "cannot be read"),
        ("https://[::1/a.png", "cannot be read"),
        ("", "https://"),
    ] {
        match read(&rules, url) {
            Err(FetchError::Address(what)) => assert!(what.contains(word), "{url}: {what}"),
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[test]
fn an_allowed_host_may_be_anywhere_and_speak_plainly() {
    let rules = Rules::new(&[host("files.internal", None), host("minio", Some(9000))]);
    for (url, good) in [
        ("http://files.internal/a.png", true),
        ("https://files.internal:8443/a.png", true),
        ("http://FILES.internal.:81/a.png", true),
        ("http://minio:9000/a.png", true),
        ("https://minio:9000/a.png", true),
        ("http://minio/a.png", false),
        ("http://minio:9001/a.png", false),
        ("http://a.files.internal/a.png", false),
        ("http://files.internal.example.com/a.png", false),
        ("http://afiles.internal/a.png", false),
        ("ftp://files.internal/a.png", false),
        ("http://user@files.internal/a.png", false),
    ] {
        let target = rules.read(url);
        assert_eq!(target.is_ok(), good, "{url}");
        if let Ok(target) = target {
            assert!(rules.admit(&target, &[ip("10.0.0.1"), ip("::1")]).is_ok());
        }
    }
    // On the port of https every name may be tried, but this one is not trusted there.
    let target = rules.read("https://minio/a.png").expect("an address");
    assert!(rules.admit(&target, &[ip("10.0.0.1")]).is_err());
}

#[test]
fn an_allowed_network_is_judged_by_where_a_name_leads() {
    let rules = Rules::new(&[network("10.0.0.0", 8), network("fd00::", 8)]);
    let admit = |url: &str, addresses: &[&str]| {
        let target = rules.read(url).expect("an address");
        let addresses: Vec<_> = addresses.iter().map(|text| ip(text)).collect();
        rules.admit(&target, &addresses).is_ok()
    };
    let (plain, tls, other) = (
        "http://a.example.com/",
        "https://a.example.com/",
        "https://a.example.com:81/",
    );
    for url in [plain, tls, other] {
        assert!(admit(url, &["10.1.2.3"]), "{url}");
        assert!(admit(url, &["10.1.2.3", "fd00::1"]), "{url}");
        assert!(!admit(url, &["10.1.2.3", "192.168.0.1"]), "{url}");
        assert!(!admit(url, &["::ffff:10.1.2.3"]), "{url}");
        assert!(!admit(url, &[]), "{url}");
    }
    // What is public may be reached as a stranger may, and not by another scheme or port.
    assert!(admit(tls, &["93.184.216.34", "10.1.2.3"]));
    assert!(!admit(plain, &["93.184.216.34"]));
    assert!(!admit(other, &["93.184.216.34"]));
    assert!(rules.read("http://10.1.2.3:9000/a.png").is_ok());
    assert!(rules.read("http://[fd00::7]/a.png").is_ok());
    assert!(rules.read("http://93.184.216.34/a.png").is_err());
}

#[test]
fn a_name_with_very_many_addresses_is_tried_at_a_few() {
    let rules = Rules::new(&[]);
    let target = rules.read("https://example.com/").expect("an address");
    let many: Vec<_> = (0..=255)
        .map(|last| IpAddr::from([93, 184, 216, last]))
        .collect();
    let tried = rules.admit(&target, &many).expect("all public");
    assert_eq!(tried.len(), 8);
    assert!(tried.iter().all(|address| address.port() == 443));
}

/// Pieces that addresses are made of, and with which they are broken.
const PIECES: &[&str] = &[
    "https://",
    "http://",
    "https:",
    "//",
    "/",
    "\\",
    "@",
    ":",
    "443",
    ":443",
    "80",
    ".",
    "..",
    "[",
    "]",
    "[::1]",
    "::ffff:",
    "127.0.0.1",
    "0x7f",
    "1",
    "0177",
    "example.com",
    "localhost",
    "%",
    "%2e",
    "%25",
    "%00",
    "#",
    "?",
    " ",
    "\t",
    "\n",
    "１",
    "。",
    "ß",
    "\u{ad}",
    "xn--",
    "-",
    "_",
    "a",
    "2130706433",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn whatever_is_read_leads_where_it_seems_to(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..8)) {
        let text = pieces.concat();
        let text = if text.starts_with("http") { text } else { format!("https://{text}") };
        let Ok(target) = Rules::new(&[]).read(&text) else { return Ok(()) };
        prop_assert_eq!(target.port, 443);
        prop_assert_eq!(target.url.scheme(), "https");
        prop_assert_eq!(target.url.username(), "");
        prop_assert_eq!(target.url.password(), None);
        let uri: http::Uri = target.url.as_str().parse().expect("read by the client as well");
        let host = uri.host().expect("a host");
        match target.host {
            Host::Address(address) => {
                prop_assert!(crate::domain::address::is_public(address), "{}", text);
                let bare = host.trim_matches(['[', ']']);
                prop_assert_eq!(bare.parse::<IpAddr>().ok(), Some(address));
            }
            Host::Name(name) => {
                prop_assert_eq!(host, &name);
                prop_assert!(host.parse::<IpAddr>().is_err());
                let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
                prop_assert!(!last.bytes().all(|byte| byte.is_ascii_digit()), "{}", name);
            }
        }
    }
}
