//! Looking things up: lists of generations, and the bytes of a picture.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tonic::{Request, Status};
use uuid::Uuid;

use super::by_id;
use super::events::ended;
use crate::domain::books::Stage;
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::{Channel, Generation, StoredImage};
use crate::domain::ids::{AgentId, GenerationId};
use crate::generate::{internal, not_found};
use crate::grpc::leases::Lease;
use crate::grpc::page::{Asked, Page};
use crate::grpc::{Service, caller, read, status, write};
use crate::ports::{GalleryError, GenerationFilter, ImageSource, Seen};
use crate::proto;
use crate::watch::{CHUNK_BYTES, unreadable};

/// Generations that are in memory at a time, with prompts of up to 128 KB each.
const AT_A_TIME: u32 = 64;

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
    /// Over what has been read, if all of it is.
    digest: Option<Sha256>,
    /// The stream ends with it.
    lease: Option<Arc<Lease>>,
}

impl Service {
    pub(super) async fn generations(
        &self,
        request: Request<proto::ListGenerationsRequest>,
    ) -> Result<proto::ListGenerationsResponse, Failure> {
        let organization = read::payer(&caller(&request)?)?;
        let request = request.into_inner();
        let filter = filter(&request)?;
        let asked = ("ListGenerations", &organization, &filter);
        let question = Asked::new(&self.parts.keyring, &asked);
        let mut page = Page::new(request.page_size)?;
        let last = question.place(&request.page_token)?;
        let mut last = last.map(seen).transpose()?;
        let records = &self.parts.records;
        let more = 'filling: loop {
            let wanted = page.wanted().min(AT_A_TIME);
            let found = records.generations(&organization, filter.clone(), last, wanted);
            let found = found.await.map_err(internal)?;
            for generation in &found {
                if !page.add(write::generation(generation, false)) {
                    break 'filling true;
                }
                last = Some(Seen {
                    accepted: generation.draft.created,
                    id: generation.draft.id,
                });
            }
            if found.len() < usize::try_from(wanted).unwrap_or(usize::MAX) {
                break false;
            }
        };
        let last = last.filter(|_| more).map(place);
        Ok(proto::ListGenerationsResponse {
            generations: page.items,
            next_page_token: last.map(|last| question.token(&last)).unwrap_or_default(),
        })
    }

    pub(super) async fn read_image(
        &self,
        request: Request<proto::ReadImageRequest>,
    ) -> Result<Pieces, Failure> {
        let caller = caller(&request)?;
        let (organization, lease) = (read::payer(&caller)?, caller.lease());
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
        let whole = offset == 0 && end == image.size_bytes;
        let reading = Reading {
            digest: whole.then(Sha256::new),
            source: source.map_err(|error| unreadable(error, generation))?,
            image,
            generation,
            offset,
            end,
            first: true,
            lease,
        };
        Ok(Box::pin(unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            let lease = reading.lease.clone();
            let piece = tokio::select! {
                biased;
                () = ended(lease.as_deref()) => Err(Failure::unauthenticated()),
                piece = reading.next() => piece?,
            };
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
            // Shorter than the books say: it is kept no longer (`reliability.md` row 54).
            tracing::error!(generation = %self.generation, "a kept image is cut off");
            return Some(Err(unreadable(GalleryError::Gone, self.generation)));
        }
        self.offset += u64::try_from(data.len()).unwrap_or(0);
        if self.is_rotten(&data) {
            tracing::error!(generation = %self.generation, "a kept image has changed on disk");
            return Some(Err(unreadable(GalleryError::Gone, self.generation)));
        }
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

    /// Whether the last piece of a whole picture shows that it is no longer the one that was kept:
    /// then the reader does not get that piece (`reliability.md` row 54). A part has no hash of its
    /// own; its reader holds all parts against the one of the first message.
    fn is_rotten(&mut self, data: &[u8]) -> bool {
        let Some(digest) = &mut self.digest else {
            return false;
        };
        digest.update(data);
        let ended = self.offset >= self.end;
        ended && digest.clone().finalize()[..] != self.image.sha256
    }
}

/// One picture of a generation, if it is there. One that has failed has none: its own reason may
/// say that trying again helps, which is true of drawing but not of reading.
fn image(found: Generation, index: u32) -> Result<StoredImage, Failure> {
    match found.stage {
        Stage::Stored | Stage::Settled | Stage::Voided => {
            let mut images = found.images.into_iter();
            images.find(|image| image.index == index).ok_or_else(|| {
                let what = "This generation has no image of that index.";
                Failure::new(Reason::GenerationNotFound, what)
            })
        }
        Stage::Held | Stage::Dispatched | Stage::Streaming | Stage::InDoubt | Stage::Review => {
            let what = "The images are not there yet; watch the generation.";
            Err(Failure::new(Reason::GenerationInProgress, what)
                .with("generation_id", found.draft.id))
        }
    }
}

/// The place of a generation in a token: its time in microseconds, as the books keep it, and its id.
fn place(seen: Seen) -> [u8; 24] {
    let mut place = [0; 24];
    place[..8].copy_from_slice(&seen.accepted.as_microsecond().to_be_bytes());
    place[8..].copy_from_slice(seen.id.uuid().as_bytes());
    place
}

fn seen(place: [u8; 24]) -> Result<Seen, Failure> {
    let (accepted, id) = place.split_at(8);
    let accepted = accepted.try_into().map(i64::from_be_bytes).ok();
    let accepted = accepted.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let id = Uuid::from_slice(id).ok().map(GenerationId::from_uuid);
    // Under the seal is what [`place`] wrote.
    let (accepted, id) = accepted.zip(id).ok_or_else(Failure::internal)?;
    Ok(Seen { accepted, id })
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
