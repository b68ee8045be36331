//! The models on paper: an aligned table, and below it where the figures are from.

use anstyle::{AnsiColor, Style};
use jiff::{SignedDuration, Timestamp};

use crate::cli::terminal::{self, Text};
use crate::domain::shape::Resolution;
use crate::proto::{self, BillingType, Capability, Model, Tier};

const HEAD: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const WARNING: Style = AnsiColor::Yellow.on_default();

/// The frame of the published page: makes images.
const FRAME: &str = "▣";

/// The heads, and whether a column is of numbers.
const COLUMNS: [(&str, bool); 8] = [
    ("", false),
    ("Model", false),
    ("Credits", true),
    ("Range", true),
    ("Tier", false),
    ("Billed", false),
    ("Lately", true),
    ("Agents", true),
];

/// The column of names.
const NAME: usize = 1;

/// What stands between two columns.
const GAP: &str = "  ";

/// So much of a name and of a remark is shown however narrow the terminal is: it wraps then.
const NAME_CELLS_MIN: usize = 12;
const REMARK_CELLS_MIN: usize = 12;

/// A line of the table, and what is to be said about it.
struct Row {
    cells: [String; 8],
    remark: String,
    /// It cannot be used.
    faint: bool,
}

/// How the table is looked at.
pub(super) struct View {
    /// Of which size the credits are.
    pub(super) resolution: Resolution,
    /// The time.
    pub(super) now: Timestamp,
    /// Cells of a line; none if there is room for all.
    pub(super) columns: Option<usize>,
}

/// A table for people. Where a line is too narrow, names give way first, then remarks.
pub(super) fn table(answer: &proto::ListModelsResponse, view: &View) -> Text {
    let models = answer.models.iter();
    let mut rows: Vec<Row> = models.map(|model| row(model, view.resolution)).collect();
    if let Some(columns) = view.columns {
        fit(&mut rows, columns);
    }
    let widths = widths(&rows);
    let heads = COLUMNS.map(|(head, _)| head.to_owned());
    let head = line(&heads, &widths);
    let mut lines = vec![Text::from(head.trim_end()).styled(HEAD)];
    for row in &rows {
        let cells = line(&row.cells, &widths);
        let mut line = match row.remark.as_str() {
            "" => Text::from(cells.trim_end()),
            _ => Text::from(cells),
        };
        if row.faint {
            line = line.styled(FAINT);
        }
        if !row.remark.is_empty() {
            line = line.and(GAP).and(Text::from(&row.remark).styled(WARNING));
        }
        lines.push(line);
    }
    lines.push(Text::default());
    lines.push(Text::from(format!(
        "{}, {FRAME} makes images; credits for one image at {}, or for 1,000 tokens written",
        terminal::count(u64::try_from(rows.len()).unwrap_or(u64::MAX), "model"),
        view.resolution
    )));
    lines.extend(standing(answer, view.now));
    Text::lines(lines)
}

/// The cells that each column takes.
fn widths(rows: &[Row]) -> [usize; 8] {
    std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| terminal::width(&row.cells[column]));
        let head = terminal::width(COLUMNS[column].0);
        cells.chain([head]).max().unwrap_or(0)
    })
}

/// Cuts names, and where that is not enough remarks, so that a line takes so many cells.
fn fit(rows: &mut [Row], columns: usize) {
    let between = GAP.len() * (COLUMNS.len() - 1);
    let widths = widths(rows);
    let without_names = widths.iter().sum::<usize>() - widths[NAME] + between;
    let remarks = rows.iter().map(|row| terminal::width(&row.remark)).max();
    let remarks = match remarks.unwrap_or(0) {
        0 => 0,
        cells => GAP.len() + cells,
    };
    let names = columns.saturating_sub(without_names + remarks);
    let names = names.max(NAME_CELLS_MIN).min(widths[NAME]);
    let left = columns.saturating_sub(without_names + names + GAP.len());
    for row in rows {
        row.cells[NAME] = terminal::cut(&row.cells[NAME], names);
        row.remark = terminal::cut(&row.remark, left.max(REMARK_CELLS_MIN));
    }
}

/// From when the figures are.
fn standing(answer: &proto::ListModelsResponse, now: Timestamp) -> Vec<Text> {
    let read = answer.last_sync.as_ref().and_then(|at| {
        let nanos = at.nanos;
        Timestamp::new(at.seconds, nanos).ok()
    });
    let mut lines = vec![match read {
        Some(at) => {
            let ago = ago(now.duration_since(at));
            Text::from(format!("prices read from OpenRouter {ago}"))
        }
        None => "prices of the published page; OpenRouter's list was not read yet".into(),
    }];
    if answer.stale {
        let why = match answer.sync_error.as_str() {
            "" => "they have not been read for a while",
            error => error,
        };
        let warning = Text::from("prices may be out of date:").styled(WARNING);
        lines.push(warning.and(" ").and(why));
    }
    lines
}

/// How long ago, in the unit that fits.
fn ago(age: SignedDuration) -> String {
    let (count, unit) = match age.as_secs() {
        ..=0 => return "just now".to_owned(),
        seconds @ 1..60 => (seconds, "second"),
        seconds @ 60..3600 => (seconds / 60, "minute"),
        seconds @ 3600..86_400 => (seconds / 3600, "hour"),
        seconds => (seconds / 86_400, "day"),
    };
    let count = u64::try_from(count).unwrap_or_default();
    format!("{} ago", terminal::count(count, unit))
}

fn row(model: &Model, resolution: Resolution) -> Row {
    let draws = model
        .capabilities
        .contains(&Capability::GeneratesImages.into());
    let estimate = model.estimates_by_resolution.get(resolution.as_str());
    let dash = || "–".to_owned();
    let credits = match estimate {
        Some(estimate) => estimate.display.clone(),
        None if draws || model.credits_per_1k_output_tokens.is_empty() => dash(),
        None => format!("{}/1k", model.credits_per_1k_output_tokens),
    };
    let cells = [
        if draws { FRAME } else { "" }.to_owned(),
        model.name.clone(),
        credits,
        estimate.map(range).unwrap_or_default(),
        tier(model.tier()).to_owned(),
        billed(model.billing_type(), draws).to_owned(),
        estimate.map(lately).unwrap_or_default(),
        if model.agents_using > 0 {
            model.agents_using.to_string()
        } else {
            String::new()
        },
    ];
    Row {
        cells,
        remark: remarks(model, estimate).join(", "),
        faint: model.withdrawn || model.available == Some(false),
    }
}

/// From the least to the most, where they differ.
fn range(estimate: &proto::Estimate) -> String {
    if estimate.low == estimate.high {
        String::new()
    } else {
        format!("{}–{}", estimate.low, estimate.high)
    }
}

fn lately(estimate: &proto::Estimate) -> String {
    match estimate.recent_count {
        0 => String::new(),
        count => format!("{} (of {count})", estimate.recent_average),
    }
}

fn remarks(model: &Model, estimate: Option<&proto::Estimate>) -> Vec<&'static str> {
    let departs = estimate.is_some_and(|estimate| estimate.departs);
    let mut lines = model.price_lines.iter();
    let by_last_good = lines.any(|line| !line.usd_in_use.is_empty());
    let unpriced = model.estimate.is_none()
        && model
            .capabilities
            .contains(&Capability::GeneratesImages.into());
    [
        (model.withdrawn, "no longer offered"),
        (model.available == Some(false), "switched off"),
        (unpriced, "no price that can be read"),
        (
            model.price_unconfirmed_since.is_some(),
            "price not confirmed",
        ),
        (by_last_good, "last good price"),
        (departs, "lately off the estimate"),
    ]
    .into_iter()
    .filter_map(|(holds, remark)| holds.then_some(remark))
    .collect()
}

const fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Unspecified => "",
        Tier::Draft => "draft",
        Tier::General => "general",
        Tier::Final => "final",
    }
}

const fn billed(by: BillingType, draws: bool) -> &'static str {
    match by {
        BillingType::Unspecified if draws => "",
        BillingType::Unspecified => "text",
        BillingType::PerImage => "per image",
        BillingType::PerMegapixel => "per megapixel",
        BillingType::PerToken => "per token",
    }
}

fn line(cells: &[String; 8], widths: &[usize; 8]) -> String {
    let columns = cells.iter().zip(widths).zip(COLUMNS);
    let shown = columns.map(|((cell, width), (_, number))| {
        if number {
            terminal::right(cell, *width)
        } else {
            terminal::left(cell, *width)
        }
    });
    shown.collect::<Vec<_>>().join(GAP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Estimate, ListModelsResponse};

    fn model(name: &str, display: &str) -> Model {
        let estimate = Estimate {
            low: "20.00".to_owned(),
            high: "40.00".to_owned(),
            display: display.to_owned(),
            ..Estimate::default()
        };
        Model {
            name: name.to_owned(),
            capabilities: vec![Capability::GeneratesImages.into()],
            billing_type: BillingType::PerToken.into(),
            tier: Tier::Draft.into(),
            estimate: Some(estimate.clone()),
            estimates_by_resolution: [("1K".to_owned(), estimate)].into(),
            ..Model::default()
        }
    }

    fn shown(answer: &ListModelsResponse, resolution: Resolution) -> Vec<String> {
        seen(answer, resolution, None)
    }

    fn seen(
        answer: &ListModelsResponse,
        resolution: Resolution,
        columns: Option<usize>,
    ) -> Vec<String> {
        let view = View {
            resolution,
            now: Timestamp::from_second(1_000_000).expect("a time"),
            columns,
        };
        let plain = table(answer, &view).plain();
        plain.lines().map(str::to_owned).collect()
    }

    #[test]
    fn image_and_text_models_stand_in_one_table() {
        let mut dear = model("Somebody: Dear\u{1b}[31m", "~27");
        dear.withdrawn = true;
        let text = Model {
            name: "OpenAI: GPT-4".to_owned(),
            credits_per_1k_output_tokens: "120.00".to_owned(),
            capabilities: vec![Capability::Text.into()],
            ..Model::default()
        };
        let answer = ListModelsResponse {
            models: vec![model("Somebody: Cheap", "~9"), dear, text],
            ..ListModelsResponse::default()
        };
        let lines = shown(&answer, Resolution::R1K);
        assert_eq!(
            lines[..4],
            [
                "   Model                  Credits        Range  Tier   Billed     Lately  Agents",
                "▣  Somebody: Cheap             ~9  20.00–40.00  draft  per token",
                "▣  Somebody: Dear\u{fffd}[31m        ~27  20.00–40.00  draft  per token                  no longer offered",
                "   OpenAI: GPT-4        120.00/1k                      text",
            ]
        );
        let large = shown(&answer, Resolution::R2K);
        assert!(large[1].contains(" – "), "{large:#?}");
    }

    #[test]
    fn on_a_narrow_terminal_names_and_remarks_are_cut_and_stand_in_columns() {
        let mut withdrawn = model("Somebody: A model with a name without an end", "~27");
        withdrawn.withdrawn = true;
        let answer = ListModelsResponse {
            models: vec![model("Somebody: Cheap", "~9"), withdrawn],
            ..ListModelsResponse::default()
        };
        for columns in [86, 90, 100, 120] {
            let lines = seen(&answer, Resolution::R1K, Some(columns));
            for line in &lines[..3] {
                assert!(terminal::width(line) <= columns, "{columns}: {line}");
            }
            assert!(lines[2].contains('…') || columns == 120, "{lines:#?}");
            assert!(lines[2].contains("no longer of"), "{lines:#?}");
        }
        // Where nothing fits, something of everything is still there.
        let lines = seen(&answer, Resolution::R1K, Some(20));
        assert!(lines[2].contains("Somebody: A…"), "{lines:#?}");
        assert!(lines[2].ends_with("no longer o…"), "{lines:#?}");
    }

    #[test]
    fn it_says_from_when_the_prices_are() {
        let mut answer = ListModelsResponse::default();
        let last = |answer: &ListModelsResponse| shown(answer, Resolution::R1K).pop();
        assert!(last(&answer).expect("a line").contains("published page"));
        answer.last_sync = Some(prost_types::Timestamp {
            seconds: 1_000_000 - 120,
            nanos: 0,
        });
        let read = "prices read from OpenRouter 2 minutes ago";
        assert_eq!(last(&answer).as_deref(), Some(read));
        answer.stale = true;
        answer.sync_error = "upstream does not answer".to_owned();
        let stale = "prices may be out of date: upstream does not answer";
        assert_eq!(last(&answer).as_deref(), Some(stale));
    }
}
