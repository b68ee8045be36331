//! How much one connection, and all of them, can make the process hold or do: every number with
//! where it comes from.

use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Calls at a time on one connection (`reliability.md` section 6; Envoy's advice for the edge).
/// HTTP/2 knows no limit by itself.
pub(super) const STREAMS_MAX: u32 = 100;

/// Streams that were reset before they were looked at; more close the connection with
/// `ENHANCE_YOUR_CALM` (`reliability.md` section 6; CVE-2023-44487).
pub(super) const PENDING_RESETS_MAX: usize = 20;

/// Streams that this side reset for errors of the other; more close the connection
/// (`reliability.md` section 6; RUSTSEC-2024-0003).
const LOCAL_RESETS_MAX: usize = 1024;

/// Bytes of all metadata of a call, unpacked: twice what whoever answers takes (`reliability.md`
/// section 6), so that most of what is too large gets an answer that says so. h2 refuses the rest in
/// its own words, and derives from it how many CONTINUATION frames a header may have
/// (RUSTSEC-2024-0332).
const HEADERS_MAX_BYTES: u32 = 32 * 1024;

/// Bytes of what headers are abbreviated with (RFC 9113 section 6.5.2, its default).
const HEADER_TABLE_BYTES: u32 = 4 * 1024;

/// The largest frame that is taken (RFC 9113 section 4.2, its default and its least).
const FRAME_MAX_BYTES: u32 = 16 * 1024;

/// Bytes of one request that may arrive unread: enough for a fast upload of a reference picture
/// (`reliability.md` section 6: 64 to 256 KiB).
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// Bytes of all requests of one connection that may arrive unread (`reliability.md` section 6).
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes of one answer that wait to be sent: the piece under way and the next one, 64 KiB each.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// Silence after which the other side is asked whether it is there (`reliability.md` section 6):
/// proxies drop silent connections after a minute or more, and drawing takes longer.
const PING_AFTER: Duration = Duration::from_secs(30);

/// How long it may take to answer that (`reliability.md` section 6).
const PING_PATIENCE: Duration = Duration::from_secs(10);

/// Connections that the system may have made and this process has not taken yet: all that Linux
/// allows by default (`net.core.somaxconn`). What is beyond asks again after a second, and an honest
/// newcomer would wait as long.
pub(super) const BACKLOG: u32 = 4096;

/// How long a newcomer has to encrypt and to say that it speaks HTTP/2 (`reliability.md` section 6:
/// handshake timeout).
pub(super) const ARRIVAL_PATIENCE: Duration = Duration::from_secs(5);

/// A connection without calls is ended after this. Callers come back by themselves.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(5 * 60);

/// How long a piece of an answer may wait for whoever reads, or a request for whoever sends, without
/// moving; then its connection takes no calls any more, and ends with the last of them that moves. As
/// nginx has it (`send_timeout`, `client_body_timeout`); a piece is 64 KiB, so that even a line of 10
/// kbit/s moves.
pub(super) const STALL_MAX: Duration = Duration::from_secs(60);

/// A connection is ended after an hour, so that callers spread over new replicas
/// (`reliability.md` section 6) …
const AGE: Duration = Duration::from_secs(60 * 60);

/// … give or take a tenth, so that those that began together do not end together (gRPC proposal
/// A9, `MAX_CONNECTION_AGE`).
const AGE_JITTER: Duration = Duration::from_secs(6 * 60);

/// What is added to the longest call before an aged connection is cut.
pub(super) const GRACE: Duration = Duration::from_secs(60);

/// How long a connection that was told to end, and has no call, may take to hang up.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// Connections that have arrived, at most: backends hold one or a few each. Idle ones take some
/// 40 KiB each, encrypted; all of them stay below what floods may cost (64 MiB,
/// `reliability.md` G18).
const SEATS_MAX: usize = 1024;

/// Newcomers at a time. With a flood of 10,000 a second an honest one has 50 ms to arrive before it
/// is put out, which is several round trips.
const LOBBY_MAX: usize = 512;

/// Addresses that something is held against, at most: some 200 bytes each. With more than so many at a
/// time, those that owe least are forgotten.
pub(super) const ORIGINS_MAX: usize = 4096;

/// Connections of the side door at a time.
pub(super) const PAGE_CONNECTIONS_MAX: usize = 128;

/// Calls at a time on all connections: the most generations, each watched by many.
pub(super) const CALLS_MAX: usize = 8 * 1024;

/// Of these, calls for which no key is needed: health and reflection.
pub(super) const STRANGERS_MAX: usize = 256;

/// Of these, calls on one connection: a balancer watches the whole and each of the five services, and
/// somebody beside it looks at what there is.
pub(super) const STRANGERS_EACH_MAX: usize = 8;

/// How long a reader of pages has for the head of its request, and how long a connection that
/// was kept open is waited on.
const PAGE_HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// A connection of the side door is told to end after this …
pub(super) const PAGE_CONNECTION_AGE: Duration = Duration::from_secs(60);

/// … and is cut after this more; pages take seconds.
pub(super) const PAGE_GRACE: Duration = Duration::from_secs(10);

/// Bytes of the head of a request for a page (hyper takes no less).
const PAGE_HEAD_MAX_BYTES: usize = 8 * 1024;

/// HTTP/2 as it is spoken with callers.
pub(super) fn http2() -> http2::Builder<TokioExecutor> {
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        .max_header_list_size(HEADERS_MAX_BYTES)
        .header_table_size(HEADER_TABLE_BYTES)
        .max_frame_size(FRAME_MAX_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_PATIENCE);
    http2
}

/// HTTP/1.1 as it is spoken with whoever reads pages.
pub(super) fn http1() -> http1::Builder {
    let mut http1 = http1::Builder::new();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(PAGE_HEAD_PATIENCE)
        .max_buf_size(PAGE_HEAD_MAX_BYTES);
    http1
}

/// How old a connection may become: about [`AGE`], another for each.
pub(super) fn age() -> Duration {
    // Without randomness all are as old as can be, which is no danger.
    let dice = getrandom::u32().unwrap_or(u32::MAX);
    let spread = AGE_JITTER * 2;
    AGE - AGE_JITTER + spread * (dice >> 16) / (1 << 16)
}

/// Newcomers at a time, if the system allows as many.
pub(super) fn lobby_max() -> usize {
    LOBBY_MAX.min(sockets_max() / 4)
}

/// Seats, if the system allows as many.
pub(super) fn seats_max() -> usize {
    SEATS_MAX.min(sockets_max() - sockets_max() / 4)
}

/// Half of all files this process may open are for callers; the database, the pictures and the way
/// to OpenRouter need the rest.
fn sockets_max() -> usize {
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(open_files / 2).unwrap_or(usize::MAX)
}

/// Lets this process open as many files as the system allows it: the usual limit is 1024 only for
/// the sake of programs that use `select`. For programs, at their start; a limit that cannot be
/// raised stays.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_began_together_do_not_end_together() {
        let ages: Vec<_> = std::iter::repeat_with(age).take(100).collect();
        let bounds = AGE - AGE_JITTER..=AGE + AGE_JITTER;
        assert!(ages.iter().all(|age| bounds.contains(age)), "{ages:?}");
        assert!(ages.iter().any(|age| *age != ages[0]), "{ages:?}");
    }

    #[test]
    fn callers_never_take_more_than_half_of_the_open_files() {
        let half = sockets_max();
        assert!(lobby_max() + seats_max() <= half, "{half}");
        assert!(lobby_max() > 0 && seats_max() > 0);
    }
}
