//! Drawn pictures as base64, made once and kept.
//!
//! Under a load test the mock must not be what is measured: the same motif is drawn once, and every
//! further answer shares its bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use base64_simd::STANDARD;
use bytes::Bytes;
use tokio::sync::OnceCell;

use super::draw::Motif;

/// The pictures that are kept; the oldest go first.
const KEPT_BYTES_MOST: usize = 256 * 1024 * 1024;
/// Beyond this many pictures the oldest go, however small they are.
const KEPT_MOST: usize = 4096;
/// A picture is not padded beyond this.
pub(crate) const PADDED_BYTES_MOST: usize = 64 * 1024 * 1024;
/// Length, type and checksum around the data of a chunk.
const CHUNK_FRAME_BYTES: usize = 12;
/// `IEND`, the last chunk, has no data.
const END_BYTES: usize = CHUNK_FRAME_BYTES;
/// Ancillary, private, safe to copy: decoders skip it.
const PADDING_CHUNK: &[u8; 4] = b"paDd";

/// A picture could not be made; says why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the mock could not draw: {0}")]
pub(crate) struct Undrawn(String);

/// A picture depends on nothing but its motif, so all mocks of a process share one easel: a test
/// suite that starts hundreds of mocks draws each picture once.
static SHARED: LazyLock<Easel> = LazyLock::new(Easel::default);

/// Draws pictures and keeps them.
#[derive(Debug, Default)]
pub(crate) struct Easel {
    kept: Mutex<Kept>,
}

type Cell = Arc<OnceCell<Bytes>>;
type Key = (Motif, usize);

#[derive(Debug, Default)]
struct Kept {
    cells: HashMap<Key, Cell>,
    order: VecDeque<(Key, usize)>,
    bytes: usize,
}

impl Easel {
    /// The easel of this process.
    pub(crate) fn shared() -> &'static Self {
        &SHARED
    }

    /// The picture as base64 of a PNG that has at least `size_bytes` bytes.
    pub(crate) async fn base64(&self, motif: Motif, size_bytes: usize) -> Result<Bytes, Undrawn> {
        let key = (motif, size_bytes.min(PADDED_BYTES_MOST));
        let cell = self.cell(&key);
        if let Some(drawn) = cell.get() {
            return Ok(drawn.clone());
        }
        let drawn = cell.get_or_try_init(|| draw(key.clone())).await;
        self.keep(key, drawn.as_ref().map_or(0, |base64| base64.len()));
        drawn.cloned()
    }

    fn cell(&self, key: &Key) -> Cell {
        let mut kept = self.kept();
        if kept.cells.len() > 2 * KEPT_MOST {
            // Callers that left while their picture was drawn leave empty cells behind.
            kept.cells.retain(|_, cell| cell.initialized());
        }
        Arc::clone(kept.cells.entry(key.clone()).or_default())
    }

    /// Counts a picture that has just been drawn and lets the oldest go.
    fn keep(&self, key: Key, bytes: usize) {
        let mut kept = self.kept();
        if bytes == 0 {
            kept.cells.remove(&key);
            return;
        }
        if kept.order.iter().any(|(other, _)| *other == key) {
            return;
        }
        kept.bytes += bytes;
        kept.order.push_back((key, bytes));
        while kept.bytes > KEPT_BYTES_MOST || kept.order.len() > KEPT_MOST {
            let Some((oldest, bytes)) = kept.order.pop_front() else {
                return;
            };
            kept.bytes -= bytes;
            kept.cells.remove(&oldest);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn draw((motif, size_bytes): Key) -> Result<Bytes, Undrawn> {
    let work = move || {
        let png = motif.png().map_err(|error| Undrawn(error.to_string()))?;
        Ok(Bytes::from(
            STANDARD.encode_to_string(padded(png, size_bytes)),
        ))
    };
    let drawn = tokio::task::spawn_blocking(work).await;
    drawn.map_err(|error| Undrawn(error.to_string()))?
}

/// Adds a chunk of noise before the end, so that the file has at least this many bytes.
fn padded(mut png: Vec<u8>, size_bytes: usize) -> Vec<u8> {
    let missing = size_bytes.saturating_sub(png.len());
    if missing == 0 || png.len() < END_BYTES {
        return png;
    }
    let noise = noise(missing.saturating_sub(CHUNK_FRAME_BYTES));
    let end = png.split_off(png.len() - END_BYTES);
    let mut check = crc32fast::Hasher::new();
    check.update(PADDING_CHUNK);
    check.update(&noise);
    png.extend_from_slice(&u32::try_from(noise.len()).unwrap_or_default().to_be_bytes());
    png.extend_from_slice(PADDING_CHUNK);
    png.extend_from_slice(&noise);
    png.extend_from_slice(&check.finalize().to_be_bytes());
    png.extend_from_slice(&end);
    png
}

/// Bytes that do not compress (xorshift64), the same every time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
