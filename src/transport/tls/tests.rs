use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{HandshakeKind, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::reload::{Found, Memory};
use super::*;

mod authorities;
mod sessions;

/// An authority that signs what it is asked to.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
struct Pair {
    certificate: String,
    key: String,
}

/// Files in a folder, and what reads them.
struct Desk {
    folder: TempDir,
    files: Files,
    metrics: Arc<Metrics>,
}

impl Authority {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Pair {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        chain.map(|der| der.unwrap()).collect()
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

impl Desk {
    fn new(pair: &Pair) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let desk = Self {
            files: Files {
                certificate: file("cert.pem"),
                key: file("key.pem"),
                client_ca: None,
            },
            metrics: Arc::new(Metrics::new()),
            folder,
        };
        desk.put(pair);
        desk
    }

    fn put(&self, pair: &Pair) {
        fs::write(&self.files.certificate, &pair.certificate).unwrap();
        fs::write(&self.files.key, &pair.key).unwrap();
    }

    fn open(&self) -> Result<Arc<Tls>, TlsError> {
        Tls::open(self.files.clone(), Arc::clone(&self.metrics))
    }

    fn counts(&self, line: &str) -> bool {
        let page = self.metrics.encode();
        page.lines().any(|it| it == format!("image_gateway_{line}"))
    }
}

/// Files with a certificate of the server, and with these authorities of callers.
fn desk(server: &Authority, clients: &[&Authority]) -> Desk {
    let mut desk = Desk::new(&server.sign(|_| ()));
    desk.files.client_ca = Some(desk.folder.path().join("client-ca.pem"));
    admit(&desk, clients);
    desk
}

fn admit(desk: &Desk, clients: &[&Authority]) {
    let pems: Vec<_> = clients.iter().map(|authority| &*authority.pem).collect();
    fs::write(desk.files.client_ca.as_ref().unwrap(), pems.concat()).unwrap();
}

/// Shakes hands with what is in use and says a byte; what the client said about it.
async fn shake(tls: &Tls, trusted: &Authority) -> Result<(), String> {
    shake_as(tls, trusted, None).await
}

/// The same, and shows a certificate.
async fn shake_as(tls: &Tls, trusted: &Authority, pair: Option<&Pair>) -> Result<(), String> {
    let config = client(trusted, pair, rustls::DEFAULT_VERSIONS);
    shake_with(tls, &config).await.map(drop)
}

/// A client that trusts this authority, and remembers its sessions.
fn client(
    trusted: &Authority,
    pair: Option<&Pair>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(trusted.pem.as_bytes()) {
        roots.add(der.unwrap()).unwrap();
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match pair {
        Some(pair) => config
            .with_client_auth_cert(pair.chain(), pair.key())
            .unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config)
}

/// The same with a client that was there before, perhaps; whether it resumed a session.
async fn shake_with(tls: &Tls, client: &Arc<rustls::ClientConfig>) -> Result<bool, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let Some(config) = tls.config() else {
        return Err("nobody is let in".to_owned());
    };
    let acceptor = TlsAcceptor::from(config);
    let serve = async {
        let (socket, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(socket).await {
            let _ = stream.write_all(b"!").await;
            let _ = stream.shutdown().await;
        }
    };
    let call = async {
        let socket = TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let connector = TlsConnector::from(Arc::clone(client));
        let mut stream = connector.connect(name, socket).await?;
        stream.read_u8().await?;
        Ok(stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed))
    };
    let (called, ()) = tokio::join!(call, serve);
    called.map_err(|error: std::io::Error| error.to_string())
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_its_end_is_told() {
    let (old, new) = (Authority::new(), Authority::new());
    let desk = Desk::new(&old.sign(|params| {
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    }));
    let tls = desk.open().unwrap();
    let expiry = "tls_certificate_expiry_timestamp_seconds";
    assert!(desk.counts(&format!("{expiry} 2208988800")));
    assert!(desk.counts("tls_files_refused 0"));
    shake(&tls, &old).await.unwrap();
    let mut memory = Memory::default();
    assert_eq!(tls.look(&mut memory).await, Found::Same);
    desk.put(&new.sign(|params| params.not_after = rcgen::date_time_ymd(2041, 1, 1)));
    assert_eq!(tls.look(&mut memory).await, Found::New);
    assert!(desk.counts(&format!("{expiry} 2240611200")));
    shake(&tls, &new).await.unwrap();
    shake(&tls, &old).await.unwrap_err();
}

#[tokio::test]
async fn what_cannot_be_used_leaves_the_old_one_and_is_told_when_it_stays() {
    let (old, new) = (Authority::new(), Authority::new());
    let desk = Desk::new(&old.sign(|_| ()));
    let tls = desk.open().unwrap();
    let mut memory = Memory::default();
    let next = new.sign(|_| ());
    let broken: [&dyn Fn(); 5] = [
        // The key that belongs to it has not come yet.
        &|| fs::write(&desk.files.certificate, &next.certificate).unwrap(),
        &|| fs::write(&desk.files.certificate, &next.certificate[..200]).unwrap(),
        &|| fs::write(&desk.files.key, "no key").unwrap(),
        &|| fs::write(&desk.files.key, vec![b'-'; 2 << 20]).unwrap(),
        &|| fs::remove_file(&desk.files.certificate).unwrap(),
    ];
    for (number, break_it) in broken.into_iter().enumerate() {
        break_it();
        assert_eq!(tls.look(&mut memory).await, Found::Unusable, "{number}");
        assert_eq!(tls.look(&mut memory).await, Found::StillUnusable);
        assert!(desk.counts("tls_files_refused 1"));
        shake(&tls, &old).await.unwrap();
    }
    desk.put(&next);
    assert_eq!(tls.look(&mut memory).await, Found::New);
    assert!(desk.counts("tls_files_refused 0"));
    shake(&tls, &new).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_now_never_replaces_one_that_is() {
    let (old, new) = (Authority::new(), Authority::new());
    let desk = Desk::new(&old.sign(|_| ()));
    let tls = desk.open().unwrap();
    let mut memory = Memory::default();
    let expired = new.sign(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let early = new.sign(|params| params.not_before = rcgen::date_time_ymd(2900, 1, 1));
    for useless in [expired, early] {
        desk.put(&useless);
        assert_eq!(tls.look(&mut memory).await, Found::Unusable);
        assert_eq!(tls.look(&mut memory).await, Found::StillUnusable);
        assert!(desk.counts("tls_files_refused 1"));
        shake(&tls, &old).await.unwrap();
    }
    desk.put(&new.sign(|_| ()));
    assert_eq!(tls.look(&mut memory).await, Found::New);
    assert!(desk.counts("tls_files_refused 0"));
    shake(&tls, &new).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_being_written_is_no_complaint() {
    let authority = Authority::new();
    let desk = Desk::new(&authority.sign(|_| ()));
    let tls = desk.open().unwrap();
    let mut memory = Memory::default();
    let next = authority.sign(|_| ());
    fs::write(&desk.files.certificate, &next.certificate).unwrap();
    assert_eq!(tls.look(&mut memory).await, Found::Unusable);
    assert!(desk.counts("tls_files_refused 0"));
    desk.put(&next);
    assert_eq!(tls.look(&mut memory).await, Found::New);
}

#[test]
fn nothing_starts_with_files_that_cannot_be_used() {
    let authority = Authority::new();
    let pair = authority.sign(|_| ());
    let other = authority.sign(|_| ());
    let opened = |change: &dyn Fn(&mut Desk)| {
        let mut desk = Desk::new(&pair);
        change(&mut desk);
        desk.open().map(drop)
    };
    opened(&|_| ()).unwrap();
    let refused = |change: &dyn Fn(&mut Desk)| opened(change).unwrap_err().to_string();
    let said = refused(&|desk| fs::write(&desk.files.key, &other.key).unwrap());
    assert!(said.contains("cannot be used together"), "{said}");
    let said = refused(&|desk| fs::write(&desk.files.key, &pair.certificate).unwrap());
    assert!(said.contains("no private key in PEM"), "{said}");
    let said = refused(&|desk| fs::write(&desk.files.certificate, "").unwrap());
    assert!(said.contains("no certificate in PEM"), "{said}");
    let expired = authority.sign(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let said = refused(&|desk| desk.put(&expired));
    assert!(
        said.contains("was valid until 2020-01-01T00:00:00Z"),
        "{said}"
    );
    let early = authority.sign(|params| params.not_before = rcgen::date_time_ymd(2900, 1, 1));
    let said = refused(&|desk| desk.put(&early));
    assert!(
        said.contains("not valid before 2900-01-01T00:00:00Z"),
        "{said}"
    );
    let said = refused(&|desk| desk.files.client_ca = Some(desk.folder.path().join("ca.pem")));
    assert!(
        said.contains("cannot read") && said.contains("ca.pem"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_expires_in_two_weeks_is_complained_about_once_a_day() {
    const DAY: i64 = 24 * 60 * 60;
    let now = crate::clock::now().as_second();
    let mut memory = Memory::default();
    assert!(!memory.remind(now + 14 * DAY + 60));
    assert!(memory.remind(now + 14 * DAY - 60));
    assert!(!memory.remind(now + 14 * DAY - 60));
    tokio::time::advance(std::time::Duration::from_secs(24 * 60 * 60)).await;
    assert!(memory.remind(now - DAY), "and after its end");
}
