//! Counts the frames of a connection that carry nothing. HTTP/2 lets a peer ask for work without
//! sending a call: pings, settings, windows, priorities, resets (CVE-2019-9512, 9513, 9515;
//! CVE-2023-44487 once a stream is accepted). h2 keeps what they cost in memory bounded, not what
//! they cost in time; here a peer that sends more than it can have reason to is cut off. Frames with
//! data and continuations are left to h2, which has limits of its own for them.
//!
//! The head of a call is free, if a call comes of it. h2 answers some by itself: those that are too
//! large, once unpacked, with status 431, those that are too many with a reset. It counts neither,
//! and unpacking is dear: sixteen bytes can say 64 KiB (by naming one entry of the table again and
//! again). So heads are held against the calls that were taken ([`Conduct`]), and what never becomes
//! a call is paid for. So is a call that cost work for nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::conduct::Conduct;
use super::limits::{PENDING_RESETS_MAX, STREAMS_MAX};

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

/// What the head of a call counts that h2 has refused by itself. An honest caller sends one by
/// mistake; unpacking it takes as long as some fifty pings.
const REFUSED_HEAD: u64 = 50;

/// What trailers count: a call has them once, and no caller of gRPC sends any.
const TRAILERS: u64 = 5;

/// What a call counts that was given up before its answer began. With the reset that gives it up it
/// is four: a caller whose hundred calls are all given up every two seconds, because this side is
/// slow, is not put out for that.
const GIVEN_UP: u64 = 3;

/// What a call counts that came without a good key, on a connection that showed one before: 200 at
/// once, 40 in each second. As much is earned by a call that was served, so that one bad key among
/// many good ones, on a connection that they share, does not put the others out. Who never showed a
/// good key is put out sooner ([`Conduct`]).
const OF_NOBODY: u64 = 5;

/// What a call counts that needs no key: 200 at once, 40 in each second. Whoever asks how this process
/// is does so once a second or less.
const OF_STRANGER: u64 = 5;

/// Heads that may wait to become calls: h2 hands on what came with one read together, open calls
/// and those that were reset meanwhile. What goes beyond was refused.
const HEADS_WAITING_MAX: u64 = STREAMS_MAX as u64 + PENDING_RESETS_MAX as u64;

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
    heads: Heads,
    allowance: Allowance,
    conduct: Conduct,
}

/// Finds the heads of frames in a stream of bytes.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    payload_left: usize,
}

/// What is told of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Heads of calls that came and were not paid for.
#[derive(Debug, Default)]
struct Heads {
    last_stream: u32,
    unpaid: u64,
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
            heads: Heads::default(),
            allowance: Allowance::new(Instant::now()),
            conduct: Conduct::default(),
        }
    }

    /// What is known of the peer: for whoever answers its calls, and for whoever asks afterwards.
    pub(super) fn conduct(&self) -> Conduct {
        self.conduct.clone()
    }

    fn count(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (allowance, heads) = (&mut self.allowance, &mut self.heads);
        let taken = self.conduct.calls_taken();
        let ended = self.conduct.collect();
        allowance.earn(ended.served.saturating_mul(OF_NOBODY));
        let of_nobody = ended.of_nobody.saturating_mul(OF_NOBODY);
        let given_up = ended.given_up.saturating_mul(GIVEN_UP);
        let of_strangers = ended.of_strangers.saturating_mul(OF_STRANGER);
        let in_vain = of_nobody.saturating_add(given_up);
        let mut within = allowance.pay(in_vain.saturating_add(of_strangers));
        self.frames.read(bytes, |frame| {
            let cost = match frame.kind {
                HEADERS => heads.cost(frame.stream, taken),
                _ => cost(frame),
            };
            within &= allowance.pay(cost);
        });
        if within {
            return Ok(());
        }
        self.conduct.flood();
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

// === impl Frames ===

impl Frames {
    /// Calls `seen` with each frame whose head ends in these bytes.
    fn read(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Seen)) {
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
                let [high, middle, low, kind, flags, stream @ ..] = self.head;
                let payload = u32::from_be_bytes([0, high, middle, low]);
                self.payload_left = usize::try_from(payload).unwrap_or(usize::MAX);
                self.head_bytes = 0;
                seen(Seen {
                    kind,
                    flags,
                    // The first bit means nothing (RFC 9113 section 4.1).
                    stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
                });
            }
        }
    }
}

// === impl Heads ===

impl Heads {
    /// What a HEADERS frame counts, when so many calls were taken so far.
    fn cost(&mut self, stream: u32, taken: u64) -> u64 {
        if stream <= self.last_stream {
            return TRAILERS;
        }
        self.last_stream = stream;
        self.unpaid = self.unpaid.saturating_add(1);
        if self.unpaid.saturating_sub(taken) <= HEADS_WAITING_MAX {
            return 0;
        }
        self.unpaid -= 1;
        REFUSED_HEAD
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

    /// Takes what something counts, if it does; the time is only asked for then.
    fn pay(&mut self, cost: u64) -> bool {
        cost == 0 || self.spend(cost, Instant::now())
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

/// What a frame counts that is no head of a call.
const fn cost(frame: Seen) -> u64 {
    match frame.kind {
        DATA | CONTINUATION => 0,
        PING if frame.flags & ACK != 0 => PONG,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
