//! Sessions that are resumed, which show no certificate again.

use super::*;

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

#[tokio::test]
async fn where_callers_show_certificates_no_session_is_resumed() {
    let (server, callers) = (Authority::new(), Authority::new());
    let tls = desk(&server, &[&callers]).open().unwrap();
    let caller = callers.sign(|_| ());
    for version in VERSIONS {
        let client = client(&server, Some(&caller), &[version]);
        for _ in 0..3 {
            assert_eq!(shake_with(&tls, &client).await, Ok(false), "{version:?}");
        }
    }
}

#[tokio::test]
async fn whoever_shows_no_certificate_may_resume_its_session() {
    let server = Authority::new();
    let tls = Desk::new(&server.sign(|_| ())).open().unwrap();
    for version in VERSIONS {
        let client = client(&server, None, &[version]);
        assert_eq!(shake_with(&tls, &client).await, Ok(false), "{version:?}");
        assert_eq!(shake_with(&tls, &client).await, Ok(true), "{version:?}");
    }
}

/// Long enough for a handshake, short enough to wait for.
const LIFETIME: std::time::Duration = std::time::Duration::from_secs(4);

#[tokio::test]
async fn a_caller_whose_certificate_has_expired_does_not_come_back() {
    let (server, callers) = (Authority::new(), Authority::new());
    let tls = desk(&server, &[&callers]).open().unwrap();
    let end = crate::clock::now() + LIFETIME;
    let since = std::time::Duration::from_secs(end.as_second().unsigned_abs());
    let short = callers.sign(|params| params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since);
    let clients = VERSIONS.map(|version| client(&server, Some(&short), &[version]));
    for client in &clients {
        shake_with(&tls, client).await.unwrap();
    }
    while crate::clock::now().as_second() <= end.as_second() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for client in &clients {
        shake_with(&tls, client).await.unwrap_err();
    }
}
