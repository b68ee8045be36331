//! `image-gateway audit`: do the books agree with themselves? Or: what was charged for one
//! generation, computed again from what is stored. Or: do they still have what they had?

use std::path::PathBuf;

use super::failed::Failed;
use super::terminal::{self, Bar};
use crate::domain::ids::{GenerationId, OrganizationId, RequestId};
use crate::ports::{AuditProgress, Extent, PictureCheck};
use crate::store::sqlite::Inspector;
use report::Report;

mod heads;
mod receipt;
mod report;

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
Ends with status 1 if anything is not as it must be. With --database the pictures are not looked at.
I1 to I14 are the invariants of the books, A1 to A11 those of the audit trails; R1 and R2 ask whether
rows that repeat or point at others agree with them. What each asks is said in its line.

Examples:
  image-gateway audit --data-dir ./data
  image-gateway audit --data-dir ./data --pictures
  image-gateway audit --database copy.sqlite3 --json
  image-gateway audit --data-dir ./data --write-heads heads.jsonl
  image-gateway audit --data-dir ./data --check-heads heads.jsonl
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
    /// Read every byte of every kept picture, not only its size
    #[arg(long, conflicts_with_all = ["generation", "request", "database"])]
    pictures: bool,
    /// Write the last row of each organization's ledger and audit trail, and of the platform's trail,
    /// to a file, to be kept on another machine; nothing else is looked at
    #[arg(long, value_name = "FILE", conflicts_with_all = ["generation", "request", "pictures", "json"])]
    write_heads: Option<PathBuf>,
    /// Whether the books still have all that they had when this file was written
    #[arg(long, value_name = "FILE", conflicts_with_all = ["generation", "request", "pictures", "write_heads"])]
    check_heads: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Looks, and says.
pub(super) fn run(args: &Args) -> Result<(), Failed> {
    let inspector = args.books.open()?;
    if let Some(file) = &args.write_heads {
        return heads::write(&inspector, file);
    }
    if let Some(file) = &args.check_heads {
        return heads::check(&inspector, file, args.json);
    }
    match args.wanted(&inspector)? {
        Some(id) => receipt::show(&inspector, id, args.json),
        None => books(&inspector, args),
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
    const fn check(&self) -> PictureCheck {
        if self.pictures {
            PictureCheck::Content
        } else {
            PictureCheck::Size
        }
    }

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
fn books(inspector: &Inspector, args: &Args) -> Result<(), Failed> {
    let extent = inspector.extent().map_err(unreadable)?;
    let mut report = Report::of(&extent, inspector.knows_pictures(), args.check());
    let bar = bar(&extent, inspector.knows_pictures());
    let tell = |progress| match progress {
        AuditProgress::Looked(rows) => bar.add(rows),
        AuditProgress::Answer(finding) => {
            bar.say(format!("{} answered", finding.name));
            report.add(finding);
        }
    };
    inspector.audit(args.check(), tell).map_err(unreadable)?;
    bar.end();
    if args.json {
        terminal::json(&report)?;
    } else {
        terminal::result(report.table())?;
    }
    match report.breaks {
        0 => Ok(()),
        breaks => Err(Failed::new(format!(
            "the books do not agree: {}",
            terminal::count(breaks, "break")
        ))),
    }
}

/// A bar over all that is looked at one by one.
fn bar(extent: &Extent, with_pictures: bool) -> Bar {
    let pictures = if with_pictures { extent.pictures } else { 0 };
    let steps = extent.entries + extent.settled + pictures;
    Bar::still("{bar:30} {percent:>3} % {msg}", Some(steps))
}

pub(super) fn unreadable(error: impl std::error::Error) -> Failed {
    Failed::new("the books cannot be read").because(error)
}
