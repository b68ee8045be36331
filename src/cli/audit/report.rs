//! What an audit has found: one row per question, then the breaks.

use serde::Serialize;

use super::super::terminal::{self, Text};
use crate::ports::{Extent, Finding, PictureCheck};

/// Breaks that are printed one by one.
const SHOWN: usize = 100;

/// What was asked and what came of it, for programs.
#[derive(Serialize)]
pub(super) struct Report {
    organizations: u64,
    generations: u64,
    ledger_entries: u64,
    credits: String,
    held: String,
    debt: String,
    /// How the pictures were looked at: `size`, `content`, or `none` of a copy.
    pictures: &'static str,
    questions: Vec<Answer>,
    pub(super) breaks: u64,
}

/// One question.
#[derive(Serialize)]
struct Answer {
    invariant: &'static str,
    question: &'static str,
    breaks: u64,
    /// The first of them.
    shown: Vec<String>,
}

impl Report {
    pub(super) fn of(extent: &Extent, with_pictures: bool, check: PictureCheck) -> Self {
        Self {
            organizations: extent.organizations,
            generations: extent.generations,
            ledger_entries: extent.entries,
            credits: extent.accounts.balance().to_string(),
            held: extent.accounts.held.to_string(),
            debt: extent.accounts.debt.to_string(),
            pictures: match check {
                _ if !with_pictures => "none",
                PictureCheck::Size => "size",
                PictureCheck::Content => "content",
            },
            questions: Vec::new(),
            breaks: 0,
        }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.breaks += finding.breaks;
        self.questions.push(Answer {
            invariant: finding.name,
            question: finding.holds,
            breaks: finding.breaks,
            shown: finding.shown,
        });
    }

    pub(super) fn table(&self) -> Text {
        let mut lines = vec![Text::from(self.head()), Text::default()];
        let width = self.questions.iter().map(|answer| answer.question.len());
        let width = width.max().unwrap_or(0);
        for answer in &self.questions {
            let breaks = match answer.breaks {
                0 => terminal::good("holds"),
                count => terminal::bad(terminal::count(count, "break")),
            };
            let (name, question) = (answer.invariant, answer.question);
            lines.push(Text::from(format!("{name:<4} {question:<width$}  ")).and(breaks));
        }
        if self.pictures == "none" {
            lines.push("     the pictures of a copy are not looked at".into());
        }
        let all = self.questions.iter();
        let all = all.flat_map(|one| one.shown.iter().map(move |what| (one.invariant, what)));
        let shown: Vec<_> = all
            .take(SHOWN)
            .map(|(name, what)| Text::from(format!("  {name}: {what}")))
            .collect();
        let more = self.breaks - u64::try_from(shown.len()).unwrap_or(0);
        if !shown.is_empty() {
            lines.push(Text::default());
            lines.extend(shown);
        }
        if more > 0 {
            lines.push(format!("  and {more} more").into());
        }
        Text::lines(lines)
    }

    fn head(&self) -> String {
        let [organizations, generations] = [
            terminal::count(self.organizations, "organization"),
            terminal::count(self.generations, "generation"),
        ];
        let entries = match self.ledger_entries {
            1 => "1 ledger entry".to_owned(),
            count => format!("{count} ledger entries"),
        };
        let (credits, held, debt) = (&self.credits, &self.held, &self.debt);
        format!(
            "{organizations}, {generations}, {entries}; {credits} credits, {held} held, {debt} owed"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_what_is_not_shown_is_counted() {
        let mut report = Report::of(&Extent::default(), true, PictureCheck::Size);
        (report.organizations, report.ledger_entries) = (1, 1);
        report.add(Finding {
            name: "I1",
            holds: "all is well",
            breaks: 1,
            shown: vec!["a".to_owned()],
        });
        report.add(Finding {
            name: "I2",
            holds: "nothing is lost",
            breaks: 1_000,
            shown: (0..100).map(|n| n.to_string()).collect(),
        });
        let table = report.table().plain();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("1 organization, 0 generations, 1 ledger entry; "));
        assert_eq!(lines[2], "I1   all is well      1 break");
        assert_eq!(lines[3], "I2   nothing is lost  1000 breaks");
        assert_eq!(lines[5..7], ["  I1: a", "  I2: 0"]);
        assert_eq!(lines.last(), Some(&"  and 901 more"));
    }
}
