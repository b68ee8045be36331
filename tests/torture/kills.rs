//! Killing: once at every named place, and at random moments under load.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;

use crate::dice::Dice;
use crate::gateway::{Fate, Gateway};
use crate::lane::Lane;
use crate::places;
use crate::scenes::{ALL, Scene};

/// Callers at the same time when a random moment comes.
const CALLERS: usize = 4;

/// The longest that a process lives before it is killed at a random moment …
const LIFE_MS: u64 = 2000;

/// … and most of them die younger, while everything is still under way.
const YOUNG_MS: u64 = 250;

/// A kill at a named place.
#[derive(Debug)]
pub(crate) struct Kill {
    pub(crate) place: String,
    pub(crate) scene: &'static Scene,
}

/// All places with the scene that reaches each.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) kills: Vec<Kill>,
    /// Places of the code that no scene reaches.
    pub(crate) unreached: BTreeSet<String>,
}

/// Plays every scene without a kill, and notes which places it passes; once more, and for longer, as
/// long as there are places that none has passed.
pub(crate) async fn plan() -> Plan {
    let in_the_code = places::in_the_code();
    let mut first: BTreeMap<String, &'static Scene> = BTreeMap::new();
    for slowness in 1..=TRIES {
        let scenes = ALL
            .iter()
            .map(async |scene| (scene, trace(scene, slowness).await));
        for (scene, passed) in join_all(scenes).await {
            for place in passed
                .into_iter()
                .filter(|place| in_the_code.contains(place))
            {
                first.entry(place).or_insert(scene);
            }
        }
        if first.len() == in_the_code.len() {
            break;
        }
    }
    let reached: BTreeSet<String> = first.keys().cloned().collect();
    let kills = first
        .into_iter()
        .map(|(place, scene)| Kill { place, scene });
    Plan {
        kills: kills.collect(),
        unreached: in_the_code.difference(&reached).cloned().collect(),
    }
}

/// The places that are passed where everything takes so many times as long.
async fn trace(scene: &'static Scene, slowness: u32) -> BTreeSet<String> {
    let mut lane = Lane::open(0).await;
    let file = lane.house.dir.path().join("places");
    let fate = Fate {
        trace: Some(file.to_string_lossy().into_owned()),
        ..Fate::default()
    };
    if let Some(gateway) = lane.begin(scene, &fate).await {
        lane.play(scene).await;
        tokio::time::sleep(scene.sabotaged() * slowness).await;
        lane.mend();
        tokio::time::sleep(scene.mended() * slowness).await;
        gateway.kill().await;
    }
    let passed = std::fs::read_to_string(file).unwrap_or_default();
    lane.abandon().await;
    passed.lines().map(str::to_owned).collect()
}

/// Times that a scene is played before it counts as one in which nobody dies: a busy machine may be
/// too slow for it once.
const TRIES: u32 = 4;

/// What a busy machine may need beyond the time of a scene.
const SLOWNESS: Duration = Duration::from_secs(4);

/// Lets the program die at a place, while its scene is played.
pub(crate) async fn at_a_place(lane: &mut Lane, kill: &Kill) {
    for _ in 0..TRIES {
        lane.counted.at_places += 1;
        if dies(lane, kill).await {
            return;
        }
    }
    let lived = format!("{} in {}", kill.place, kill.scene.name);
    lane.counted.lived.push(lived);
}

/// Plays the scene once; false if nobody died.
async fn dies(lane: &mut Lane, kill: &Kill) -> bool {
    let fate = Fate {
        dies_at: Some(kill.place.clone()),
        ..Fate::default()
    };
    let Some(mut gateway) = lane.begin(kill.scene, &fate).await else {
        lane.mend();
        return true;
    };
    lane.play(kill.scene).await;
    // Some places are passed long after the answer, and some when the books work again.
    let mut died = gateway.died(kill.scene.sabotaged()).await;
    lane.mend();
    died = died || gateway.died(kill.scene.mended() + SLOWNESS).await;
    gateway.kill().await;
    if kill.scene.retention.is_some() {
        lane.note_half_expired();
    }
    died
}

/// Kills the program at some moment while several callers use it.
pub(crate) async fn at_random(lane: &mut Lane, dice: &mut Dice) {
    let Some(gateway) = Gateway::start(&mut lane.house, &Fate::default()).await else {
        return;
    };
    let quick = |scene: &&Scene| {
        scene.sabotage.is_none() && scene.first_dies_at.is_none() && scene.seconds < 5
    };
    let quick: Vec<&Scene> = ALL.iter().filter(quick).collect();
    let pick =
        |dice: &mut Dice| quick[usize::try_from(dice.below(quick.len() as u64)).unwrap_or(0)];
    let scenes: Vec<&Scene> = (0..CALLERS).map(|_| pick(dice)).collect();
    let oldest = if dice.below(4) == 0 {
        LIFE_MS
    } else {
        YOUNG_MS
    };
    let life = Duration::from_millis(dice.below(oldest));
    let killing = async {
        tokio::time::sleep(life).await;
        gateway.kill().await;
    };
    let playing = lane.play_all(&scenes, dice);
    tokio::join!(killing, playing);
    lane.counted.at_random += 1;
}
