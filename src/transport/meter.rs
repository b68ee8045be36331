//! Counts the frames of a connection that carry nothing. HTTP/2 lets a peer ask for work without
//! sending a call: pings, settings, windows, priorities, resets (CVE-2019-9512, 9513, 9515;
//! CVE-2023-44487 once a stream is accepted). h2 keeps what they cost in memory bounded, not what
//! they cost in time; here a peer that sends more than it can have reason to is cut off. Frames with
//! data, headers and their continuations are left to h2, which has limits of its own for them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Frames a connection may send at once: as many as Envoy has outstanding for one
/// (`max_outbound_control_frames`).
const BURST: u64 = 1000;

/// Frames it may send in each second, whatever it does. Pings of a client come every ten seconds or
/// more, and a hundred calls at a time that are all given up are a hundred resets.
const PER_SECOND: u64 = 200;

/// Bytes sent to it that are worth one frame more: receivers give back windows and measure the line
/// with pings, a few frames for every 16 KiB.
const BYTES_PER_FRAME: u64 = 1024;

/// What an answer to a ping counts. This side pings twice a minute, and h2 writes a line of log for
/// every answer to a ping that nobody sent.
const PONG: u64 = 50;

/// Bytes of a frame's head (RFC 9113 section 4.1).
const HEAD_BYTES: usize = 9;

/// The flag of an acknowledgement (RFC 9113 sections 6.5 and 6.7).
const ACK: u8 = 1;

/// Kinds of frames (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// A connection whose frames are counted as they are read. It begins after the client's preface.
#[derive(Debug)]
pub(super) struct Metered<S> {
    io: S,
    /// The preface, for whoever reads next: it was read to see whether it is there.
    preface: &'static [u8],
    frames: Frames,
    allowance: Allowance,
    flooded: Flooded,
}

/// Whether a connection was cut off for its frames.
#[derive(Clone, Debug, Default)]
pub(super) struct Flooded(Arc<AtomicBool>);

/// Finds the heads of frames in a stream of bytes.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    payload_left: usize,
}

/// Frames that may still be sent.
#[derive(Debug)]
struct Allowance {
    left: u64,
    since: Instant,
    sent_bytes: u64,
}

// === impl Metered ===

impl<S> Metered<S> {
    /// Counts from here on. `preface` was read and is read again.
    pub(super) fn new(io: S, preface: &'static [u8]) -> Self {
        Self {
            io,
            preface,
            frames: Frames {
                payload_left: preface.len(),
                ..Frames::default()
            },
            allowance: Allowance::new(Instant::now()),
            flooded: Flooded::default(),
        }
    }

    /// Tells afterwards what happened.
    pub(super) fn flooded(&self) -> Flooded {
        self.flooded.clone()
    }

    fn count(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (allowance, mut within) = (&mut self.allowance, true);
        self.frames.read(bytes, |kind, flags| {
            let cost = cost(kind, flags);
            within &= cost == 0 || allowance.spend(cost, Instant::now());
        });
        if within {
            return Ok(());
        }
        self.flooded.0.store(true, Ordering::Relaxed);
        Err(io::Error::other("too many frames that carry nothing"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.preface.is_empty() {
            ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        } else {
            let (now, later) = self
                .preface
                .split_at(self.preface.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.preface = later;
        }
        let read = buffer.filled().get(before..).unwrap_or_default();
        let counted = self.count(read);
        if counted.is_err() {
            // Whoever fails has read nothing.
            buffer.set_filled(before);
        }
        Poll::Ready(counted)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.allowance.sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bytes))?;
        self.allowance.sent(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

// === impl Flooded ===

impl Flooded {
    /// Whether it was.
    pub(super) fn is_true(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Frames ===

impl Frames {
    /// Calls `seen` with the kind and the flags of each frame whose head ends in these bytes.
    fn read(&mut self, mut bytes: &[u8], mut seen: impl FnMut(u8, u8)) {
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = self.head.get_mut(self.head_bytes..).unwrap_or_default();
            let taken = wanted.len().min(bytes.len());
            let (head, rest) = bytes.split_at(taken);
            for (to, from) in wanted.iter_mut().zip(head) {
                *to = *from;
            }
            bytes = rest;
            self.head_bytes += taken;
            if self.head_bytes == HEAD_BYTES {
                let [high, middle, low, kind, flags, ..] = self.head;
                let payload = u32::from_be_bytes([0, high, middle, low]);
                self.payload_left = usize::try_from(payload).unwrap_or(usize::MAX);
                self.head_bytes = 0;
                seen(kind, flags);
            }
        }
    }
}

// === impl Allowance ===

impl Allowance {
    const fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            since: now,
            sent_bytes: 0,
        }
    }

    /// Takes what a frame counts; false if there is not as much left.
    fn spend(&mut self, cost: u64, now: Instant) -> bool {
        let millis = now.saturating_duration_since(self.since).as_millis();
        let earned = u64::try_from(millis)
            .unwrap_or(u64::MAX)
            .saturating_mul(PER_SECOND)
            / 1000;
        if earned > 0 {
            // Only the time that was paid out: what is left of a millisecond is not lost.
            let paid = Duration::from_millis(earned.saturating_mul(1000) / PER_SECOND);
            self.since += paid;
            self.earn(earned);
        }
        self.earn(self.sent_bytes / BYTES_PER_FRAME);
        self.sent_bytes %= BYTES_PER_FRAME;
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    fn sent(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.sent_bytes = self.sent_bytes.saturating_add(bytes);
    }

    fn earn(&mut self, frames: u64) {
        self.left = self.left.saturating_add(frames).min(BURST);
    }
}

/// What a frame counts.
const fn cost(kind: u8, flags: u8) -> u64 {
    match kind {
        DATA | HEADERS | CONTINUATION => 0,
        PING if flags & ACK != 0 => PONG,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
