//! What a caller sees, as messages, made one at a time as the caller takes them.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use tonic::{Request, Status};

use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::Generation;
use crate::domain::money::Credits;
use crate::grpc::access::Deadline;
use crate::grpc::caller::Caller;
use crate::grpc::leases::Lease;
use crate::grpc::status;
use crate::grpc::write;
use crate::live::Accepted;
use crate::metrics::Metrics;
use crate::proto::generation_event::Event as Wire;
use crate::proto::{self, GenerationEvent};
use crate::watch::{Event, Watch};

/// The events of one call.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<GenerationEvent, Status>> + Send>>;

/// A caller who watches, for as long as it has time and its key is good.
pub(super) struct Viewer {
    pub(super) watch: Watch,
    pub(super) patience: Patience,
    pub(super) metrics: Arc<Metrics>,
    /// The call's name in the contract.
    pub(super) rpc: &'static str,
}

/// How long a caller may watch.
pub(super) struct Patience {
    deadline: Option<Deadline>,
    lease: Option<Arc<Lease>>,
}

/// The stream that a caller reads.
pub(super) fn events(viewer: Viewer) -> Events {
    Box::pin(unfold(viewer, |mut viewer| async move {
        let event = viewer.next().await?;
        Some((event, viewer))
    }))
}

// === impl Patience ===

impl Patience {
    /// That of whoever made this call.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let extensions = request.extensions();
        Self {
            deadline: extensions.get::<Deadline>().copied(),
            lease: extensions.get::<Caller>().and_then(Caller::lease),
        }
    }
}

// === impl Viewer ===

impl Viewer {
    async fn next(&mut self) -> Option<Result<GenerationEvent, Status>> {
        let told = tokio::select! {
            biased;
            () = ended(self.patience.lease.as_deref()) => Err(Failure::unauthenticated()),
            next = self.watch.next() => next?,
            () = passed(self.patience.deadline) => Err(too_late()),
        };
        if told.is_err() {
            self.watch = Watch::Over;
        }
        if let Err(Failure { reason, .. }) = &told {
            self.metrics.call_finished(self.rpc, Some(*reason));
        } else if matches!(told, Ok(Event::Completed { .. })) {
            self.metrics.call_finished(self.rpc, None);
        }
        Some(told.map(event).map_err(|failure| status::of(&failure)))
    }
}

/// Resolves when the key of a call is no longer good.
pub(super) async fn ended(lease: Option<&Lease>) {
    match lease {
        Some(lease) => lease.over().await,
        None => pending().await,
    }
}

async fn passed(deadline: Option<Deadline>) {
    match deadline {
        Some(Deadline(at)) => tokio::time::sleep_until(at).await,
        None => pending().await,
    }
}

/// The caller's time is up, the generation's is not (`domain.md` C26).
fn too_late() -> Failure {
    let what = "Your deadline has passed; the generation goes on. Send the same request_id again.";
    Failure::new(Reason::DeadlineExceeded, what)
}

/// One event.
fn event(event: Event) -> GenerationEvent {
    let wire = match event {
        Event::Accepted {
            accepted,
            available,
        } => Wire::Accepted(first(&accepted, available)),
        Event::Replayed(generation) => Wire::Accepted(again(&generation)),
        Event::Progress { stage, elapsed } => Wire::Progress(proto::Progress {
            stage: write::stage(stage).into(),
            elapsed: prost_types::Duration::try_from(elapsed).ok(),
            text: write::stage_in_words(stage).to_owned(),
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
