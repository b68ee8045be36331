//! Heads of the books that are kept elsewhere: a backup that was put back, or commits that were
//! lost, leave books that agree with themselves; only who remembers their last rows can tell.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use super::super::failed::Failed;
use super::super::terminal::{self, Text};
use super::unreadable;
use crate::ports::{Chain, Head, KeptHeads, Stand};
use crate::store::sqlite::Inspector;

/// What was compared, for programs.
#[derive(Serialize)]
struct Report {
    /// Organizations in the file.
    organizations: u64,
    /// Chains that are not what they were.
    broken: Vec<Broken>,
}

/// A chain that has not the head that was kept.
#[derive(Serialize)]
struct Broken {
    /// Whose; none is the platform's.
    organization: Option<String>,
    chain: &'static str,
    /// The place of the head that was kept.
    kept: u64,
    /// The last row that is there, if the chain ends before that.
    last: Option<u64>,
    /// What that means: `rolled back`, `not there` or `rewritten`.
    what: &'static str,
}

/// Writes the heads, one line for the platform and one for each organization.
pub(super) fn write(inspector: &Inspector, file: &Path) -> Result<(), Failed> {
    let heads = inspector.heads().map_err(|error| {
        Failed::new("there are no heads to be kept of these books; nothing is written")
            .because(error)
            .hint("image-gateway audit tells what else is missing")
    })?;
    replace(file, &heads).map_err(|error| {
        Failed::new(format!("cannot write the heads to {}", file.display())).because(error)
    })?;
    let whose = whose(organizations(&heads));
    terminal::note(format!("heads of {whose} written to {}", file.display()));
    Ok(())
}

/// The file is the old one or the new one, whenever the machine stops.
fn replace(file: &Path, heads: &[KeptHeads]) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let mut new = File::create(&beside)?;
    for one in heads {
        serde_json::to_writer(&mut new, one)?;
        new.write_all(b"\n")?;
    }
    new.sync_all()?;
    fs::rename(&beside, file)
}

/// Compares the books with heads that were kept.
pub(super) fn check(inspector: &Inspector, file: &Path, json: bool) -> Result<(), Failed> {
    let kept = read(file)?;
    let mut broken = Vec::new();
    for one in &kept {
        let (organization, chains) = match one {
            KeptHeads::Organization(heads) => (
                Some(heads.organization.as_str()),
                vec![(Chain::Ledger, &heads.ledger), (Chain::Trail, &heads.trail)],
            ),
            KeptHeads::Platform(heads) => (None, vec![(Chain::Trail, &heads.platform_trail)]),
        };
        for (chain, head) in chains {
            let stand = inspector.stand(organization, chain, head);
            let stand = stand.map_err(unreadable)?;
            broken.extend(Broken::of(organization, chain, head, stand));
        }
    }
    let report = Report {
        organizations: organizations(&kept),
        broken,
    };
    if json {
        terminal::json(&report)?;
    } else {
        terminal::result(report.table())?;
    }
    if report.broken.is_empty() {
        return Ok(());
    }
    Err(
        Failed::new("the books have not all that they had when these heads were written").hint(
            "was an older copy put back? reconcile tells what is missing of OpenRouter's bill",
        ),
    )
}

/// Whose heads they are, in words.
fn whose(organizations: u64) -> String {
    match organizations {
        0 => "the platform alone".to_owned(),
        some => terminal::count(some, "organization"),
    }
}

fn organizations(heads: &[KeptHeads]) -> u64 {
    let organizations = heads
        .iter()
        .filter(|one| matches!(one, KeptHeads::Organization(_)));
    u64::try_from(organizations.count()).unwrap_or(u64::MAX)
}

fn read(file: &Path) -> Result<Vec<KeptHeads>, Failed> {
    let cannot = || Failed::new(format!("cannot read the heads in {}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| cannot().because(error))?;
    let lines = text.lines().map(serde_json::from_str);
    let heads: Vec<KeptHeads> = lines.collect::<Result<_, _>>().map_err(|error| {
        let failed = cannot().because(error);
        failed.hint("this is no file that audit --write-heads has written")
    })?;
    // Nothing to compare with is no proof of anything.
    if heads.is_empty() {
        return Err(cannot().hint("there is none in it; write it with --write-heads"));
    }
    Ok(heads)
}

// === impl Broken ===

impl Broken {
    fn of(organization: Option<&str>, chain: Chain, head: &Head, stand: Stand) -> Option<Self> {
        let (what, last) = match stand {
            Stand::Kept => return None,
            Stand::Ends { last: None } => ("not there", None),
            Stand::Ends { last } => ("rolled back", last),
            Stand::Differs => ("rewritten", None),
        };
        Some(Self {
            organization: organization.map(str::to_owned),
            chain: chain.as_str(),
            kept: head.sequence,
            last,
            what,
        })
    }

    fn line(&self) -> Text {
        let (chain, kept) = (self.chain, self.kept);
        let organization = self.organization.as_deref().unwrap_or("the platform");
        let line = Text::from(format!("  {organization}: {chain} "));
        let line = line.and(terminal::bad(self.what));
        line.and(match self.last {
            Some(last) => format!(", from row {kept} to row {last}"),
            None => format!(", row {kept}"),
        })
    }
}

// === impl Report ===

impl Report {
    fn table(&self) -> Text {
        let whose = whose(self.organizations);
        if self.broken.is_empty() {
            let all = terminal::good("all that was there");
            return Text::from(format!("{whose}: the books have ")).and(all);
        }
        let lines = self.broken.iter().map(Broken::line);
        let head = std::iter::once(Text::from(format!("{whose}; not as they were:")));
        Text::lines(head.chain(lines))
    }
}
