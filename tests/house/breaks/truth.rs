//! What must be true when everything has ended, whatever failed on the way.

use std::collections::BTreeMap;

use image_gateway::domain::books::Stage;
use image_gateway::domain::delivery::verdict;
use image_gateway::domain::generation::{CallRecord, CostSource, Generation, StoredImage};
use image_gateway::domain::money::Credits;
use image_gateway::ports::{Gallery, Ledger, Upkeep, Which};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::studio::{CREDITS, Studio, Told, organization, request_id};

/// More than any picture here has.
const WHOLE: usize = 1 << 20;

pub(crate) fn must(holds: bool, what: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}

impl Studio {
    /// The newest attempt, if there is any.
    pub(crate) async fn generation(&self) -> Option<Generation> {
        let which = Which::Request(request_id());
        let found = self.sqlite.generation(&organization(), &which).await;
        found.expect("a look")
    }

    /// The books agree with themselves, nothing is open, and what was taken was taken once, for
    /// pictures that can be had.
    pub(crate) async fn check(&self, told: &Told) -> Result<(), String> {
        let breaks = self.sqlite.audit().await.expect("an audit");
        must(breaks.is_empty(), format!("the audit: {breaks:?}"))?;
        let open = self.sqlite.open_holds().await.expect("a count");
        must(open == 0, format!("{open} holds are open"))?;
        let account = self.sqlite.account(&organization()).await;
        let account = account.expect("an account");
        must(account.held == Credits::ZERO, "credits are held")?;
        must(self.charged() <= 1, "charged more than once")?;
        must(self.drafts() == 0, "half a picture was left behind")?;
        let generation = self.generation().await;
        let charge = generation.as_ref().and_then(|found| found.charge.as_ref());
        let kept = charge.map_or(0, |charge| {
            charge.credits.hundredths() - charge.refunded.hundredths()
        });
        must(
            account.balance().hundredths() == CREDITS.hundredths() - kept,
            "the balance is not what was bought less what was charged",
        )?;
        match generation {
            Some(generation) if generation.stage == Stage::Settled => {
                let files = self.files(&generation.images).await?;
                self.is_due(&generation).await?;
                agrees(told, &generation, &files)
            }
            found => match (told, found.and_then(|ended| ended.failure)) {
                (Told::Pictures(..), _) => {
                    Err("told of pictures that were never charged".to_owned())
                }
                (Told::Failed(Some(told)), Some(kept)) => must(
                    *told == kept.reason,
                    format!("told {told:?}, kept {:?}", kept.reason),
                ),
                (Told::Failed(_), _) => Ok(()),
            },
        }
    }

    /// Generations that were charged.
    fn charged(&self) -> u32 {
        let database = self.dir.path().join("gateway.sqlite3");
        let connection = rusqlite::Connection::open(database).expect("the database");
        let sql = "SELECT count(*) FROM generation_state WHERE state = 'settled'";
        let count = connection.query_row(sql, [], |row| row.get(0));
        count.expect("a count")
    }

    fn drafts(&self) -> usize {
        let spool = self.dir.path().join("images/spool");
        std::fs::read_dir(spool).expect("a folder").count()
    }

    /// The pictures, read whole, byte for byte what the books say.
    async fn files(&self, images: &[StoredImage]) -> Result<BTreeMap<u32, Vec<u8>>, String> {
        must(!images.is_empty(), "charged without a picture")?;
        let mut files = BTreeMap::new();
        for image in images {
            let source = self.gallery.files.open(&image.object_name).await;
            let source = source.map_err(|error| format!("a charged picture: {error}"))?;
            let bytes = source.read(0, WHOLE).await;
            let bytes = bytes.map_err(|error| format!("a charged picture: {error}"))?;
            let hash: [u8; 32] = Sha256::digest(&bytes).into();
            must(hash == image.sha256, "a charged picture is not whole")?;
            files.insert(image.index, bytes.to_vec());
        }
        Ok(files)
    }

    /// No more was taken than what is known now to be due, and no cost was believed that the
    /// upstream did not bill.
    async fn is_due(&self, generation: &Generation) -> Result<(), String> {
        let Some(charge) = &generation.charge else {
            return Err("settled without a charge".to_owned());
        };
        let case = self.sqlite.case(generation.draft.id).await.expect("a look");
        let calls: Vec<CallRecord> = case
            .expect("a case")
            .calls
            .into_iter()
            .map(|call| call.record)
            .collect();
        let due = verdict(&generation.draft, &generation.images, &calls).charge;
        let kept = charge.credits.hundredths() - charge.refunded.hundredths();
        must(
            kept <= due.credits.hundredths(),
            format!(
                "{kept} hundredths were taken, {} are due: {charge:?}",
                due.credits
            ),
        )?;
        let known = matches!(due.cost_source, CostSource::Usage | CostSource::Lookup);
        let billed = self.mock.total_billed();
        must(
            !known || due.cost.to_decimal() <= billed.max(Decimal::ZERO),
            format!("{} was believed, {billed} was billed", due.cost),
        )
    }
}

/// What the caller was told is what is in the books and on the disk.
fn agrees(
    told: &Told,
    generation: &Generation,
    files: &BTreeMap<u32, Vec<u8>>,
) -> Result<(), String> {
    let Told::Pictures(shown, bytes) = told else {
        // Its answer was lost; asking again replays the pictures.
        return Ok(());
    };
    must(shown.draft.id == generation.draft.id, "told of another")?;
    must(bytes == files, "told other bytes than are kept")?;
    let shown = shown.charge.as_ref().map(|charge| charge.credits);
    let booked = generation.charge.as_ref().map(|charge| charge.credits);
    must(
        shown.is_none() || shown == booked,
        "told of another charge than was booked",
    )
}
