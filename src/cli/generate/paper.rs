//! What `generate` shows: where it is while it waits, and at the end what was made and what it cost.

use crate::cli::terminal::{self, Bar, Text};
use crate::proto;

/// How large a picture will be is known only at its end: the line counts bytes, not their share.
const TEMPLATE: &str = "{spinner:.cyan} {bytes:>10} {elapsed:>4} {msg}";

/// Bytes and words on a terminal, nothing elsewhere.
pub(super) fn progress() -> Bar {
    Bar::turning(TEMPLATE, None)
}

/// What was made and what it cost, in two columns.
pub(super) fn receipt(generation: &proto::Generation, names: &[String]) -> Text {
    let mut rows = Vec::new();
    for (image, name) in generation.images.iter().zip(names) {
        rows.push(("Picture", picture(image, name)));
    }
    for adjustment in &generation.adjustments {
        let used = match adjustment.used.as_str() {
            "" => "the provider's choice",
            used => used,
        };
        let what = format!("{} {used}: {}", adjustment.field, adjustment.reason);
        rows.push(("Adjusted", what));
    }
    rows.push(("Model", generation.model_name.clone()));
    match &generation.charge {
        Some(charge) if charge.pending => {
            let credits = &charge.credits;
            let most = format!("at most {credits} credits; the cost is not known yet");
            rows.push(("Charged", most));
        }
        Some(charge) => {
            let charged = format!("{} credits: {}", charge.credits, charge.explanation);
            rows.push(("Charged", charged));
            rows.push(("Balance", format!("{} credits", charge.balance_after)));
        }
        None => {}
    }
    rows.push(("Request", generation.request_id.clone()));
    terminal::table(&rows)
}

/// A file is named as was asked, whatever kind of picture the provider made: so the kind is told.
fn picture(image: &proto::ImageFinished, name: &str) -> String {
    let size = terminal::bytes(u64::try_from(image.size_bytes).unwrap_or(0));
    let kind = match image.media_type.as_str() {
        "image/png" => "PNG",
        "image/jpeg" => "JPEG",
        "image/webp" => "WebP",
        other => other,
    };
    format!("{name} ({} × {} {kind}, {size})", image.width, image.height)
}
