//! The first seconds of a connection: it is encrypted, if it has to be, and says that it speaks
//! HTTP/2. Only then anything is kept for it.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::limits::ARRIVAL_PATIENCE;
use super::meter::Metered;
use super::tls::{ALPN, Tls};

/// What every client says first (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection, encrypted or not.
pub(super) type Stream = Metered<Box<dyn Bytes>>;

/// Bytes in both directions.
pub(super) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytes for S {}

/// Why somebody did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArrivalError {
    /// It was silent, or slow.
    #[error("it took too long")]
    TimedOut,
    /// Encryption failed: plaintext, no common version, no certificate that is accepted.
    #[error("no TLS")]
    Tls(#[source] io::Error),
    /// It speaks another protocol, or hung up.
    #[error("no HTTP/2")]
    NotHttp2,
}

/// Lets a connection arrive, in time.
pub(super) async fn arrive(
    socket: TcpStream,
    tls: Option<Arc<Tls>>,
) -> Result<Stream, ArrivalError> {
    let arriving = async {
        let mut bytes = match tls {
            Some(tls) => encrypt(socket, &tls).await?,
            None => Box::new(socket) as Box<dyn Bytes>,
        };
        let mut preface = [0; PREFACE.len()];
        let read = bytes.read_exact(&mut preface).await;
        if read.is_err() || preface != *PREFACE {
            return Err(ArrivalError::NotHttp2);
        }
        Ok(Metered::new(bytes, PREFACE))
    };
    tokio::time::timeout(ARRIVAL_PATIENCE, arriving)
        .await
        .unwrap_or(Err(ArrivalError::TimedOut))
}

async fn encrypt(socket: TcpStream, tls: &Tls) -> Result<Box<dyn Bytes>, ArrivalError> {
    let config = tls.config().ok_or_else(|| {
        ArrivalError::Tls(io::Error::other("every authority of callers has expired"))
    })?;
    let acceptor = TlsAcceptor::from(config);
    let stream = acceptor.accept(socket).await.map_err(ArrivalError::Tls)?;
    // A client that does not negotiate is let in by rustls; HTTP/2 demands it (RFC 9113
    // section 3.3).
    match stream.get_ref().1.alpn_protocol() {
        Some(ALPN) => Ok(Box::new(stream)),
        _ => Err(ArrivalError::NotHttp2),
    }
}
