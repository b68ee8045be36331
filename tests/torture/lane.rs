//! One data folder with its upstream, and what its callers were told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use image_gateway::mock::{self, Mock};
use image_gateway::proto;
use rust_decimal::Decimal;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use crate::dice::Dice;
use crate::gateway::{Fate, Gateway};
use crate::helpers::{House, NANO, OPERATOR_KEY};
use crate::reckoning::Reckoning;
use crate::scenes::{MANY, MEND, Scene};
use crate::story::Story;

/// How long a caller waits for its pictures.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a caller was told, and so must never be untrue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The SHA-256 of each picture.
    pub(crate) pictures: Vec<String>,
    /// The charge; `None` while it is pending.
    pub(crate) credits: Option<String>,
}

/// A data folder that is tortured.
pub(crate) struct Lane {
    pub(crate) house: House,
    /// The requests that were completed for their callers.
    pub(crate) told: BTreeMap<String, Told>,
    /// Those whose callers do not know.
    pub(crate) unanswered: BTreeMap<String, &'static Scene>,
    /// Top-ups that were answered, in hundredths.
    pub(crate) bought: BTreeMap<String, i64>,
    /// Whose pictures are removed and not marked as such, because the process died in between: the
    /// next one has no reason to look, because it keeps pictures for longer.
    pub(crate) half_expired: BTreeSet<String>,
    pub(crate) counted: Reckoning,
    number: u64,
    requests: u64,
}

impl Lane {
    /// A new data folder with an organization that can pay for everything here.
    pub(crate) async fn open(number: u64) -> Self {
        let mock = Mock::start("127.0.0.1:0".parse().unwrap(), mock::Options::default());
        let house = House {
            mock: mock.await.expect("a mock"),
            app: None,
            channel: Endpoint::from_static("http://127.0.0.1:1").connect_lazy(),
            runtime: String::new(),
            admin: String::new(),
            owner: String::new(),
            dir: tempfile::tempdir().expect("a folder"),
            absorbed: Decimal::ZERO,
            in_doubt: 0,
        };
        let mut lane = Self {
            house,
            told: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            bought: BTreeMap::new(),
            half_expired: BTreeSet::new(),
            counted: Reckoning::default(),
            number,
            requests: 0,
        };
        lane.furnish().await;
        lane
    }

    async fn furnish(&mut self) {
        let gateway = Gateway::start(&mut self.house, &Fate::default()).await;
        let gateway = gateway.expect("it serves");
        let house = &mut self.house;
        let mut organizations = house.organizations(OPERATOR_KEY);
        let made = organizations.create_organization(proto::CreateOrganizationRequest {
            id: "acme".to_owned(),
            name: "Acme".to_owned(),
        });
        made.await.expect("an organization");
        house.top_up("acme", "10000000", "first").await;
        self.bought.insert("first".to_owned(), 1_000_000_000);
        house.runtime = house.key("acme", proto::Role::Runtime).await;
        house.admin = house.key("acme", proto::Role::Admin).await;
        house.tool(|_| {}).await;
        let many = |tool: &mut proto::GenerateImageTool| {
            tool.agent_id = MANY.to_owned();
            tool.model = NANO.to_owned();
        };
        house.tool(many).await;
        gateway.stop().await;
    }

    /// Sets a scene, and starts the process that will play in it; `None` if that died already.
    pub(crate) async fn begin(&mut self, scene: &'static Scene, fate: &Fate) -> Option<Gateway> {
        self.house.mock.clear_scripts();
        if scene.check_after.is_some() {
            self.end_what_is_open().await;
        }
        if let Some(place) = scene.first_dies_at {
            let first = Fate {
                dies_at: Some(place.to_owned()),
                ..Fate::default()
            };
            let gateway = Gateway::start(&mut self.house, &first).await;
            if let Some(mut gateway) = gateway {
                self.play(scene).await;
                gateway.died(DEADLINE).await;
                gateway.kill().await;
            }
            // A picture's time must be over before the next process looks.
            if scene.retention.is_some() {
                tokio::time::sleep(Duration::from_millis(1100)).await;
            }
        }
        let fate = Fate {
            retention: scene.retention,
            check_after: scene.check_after,
            ..fate.clone()
        };
        let gateway = Gateway::start(&mut self.house, &fate).await?;
        if let Some(sql) = scene.sabotage {
            self.sql(sql);
        }
        Some(gateway)
    }

    /// A caller asks for what the scene is about.
    pub(crate) async fn play(&mut self, scene: &'static Scene) {
        let asked = self.ask(scene);
        let answer = call(&self.house, &asked).await;
        self.note(scene, &asked.request_id, answer);
    }

    /// Several callers at once, one of them buying credits.
    pub(crate) async fn play_all(&mut self, scenes: &[&'static Scene], dice: &mut Dice) {
        self.house.mock.clear_scripts();
        let asked: Vec<_> = scenes.iter().map(|scene| self.ask(scene)).collect();
        let hundredths = 1 + i64::try_from(dice.below(500)).unwrap_or(0);
        let reference = format!("top-up-{}-{}", self.number, self.requests);
        let calls = join_all(asked.iter().map(|asked| call(&self.house, asked)));
        let buys = buy(&self.house, &reference, hundredths);
        let (answers, bought) = tokio::join!(calls, buys);
        for ((scene, asked), answer) in scenes.iter().zip(&asked).zip(answers) {
            self.note(scene, &asked.request_id, answer);
        }
        if bought {
            self.bought.insert(reference, hundredths);
        }
    }

    fn ask(&mut self, scene: &'static Scene) -> proto::GenerateImageRequest {
        self.requests += 1;
        let id = format!("r{}-{}", self.number, self.requests);
        for script in scene.scripts(&id) {
            self.house.mock.script(script);
        }
        scene.request(&id)
    }

    fn note(&mut self, scene: &'static Scene, id: &str, answer: Result<Story, Status>) {
        match answer {
            Ok(story) => {
                self.told.insert(id.to_owned(), Told::of(&story));
            }
            Err(_) => {
                self.unanswered.insert(id.to_owned(), scene);
            }
        }
    }

    /// Ends the sabotage of a scene.
    pub(crate) fn mend(&self) {
        self.sql(MEND);
    }

    fn sql(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.house.database()).expect("the database");
        connection
            .busy_timeout(Duration::from_secs(10))
            .expect("a setting");
        connection.execute_batch(sql).expect(sql);
    }

    /// Gives the lane up without looking at its books.
    pub(crate) async fn abandon(self) {
        self.house.mock.stop().await;
    }
}

impl Told {
    pub(crate) fn of(story: &Story) -> Self {
        let charge = story.charge();
        Self {
            pictures: story
                .finished
                .iter()
                .map(|image| image.sha256.clone())
                .collect(),
            credits: (!charge.pending).then(|| charge.credits.clone()),
        }
    }
}

/// One call, however it ends.
pub(crate) async fn call(
    house: &House,
    asked: &proto::GenerateImageRequest,
) -> Result<Story, Status> {
    let mut request = Request::new(asked.clone());
    request.set_timeout(DEADLINE);
    let events = house.images(&house.runtime).generate_image(request).await?;
    Story::read(events.into_inner()).await
}

async fn buy(house: &House, reference: &str, hundredths: i64) -> bool {
    let request = proto::AddCreditsRequest {
        organization_id: "acme".to_owned(),
        credits: Decimal::new(hundredths, 2).to_string(),
        reference: reference.to_owned(),
        description: String::new(),
    };
    house
        .billing(OPERATOR_KEY)
        .add_credits(request)
        .await
        .is_ok()
}
