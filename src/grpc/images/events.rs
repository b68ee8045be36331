//! What a caller sees, as messages.

use crate::domain::generation::Generation;
use crate::domain::money::Credits;
use crate::grpc::write;
use crate::live::Accepted;
use crate::proto::generation_event::Event as Wire;
use crate::proto::{self, GenerationEvent};
use crate::watch::Event;

/// One event.
pub(super) fn event(event: Event) -> GenerationEvent {
    let wire = match event {
        Event::Accepted {
            accepted,
            available,
        } => Wire::Accepted(first(&accepted, available)),
        Event::Replayed(generation) => Wire::Accepted(again(&generation)),
        Event::Progress { stage, elapsed } => Wire::Progress(proto::Progress {
            stage: write::stage(stage).into(),
            elapsed: prost_types::Duration::try_from(elapsed).ok(),
        }),
        Event::ImageStarted { index, media_type } => Wire::ImageStarted(proto::ImageStarted {
            index: write::int(index),
            media_type: media_type.to_string(),
        }),
        Event::ImageChunk { index, data } => Wire::ImageChunk(proto::ImageChunk {
            index: write::int(index),
            data,
        }),
        Event::ImageFinished(image) => Wire::ImageFinished(write::image_finished(&image)),
        Event::Completed {
            generation,
            replayed,
        } => Wire::Completed(Box::new(write::generation(&generation, replayed))),
    };
    GenerationEvent { event: Some(wire) }
}

fn first(accepted: &Accepted, available: Option<Credits>) -> proto::Accepted {
    proto::Accepted {
        generation_id: accepted.id.to_string(),
        request_id: accepted.request_id.clone(),
        model: accepted.model.clone(),
        estimate: Some(write::estimate(&accepted.estimate, accepted.price_time)),
        hold: accepted.hold.to_string(),
        balance: available
            .map(|credits| credits.to_string())
            .unwrap_or_default(),
        replayed: false,
    }
}

fn again(generation: &Generation) -> proto::Accepted {
    let draft = &generation.draft;
    proto::Accepted {
        generation_id: draft.id.to_string(),
        request_id: draft.request_id.to_string(),
        model: draft.model.to_string(),
        estimate: Some(write::kept_estimate(&draft.bounds, &draft.price_basis)),
        hold: draft.hold.to_string(),
        balance: String::new(),
        replayed: true,
    }
}
