//! `image-gateway audit`: do the books agree with themselves? Or: what was charged for one
//! generation, computed again from what is stored.

use std::path::PathBuf;

use indicatif::ProgressBar;
use serde::Serialize;

use super::failed::Failed;
use super::terminal;
use crate::domain::ids::{GenerationId, OrganizationId, RequestId};
use crate::ports::Finding;
use crate::store::sqlite::Inspector;

mod receipt;

/// Breaks that are printed one by one.
const SHOWN: usize = 100;

/// Which books to look at. They are only read, and may be those of a gateway that runs.
#[derive(clap::Args, Debug)]
#[group(id = "books")]
#[command(next_help_heading = "Books")]
pub(super) struct Books {
    /// Folder of the database
    #[arg(long, env = "DATA_DIR", value_name = "DIR", default_value = crate::config::DATA_DIR)]
    data_dir: PathBuf,
    /// A copy of the database instead
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
}

/// What `audit` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Ends with status 1 if anything is not as it must be.

Examples:
  image-gateway audit --data-dir ./data
  image-gateway audit --database copy.sqlite3 --json
  image-gateway audit --generation 01a20abe-faa3-73eb-b77e-93bfb04ba1b7")]
pub(super) struct Args {
    #[command(flatten)]
    books: Books,
    /// Compute one charge again, line by line: the gateway's id of a generation
    #[arg(long, value_name = "ID")]
    generation: Option<String>,
    /// The same, by the caller's id; needs --organization
    #[arg(
        long,
        value_name = "ID",
        requires = "organization",
        conflicts_with = "generation"
    )]
    request: Option<String>,
    /// Whose request it is
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What was asked and what came of it, for programs.
#[derive(Serialize)]
struct Report {
    organizations: u64,
    generations: u64,
    ledger_entries: u64,
    credits: String,
    held: String,
    debt: String,
    questions: Vec<Answer>,
    breaks: usize,
}

/// One question.
#[derive(Serialize)]
struct Answer {
    invariant: String,
    question: String,
    breaks: Vec<String>,
}

/// Looks, and says.
pub(super) fn run(args: &Args) -> Result<(), Failed> {
    let inspector = args.books.open()?;
    match args.wanted(&inspector)? {
        Some(id) => receipt::show(&inspector, id, args.json),
        None => books(&inspector, args.json),
    }
}

// === impl Books ===

impl Books {
    pub(super) fn open(&self) -> Result<Inspector, Failed> {
        let (opened, place) = match &self.database {
            Some(file) => (Inspector::of_file(file), file),
            None => (Inspector::of_folder(&self.data_dir), &self.data_dir),
        };
        opened.map_err(|error| {
            Failed::new(format!("cannot read the books in {}", place.display()))
                .because(error)
                .hint("name their folder with --data-dir, or a copy with --database")
        })
    }
}

// === impl Args ===

impl Args {
    /// The generation that was asked for, if one was.
    fn wanted(&self, inspector: &Inspector) -> Result<Option<GenerationId>, Failed> {
        if let Some(id) = &self.generation {
            let id = GenerationId::parse(id);
            return id
                .map(Some)
                .ok_or_else(|| Failed::usage("--generation is not an id that this gateway makes"));
        }
        let (Some(request), Some(organization)) = (&self.request, &self.organization) else {
            return Ok(None);
        };
        let wrong = |what| move |error| Failed::usage(what).because(error);
        let request = RequestId::parse(request).map_err(wrong("--request"))?;
        let organization = OrganizationId::parse(organization).map_err(wrong("--organization"))?;
        let found = inspector
            .find(&organization, &request)
            .map_err(unreadable)?;
        found
            .map(Some)
            .ok_or_else(|| Failed::new("this organization has no such request"))
    }
}

/// Asks all questions.
fn books(inspector: &Inspector, json: bool) -> Result<(), Failed> {
    let extent = inspector.extent().map_err(unreadable)?;
    let total = u64::try_from(Inspector::questions()).unwrap_or(0);
    let bar = ProgressBar::new(total).with_message("asking");
    let mut questions = Vec::new();
    let tell = |finding: Finding| {
        bar.inc(1);
        questions.push(Answer::of(finding));
    };
    inspector.audit(tell).map_err(unreadable)?;
    bar.finish_and_clear();
    let report = Report {
        organizations: extent.organizations,
        generations: extent.generations,
        ledger_entries: extent.entries,
        credits: extent.accounts.balance().to_string(),
        held: extent.accounts.held.to_string(),
        debt: extent.accounts.debt.to_string(),
        breaks: questions.iter().map(|answer| answer.breaks.len()).sum(),
        questions,
    };
    if json {
        terminal::json(&report)?;
    } else {
        terminal::result(report.table())?;
    }
    match report.breaks {
        0 => Ok(()),
        1 => Err(Failed::new("the books do not agree: 1 break")),
        breaks => Err(Failed::new(format!(
            "the books do not agree: {breaks} breaks"
        ))),
    }
}

// === impl Answer ===

impl Answer {
    fn of(finding: Finding) -> Self {
        let (invariant, question) = finding.what.split_once(": ").unwrap_or(("", finding.what));
        Self {
            invariant: invariant.to_owned(),
            question: question.to_owned(),
            breaks: finding.breaks,
        }
    }
}

// === impl Report ===

impl Report {
    fn table(&self) -> String {
        let mut lines = vec![format!(
            "{} organizations, {} generations, {} ledger entries; {} credits, {} held, {} owed\n",
            self.organizations,
            self.generations,
            self.ledger_entries,
            self.credits,
            self.held,
            self.debt
        )];
        for answer in &self.questions {
            let breaks = match answer.breaks.len() {
                0 => terminal::good("none"),
                count => terminal::bad(&count.to_string()),
            };
            lines.push(format!(
                "{:<4} {:<76} {breaks}",
                answer.invariant, answer.question
            ));
        }
        let breaks = self.questions.iter().flat_map(|answer| &answer.breaks);
        let shown: Vec<_> = breaks.take(SHOWN).map(|one| format!("  {one}")).collect();
        if !shown.is_empty() {
            lines.push(String::new());
            lines.extend(shown);
        }
        if self.breaks > SHOWN {
            lines.push(format!("  and {} more", self.breaks - SHOWN));
        }
        lines.join("\n")
    }
}

pub(super) fn unreadable(error: impl std::error::Error) -> Failed {
    Failed::new("the books cannot be read").because(error)
}
