//! What went wrong on the way: told to the log in full, and to the caller not at all.

use std::io;
use std::net::SocketAddr;

use crate::ports::FetchError;

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The name has no address.
    #[error("the name cannot be resolved")]
    Name(#[source] io::Error),
    /// One of its addresses is not public.
    #[error("it leads to an address that is not public: {0}")]
    NotPublic(&'static str),
    /// It answers with something else than a picture: a redirect, a page that is missing.
    #[error("the answer has status {0}")]
    Status(u16),
    /// The answer is compressed although that was not asked for.
    #[error("the answer is compressed")]
    Compressed,
    /// The connection went elsewhere than to the addresses that were checked.
    #[error("the answer came from {0:?}, which was not checked")]
    Elsewhere(Option<SocketAddr>),
    /// No connection, or one that broke, or an answer that is no HTTP.
    #[error("the connection failed")]
    Connection(#[source] reqwest::Error),
    /// It took too long.
    #[error("it took too long")]
    TimedOut,
    /// What came is no picture.
    #[error("what came is no picture")]
    NotAPicture,
    /// What came, or was announced, is too large.
    #[error("what came is too large")]
    TooLarge {
        /// As in [`FetchError::TooLarge`].
        size_bytes: usize,
    },
    /// There is no room for it.
    #[error("there is no room for it")]
    NoRoom,
}

// === impl Failed ===

impl From<reqwest::Error> for Failed {
    /// Without the URL, which reqwest would print whole.
    fn from(error: reqwest::Error) -> Self {
        Self::Connection(error.without_url())
    }
}

impl Failed {
    /// What the caller is told.
    pub(super) fn told(self) -> FetchError {
        match self {
            Self::Name(_)
            | Self::NotPublic(_)
            | Self::Status(_)
            | Self::Compressed
            | Self::Elsewhere(_)
            | Self::Connection(_)
            | Self::TimedOut => FetchError::Unreachable,
            Self::NotAPicture => FetchError::NotAPicture,
            Self::TooLarge { size_bytes } => FetchError::TooLarge { size_bytes },
            Self::NoRoom => FetchError::Overloaded,
        }
    }
}
