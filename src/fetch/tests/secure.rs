//! Over TLS: the certificate is held against the name in the address, wherever the name leads. The
//! files were made with openssl: an authority that nobody keeps, and a certificate for
//! `pictures.example.com`, both good for a hundred years.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

use super::*;

const AUTHORITY: &[u8] = include_bytes!("tls/authority.pem");
const CERTIFICATE: &[u8] = include_bytes!("tls/site.pem");
const KEY: &[u8] = include_bytes!("tls/site-key.pem");

/// Answers so many guests with a picture, over TLS; ends with them.
fn site(guests: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a pair");
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for guest in listener.incoming().take(guests) {
            let mut guest = guest.expect("a guest");
            let mut tls = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = Stream::new(&mut tls, &mut guest);
            // A guest that does not trust the certificate is gone by now.
            if stream.read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0) {
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
                let _ = stream.write_all(&[head, &png(64, 48, 500)[..]].concat());
                tls.send_close_notify();
                let _ = tls.complete_io(&mut guest);
            }
        }
    });
    address
}

fn trusting(authorities: &[u8], book: &Arc<Book>, port: u16) -> Client {
    let roots = reqwest::Certificate::from_pem_bundle(authorities).expect("certificates");
    let http = builder(LIMITS).tls_certs_only(roots).build();
    let names: Arc<dyn Names> = book.clone();
    let rules = Rules::new(&[network("127.0.0.1", 32)]).with_https_port(port);
    Client::of(http.expect("a client"), names, rules, LIMITS)
}

#[tokio::test]
async fn a_certificate_counts_for_its_name_and_no_other() {
    let address = site(4);
    let port = address.port();
    let book = Book::with([vec![ip("127.0.0.1")]]);
    let client = trusting(AUTHORITY, &book, port);
    let url = |host: &str| format!("https://{host}:{port}/a.png");
    let bytes = fetch(&client, &url("pictures.example.com")).await;
    assert_eq!(bytes.as_deref(), Ok(&png(64, 48, 500)[..]));
    for host in ["other.example.com", "127.0.0.1"] {
        let answer = fetch(&client, &url(host)).await;
        assert_eq!(answer, Err(FetchError::Unreachable), "{host}");
    }
    let distrusting = trusting(b"", &book, port);
    let answer = fetch(&distrusting, &url("pictures.example.com")).await;
    assert_eq!(answer, Err(FetchError::Unreachable));
}
