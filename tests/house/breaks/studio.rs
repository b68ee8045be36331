//! A generator and a recovery over the real database, the real gallery and the mock, with a trap at
//! every port between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use image_gateway::domain::catalog::Catalog;
use image_gateway::domain::failure::Reason;
use image_gateway::domain::generation::Generation;
use image_gateway::domain::ids::{AgentId, EntryId, OrganizationId, Reference, RequestId, Slug};
use image_gateway::domain::job::ImageRequest;
use image_gateway::domain::money::Credits;
use image_gateway::domain::tool::Tool;
use image_gateway::domain::trail::{Actor, By};
use image_gateway::generate::{self, Call, Generator, Payers};
use image_gateway::keys::{Keyring, Vault};
use image_gateway::metrics::Metrics;
use image_gateway::mock::{self, Mock, Script};
use image_gateway::openrouter;
use image_gateway::ports::{Ledger, Organization, Purchase, Settings, Upkeep};
use image_gateway::prices::{self, Prices};
use image_gateway::recover::{self, Recovery};
use image_gateway::store::gallery::Files;
use image_gateway::store::sqlite::Sqlite;
use image_gateway::watch::Event;
use jiff::Timestamp;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::books::TrappedBooks;
use super::trap::{Plan, Trap};
use super::world::{TrappedGallery, TrappedKeys, TrappedProvider, TrappedSettings};
use crate::helpers::AGENT;

/// What the organization has at the beginning.
pub(crate) const CREDITS: Credits = Credits::from_whole(10_000);

/// Seconds after which the recovery looks again, until nothing is open: past the time of every hold.
const LOOKS: [i64; 7] = [0, 0, 2, 8, 30, 100, 3_000];

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked for, and how the mock answers.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) model: &'static str,
    pub(crate) count: u32,
    pub(crate) script: Script,
}

/// What a caller was told.
pub(crate) enum Told {
    /// The receipt, and each picture that was told to be whole.
    Pictures(Box<Generation>, BTreeMap<u32, Vec<u8>>),
    /// A failure, with the reason that the process stands by, or an answer that was lost.
    Failed(Option<Reason>),
}

/// Everything between one caller and the mock.
pub(crate) struct Studio {
    pub(crate) mock: Mock,
    pub(crate) sqlite: Sqlite,
    pub(crate) trap: Arc<Trap>,
    pub(crate) gallery: Arc<TrappedGallery>,
    pub(crate) dir: TempDir,
    books: Arc<TrappedBooks>,
    provider: Arc<TrappedProvider>,
    settings: Arc<TrappedSettings>,
    prices: Arc<Prices>,
    scene: Scene,
}

/// A process that draws.
pub(crate) struct Process {
    pub(crate) generator: Arc<Generator>,
    tracker: TaskTracker,
}

async fn prices(config: &openrouter::Config, sqlite: &Sqlite) -> Arc<Prices> {
    let parts = prices::Parts {
        lister: Arc::new(openrouter::Lists::new(config.clone()).expect("lists")),
        store: Arc::new(sqlite.clone()),
        metrics: Arc::new(Metrics::new()),
        interval: None,
        tracker: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    let prices = Prices::open(parts, Catalog::built_in()).await;
    Arc::new(prices.expect("prices"))
}

pub(crate) fn organization() -> OrganizationId {
    OrganizationId::parse("acme").expect("a name")
}

pub(crate) fn request_id() -> RequestId {
    RequestId::parse("the-one").expect("a name")
}

impl Studio {
    pub(crate) async fn open(scene: Scene, plan: Plan) -> Self {
        let address = "127.0.0.1:0".parse().expect("an address");
        let mock = Mock::start(address, mock::Options::default())
            .await
            .expect("a mock");
        mock.script(scene.script.clone().times(u32::MAX));
        let dir = folder();
        let trap = Arc::new(Trap::new(plan));
        let sqlite = Sqlite::open(dir.path()).expect("a database");
        furnish(&sqlite, scene.model).await;
        let key = SecretString::from("sk-or-v1-mock");
        let config = openrouter::Config::new(mock.base_url(), key);
        let prices = prices(&config, &sqlite).await;
        let books = TrappedBooks {
            books: sqlite.clone(),
            trap: Arc::clone(&trap),
            ahead: AtomicI64::new(0),
            looked: Notify::new(),
        };
        let gallery = TrappedGallery {
            files: Files::open(dir.path(), None).expect("a gallery"),
            trap: Arc::clone(&trap),
        };
        let provider = TrappedProvider {
            client: openrouter::Client::new(config).expect("a client"),
            trap: Arc::clone(&trap),
        };
        let settings = TrappedSettings {
            books: sqlite.clone(),
            trap: Arc::clone(&trap),
        };
        Self {
            books: Arc::new(books),
            gallery: Arc::new(gallery),
            provider: Arc::new(provider),
            settings: Arc::new(settings),
            prices,
            mock,
            sqlite,
            trap,
            dir,
            scene,
        }
    }

    /// With whose key organizations draw here: the platform's.
    fn payers(&self) -> Arc<Payers> {
        let keys = TrappedKeys {
            books: self.sqlite.clone(),
            trap: Arc::clone(&self.trap),
        };
        let vault = Arc::new(Vault::new([7; 32], [7; 8]));
        let keyring = Arc::new(Keyring::new([7; 32], None));
        let provider = self.provider.clone();
        Arc::new(Payers::new(Arc::new(keys), vault, keyring, provider))
    }

    /// A process with nothing running.
    pub(crate) fn process(&self) -> Process {
        let tracker = TaskTracker::new();
        let generator = Generator::new(generate::Parts {
            ledger: self.books.clone(),
            settings: self.settings.clone(),
            gallery: self.gallery.clone(),
            provider: self.provider.clone(),
            payers: self.payers(),
            prices: Arc::clone(&self.prices),
            keyring: Arc::new(Keyring::new([7; 32], None)),
            metrics: Arc::new(Metrics::new()),
            tracker: tracker.clone(),
            max_concurrent: 8,
            max_concurrent_each: None,
            upstream_timeout: Duration::from_secs(20),
        });
        Process { generator, tracker }
    }

    /// Asks for the pictures, reads to the end, and waits until the process works no more.
    pub(crate) async fn ask(&self, process: &Process) -> Told {
        let told = self.read(process).await;
        self.end(process).await;
        told
    }

    /// Asks for the pictures, and reads to the end.
    pub(crate) async fn read(&self, process: &Process) -> Told {
        let told = tokio::time::timeout(PATIENCE, self.told(&process.generator));
        told.await.expect("an answer")
    }

    /// Waits until a process works no more.
    pub(crate) async fn end(&self, process: &Process) {
        process.tracker.close();
        let rest = tokio::time::timeout(PATIENCE, process.tracker.wait());
        rest.await.expect("nothing runs for ever");
    }

    /// Why a process refuses the call, if it does.
    pub(crate) async fn refusal(&self, process: &Process) -> Option<Reason> {
        let answer = process.generator.generate(self.call()).await;
        answer.err().map(|failure| failure.reason)
    }

    fn call(&self) -> Call {
        let agent = AgentId::parse(AGENT).expect("a name");
        let bare = ImageRequest::bare(agent).expect("a request");
        Call {
            organization: organization(),
            request: ImageRequest {
                request_id: request_id(),
                prompt: Arc::from("a red fox in the snow"),
                count: self.scene.count,
                ..bare
            },
            references: Vec::new(),
            deadline: None,
        }
    }

    async fn told(&self, generator: &Arc<Generator>) -> Told {
        let mut watch = match generator.generate(self.call()).await {
            Ok(watch) => watch,
            Err(_) => return Told::Failed(None),
        };
        let (mut begun, mut whole) = (BTreeMap::<u32, Vec<u8>>::new(), BTreeMap::new());
        while let Some(event) = watch.next().await {
            match event {
                Ok(Event::ImageChunk { index, data }) => {
                    begun.entry(index).or_default().extend(data);
                }
                Ok(Event::ImageFinished(image)) => {
                    let bytes = begun.remove(&image.index).unwrap_or_default();
                    whole.insert(image.index, bytes);
                }
                Ok(Event::Completed { generation, .. }) => {
                    return Told::Pictures(Box::new(Generation::clone(&generation)), whole);
                }
                Ok(_) => {}
                // What a process has told that is gone, the next one cannot know.
                Err(failure) => {
                    let stands = !self.trap.is_dead();
                    return Told::Failed(stands.then_some(failure.reason));
                }
            }
        }
        panic!("a watch ends with an answer");
    }

    /// Lets the recovery look again and again, later and later, until nothing is open.
    pub(crate) async fn recover(&self, process: &Process) {
        for ahead in LOOKS {
            self.look_at(ahead, process).await;
            let questions = self.sqlite.questions(Timestamp::MAX, 1).await;
            let open = self.sqlite.open_holds().await.expect("a count");
            if open == 0 && questions.expect("a look").is_empty() {
                return;
            }
        }
    }

    /// A recovery that begins so many seconds later, looks at everything once, and is stopped.
    pub(crate) async fn look_at(&self, ahead: i64, process: &Process) {
        self.books.ahead.store(ahead, Ordering::SeqCst);
        let recovery = Recovery::new(recover::Parts {
            ledger: self.books.clone(),
            upkeep: self.books.clone(),
            gallery: self.gallery.clone(),
            payers: self.payers(),
            generator: Arc::clone(&process.generator),
            metrics: Arc::new(Metrics::new()),
            retention: Duration::from_secs(30 * 24 * 3600),
            check_after: None,
        });
        let stop = CancellationToken::new();
        let looked = async {
            self.books.looked.notified().await;
            stop.cancel();
        };
        let work = async { tokio::join!(recovery.run(stop.clone()), looked) };
        let looked = tokio::time::timeout(PATIENCE, work);
        looked.await.expect("the recovery comes round");
    }
}

/// In memory where there is such a folder: nothing here is about power cuts, and every run flushes
/// dozens of times.
fn folder() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

/// The organization, its credits and its tool.
async fn furnish(sqlite: &Sqlite, model: &str) {
    let now = image_gateway::clock::now();
    let by = By {
        actor: Actor::Operator,
        at: now,
    };
    let acme = Organization {
        id: organization(),
        name: "Acme".to_owned(),
        created: now,
    };
    sqlite
        .create_organization(acme, by.clone())
        .await
        .expect("an organization");
    let purchase = Purchase {
        id: EntryId::from_uuid(Uuid::now_v7()),
        organization: organization(),
        credits: CREDITS,
        reference: Reference::parse("first").expect("a name"),
        description: String::new(),
        actor: Actor::Operator,
        now,
    };
    sqlite.add_credits(purchase).await.expect("credits");
    let tool = Tool {
        enabled: true,
        model: Slug::parse(model).ok(),
        max_images_per_call: 4,
        ..Tool::new(AgentId::parse(AGENT).expect("a name"), now)
    };
    let saved = sqlite.save_tool(&organization(), None, tool, by).await;
    assert!(saved.expect("a tool"));
}
