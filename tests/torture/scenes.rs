//! What is going on when the program is killed: between them the scenes reach every named place.

use std::time::Duration;

use image_gateway::mock::{GenerationLookup, Script};
use image_gateway::proto;

use crate::helpers::{AGENT, request};

/// The agent whose model makes one picture per call.
pub(crate) const MANY: &str = "many";

/// One thing that a caller and the world do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// Whose tool.
    pub(crate) agent: &'static str,
    /// How many pictures.
    pub(crate) count: i32,
    /// What upstream does.
    pub(crate) upstream: fn() -> Vec<Script>,
    /// What the database refuses meanwhile.
    pub(crate) sabotage: Option<&'static str>,
    /// Where an earlier process dies, so that this one finds what it left.
    pub(crate) first_dies_at: Option<&'static str>,
    /// How long pictures are kept.
    pub(crate) retention: Option<&'static str>,
    /// When it is asked a second time what a picture cost.
    pub(crate) check_after: Option<&'static str>,
    /// Seconds after the answer in which everything of it has happened.
    pub(crate) seconds: u64,
}

/// What a scene needs after its sabotage is over.
const MENDED: Duration = Duration::from_secs(4);

const PICTURE: Scene = Scene {
    name: "a picture",
    agent: AGENT,
    count: 1,
    upstream: Vec::new,
    sabotage: None,
    first_dies_at: None,
    retention: None,
    check_after: None,
    seconds: 3,
};

/// The books take no end of a hold.
const NO_END: &str = "CREATE TRIGGER sabotage BEFORE INSERT ON hold_resolution BEGIN SELECT RAISE(ABORT, 'sabotage'); END";

/// The books take no dispatch.
const NO_DISPATCH: &str = "CREATE TRIGGER sabotage BEFORE INSERT ON generation_event WHEN NEW.to_state = 'dispatched' BEGIN SELECT RAISE(ABORT, 'sabotage'); END";

/// The books take no word of how far costs are checked.
const NO_CHECK: &str = "CREATE TRIGGER sabotage BEFORE INSERT ON cost_check BEGIN SELECT RAISE(ABORT, 'sabotage'); END";

/// Ends whatever a scene of this list did to the books.
pub(crate) const MEND: &str = "DROP TRIGGER IF EXISTS sabotage";

/// All scenes, the quick ones first: a place is tortured in the first scene that reaches it.
pub(crate) const ALL: &[Scene] = &[
    PICTURE,
    Scene {
        name: "four pictures side by side",
        agent: MANY,
        count: 4,
        ..PICTURE
    },
    Scene {
        name: "no picture",
        upstream: || vec![Script::sample("err-403-moderation").times(9)],
        ..PICTURE
    },
    Scene {
        name: "an answer that breaks off",
        upstream: || vec![Script::cut_at(2000)],
        ..PICTURE
    },
    Scene {
        name: "a cost that is told when asked",
        upstream: || {
            vec![Script {
                generation_lookup: Some(GenerationLookup::MissingFirst(1)),
                ..Script::without_usage()
            }]
        },
        ..PICTURE
    },
    Scene {
        name: "a hold without a process",
        first_dies_at: Some("after:hold"),
        ..PICTURE
    },
    Scene {
        name: "pictures without a process",
        first_dies_at: Some("after:keep"),
        ..PICTURE
    },
    Scene {
        name: "a call without a process",
        first_dies_at: Some("after:set_up"),
        ..PICTURE
    },
    Scene {
        name: "a record that contradicts itself",
        upstream: || {
            let another = r#"{"data":{"id":"gen-another","total_cost":0.5}}"#;
            vec![
                Script::cut_at(2000),
                Script::raw_body("application/json", another)
                    .for_path("/generation")
                    .times(10_000),
            ]
        },
        ..PICTURE
    },
    Scene {
        name: "pictures whose time is up",
        retention: Some("1s"),
        first_dies_at: Some("after:settle_books"),
        ..PICTURE
    },
    Scene {
        name: "a cost that the records tell otherwise",
        check_after: Some("1s"),
        upstream: || {
            vec![Script {
                generation_lookup: Some(GenerationLookup::Cost("0.01".to_owned())),
                ..Script::default()
            }]
        },
        seconds: 4,
        ..PICTURE
    },
    Scene {
        name: "of four records one that is not there at once",
        agent: MANY,
        count: 4,
        check_after: Some("1s"),
        upstream: || vec![Script::sample("generation-404-not-yet").for_path("/generation")],
        seconds: 8,
        ..PICTURE
    },
    Scene {
        name: "costs that cannot be noted",
        check_after: Some("1s"),
        sabotage: Some(NO_CHECK),
        seconds: 5,
        ..PICTURE
    },
    Scene {
        name: "books that take no dispatch",
        sabotage: Some(NO_DISPATCH),
        seconds: 2,
        ..PICTURE
    },
    Scene {
        name: "books that take no release",
        upstream: || vec![Script::sample("err-403-moderation").times(9)],
        sabotage: Some(NO_END),
        seconds: 2,
        ..PICTURE
    },
    Scene {
        name: "a cost that nobody tells",
        upstream: || {
            vec![Script {
                generation_lookup: Some(GenerationLookup::MissingFirst(6)),
                ..Script::without_usage()
            }]
        },
        seconds: 9,
        ..PICTURE
    },
    Scene {
        name: "books that take no charge",
        sabotage: Some(NO_END),
        seconds: 6,
        ..PICTURE
    },
];

impl Scene {
    /// How long after the answer its sabotage lasts.
    pub(crate) fn sabotaged(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// How long it goes on after that.
    pub(crate) fn mended(&self) -> Duration {
        if self.sabotage.is_some() {
            MENDED
        } else {
            Duration::ZERO
        }
    }

    /// What the caller sends.
    pub(crate) fn request(&self, request_id: &str) -> proto::GenerateImageRequest {
        proto::GenerateImageRequest {
            agent_id: self.agent.to_owned(),
            count: self.count,
            // Scripts find their call by it.
            prompt: format!("a red fox in the snow, {request_id}."),
            ..request(request_id)
        }
    }

    /// What upstream does to the call of this request, and to questions about it.
    pub(crate) fn scripts(&self, request_id: &str) -> Vec<Script> {
        let part = format!(", {request_id}.");
        let for_it = |script: Script| match script.path {
            Some(_) => script,
            None => script.for_prompt(&part),
        };
        (self.upstream)().into_iter().map(for_it).collect()
    }
}
