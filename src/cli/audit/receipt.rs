//! One charge, computed again from what is stored, line by line.

use serde::Serialize;

use super::super::failed::Failed;
use super::super::terminal;
use super::unreadable;
use crate::domain::books::{EntryKind, Stage};
use crate::domain::delivery::{Recounted, due, recount};
use crate::domain::failure::Reason;
use crate::domain::generation::{CallRecord, Charge, Generation};
use crate::domain::ids::GenerationId;
use crate::domain::money::{Credits, UsdCost};
use crate::domain::recovery::Question;
use crate::ports::Paper;
use crate::store::sqlite::Inspector;

/// A receipt, for programs.
#[derive(Serialize)]
struct Receipt {
    generation: String,
    lines: Vec<(String, String)>,
    problems: Vec<String>,
}

/// Prints the receipt of one generation.
pub(super) fn show(inspector: &Inspector, id: GenerationId, json: bool) -> Result<(), Failed> {
    let paper = inspector.paper(id).map_err(unreadable)?;
    let paper = paper.ok_or_else(|| Failed::new(format!("there is no generation {id}")))?;
    let receipt = receipt(&paper);
    if json {
        terminal::json(&receipt)?;
    } else {
        let lines = receipt.lines.iter();
        let rows: Vec<(&str, String)> = lines
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        terminal::result(terminal::table(&rows))?;
    }
    if receipt.problems.is_empty() {
        return Ok(());
    }
    let problems = receipt.problems.join("; ");
    Err(Failed::new(format!(
        "the receipt does not agree: {problems}"
    )))
}

fn receipt(paper: &Paper) -> Receipt {
    let generation = &paper.case.generation;
    let draft = &generation.draft;
    let mut lines = head(paper);
    let mut line = |name: &str, value: String| lines.push((name.to_owned(), value));
    for call in &paper.case.calls {
        line(
            &format!("Call {}", call.record.call),
            of_call(&call.record, call.question),
        );
    }
    for image in &generation.images {
        let size = terminal::bytes(image.size_bytes);
        line(
            &format!("Image {}", image.index),
            format!("{}, {}, {size}", image.media_type, image.pixels),
        );
    }
    let mut problems = Vec::new();
    if let Some(charge) = &generation.charge {
        for (name, value) in of_charge(charge, paper) {
            line(name, value);
        }
        problems = disagreements(charge, paper);
    } else {
        line("Charged", uncharged(generation));
        problems.extend(charged_for_nothing(paper));
    }
    if paper.absorbed > UsdCost::ZERO {
        line(
            "Absorbed",
            format!("{} USD, borne by the platform", paper.absorbed),
        );
    }
    for entry in &paper.entries {
        let balance = format!("{} credits, balance {}", entry.credits, entry.balance_after);
        line(
            &format!("Ledger {}", entry.sequence),
            format!("{}: {balance}", entry.kind),
        );
    }
    let ended = generation.charge.is_some() || generation.stage == Stage::Voided;
    let standing = match (problems.is_empty(), ended) {
        (true, true) => "agrees",
        (true, false) => "not written yet: the generation has not ended",
        (false, _) => "does not agree",
    };
    line("Receipt", standing.to_owned());
    Receipt {
        generation: draft.id.to_string(),
        lines,
        problems,
    }
}

/// Why nothing is charged, or not yet.
fn uncharged(generation: &Generation) -> String {
    let why = match generation.stage {
        Stage::Held => "nothing yet: nothing has been sent",
        Stage::Dispatched | Stage::Streaming => "nothing yet: its answer is waited for",
        Stage::Stored => "nothing yet: its pictures are kept, their cost is asked for",
        Stage::InDoubt | Stage::Review => {
            "nothing: no picture came, and OpenRouter is asked whether it has billed"
        }
        Stage::Settled => "unknown: it has ended, and has no charge",
        Stage::Voided => {
            let reason = generation.failure.as_ref().map(|failure| failure.reason);
            let reason = reason.map_or("voided", Reason::as_str);
            return format!("nothing: {reason}");
        }
    };
    why.to_owned()
}

/// What the ledger took without a charge.
fn charged_for_nothing(paper: &Paper) -> Option<String> {
    let taken = taken(paper);
    let settled = paper.case.generation.stage == Stage::Settled;
    if taken == 0 && !settled {
        return None;
    }
    let taken = Credits::from_hundredths(taken);
    Some(format!(
        "the ledger has {taken} credits, and there is no charge"
    ))
}

/// Hundredths of a credit that the ledger took for it.
fn taken(paper: &Paper) -> i64 {
    let entries = paper.entries.iter();
    let for_it = entries.filter(|entry| entry.kind != EntryKind::DebtRepaid);
    for_it.map(|entry| -entry.credits.hundredths()).sum()
}

/// Who asked for what, when, and what was held.
fn head(paper: &Paper) -> Vec<(String, String)> {
    let generation = &paper.case.generation;
    let draft = &generation.draft;
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut line = |name: &str, value: String| lines.push((name.to_owned(), value));
    line("Generation", draft.id.to_string());
    line("Organization", draft.organization.to_string());
    line(
        "Request",
        format!("{} (attempt {})", draft.request_id, generation.attempt),
    );
    line("Agent", draft.agent.to_string());
    line("Model", format!("{} ({})", draft.model_name, draft.model));
    line("Begun", draft.created.to_string());
    line(
        "Stage",
        format!("{} since {}", generation.stage, paper.case.since),
    );
    line(
        "Key",
        format!("{}, fingerprint {}", draft.key_mode, draft.upstream_key),
    );
    line(
        "Held",
        format!("{} credits, by {}", draft.hold, draft.price_basis),
    );
    lines
}

fn of_call(call: &CallRecord, question: Question) -> String {
    let name = call.upstream_id.as_deref().unwrap_or("(no name)");
    let cost = match (call.cost, call.unbilled) {
        (Some((cost, source)), _) => format!("{cost} USD ({source})"),
        (None, true) => "surely not billed".to_owned(),
        (None, false) => match question {
            Question::Open => "cost not told, still asked".to_owned(),
            Question::GivenUp => "cost never told".to_owned(),
            Question::Contradicted => "cost contradicted".to_owned(),
            Question::None | Question::Answered => "cost not told".to_owned(),
        },
    };
    let images = u64::try_from(call.images.len()).unwrap_or(u64::MAX);
    format!("{name}: {}, {cost}", terminal::count(images, "image"))
}

/// The arithmetic, as the formula has it.
fn of_charge(charge: &Charge, paper: &Paper) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        (
            "Cost",
            format!("{} USD ({})", charge.cost, charge.cost_source),
        ),
        (
            "Formula",
            format!("{}, rounded up at 2 decimals", charge.explanation()),
        ),
        (
            "Charged",
            format!(
                "{} credits for {}",
                charge.credits,
                terminal::count(charge.images.into(), "image")
            ),
        ),
    ];
    if let Some(claimed) = paper.disputed {
        let what = format!("upstream claims {claimed} USD; not believed, charged at the hold");
        lines.push(("Disputed", what));
    }
    if let Some((cost, refund)) = paper.corrected {
        let less = due(charge.key_mode, cost, charge.images);
        lines.push((
            "Told later",
            format!("{cost} USD, which gives {less} credits"),
        ));
        lines.push(("Refunded", format!("{refund} credits")));
    }
    lines
}

/// Whatever does not follow from the stored inputs.
fn disagreements(charge: &Charge, paper: &Paper) -> Vec<String> {
    let mut problems = Vec::new();
    let formula = due(charge.key_mode, charge.cost, charge.images);
    if formula != charge.credits {
        problems.push(format!(
            "the formula gives {formula}, charged were {}",
            charge.credits
        ));
    }
    let generation = &paper.case.generation;
    let booked = Recounted {
        charged: paper.corrected.map_or(charge.cost, |(cost, _)| cost),
        disputed: paper.disputed,
        above: paper.above_charge,
    };
    let told = recount(&generation.draft, &generation.images, &paper.case.calls);
    if let Some(told) = told.and_then(|told| booked.contradicted_by(&told)) {
        problems.push(format!(
            "the calls cost {told} USD, the books have {}",
            booked.charged
        ));
    }
    let taken = taken(paper);
    let kept = charge.credits.hundredths() - charge.refunded.hundredths();
    if taken != kept {
        let taken = Credits::from_hundredths(taken);
        let kept = Credits::from_hundredths(kept);
        problems.push(format!(
            "the ledger has {taken} credits, the charge is {kept}"
        ));
    }
    problems
}
