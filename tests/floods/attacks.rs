//! The attacks: what is sent on each connection, and by how many.

use std::time::Duration;

use image_gateway::keys::Keyring;
use rustix::process::{Resource, getrlimit};
use secrecy::ExposeSecret;

use crate::DOSE;
use crate::wire::{
    self, BALANCE, CONTINUATION, DATA, END_HEADERS, END_STREAM, GREETING, GREETING_OF_THE_DEAF,
    HEADERS, HEALTH, MODELS, NO_CALL, PING, RST_STREAM, SETTINGS, WATCH, WINDOW_UPDATE, frame,
};

/// Frames of one kind on one connection: many times what is let through.
const FRAMES: usize = 20_000;

/// Calls on one connection, in volleys of [`VOLLEY`].
const CALLS: u32 = 4000;

/// Calls that are sent together: half of what may be open at a time.
const VOLLEY: u32 = 50;

/// Resets that the gateway has to withstand (`reliability.md` G18).
const MILLION: u64 = 1_000_000;

/// Those who only keep sockets come back after this: as long as a newcomer may be silent.
const COMEBACK: Duration = Duration::from_secs(5);

/// Networks for the attacks of one round, one each.
const NETWORKS: u8 = 40;

/// One way to get in the way.
#[derive(Clone, Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Connections at a time.
    pub(crate) sockets: usize,
    /// How long one whose connection has ended waits before it comes back.
    pub(crate) comeback: Duration,
    /// Why the gateway ends them.
    pub(crate) end: &'static str,
    /// Where they come from.
    pub(crate) from: Source,
    /// What is sent, in words; `None` if it is next to nothing, and connections are counted.
    pub(crate) things: Option<&'static str>,
    /// How many have to be sent in the long dose: with fewer it is no flood.
    pub(crate) least: u64,
    /// What is sent on each: attackers take turns with these.
    pub(crate) scripts: Vec<Vec<Step>>,
}

/// Where attackers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// From addresses that nobody else has, each attacker from another one: those of the network
    /// 127.0.N.0/24.
    Elsewhere(u8),
    /// Each connection from another address, as if there were attackers without end.
    Everywhere,
    /// From the address of the honest callers, as if all were behind one proxy.
    AmongHonest,
}

/// Something that is sent at once.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) bytes: Vec<u8>,
    /// How many things are in it, all of one length; what only leads up to them is none.
    pub(crate) things: usize,
    /// How long nothing is sent after it.
    pub(crate) pause: Duration,
}

// === impl Attack ===

impl Attack {
    /// The same from other addresses: what is held against one is held for minutes.
    pub(crate) fn of_round(&self, round: u8) -> Self {
        let mut again = self.clone();
        if let Source::Elsewhere(network) = &mut again.from {
            *network += round * NETWORKS;
        }
        again
    }

    /// What this one of the attackers sends.
    pub(crate) fn script(&self, number: usize) -> &[Step] {
        &self.scripts[number % self.scripts.len()]
    }
}

/// Frames that carry nothing, or take back what they asked for.
pub(crate) fn frames() -> Vec<Attack> {
    let setting = [0, 4, 0, 3, 0xff, 0xff];
    let open = frame(HEADERS, END_HEADERS, 1, &wire::head(HEALTH, None));
    let unended = frame(HEADERS, 0, 1, &wire::head(HEALTH, None));
    let nothing = frame(DATA, 0, 1, &[]);
    let more = frame(CONTINUATION, 0, 1, &[]);
    vec![
        frames_of("pings", Vec::new(), &frame(PING, 0, 0, &[7; 8])),
        frames_of("settings", Vec::new(), &frame(SETTINGS, 0, 0, &setting)),
        frames_of(
            "windows",
            Vec::new(),
            &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        ),
        frames_of("empty data", open, &nothing),
        frames_of("continuations", unended, &more),
        by_few("rapid resets", "resets", rapid_resets()),
        Attack {
            from: Source::Everywhere,
            least: MILLION,
            ..by_few("rapid resets, from all over", "resets", rapid_resets())
        },
        by_few("late resets", "resets", late_resets()),
    ]
}

/// Heads of calls that come to nothing.
pub(crate) fn heads() -> Vec<Attack> {
    let large = after_the_first(&wire::blown_up(BALANCE));
    let malformed = after_the_first(&wire::malformed(BALANCE));
    vec![
        by_few("heads of 60 KiB", "heads", large),
        by_few("malformed heads", "heads", malformed),
        by_few("made-up keys", "calls", made_up_keys()),
        by_few("no keys", "calls", calls(&wire::head(BALANCE, None))),
        Attack {
            from: Source::Everywhere,
            ..by_few("made-up keys, from all over", "calls", made_up_keys())
        },
        by_few("health", "calls", calls(&wire::head(HEALTH, None))),
        by_few(
            "calls that do not exist",
            "calls",
            calls(&wire::head(NO_CALL, None)),
        ),
    ]
}

/// From the address of the honest callers.
pub(crate) fn among_honest() -> Vec<Attack> {
    vec![Attack {
        from: Source::AmongHonest,
        ..by_few(
            "made-up keys, from the address of the honest",
            "calls",
            made_up_keys(),
        )
    }]
}

/// Organizations, each with one of these keys, that ask on as many connections as they can and do not
/// read what they are answered, or do not finish what they ask.
pub(crate) fn stalls(keys: &[String]) -> Vec<Attack> {
    // In the short dose a call that costs little: an answer of some bytes is not read as well.
    let call = if DOSE.controlled { MODELS } else { BALANCE };
    let asked = |key: &String| frame(HEADERS, END_HEADERS, 1, &wire::head(call, Some(key)));
    let whole = frame(DATA, END_STREAM, 1, &[0; 5]);
    let unread = |key| vec![before([GREETING_OF_THE_DEAF, &asked(key), &whole].concat())];
    let unfinished = |key| vec![before([GREETING, &asked(key)].concat())];
    let by_all = |name, scripts| Attack {
        sockets: DOSE.stalled,
        scripts,
        ..by_many(name, Vec::new())
    };
    vec![
        by_all(
            "answers that nobody reads",
            keys.iter().map(unread).collect(),
        ),
        by_all(
            "requests that do not end",
            keys.iter().map(unfinished).collect(),
        ),
    ]
}

/// Sockets that are kept and not used.
pub(crate) fn sockets() -> Vec<Attack> {
    // The head of a head, and then a byte of it now and then.
    let slow = frame(HEADERS, 0, 1, &[0x83; 60])[..10].to_vec();
    let drops = std::iter::repeat_with(|| Step {
        bytes: vec![0x83],
        things: 1,
        pause: Duration::from_millis(500),
    });
    let slow = std::iter::once(before([GREETING, &slow].concat())).chain(drops.take(50));
    let watch = frame(HEADERS, END_HEADERS, 1, &wire::head(WATCH, None));
    let watch = [GREETING, &watch, &frame(DATA, END_STREAM, 1, &[0; 5])].concat();
    vec![
        by_many("silent sockets", Vec::new()),
        by_many("idle connections", vec![before(GREETING.to_vec())]),
        by_many("slow heads", slow.collect()),
        by_many("watches of health", vec![before(watch)]),
    ]
}

/// Frames, and what has to come before them.
fn frames_of(name: &'static str, opening: Vec<u8>, frame: &[u8]) -> Attack {
    let frames = Step {
        bytes: frame.repeat(FRAMES),
        things: FRAMES,
        pause: Duration::ZERO,
    };
    let opening = before([GREETING.to_vec(), opening].concat());
    by_few(name, "frames", vec![opening, frames])
}

/// What leads up to the rest.
const fn before(bytes: Vec<u8>) -> Step {
    Step {
        bytes,
        things: 0,
        pause: Duration::ZERO,
    }
}

/// Few send as much as they can.
fn by_few(name: &'static str, things: &'static str, script: Vec<Step>) -> Attack {
    Attack {
        name,
        sockets: DOSE.attackers,
        comeback: DOSE.comeback,
        end: "flood",
        from: Source::Elsewhere(1),
        things: Some(things),
        least: 0,
        scripts: vec![script],
    }
}

/// Many send next to nothing.
fn by_many(name: &'static str, script: Vec<Step>) -> Attack {
    // If the system allows as many.
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    Attack {
        name,
        sockets: usize::try_from(DOSE.sockets.min(open_files / 2)).unwrap(),
        comeback: COMEBACK,
        end: "put_out",
        from: Source::Elsewhere(1),
        things: None,
        least: 0,
        scripts: vec![script],
    }
}

fn rapid_resets() -> Vec<Step> {
    let head = wire::head(BALANCE, None);
    let pairs = streams(0, CALLS).map(|stream| {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
        [head, reset(stream)].concat()
    });
    let resets = Step {
        bytes: pairs.flatten().collect(),
        things: CALLS as usize,
        pause: Duration::ZERO,
    };
    vec![before(GREETING.to_vec()), resets]
}

fn late_resets() -> Vec<Step> {
    let head = wire::head(HEALTH, None);
    let mut script = vec![before(GREETING.to_vec())];
    for volley in 0..CALLS / VOLLEY {
        let streams = || streams(volley * VOLLEY, VOLLEY);
        let heads = streams().flat_map(|stream| frame(HEADERS, END_HEADERS, stream, &head));
        script.push(Step {
            pause: DOSE.answered,
            ..before(heads.collect())
        });
        script.push(Step {
            things: VOLLEY as usize,
            ..before(streams().flat_map(reset).collect())
        });
    }
    script
}

/// The first head makes an entry of the table, which the others name.
fn after_the_first(head: &[u8]) -> Vec<Step> {
    let flags = END_HEADERS | END_STREAM;
    let first = frame(HEADERS, flags, 1, &wire::first(BALANCE));
    let mut script = vec![Step {
        pause: DOSE.answered,
        ..before([GREETING, &first].concat())
    }];
    script.extend(volleys(|stream| frame(HEADERS, flags, stream, head)));
    script
}

/// Calls with a key that looks like one and that nobody has.
fn made_up_keys() -> Vec<Step> {
    let key = Keyring::new([0; 32], None).mint().unwrap().secret;
    calls(&wire::head(BALANCE, Some(key.expose_secret())))
}

fn calls(head: &[u8]) -> Vec<Step> {
    let mut script = vec![before(GREETING.to_vec())];
    script.extend(volleys(|stream| {
        let head = frame(HEADERS, END_HEADERS, stream, head);
        // An empty message (gRPC over HTTP/2, Length-Prefixed-Message).
        [head, frame(DATA, END_STREAM, stream, &[0; 5])].concat()
    }));
    script
}

/// Calls, never more at a time than may be open, so that none is refused for being too many.
fn volleys(call: impl Fn(u32) -> Vec<u8>) -> impl Iterator<Item = Step> {
    (0..CALLS / VOLLEY).map(move |volley| {
        // The first stream may be taken.
        let calls = streams(volley * VOLLEY + 1, VOLLEY).flat_map(&call);
        Step {
            bytes: calls.collect(),
            things: VOLLEY as usize,
            pause: DOSE.answered,
        }
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
