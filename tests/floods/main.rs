//! Floods against the real program: what they cost in memory, and how much longer honest callers
//! wait. The gateway and the mock are processes of their own, so that what is measured is theirs.
//!
//! `cargo test` plays a short dose. `make floods` plays a long one against the program as it is
//! released, and prints the rows of the table that the documentation gives, ready to be pasted; each
//! test prints its own. With `FLOODS_ROW="slow heads"` (or `make floods ROW="slow heads"`) only the
//! attack of this name is played.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a test that meets the unexpected has failed, measurements are statistics and not \
              money, and they are for people"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use image_gateway::openrouter::install_crypto;
use image_gateway::transport::raise_open_files;
use tokio::sync::Mutex;

use attackers::{Attackers, Total};
use attacks::{Attack, Source};
use honest::{Honest, Seen};
use house::{Gateway, House};
use table::Row;

mod attackers;
mod attacks;
#[path = "../../benches/gateway/figures.rs"]
#[expect(dead_code, reason = "shared with the benchmarks")]
mod figures;
mod honest;
#[path = "../../benches/gateway/house.rs"]
#[expect(dead_code, reason = "shared with the benchmarks")]
mod house;
#[path = "../../benches/gateway/process.rs"]
#[expect(dead_code, reason = "shared with the benchmarks")]
mod process;
mod table;
mod wire;

/// How much of everything.
#[derive(Debug)]
struct Dose {
    /// How long honest callers are watched before an attack …
    quiet: Duration,
    /// … and during it.
    watched: Duration,
    /// Whether they are also watched while the same attackers attack another gateway on the same
    /// machine: so much is the machine's, and not the gateway's.
    controlled: bool,
    /// Attackers at a time, where few send much, and addresses that they come from.
    attackers: usize,
    /// How long one of them waits until its calls were taken, so that giving them up is late, and
    /// heads were answered, so that the next are not too many.
    answered: Duration,
    /// How long one of them waits before it comes back.
    comeback: Duration,
    /// Sockets at a time, where many send next to nothing.
    sockets: u64,
    /// Connections at a time of organizations that stall, …
    stalled: usize,
    /// … and how many organizations they are.
    organizations: usize,
    /// A p99 that is never complained about: the attackers share two cores with the gateway and
    /// whatever else runs there, so in a short time it is what the scheduler of the system did.
    floor: Duration,
}

/// The short dose leaves room for others, the long one takes all there is.
const DOSE: Dose = if cfg!(feature = "floods") {
    Dose {
        quiet: Duration::from_secs(5),
        watched: Duration::from_secs(10),
        controlled: true,
        attackers: 16,
        answered: Duration::from_millis(5),
        comeback: Duration::from_millis(20),
        sockets: 10_000,
        stalled: 2000,
        organizations: 5,
        floor: Duration::from_millis(100),
    }
} else {
    Dose {
        quiet: Duration::from_millis(700),
        watched: Duration::from_millis(1500),
        controlled: false,
        attackers: 4,
        answered: Duration::from_millis(50),
        comeback: Duration::from_millis(200),
        // More than there are places for, and fewer than the system keeps at the door.
        sockets: 2000,
        // More than there are seats for.
        stalled: 1200,
        organizations: 3,
        floor: Duration::from_secs(3),
    }
};

/// How long what an attack has left may take to go away.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often an attack is tried until somebody is put out: on a slow machine not all attackers have
/// come before the time of one is over.
const ROUNDS: u8 = 5;

/// Connections of honest callers, and some that are about to end.
const FEW: u64 = 16;

/// Attacks are measured, so none is beside another.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_cost_honest_callers_neither_memory_nor_time() {
    withstand(|_| attacks::frames()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_come_to_nothing_cost_honest_callers_neither_memory_nor_time() {
    withstand(|_| attacks::heads()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_are_only_kept_cost_honest_callers_neither_memory_nor_time() {
    raise_open_files();
    withstand(|_| attacks::sockets()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attacker_among_honest_callers_costs_them_a_bounded_wait_for_new_connections_alone() {
    withstand(|_| attacks::among_honest()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organizations_that_stall_together_cost_honest_callers_neither_memory_nor_time() {
    raise_open_files();
    withstand(attacks::stalls).await;
}

/// Attacks a fresh gateway with each of these, one after the other. Attackers who need keys have good
/// ones of that gateway.
async fn withstand(attacks: fn(&[String]) -> Vec<Attack>) {
    let _alone = ALONE.lock().await;
    let only = only();
    let is_played = |attack: &Attack| only.as_ref().is_none_or(|name| *name == attack.name);
    if !attacks(&[]).iter().any(is_played) {
        return;
    }
    install_crypto();
    let house = House::open().await.unwrap();
    let other = match DOSE.controlled {
        true => Some(
            Gateway::start(&house.mock, house.folder(), "other")
                .await
                .unwrap(),
        ),
        false => None,
    };
    let mut played = prepared(attacks, &house.gateway).await;
    played.retain(is_played);
    let mut controls = match &other {
        Some(other) => prepared(attacks, other).await,
        None => Vec::new(),
    };
    controls.retain(is_played);
    let honest = Honest::come(&house.gateway).await.unwrap();
    // Whatever is made once is made now.
    honest.call(&house.gateway, DOSE.quiet).await;
    let (mut wrong, mut details) = (Vec::new(), Vec::new());
    let mut controls = controls.into_iter();
    for attack in played {
        let same = controls.next();
        let mut answered = false;
        for round in 0..ROUNDS {
            let same = same.as_ref().map(|attack| attack.of_round(round));
            let control = other.as_ref().zip(same);
            let row = attacked(&house, control, &honest, attack.of_round(round)).await;
            println!("{row}");
            wrong.extend(row.complaints());
            details.push(row.details());
            rest(&house).await;
            answered = row.is_answered();
            if answered {
                break;
            }
        }
        if !answered {
            wrong.push(format!("{}: nobody was put out", attack.name));
        }
    }
    // After the rows, which are pasted as they are.
    println!("{}", details.join("\n"));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The name of the only attack that is wanted, if one is.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no command line of its own"
)]
fn only() -> Option<String> {
    std::env::var("FLOODS_ROW")
        .ok()
        .filter(|name| !name.is_empty())
}

/// These attacks as they are played against this gateway.
async fn prepared(attacks: fn(&[String]) -> Vec<Attack>, gateway: &Gateway) -> Vec<Attack> {
    let mut keys = Vec::new();
    for number in 0..DOSE.organizations {
        let key = gateway.furnish(&format!("deaf-{number}")).await.unwrap();
        keys.push(key.key().unwrap().to_owned());
    }
    let mut attacks = attacks(&keys);
    for (network, attack) in (1..).zip(&mut attacks) {
        // What is held against an address is held for minutes.
        if let Source::Elsewhere(addresses) = &mut attack.from {
            *addresses = network;
        }
    }
    attacks
}

async fn attacked(
    house: &House,
    other: Option<(&Gateway, Attack)>,
    honest: &Honest,
    attack: Attack,
) -> Row {
    let (gateway, attack) = (&house.gateway, Arc::new(attack));
    let quiet = honest.call(gateway, DOSE.quiet).await;
    let control = match other {
        Some((other, same)) => {
            let same = Arc::new(same);
            Some(under_attack(gateway, other, honest, &same).await.0)
        }
        None => None,
    };
    let before = ends(house).await;
    process::forget_peak(gateway.pid).unwrap();
    let before_bytes = process::rss_bytes(gateway.pid).unwrap();
    let (seen, sent) = under_attack(gateway, gateway, honest, &attack).await;
    let peak_bytes = process::peak_bytes(gateway.pid).unwrap();
    let since = ends_since(house, &before).await;
    Row {
        attack,
        sent,
        ends: since,
        before_bytes,
        peak_bytes,
        quiet,
        control,
        seen,
    }
}

/// What honest callers of one gateway see while one is attacked.
async fn under_attack(
    gateway: &Gateway,
    attacked: &Gateway,
    honest: &Honest,
    attack: &Arc<Attack>,
) -> (Seen, Total) {
    let to = attacked.address.parse().unwrap();
    let attackers = Attackers::begin(Arc::clone(attack), to, DOSE.watched);
    let seen = honest.call(gateway, DOSE.watched).await;
    let sent = tokio::task::spawn_blocking(|| attackers.end());
    (seen, sent.await.unwrap())
}

/// Waits until the gateway has seen that the attackers are gone.
async fn rest(house: &House) {
    let gone = async {
        while house.gateway.scrape().await.unwrap().connections() > FEW {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

/// How many connections ended, by why.
async fn ends(house: &House) -> BTreeMap<String, u64> {
    let page = house.gateway.scrape().await.unwrap().page;
    let prefix = "image_gateway_connections_ended_total{reason=\"";
    let lines = page.lines().filter_map(|line| {
        let (reason, count) = line.strip_prefix(prefix)?.split_once("\"} ")?;
        Some((reason.to_owned(), count.parse().ok()?))
    });
    lines.collect()
}

async fn ends_since(house: &House, before: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let now = ends(house).await.into_iter();
    let since = now.map(|(reason, count)| {
        let earlier = before.get(&reason).copied().unwrap_or(0);
        (reason, count - earlier)
    });
    since.filter(|(_, count)| *count > 0).collect()
}
