//! Gives up what opens no more.

use serde::Serialize;

use super::replace::{Folder, unfit};
use crate::app::{self, GivenUp};
use crate::cli::failed::Failed;
use crate::cli::terminal::{self, Text};

/// What `keys give-up-lost` can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
For the day on which the key-encryption key is lost for good, or something that it protects is
damaged. The gateway must be stopped. Without --yes it is only told what opens no more.

An organization whose own OpenRouter key is given up is refused until it sets its key once more or
deletes it: the platform never pays in its place. API keys that open nothing are revoked; make new
ones with the operator's key. Credits, pictures and all records stay as they are.

Examples:
  image-gateway keys give-up-lost --data-dir ./data
  image-gateway keys give-up-lost --data-dir ./data --yes")]
pub(super) struct Args {
    #[command(flatten)]
    folder: Folder,
    /// Give it up: it cannot be undone, even if the lost key is found again
    #[arg(long)]
    yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The result, for programs.
#[derive(Serialize)]
struct Told {
    given_up: bool,
    openrouter_keys: u32,
    organizations: Vec<String>,
    api_keys: u32,
    peppers: u32,
}

pub(super) async fn run(args: Args) -> Result<(), Failed> {
    let (data_dir, given) = args.folder.open()?;
    let found = app::give_up_lost(data_dir, given, args.yes).await;
    let found = found.map_err(|error| unfit("cannot tell what is lost", error))?;
    if args.json {
        return terminal::json(&told(&found));
    }
    terminal::result(paper(&found))?;
    let lost = &found.lost;
    let any = lost.openrouter_keys + lost.api_keys + lost.peppers > 0;
    if any && !found.done {
        terminal::note(
            "Nothing was changed. Look for the lost key first; with --yes all of this is given up for good.",
        );
    }
    if found.done && lost.api_keys > 0 {
        terminal::note("Make new API keys with the operator's key: image-gateway keys create.");
    }
    Ok(())
}

fn told(found: &GivenUp) -> Told {
    let lost = &found.lost;
    Told {
        given_up: found.done,
        openrouter_keys: lost.openrouter_keys,
        organizations: lost.organizations.iter().map(ToString::to_string).collect(),
        api_keys: lost.api_keys,
        peppers: lost.peppers,
    }
}

/// What is lost, for people.
fn paper(found: &GivenUp) -> Text {
    let lost = &found.lost;
    let begin = match (found.done, found.has_key) {
        (true, _) => "given up",
        (false, true) => "opens no more",
        (false, false) => "opens no more, because there is no key-encryption key",
    };
    if lost.openrouter_keys + lost.api_keys + lost.peppers == 0 {
        return "everything opens; there is nothing to give up".into();
    }
    let mut lines = vec![format!(
        "{begin}: {}, {}",
        counted(lost.openrouter_keys, "OpenRouter key"),
        counted(lost.api_keys, "API key"),
    )];
    if !lost.organizations.is_empty() {
        lines.push("OpenRouter keys of:".to_owned());
    }
    let names = lost.organizations.iter().map(|name| format!("  {name}"));
    lines.extend(names);
    let unnamed = usize::try_from(lost.openrouter_keys).unwrap_or(usize::MAX);
    match unnamed.saturating_sub(lost.organizations.len()) {
        0 => {}
        more => lines.push(format!("  and {more} more organizations")),
    }
    Text::lines(lines)
}

fn counted(count: u32, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::OrganizationId;
    use crate::store::sqlite::Lost;

    fn found(openrouter_keys: u32, api_keys: u32) -> GivenUp {
        GivenUp {
            lost: Lost {
                openrouter_keys,
                organizations: OrganizationId::parse("acme").into_iter().collect(),
                api_keys,
                peppers: 1,
            },
            done: false,
            has_key: true,
        }
    }

    #[test]
    fn what_is_lost_is_counted_and_whose_it_is_named() {
        assert_eq!(
            paper(&found(1, 2)).plain(),
            "opens no more: 1 OpenRouter key, 2 API keys\nOpenRouter keys of:\n  acme"
        );
        let many = GivenUp {
            done: true,
            ..found(5, 1)
        };
        assert_eq!(
            paper(&many).plain(),
            "given up: 5 OpenRouter keys, 1 API key\nOpenRouter keys of:\n  acme\n  and 4 more organizations"
        );
        let whole = GivenUp {
            lost: Lost::default(),
            ..found(0, 0)
        };
        assert_eq!(
            paper(&whole).plain(),
            "everything opens; there is nothing to give up"
        );
    }
}
