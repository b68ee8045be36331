//! Databases to measure on, and what is written to them: calls as an agent runtime makes them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use image_gateway::clock;
use image_gateway::domain::failure::{Failure, Reason};
use image_gateway::domain::generation::{
    CallRecord, Channel, Charge, Context as Origins, CostSource, Draft, KeyMode, MediaType, Origin,
    StoredImage,
};
use image_gateway::domain::ids::{
    AgentId, EntryId, GenerationId, OrganizationId, Reference, RequestId, Slug,
};
use image_gateway::domain::money::{Credits, UsdCost, platform_charge};
use image_gateway::domain::pricing::{Bounds, Question};
use image_gateway::domain::shape::{AspectRatio, PixelSize, Resolution, SentShape};
use image_gateway::domain::trail::{Actor, By};
use image_gateway::ports::{
    Delivery, Ledger, Limits, Opening, Organization, Purchase, Settings, Settlement, Voiding,
};
use image_gateway::store::sqlite::Sqlite;
use jiff::SignedDuration;
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

/// More than a run can spend, in hundredths of a credit.
const BOUGHT: i64 = 1_000_000_000_000;

/// What a usual image holds, in hundredths of a credit.
const HELD: i64 = 800;

/// What a usual image costs upstream, in US dollars.
const COST_USD: &str = "0.0387";

const PROMPT: &str = "A red fox in fresh snow at the edge of a birch wood, early morning, long \
                      shadows, breath visible in the cold air, photographed from low down";

/// A closed database with organizations that have credits; runs get copies.
#[derive(Debug)]
pub(crate) struct Template {
    folder: TempDir,
    organizations: Arc<[OrganizationId]>,
}

/// An open database.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) sqlite: Sqlite,
    organizations: Arc<[OrganizationId]>,
    /// Goes away with the last of them.
    _folder: Arc<TempDir>,
}

// === impl Template ===

impl Template {
    pub(crate) async fn new(organizations: usize) -> Result<Self> {
        let folder = TempDir::new_in(crate::plan::folder())?;
        let sqlite = Sqlite::open(folder.path())?;
        let ids = (0..organizations).map(|n| OrganizationId::parse(&format!("organization-{n}")));
        let ids: Vec<_> = ids.collect::<Result<_, _>>()?;
        let mut founding = JoinSet::new();
        for id in &ids {
            founding.spawn(found(sqlite.clone(), id.clone()));
        }
        while let Some(founded) = founding.join_next().await {
            founded??;
        }
        Ok(Self {
            folder,
            organizations: ids.into(),
        })
    }

    pub(crate) fn organizations(&self) -> usize {
        self.organizations.len()
    }

    /// A database of its own for one run.
    pub(crate) fn books(&self) -> Result<Books> {
        let folder = TempDir::new_in(crate::plan::folder())?;
        copy(self.folder.path(), folder.path())?;
        Ok(Books {
            sqlite: Sqlite::open(folder.path())?,
            organizations: Arc::clone(&self.organizations),
            _folder: Arc::new(folder),
        })
    }
}

async fn found(sqlite: Sqlite, id: OrganizationId) -> Result<()> {
    let organization = Organization {
        id: id.clone(),
        name: id.as_str().to_owned(),
        created: clock::now(),
    };
    let by = By {
        actor: Actor::Operator,
        at: organization.created,
    };
    sqlite.create_organization(organization, by).await?;
    let purchase = Purchase {
        id: EntryId::from_uuid(Uuid::now_v7()),
        organization: id,
        credits: Credits::from_hundredths(BOUGHT),
        reference: Reference::parse("first").context("a reference")?,
        description: "bought".to_owned(),
        actor: Actor::Operator,
        now: clock::now(),
    };
    sqlite.add_credits(purchase).await?;
    Ok(())
}

/// A database that nobody has open is one file.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

// === impl Books ===

impl Books {
    /// What opens the `n`-th generation; organizations take turns.
    pub(crate) fn opening(&self, n: usize) -> Result<Opening> {
        let organization = &self.organizations[n % self.organizations.len()];
        let now = clock::now();
        Ok(Opening {
            draft: draft(organization.clone(), now)?,
            limits: Limits::default(),
            day_start: now,
            month_start: now,
        })
    }

    /// The books agree with themselves, and nothing is held any more.
    pub(crate) async fn audit(&self) -> Result<()> {
        let breaks = self.sqlite.audit().await?;
        ensure!(breaks.is_empty(), "the audit found {breaks:#?}");
        let open = self.sqlite.open_holds().await?;
        ensure!(open == 0, "{open} holds were left open");
        Ok(())
    }
}

/// An image of a usual size at a usual price.
pub(crate) fn settlement(id: GenerationId) -> Result<Settlement> {
    let cost = UsdCost::from_json(COST_USD).context("a cost")?;
    let image = StoredImage {
        index: 0,
        sha256: [9; 32],
        size_bytes: 1_572_864,
        pixels: PixelSize {
            width: 1024,
            height: 1024,
        },
        media_type: MediaType::Png,
        object_name: format!("{id}/0.png"),
    };
    let call = CallRecord {
        upstream_id: Some(format!("gen-{id}")),
        images: vec![0],
        cost: Some((cost, CostSource::Usage)),
        ..CallRecord::default()
    };
    Ok(Settlement {
        delivery: Delivery {
            images: vec![image],
            text: String::new(),
            adjustments: Vec::new(),
            calls: vec![call],
            now: clock::now(),
        },
        charge: Charge {
            credits: platform_charge(cost, 1),
            images: 1,
            key_mode: KeyMode::Platform,
            cost,
            cost_source: CostSource::Usage,
            refunded: Credits::ZERO,
            corrected: None,
        },
        disputed: None,
    })
}

/// An end without an image.
pub(crate) fn voiding() -> Voiding {
    Voiding {
        failure: Failure::new(Reason::Internal, "It did not work. Please try again."),
        calls: Vec::new(),
        now: clock::now(),
    }
}

fn draft(organization: OrganizationId, now: jiff::Timestamp) -> Result<Draft> {
    let hold = Credits::from_hundredths(HELD);
    Ok(Draft {
        id: GenerationId::from_uuid(Uuid::now_v7()),
        organization,
        // Random, so that rows of an index come at no particular place.
        request_id: RequestId::parse(&Uuid::new_v4().to_string())?,
        fingerprint: [7; 32],
        agent: AgentId::parse("painter")?,
        context: Origins {
            conversation_id: "conversation-1".to_owned(),
            message_id: "message-1".to_owned(),
            user_id: "user-1".to_owned(),
            channel: Channel::Whatsapp,
            origin: Origin::Live,
            metadata: Vec::new(),
        },
        model: Slug::parse("google/gemini-2.5-flash-image")?,
        model_name: "Google: Gemini 2.5 Flash Image".to_owned(),
        prompt: PROMPT.to_owned(),
        resolution: Resolution::parse("1K").context("a resolution")?,
        aspect_ratio: AspectRatio::parse("1:1").context("a ratio")?,
        requested: 1,
        adjustments: Vec::new(),
        sources: Vec::new(),
        key_mode: KeyMode::Platform,
        bounds: Bounds {
            low: hold,
            expected: hold,
            high: hold,
        },
        hold,
        price_basis: "per image".to_owned(),
        pricing: None,
        question: Question::one(Resolution::R1K),
        sent: SentShape::default(),
        upstream_key: String::new(),
        created: now,
        deadline: now + SignedDuration::from_secs(300),
    })
}
