//! The job form: begin without waiting, look later, take back.

use tonic::Request;

use super::{by_id, by_request, nothing_named};
use crate::domain::books::Stage;
use crate::domain::failure::Failure;
use crate::domain::generation::IMAGES_MAX;
use crate::domain::ids::OrganizationId;
use crate::generate::{internal, not_found};
use crate::grpc::{Service, caller, read, write};
use crate::ports::Which;
use crate::proto;
use crate::watch::Watch;

impl Service {
    pub(super) async fn start(
        &self,
        request: Request<proto::GenerateImageRequest>,
    ) -> Result<proto::Generation, Failure> {
        let organization = read::payer(&caller(&request)?)?;
        let mut request = request;
        let message = request.get_mut();
        let request_id = read::request_id(&message.request_id)?;
        message.request_id = request_id.to_string();
        let which = Which::Request(request_id);
        let watch = self.begin(request).await?;
        let replayed = matches!(watch, Watch::Done(_));
        let mut generation = self.found(&organization, &which).await?;
        generation.replayed = replayed;
        Ok(generation)
    }

    pub(super) async fn watch(
        &self,
        request: Request<proto::WatchGenerationRequest>,
    ) -> Result<Watch, Failure> {
        use proto::watch_generation_request::Which as Wire;
        let organization = read::payer(&caller(&request)?)?;
        let request = request.into_inner();
        let which = match request.which {
            Some(Wire::GenerationId(id)) => by_id(&id)?,
            Some(Wire::RequestId(id)) => by_request(&id)?,
            None => return Err(nothing_named()),
        };
        let resume = offsets(&request.resume)?;
        let watch = self.parts.generator.watch(&organization, &which).await?;
        Ok(watch.resumed(&resume))
    }

    pub(super) async fn cancel(
        &self,
        request: Request<proto::CancelGenerationRequest>,
    ) -> Result<proto::Generation, Failure> {
        use proto::cancel_generation_request::Which as Wire;
        let organization = read::payer(&caller(&request)?)?;
        let which = match request.into_inner().which {
            Some(Wire::GenerationId(id)) => by_id(&id)?,
            Some(Wire::RequestId(id)) => by_request(&id)?,
            None => return Err(nothing_named()),
        };
        let generation = self.parts.generator.cancel(&organization, &which).await?;
        Ok(proto::Generation {
            note: note(generation.stage).to_owned(),
            ..write::generation(&generation, false)
        })
    }

    /// A generation of this organization, as it stands.
    pub(super) async fn found(
        &self,
        organization: &OrganizationId,
        which: &Which,
    ) -> Result<proto::Generation, Failure> {
        let found = self.parts.ledger.generation(organization, which).await;
        let found = found.map_err(internal)?.ok_or_else(not_found)?;
        Ok(write::generation(&found, false))
    }
}

/// What became of the wish to cancel.
const fn note(stage: Stage) -> &'static str {
    match stage {
        Stage::Voided => "It has ended; nothing was charged.",
        Stage::Settled => "It was finished and charged before it could be cancelled.",
        Stage::Stored => "It was finished before it could be cancelled, and will be charged.",
        Stage::InDoubt | Stage::Review => {
            "No image came; nothing will be charged, and the hold is released soon."
        }
        Stage::Held | Stage::Dispatched | Stage::Streaming => {
            "It was sent already, so the provider bills it: it will be finished, kept and charged."
        }
    }
}

fn offsets(resume: &[proto::ImageOffset]) -> Result<Vec<(u32, u64)>, Failure> {
    if resume.len() > IMAGES_MAX {
        let what = format!("must have at most {IMAGES_MAX} entries");
        return Err(Failure::invalid("resume", what));
    }
    let mut offsets: Vec<(u32, u64)> = Vec::with_capacity(resume.len());
    for had in resume {
        let index = read::amount("resume.index", had.index)?;
        let offset = u64::try_from(had.offset)
            .map_err(|_| Failure::invalid("resume.offset", "must not be negative"))?;
        if offsets.iter().any(|(known, _)| *known == index) {
            return Err(Failure::invalid("resume", "names an image twice"));
        }
        offsets.push((index, offset));
    }
    Ok(offsets)
}
