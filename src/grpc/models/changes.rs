//! Prices over time: what they were, and what the operator does about them.

use std::sync::Arc;

use jiff::Timestamp;
use tonic::Request;

use super::show::show;
use crate::domain::catalog::{PriceChange, PricePart};
use crate::domain::failure::{Failure, Reason};
use crate::domain::ids::Slug;
use crate::generate::{unsettled, unsettled_for_all};
use crate::grpc::page::{Asked, Page};
use crate::grpc::trail::OPERATOR;
use crate::grpc::{Service, caller, read, write};
use crate::ports::ChangePlace;
use crate::prices::SyncError;
use crate::proto;

/// Bytes of a time in a token.
const TIME_BYTES: usize = 8;

impl Service {
    pub(super) async fn price_changes(
        &self,
        request: Request<proto::ListPriceChangesRequest>,
    ) -> Result<proto::ListPriceChangesResponse, Failure> {
        caller(&request)?;
        let request = request.into_inner();
        let model = match request.slug.as_str() {
            "" => None,
            slug => Some(read::slug("slug", slug)?),
        };
        let list = self.parts.prices.current();
        if let Some(slug) = model
            .as_ref()
            .filter(|slug| list.catalog.find(slug).is_none())
        {
            return Err(Failure::model_not_found(slug.as_str()));
        }
        let asked = ("ListPriceChanges", &model);
        let question = Asked::new(&self.parts.keyring, &asked);
        let mut page = Page::new(request.page_size)?;
        let last = question.place_of_any_length(&request.page_token)?;
        let last = last.map(|place| seen(&place)).transpose()?;
        let found = self
            .parts
            .prices
            .changes(model.clone(), last, page.wanted());
        let found = found.await.map_err(unsettled)?;
        let mut next_page_token = String::new();
        let mut last = None;
        for change in &found {
            if !page.add(shown(change)) {
                next_page_token = last
                    .map(|last| question.token(&place(last)))
                    .unwrap_or_default();
                break;
            }
            last = Some(change);
        }
        Ok(proto::ListPriceChangesResponse {
            price_changes: page.items,
            next_page_token,
        })
    }

    pub(super) async fn sync(
        &self,
        request: Request<proto::SyncModelsRequest>,
    ) -> Result<proto::SyncModelsResponse, Failure> {
        let actor = caller(&request)?.by().actor;
        let synced = self.parts.prices.sync(actor).await.map_err(not_synced)?;
        tracing::info!(
            actor = OPERATOR,
            added = synced.added,
            withdrawn = synced.withdrawn,
            prices = synced.prices,
            flagged = synced.flagged,
            "the prices were synced on demand"
        );
        let count = |count: usize| write::int(u32::try_from(count).unwrap_or(u32::MAX));
        Ok(proto::SyncModelsResponse {
            last_sync: Some(write::timestamp(synced.at)),
            models_added: write::int(synced.added),
            models_withdrawn: write::int(synced.withdrawn),
            prices_changed: count(synced.prices),
            prices_flagged: count(synced.flagged),
        })
    }

    pub(super) async fn confirm(
        &self,
        request: Request<proto::ConfirmPriceRequest>,
    ) -> Result<proto::Model, Failure> {
        let caller = caller(&request)?;
        let view = self.view(&caller).await?;
        let slug = read::slug("slug", &request.get_ref().slug)?;
        let confirmed = self.parts.prices.confirm(&slug, caller.by().actor).await;
        if confirmed.map_err(unsettled)? {
            tracing::info!(actor = OPERATOR, model = %slug, "a doubted price was confirmed");
        }
        let list = self.parts.prices.current();
        let found = list.catalog.find(&slug);
        let model = found.ok_or_else(|| Failure::model_not_found(slug.as_str()))?;
        Ok(show(model, &list, &view))
    }
}

fn shown(change: &PriceChange) -> proto::PriceChange {
    proto::PriceChange {
        slug: change.slug.to_string(),
        change_time: Some(write::timestamp(change.at)),
        usd_before: change.before.normalize().to_string(),
        usd_after: change.after.normalize().to_string(),
        flagged: change.flagged,
        price: change.part.to_string(),
    }
}

/// The place of a change in a token: no word has a zero byte.
fn place(change: &PriceChange) -> Vec<u8> {
    let mut place = change.at.as_microsecond().to_be_bytes().to_vec();
    place.extend(format!("{}\0{}", change.slug, change.part).bytes());
    place
}

fn seen(place: &[u8]) -> Result<ChangePlace, Failure> {
    let read = || {
        let (at, rest) = place.split_at_checked(TIME_BYTES)?;
        let at = i64::from_be_bytes(at.try_into().ok()?);
        let (slug, part) = str::from_utf8(rest).ok()?.split_once('\0')?;
        Some(ChangePlace {
            at: Timestamp::from_microsecond(at).ok()?,
            slug: Slug::parse(slug).ok()?,
            part: PricePart::parse(part)?,
        })
    };
    // Under the seal is what [`place`] wrote.
    read().ok_or_else(Failure::internal)
}

/// The operator is told what stands in the way; nothing has changed.
fn not_synced(error: Arc<SyncError>) -> Failure {
    match &*error {
        SyncError::Stopped => {
            let what = "The gateway is going down and has not read the list; the last good one stays. Ask again when it is up.";
            Failure::new(Reason::ShuttingDown, what)
        }
        SyncError::List(_) | SyncError::Absurd(_) => {
            let what = format!("The last good list stays: {error}.");
            Failure::new(Reason::UpstreamUnavailable, what)
        }
        SyncError::Store(error) => unsettled_for_all(error),
    }
}
