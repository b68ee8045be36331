//! What is written of a generation when it begins, and shown of it before its end is in the books.

use jiff::{SignedDuration, Timestamp};

use super::{Call, Generator, Payer};
use crate::domain::books::Stage;
use crate::domain::generation::{Draft, Generation};
use crate::domain::ids::GenerationId;
use crate::domain::job::Job;
use crate::domain::tool::Tool;
use crate::live::Accepted;
use crate::ports::{Limits, Settlement};

impl Generator {
    pub(super) fn draft(&self, call: &Call, job: &Job, payer: &Payer, now: Timestamp) -> Draft {
        let request = &call.request;
        let timeout =
            SignedDuration::try_from(self.parts.upstream_timeout).unwrap_or(SignedDuration::MAX);
        Draft {
            id: GenerationId::from_uuid(uuid::Uuid::now_v7()),
            organization: call.organization.clone(),
            request_id: request.request_id.clone(),
            fingerprint: request.fingerprint(),
            agent: request.agent.clone(),
            context: request.context.clone(),
            model: job.model.slug.clone(),
            model_name: job.model.name.clone(),
            prompt: request.prompt.to_string(),
            resolution: job.resolution,
            aspect_ratio: job.aspect_ratio,
            requested: job.requested,
            adjustments: job.adjustments.clone(),
            sources: request
                .references
                .iter()
                .filter_map(|facts| facts.from)
                .collect(),
            key_mode: payer.mode(),
            bounds: job.estimate.bounds.clone(),
            hold: job.hold,
            price_basis: job.estimate.basis.clone(),
            pricing: job.model.pricing.clone(),
            question: job.question,
            sent: job.sent,
            upstream_key: payer.fingerprint.clone(),
            created: now,
            deadline: now.checked_add(timeout).unwrap_or(Timestamp::MAX),
        }
    }

    pub(super) fn accepted(&self, draft: &Draft, job: &Job) -> Accepted {
        Accepted {
            id: draft.id,
            request_id: draft.request_id.to_string(),
            model: draft.model.to_string(),
            estimate: job.estimate.clone(),
            price_time: job.price_time,
            hold: draft.hold,
        }
    }
}

/// A generation whose pictures are durable and whose charge is not in the books yet.
pub(super) fn stored(draft: &Draft, settlement: &Settlement) -> Generation {
    let delivery = &settlement.delivery;
    Generation {
        draft: draft.clone(),
        attempt: 0,
        stage: Stage::Stored,
        images: delivery.images.clone(),
        text: delivery.text.clone(),
        adjustments: delivery.adjustments.clone(),
        charge: None,
        balance_after: None,
        failure: None,
        upstream_ids: delivery
            .calls
            .iter()
            .filter_map(|call| call.upstream_id.clone())
            .collect(),
        finished: None,
    }
}

/// The limits of a tool, as the books check them.
pub(super) fn limits(tool: &Tool) -> Limits {
    Limits {
        daily_images: (tool.daily_image_limit > 0).then_some(tool.daily_image_limit),
        monthly_credits: tool.monthly_credit_limit,
    }
}
