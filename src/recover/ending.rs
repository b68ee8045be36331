//! What the books are told about a generation that its process has left.

use jiff::Timestamp;

use crate::domain::delivery::{measured_adjustments, verdict};
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::{CallRecord, KeyMode};
use crate::domain::recovery::{Why, attribute};
use crate::ports::{Case, Delivery, Settlement, Voiding};

/// The end without pictures. The failure that its caller was told stands.
pub(super) fn voiding(case: &Case, why: Option<Why>, now: Timestamp) -> Voiding {
    let told = case.generation.failure.clone();
    Voiding {
        failure: told.unwrap_or_else(|| lost(case, why)),
        calls: records(case),
        now,
    }
}

/// The pictures that were found, with whatever is known of their calls.
pub(super) fn delivered(case: &Case, now: Timestamp) -> Delivery {
    let generation = &case.generation;
    let images = generation.images.clone();
    let mut adjustments = generation.draft.adjustments.clone();
    adjustments.extend(measured_adjustments(&generation.draft, &images));
    let mut calls = records(case);
    let mut text = generation.text.clone();
    for call in &mut calls {
        text.push_str(&std::mem::take(&mut call.text));
    }
    let places: Vec<u32> = images.iter().map(|image| image.index).collect();
    Delivery {
        images,
        text,
        adjustments,
        calls: attribute(&places, calls),
        now,
    }
}

/// The charge: what was told, else what the pinned prices give.
pub(super) fn settlement(case: &Case, now: Timestamp) -> Settlement {
    let delivery = delivered(case, now);
    let verdict = verdict(&case.generation.draft, &delivery.images, &delivery.calls);
    Settlement {
        delivery,
        charge: verdict.charge,
        disputed: verdict.disputed,
    }
}

fn records(case: &Case) -> Vec<CallRecord> {
    case.calls.iter().map(|call| call.record.clone()).collect()
}

/// Why there is no picture, where nobody was told before.
fn lost(case: &Case, why: Option<Why>) -> Failure {
    let what = match why {
        Some(Why::NeverSent) => {
            "The gateway was stopped before anything was sent; nothing was charged. Try again."
        }
        _ => "The gateway was stopped while this image was made; nothing was charged. Try again.",
    };
    let failure = Failure::new(Reason::Internal, what);
    let own_key = case.generation.draft.key_mode == KeyMode::Organization;
    if own_key && why != Some(Why::NeverSent) {
        failure.billed_by_openrouter()
    } else {
        failure
    }
}
