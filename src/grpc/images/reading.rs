//! Looking things up: lists of generations, and the bytes of a picture.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use tonic::{Request, Status};
use uuid::Uuid;

use super::by_id;
use crate::domain::books::Stage;
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::{Channel, Generation, StoredImage};
use crate::domain::ids::{AgentId, GenerationId};
use crate::generate::{internal, not_found};
use crate::grpc::{Service, caller, page, read, status, write};
use crate::ports::{GenerationFilter, ImageSource};
use crate::proto;
use crate::watch::{CHUNK_BYTES, unreadable};

/// The pieces of one picture.
pub(super) type Pieces =
    Pin<Box<dyn Stream<Item = Result<proto::ReadImageResponse, Status>> + Send>>;

/// A picture while it is read.
struct Reading {
    source: Arc<dyn ImageSource>,
    image: StoredImage,
    generation: GenerationId,
    offset: u64,
    end: u64,
    first: bool,
}

impl Service {
    pub(super) async fn generations(
        &self,
        request: Request<proto::ListGenerationsRequest>,
    ) -> Result<proto::ListGenerationsResponse, Failure> {
        let organization = read::payer(&caller(&request)?)?;
        let request = request.into_inner();
        let filter = filter(&request)?;
        let size = page::size(request.page_size)?;
        let after = page::place(&request.page_token, &filter)?;
        let after = after.map(|id| GenerationId::from_uuid(Uuid::from_bytes(id)));
        let records = &self.parts.records;
        // One more than asked tells whether there is a next page.
        let found = records.generations(&organization, filter.clone(), after, size + 1);
        let mut found = found.await.map_err(internal)?;
        let shown = usize::try_from(size).unwrap_or(usize::MAX);
        let more = found.len() > shown;
        found.truncate(shown);
        let last = found.last().filter(|_| more);
        let token = |last: &Generation| page::token(last.draft.id.uuid().as_bytes(), &filter);
        Ok(proto::ListGenerationsResponse {
            next_page_token: last.map(token).unwrap_or_default(),
            generations: found
                .iter()
                .map(|generation| write::generation(generation, false))
                .collect(),
        })
    }

    pub(super) async fn read_image(
        &self,
        request: Request<proto::ReadImageRequest>,
    ) -> Result<Pieces, Failure> {
        let organization = read::payer(&caller(&request)?)?;
        let request = request.into_inner();
        let which = by_id(&request.generation_id)?;
        let index = read::amount("index", request.index)?;
        let offset = read::size("read_offset", request.read_offset)?;
        let limit = read::size("read_limit", request.read_limit)?;
        let found = self.parts.ledger.generation(&organization, &which).await;
        let found = found.map_err(internal)?.ok_or_else(not_found)?;
        let generation = found.draft.id;
        let image = image(found, index)?;
        if offset > image.size_bytes {
            let what = format!("is beyond the {} bytes of the image", image.size_bytes);
            return Err(Failure::invalid("read_offset", what));
        }
        let end = match limit {
            0 => image.size_bytes,
            limit => offset.saturating_add(limit).min(image.size_bytes),
        };
        let source = self.parts.gallery.open(&image.object_name).await;
        let reading = Reading {
            source: source.map_err(|error| unreadable(error, generation))?,
            image,
            generation,
            offset,
            end,
            first: true,
        };
        Ok(Box::pin(unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            let piece = reading.next().await?;
            let goes_on = piece.is_ok().then_some(reading);
            Some((piece.map_err(|failure| status::of(&failure)), goes_on))
        })))
    }
}

impl Reading {
    /// The next piece; even a picture of which nothing is left to read is told about.
    async fn next(&mut self) -> Option<Result<proto::ReadImageResponse, Failure>> {
        if self.offset >= self.end && !self.first {
            return None;
        }
        let left = usize::try_from(self.end - self.offset).unwrap_or(CHUNK_BYTES);
        let data = match self.source.read(self.offset, left.min(CHUNK_BYTES)).await {
            Ok(data) => data,
            Err(error) => return Some(Err(unreadable(error, self.generation))),
        };
        if data.is_empty() && self.offset < self.end {
            // The file is shorter than the books say.
            return Some(Err(Failure::internal()));
        }
        self.offset += u64::try_from(data.len()).unwrap_or(0);
        let mut piece = proto::ReadImageResponse {
            data,
            ..Default::default()
        };
        if std::mem::take(&mut self.first) {
            piece.sha256 = write::hex(&self.image.sha256);
            piece.size_bytes = i64::try_from(self.image.size_bytes).unwrap_or(i64::MAX);
            piece.media_type = self.image.media_type.to_string();
        }
        Some(Ok(piece))
    }
}

/// One picture of a generation, if it is there.
fn image(found: Generation, index: u32) -> Result<StoredImage, Failure> {
    match (found.stage, found.failure) {
        (Stage::Stored | Stage::Settled, _) => {
            let mut images = found.images.into_iter();
            images.find(|image| image.index == index).ok_or_else(|| {
                let what = "This generation has no image of that index.";
                Failure::new(Reason::GenerationNotFound, what)
            })
        }
        (Stage::Voided, Some(failure)) => Err(failure),
        _ => {
            let what = "The images are not there yet; watch the generation.";
            Err(Failure::new(Reason::GenerationInProgress, what)
                .with("generation_id", found.draft.id))
        }
    }
}

fn filter(request: &proto::ListGenerationsRequest) -> Result<GenerationFilter, Failure> {
    use proto::GenerationState as State;
    let (stages, cancelled) = match read::known("state", request.state)? {
        State::Unspecified => (vec![], None),
        State::Pending => (vec![Stage::Held], None),
        State::Running => (
            vec![
                Stage::Dispatched,
                Stage::Streaming,
                Stage::InDoubt,
                Stage::Review,
            ],
            None,
        ),
        State::Succeeded => (vec![Stage::Stored, Stage::Settled], None),
        State::Failed => (vec![Stage::Voided], Some(false)),
        State::Cancelled => (vec![Stage::Voided], Some(true)),
    };
    let agent = &request.agent_id;
    let channel = read::channel(request.channel)?;
    Ok(GenerationFilter {
        agent: match agent.is_empty() {
            true => None,
            false => Some(read::name("agent_id", agent, AgentId::parse)?),
        },
        model: match request.model.is_empty() {
            true => None,
            false => Some(read::slug("model", &request.model)?),
        },
        channel: Some(channel).filter(|channel| *channel != Channel::Unspecified),
        stages,
        cancelled,
        accepted: read::period(request.start_time.as_ref(), request.end_time.as_ref())?,
    })
}
