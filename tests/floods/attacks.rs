//! The attacks: what is sent on each connection, and by how many.

use std::time::Duration;

use image_gateway::keys::Keyring;
use rustix::process::{Resource, getrlimit};
use secrecy::ExposeSecret;

use crate::DOSE;
use crate::wire::{
    self, BALANCE, CONTINUATION, DATA, END_HEADERS, END_STREAM, GREETING, HEADERS, HEALTH, PING,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};

/// Frames of one kind on one connection: many times what is let through.
const FRAMES: u32 = 20_000;

/// Calls on one connection, in volleys of [`VOLLEY`].
const CALLS: u32 = 4000;

/// Calls that are sent together: half of what may be open at a time.
const VOLLEY: u32 = 50;

/// Those who only keep sockets come back after this: as long as a newcomer may be silent.
const COMEBACK: Duration = Duration::from_secs(5);

/// One way to get in the way.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Connections at a time.
    pub(crate) sockets: usize,
    /// How long one whose connection has ended waits before it comes back.
    pub(crate) comeback: Duration,
    /// Why the gateway ends them.
    pub(crate) end: &'static str,
    /// What is sent on each, and how long nothing is after it.
    pub(crate) script: Vec<(Vec<u8>, Duration)>,
}

/// Frames that carry nothing, or take back what they asked for.
pub(crate) fn frames() -> Vec<Attack> {
    let setting = [0, 4, 0, 3, 0xff, 0xff];
    let open = frame(HEADERS, END_HEADERS, 1, &wire::head(HEALTH, None));
    let unended = frame(HEADERS, 0, 1, &wire::head(HEALTH, None));
    let nothing = frame(DATA, 0, 1, &[]);
    let more = frame(CONTINUATION, 0, 1, &[]);
    vec![
        of("pings", many(&frame(PING, 0, 0, &[7; 8]))),
        of("settings", many(&frame(SETTINGS, 0, 0, &setting))),
        of("windows", many(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
        of("empty data", [open, many(&nothing)].concat()),
        of("continuations", [unended, many(&more)].concat()),
        of("rapid resets", rapid_resets()),
        by_few("late resets", late_resets()),
    ]
}

/// Heads of calls that come to nothing.
pub(crate) fn heads() -> Vec<Attack> {
    let key = Keyring::new([0; 32], None).mint().unwrap().secret;
    let key = key.expose_secret().to_owned();
    vec![
        by_few("heads of 60 KiB", after_the_first(&wire::blown_up(BALANCE))),
        by_few(
            "malformed heads",
            after_the_first(&wire::malformed(BALANCE)),
        ),
        by_few("made-up keys", calls(&wire::head(BALANCE, Some(&key)))),
        by_few("no keys", calls(&wire::head(BALANCE, None))),
    ]
}

/// Sockets that are kept and not used.
pub(crate) fn sockets() -> Vec<Attack> {
    // The head of a head, and then a byte of it now and then.
    let slow = frame(HEADERS, 0, 1, &[0x83; 60])[..10].to_vec();
    let drops = std::iter::repeat_n((vec![0x83], Duration::from_millis(500)), 50);
    let slow = std::iter::once(([GREETING, &slow].concat(), Duration::ZERO)).chain(drops);
    vec![
        by_many("silent sockets", Vec::new()),
        by_many(
            "idle connections",
            vec![(GREETING.to_vec(), Duration::ZERO)],
        ),
        by_many("slow heads", slow.collect()),
    ]
}

fn of(name: &'static str, frames: Vec<u8>) -> Attack {
    by_few(
        name,
        vec![([GREETING.to_vec(), frames].concat(), Duration::ZERO)],
    )
}

/// Few send as much as they can.
fn by_few(name: &'static str, script: Vec<(Vec<u8>, Duration)>) -> Attack {
    Attack {
        name,
        sockets: DOSE.attackers,
        comeback: DOSE.comeback,
        end: "flood",
        script,
    }
}

/// Many send next to nothing.
fn by_many(name: &'static str, script: Vec<(Vec<u8>, Duration)>) -> Attack {
    // If the system allows as many.
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    Attack {
        name,
        sockets: usize::try_from(DOSE.sockets.min(open_files / 2)).unwrap(),
        comeback: COMEBACK,
        end: "put_out",
        script,
    }
}

fn many(frame: &[u8]) -> Vec<u8> {
    frame.repeat(FRAMES as usize)
}

fn rapid_resets() -> Vec<u8> {
    let head = wire::head(BALANCE, None);
    let pairs = streams(0, CALLS).map(|stream| {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
        [head, reset(stream)].concat()
    });
    pairs.flatten().collect()
}

fn late_resets() -> Vec<(Vec<u8>, Duration)> {
    let head = wire::head(HEALTH, None);
    let mut script = vec![(GREETING.to_vec(), Duration::ZERO)];
    for volley in 0..CALLS / VOLLEY {
        let streams = || streams(volley * VOLLEY, VOLLEY);
        let heads = streams().flat_map(|stream| frame(HEADERS, END_HEADERS, stream, &head));
        script.push((heads.collect(), DOSE.answered));
        script.push((streams().flat_map(reset).collect(), Duration::ZERO));
    }
    script
}

/// The first head makes an entry of the table, which the others name.
fn after_the_first(head: &[u8]) -> Vec<(Vec<u8>, Duration)> {
    let flags = END_HEADERS | END_STREAM;
    let first = frame(HEADERS, flags, 1, &wire::first(BALANCE));
    let mut script = vec![([GREETING, &first].concat(), DOSE.answered)];
    script.extend(volleys(|stream| frame(HEADERS, flags, stream, head)));
    script
}

fn calls(head: &[u8]) -> Vec<(Vec<u8>, Duration)> {
    let mut script = vec![(GREETING.to_vec(), Duration::ZERO)];
    script.extend(volleys(|stream| {
        let head = frame(HEADERS, END_HEADERS, stream, head);
        // An empty message (gRPC over HTTP/2, Length-Prefixed-Message).
        [head, frame(DATA, END_STREAM, stream, &[0; 5])].concat()
    }));
    script
}

/// Calls, never more at a time than may be open, so that none is refused for being too many.
fn volleys(call: impl Fn(u32) -> Vec<u8>) -> impl Iterator<Item = (Vec<u8>, Duration)> {
    (0..CALLS / VOLLEY).map(move |volley| {
        // The first stream may be taken.
        let calls = streams(volley * VOLLEY + 1, VOLLEY).flat_map(&call);
        (calls.collect(), DOSE.answered)
    })
}

fn reset(stream: u32) -> Vec<u8> {
    let cancel = 8u32.to_be_bytes();
    frame(RST_STREAM, 0, stream, &cancel)
}

/// Streams of a client have odd numbers.
fn streams(after: u32, count: u32) -> impl Iterator<Item = u32> {
    (after..after + count).map(|turn| turn * 2 + 1)
}
