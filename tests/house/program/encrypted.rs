//! TLS: who gets in, what the client commands need, and what refuses to start.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, ClientTlsConfig};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{FREE, OPENROUTER_KEY, Running, Served, finish, program, until};
use crate::certificates::{Authority, Files, Pair, text};
use crate::helpers::request;

/// A gateway with a certificate of this authority, reached over TLS.
pub(super) async fn served(authority: &Authority, files: &Files) -> Served {
    Served::encrypted(&files.settings(), authority.trusted()).await
}

/// Connects anew and makes one call that needs no key.
pub(super) async fn greet(served: &Served, tls: ClientTlsConfig) -> Result<(), String> {
    let endpoint = Channel::from_shared(format!("https://{}", served.grpc)).expect("a URL");
    let endpoint = endpoint.tls_config(tls).expect("certificates");
    check(endpoint.connect_lazy()).await
}

async fn check(channel: Channel) -> Result<(), String> {
    let checked = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await;
    checked.map(drop).map_err(|status| status.to_string())
}

/// How many connections have ended for this reason.
async fn ended(served: &Served, reason: &str) -> u64 {
    let name = format!(r#"image_gateway_connections_ended_total{{reason="{reason}"}} "#);
    let page = served.page("/metrics").await.1;
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|count| count.parse().ok()).expect("a count")
}

/// Makes a call that does not get through, and waits until its end is counted with this reason.
async fn turned_away<T: std::fmt::Debug, E>(
    served: &Served,
    reason: &str,
    call: impl Future<Output = Result<T, E>>,
) {
    let before = ended(served, reason).await;
    let answer = call.await;
    assert!(answer.is_err(), "{answer:?}", answer = answer.ok());
    until(reason, async || ended(served, reason).await > before).await;
}

fn put(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    path.to_string_lossy().into_owned()
}

#[tokio::test]
async fn keys_and_pictures_travel_encrypted() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let files = Files::new(folder.path(), &authority.sign_until((2040, 1, 1)));
    let served = served(&authority, &files).await;
    let story = served.house.generate(request("secret")).await;
    assert_eq!(story.expect("a picture").charge().credits, "29.00");
    let page = served.page("/metrics").await.1;
    let expiry = "image_gateway_tls_certificate_expiry_timestamp_seconds 2208988800";
    assert!(page.lines().any(|line| line == expiry), "{page}");

    let ca = put(folder.path(), "ca.pem", &authority.pem);
    let stranger = put(folder.path(), "stranger.pem", &Authority::new().pem);
    let address = format!("https://localhost:{}", served.grpc.port());
    let usage = async |arguments: &[&str]| {
        let mut command = program(&[&["usage", "--address", &address], arguments].concat());
        finish(command.env("GATEWAY_KEY", &served.house.admin)).await
    };
    let told = usage(&["--by", "agent", "--ca-file", &ca]).await;
    assert_eq!(told.status, Some(0), "{told:#?}");
    assert!(told.stdout.contains("29.00"), "{told:#?}");
    for untrusted in [&["--ca-file", &stranger][..], &[]] {
        let refused = usage(untrusted).await;
        refused.assert_failed(1);
        assert!(refused.stderr.contains("--ca-file"), "{refused:#?}");
    }
    let missing = usage(&["--ca-file", "no-such-file"]).await;
    missing.assert_failed(1);
    assert!(
        missing.stderr.contains("cannot read no-such-file"),
        "{missing:#?}"
    );
    let half = usage(&["--client-cert-file", &ca]).await;
    half.assert_failed(2);
    served.close().await;
}

#[tokio::test]
async fn whoever_does_not_speak_http2_in_tls_is_turned_away() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let files = Files::new(folder.path(), &authority.sign());
    let served = served(&authority, &files).await;
    // Plaintext, as a client without TLS begins.
    let plain = async {
        let mut plain = TcpStream::connect(served.grpc).await?;
        plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        // An alert at most, and the end.
        plain.read_exact(&mut [0; 64]).await
    };
    turned_away(&served, "tls_failed", plain).await;
    let plain = async {
        let endpoint = Channel::from_shared(format!("http://{}", served.grpc)).expect("a URL");
        check(endpoint.connect_lazy()).await
    };
    turned_away(&served, "tls_failed", plain).await;
    let http1 = negotiate(&served, &authority, vec![b"http/1.1".to_vec()]);
    turned_away(&served, "tls_failed", http1).await;
    let nothing = negotiate(&served, &authority, vec![]);
    turned_away(&served, "not_http2", nothing).await;
    let stranger = greet(&served, Authority::new().trusted());
    turned_away(&served, "tls_failed", stranger).await;
    greet(&served, authority.trusted()).await.expect("welcome");
    served.close().await;
}

/// Shakes hands with these protocols and reads a byte of HTTP/2.
async fn negotiate(
    served: &Served,
    authority: &Authority,
    protocols: Vec<Vec<u8>>,
) -> std::io::Result<u8> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate");
    roots.add(ca).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols;
    let socket = TcpStream::connect(served.grpc).await?;
    let name = "localhost".try_into().expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await?;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await?;
    stream.read_u8().await
}

#[tokio::test]
async fn with_mutual_tls_a_caller_needs_a_certificate_that_is_accepted() {
    let authority = Authority::new();
    let clients = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let files = Files::new(folder.path(), &authority.sign());
    fs::write(&files.client_ca, &clients.pem).expect("a file");
    let [certificate, key] = files.settings();
    let settings = [
        certificate,
        key,
        ("TLS_CLIENT_CA_FILE", text(&files.client_ca)),
    ];
    let known = clients.sign();
    let tls = authority.trusted().identity(known.identity());
    let served = Served::encrypted(&settings, tls).await;
    served
        .house
        .generate(request("mutual"))
        .await
        .expect("a picture");

    let without = greet(&served, authority.trusted());
    turned_away(&served, "tls_failed", without).await;
    for pair in [authority.sign(), clients.sign_until((2020, 1, 1))] {
        let with = greet(&served, authority.trusted().identity(pair.identity()));
        turned_away(&served, "tls_failed", with).await;
    }
    let address = format!("https://localhost:{}", served.grpc.port());
    let usage = async |pair: Option<&Pair>| {
        let ca = put(folder.path(), "ca.pem", &authority.pem);
        let mut arguments = vec!["usage", "--address", &address, "--ca-file", &ca];
        let files = pair.map(|pair| {
            let certificate = put(folder.path(), "client.pem", &pair.certificate);
            (certificate, put(folder.path(), "client-key.pem", &pair.key))
        });
        if let Some((certificate, key)) = &files {
            arguments.extend(["--client-cert-file", certificate, "--client-key-file", key]);
        }
        finish(program(&arguments).env("GATEWAY_KEY", &served.house.admin)).await
    };
    let told = usage(Some(&known)).await;
    assert_eq!(told.status, Some(0), "{told:#?}");
    usage(None).await.assert_failed(1);
    served.close().await;
}

#[tokio::test]
async fn a_certificate_that_expires_soon_is_complained_about_and_an_expired_one_refused() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let soon = image_gateway::clock::now() + jiff::SignedDuration::from_hours(10 * 24);
    let soon = jiff::tz::TimeZone::UTC.to_datetime(soon);
    let month = u8::try_from(soon.month()).expect("a month");
    let day = u8::try_from(soon.day()).expect("a day");
    let soon = (i32::from(soon.year()), month, day);
    let files = Files::new(folder.path(), &authority.sign_until(soon));
    let serve = || {
        let mut command = program(&["serve"]);
        command
            .envs(files.settings())
            .env("LISTEN_ADDR", FREE)
            .env("HTTP_ADDR", FREE)
            .env("DATA_DIR", folder.path().join("data"))
            .env("OPENROUTER_API_KEY", OPENROUTER_KEY);
        Running::start(&mut command)
    };
    let mut running = serve();
    let (grpc, http) = (running.line().await, running.line().await);
    let address = super::address(&grpc.expect("an address"), "gRPC");
    let http = super::address(&http.expect("an address"), "HTTP");
    let endpoint = Channel::from_shared(format!("https://{address}")).expect("a URL");
    let trusted = endpoint.tls_config(authority.trusted());
    let endpoint = trusted.expect("an authority");
    endpoint.connect().await.expect("it is valid");
    // What is swapped in while it runs and is valid no more does not replace it.
    files.put(&authority.sign_until((2020, 1, 1)));
    let metrics = format!("http://{http}/metrics");
    let refused = "image_gateway_tls_files_refused 1";
    until("refused", async || {
        let (_, page) = super::page(&metrics).await;
        page.lines().any(|line| line == refused)
    })
    .await;
    endpoint.connect().await.expect("the old one stays");
    running.signal("TERM").await;
    let ended = running.ended().await;
    for complaint in ["expires soon", "was valid until 2020-01-01T00:00:00Z"] {
        assert_eq!(ended.stderr.matches(complaint).count(), 1, "{ended:#?}");
    }
    let refused = serve().ended().await;
    assert_eq!(refused.status, Some(1), "{refused:#?}");
    let complaint = "has expired: it was valid until 2020-01-01T00:00:00Z";
    assert!(refused.stderr.contains(complaint), "{refused:#?}");
}

#[tokio::test]
async fn an_expired_authority_lets_nobody_in_and_nothing_starts_with_it_alone() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let expired = Authority::until((2020, 1, 1));
    let folder = tempfile::tempdir().expect("a folder");
    let files = Files::new(folder.path(), &authority.sign());
    let both = [expired.pem.as_str(), &clients.pem].concat();
    fs::write(&files.client_ca, both).expect("a file");
    let [certificate, key] = files.settings();
    let client_ca = ("TLS_CLIENT_CA_FILE", text(&files.client_ca));
    let settings = [certificate, key, client_ca];
    let known = authority.trusted().identity(clients.sign().identity());
    let served = Served::encrypted(&settings, known.clone()).await;
    let of_expired = authority.trusted().identity(expired.sign().identity());
    turned_away(&served, "tls_failed", greet(&served, of_expired)).await;
    greet(&served, known.clone()).await.expect("welcome");
    // Alone it does not take the place of those that let somebody in …
    fs::write(&files.client_ca, &expired.pem).expect("a file");
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    greet(&served, known).await.expect("welcome");
    let (house, ended) = served.stop().await;
    let until = "2020-01-01T00:00:00Z";
    let passed_over = ended
        .stderr
        .lines()
        .filter(|line| line.contains("has expired and lets nobody in") && line.contains(until));
    assert_eq!(passed_over.count(), 1, "{ended:#?}");
    let complaint = format!("is valid any more: the last was valid until {until}");
    assert_eq!(ended.stderr.matches(&complaint).count(), 1, "{ended:#?}");
    // … and with it alone nothing starts.
    let refused = Running::start(&mut super::serve(&house, &settings))
        .ended()
        .await;
    refused.assert_failed(1);
    assert!(refused.stderr.contains(&complaint), "{refused:#?}");
    house.mock.stop().await;
}

#[tokio::test]
async fn plaintext_for_others_and_broken_files_refuse_to_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let serve = |settings: &[(&str, &str)]| {
        let mut command = program(&["serve"]);
        command
            .env("HTTP_ADDR", FREE)
            .env("DATA_DIR", folder.path().join("data"))
            .env("OPENROUTER_API_KEY", OPENROUTER_KEY)
            .envs(settings.iter().copied());
        command
    };
    let ended = finish(&mut serve(&[("LISTEN_ADDR", "0.0.0.0:0")])).await;
    ended.assert_failed(2);
    for word in ["LISTEN_ADDR", "TLS_CERT_FILE", "ALLOW_PLAINTEXT=true"] {
        assert!(ended.stderr.contains(word), "{ended:#?}");
    }
    let pair = Authority::new().sign();
    let files = Files::new(folder.path(), &pair);
    fs::write(&files.key, Authority::new().sign().key).expect("a file");
    let [certificate, key] = files.settings();
    let ended = finish(&mut serve(&[("LISTEN_ADDR", FREE), certificate, key])).await;
    ended.assert_failed(1);
    assert!(
        ended.stderr.contains("cannot be used together"),
        "{ended:#?}"
    );
    assert!(
        !folder.path().join("data").exists(),
        "nothing is made before"
    );

    let allowed = [("LISTEN_ADDR", "0.0.0.0:0"), ("ALLOW_PLAINTEXT", "true")];
    let mut running = Running::start(&mut serve(&allowed));
    assert!(running.line().await.is_some(), "it serves");
    running.signal("TERM").await;
    assert_eq!(running.ended().await.status, Some(0));
}
