//! Whoever brings the pictures that a caller has only named.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

/// Brings reference pictures from the addresses that callers name.
///
/// # Contract
/// Whoever names an address may be a stranger who wants to see what only this machine can reach.
/// Nothing is connected to that is not public or allowed by the operator, and nothing of what
/// happens on the way shows in a [`FetchError`].
#[async_trait]
pub trait ReferenceFetcher: fmt::Debug + Send + Sync {
    /// Looks at the text of an address alone, before anything is asked of anybody.
    ///
    /// # Errors
    /// [`FetchError::Address`], or [`FetchError::Unreachable`] if it names a place that is neither
    /// public nor allowed.
    fn check(&self, url: &str) -> Result<(), FetchError>;

    /// The bytes behind an address: at most 10 MiB, the first of them those of a picture. They take
    /// their room before they are kept. The place is held for as long as anything works on it, also
    /// when nobody waits for the bytes any more.
    ///
    /// # Errors
    /// [`FetchError`].
    async fn fetch(
        &self,
        url: &str,
        room: &dyn Room,
        place: FetchPlace,
    ) -> Result<Bytes, FetchError>;
}

/// A place among those who fetch, whatever it is to whoever gives it: it is free again when it is
/// dropped by the last who holds it.
pub type FetchPlace = Arc<dyn Any + Send + Sync>;

/// What memory there is for bytes on their way in.
pub trait Room: Send + Sync {
    /// Takes room for so many bytes more; `false` if there is none. It is given back with whatever
    /// the room belongs to.
    fn take(&self, bytes: usize) -> bool;
}

/// Why there is no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The text is at fault, whatever it leads to; completes the sentence "the reference image …".
    #[error("the reference image {0}")]
    Address(&'static str),
    /// Everything else that kept the bytes away, in one word, so that nothing can be learned about
    /// places that only this machine can see.
    #[error("it cannot be fetched")]
    Unreachable,
    /// What came does not begin like a picture of a format that is taken.
    #[error("it is not a picture")]
    NotAPicture,
    /// It has more bytes than are taken.
    #[error("it is too large: {size_bytes} bytes or more")]
    TooLarge {
        /// What was announced, or what had come when it was too much.
        size_bytes: usize,
    },
    /// Too much is being fetched now.
    #[error("too much is being fetched")]
    Overloaded,
}
