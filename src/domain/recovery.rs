//! What becomes of a generation whose process is gone or whose bill is not known
//! (`reliability.md` §2.2). The facts and the time go in, one step comes out; whoever keeps the
//! books takes it. Uncertainty is never the customer's: every hold ends by [`release`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::books::Stage;
use super::generation::CallRecord;

/// After the deadline of a call, its hold is kept this much longer …
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// … but never longer than this after it was taken.
const HOLD_MAX: SignedDuration = SignedDuration::from_mins(15);

/// How long a stored picture waits for its cost before it is charged what was computed
/// (`reliability.md` row 55).
const COST_PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// Waits before each question to OpenRouter about one call; records are filed some time after the
/// answer, and after an interrupted one much later. About a day in all.
const QUESTION_WAITS: [Duration; 10] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
    Duration::from_secs(15 * 60 * 60),
];

/// A generation that nobody works on, as the books and the gallery know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Where its money stands.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// When its hold was taken.
    pub created: Timestamp,
    /// When its calls must have ended.
    pub deadline: Timestamp,
    /// Whether pictures of it are durable.
    pub has_pictures: bool,
    /// Its calls, as far as noted.
    pub calls: Vec<CallFacts>,
}

/// One call of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFacts {
    /// What was noted; a told answer is its cost.
    pub record: CallRecord,
    /// What OpenRouter said to our questions.
    pub question: Question,
}

/// A question to OpenRouter about one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Not asked.
    None,
    /// Asked, or to be asked, and open.
    Open,
    /// Told.
    Answered,
    /// OpenRouter's record is of another call than the one that was asked for.
    Contradicted,
    /// A day has passed without an answer.
    GivenUp,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Release the hold.
    Void(Why),
    /// Charge the pictures, now.
    Settle,
    /// Keep the pictures and go on asking what they cost.
    Store,
    /// Nothing came and it may have been billed: ask.
    Doubt,
    /// The sources contradict each other: for an operator to look at, until the hold is released.
    Review,
    /// Nothing before then, unless an answer comes.
    Wait(Timestamp),
}

/// Why a hold is released without a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing had left for OpenRouter.
    NeverSent,
    /// OpenRouter told what it billed; there is no picture.
    Told,
    /// Nobody told in time.
    Unknown,
}

/// Which call brought which picture, where no receipt says so: a call that could make pictures
/// made one each, in their order, and the last the rest. Their sum is the same either way.
pub fn attribute(pictures: &[u32], mut calls: Vec<CallRecord>) -> Vec<CallRecord> {
    let claimed = |place: &u32| calls.iter().any(|call| call.images.contains(place));
    let mut loose: Vec<u32> = pictures.iter().copied().filter(|p| !claimed(p)).collect();
    if loose.is_empty() {
        return calls;
    }
    let nobodys = |call: &&mut CallRecord| call.images.is_empty() && !call.unbilled;
    let mut last = None;
    for call in calls.iter_mut().filter(nobodys) {
        if loose.is_empty() {
            break;
        }
        call.images.push(loose.remove(0));
        last = Some(call.call);
    }
    match calls.iter_mut().find(|call| Some(call.call) == last) {
        Some(call) => call.images.append(&mut loose),
        None => calls.push(CallRecord {
            call: next_place(&calls),
            images: loose,
            ..CallRecord::default()
        }),
    }
    calls
}

fn next_place(calls: &[CallRecord]) -> u32 {
    calls.iter().map(|call| call.call + 1).max().unwrap_or(0)
}

// === impl Facts ===

impl Facts {
    /// The next step, at `now`.
    pub fn next(&self, now: Timestamp) -> Step {
        match self.stage {
            Stage::Held => Step::Void(Why::NeverSent),
            Stage::Dispatched | Stage::Streaming => self.after_a_crash(),
            Stage::Stored => self.charge_or_wait(now),
            Stage::InDoubt | Stage::Review => self.resolve(now),
            Stage::Settled | Stage::Voided => Step::Wait(Timestamp::MAX),
        }
    }

    fn after_a_crash(&self) -> Step {
        match (self.has_pictures, self.costs_are_settled()) {
            (true, true) => Step::Settle,
            (true, false) => Step::Store,
            (false, _) => Step::Doubt,
        }
    }

    fn charge_or_wait(&self, now: Timestamp) -> Step {
        let patience = later(self.since, COST_PATIENCE);
        if self.costs_are_settled() || now >= patience || self.is_from_the_future(now) {
            Step::Settle
        } else {
            Step::Wait(patience)
        }
    }

    fn resolve(&self, now: Timestamp) -> Step {
        let release = release(self.created, self.deadline);
        let contradicted = |call: &CallFacts| call.question == Question::Contradicted;
        if now >= release || self.is_from_the_future(now) {
            Step::Void(Why::Unknown)
        } else if self.stage == Stage::InDoubt && self.calls.iter().any(contradicted) {
            Step::Review
        } else if self.stage == Stage::InDoubt && self.all_told() {
            Step::Void(Why::Told)
        } else {
            Step::Wait(release)
        }
    }

    /// The clock was set back by more than the grace, so that it cannot tell how long a customer
    /// has waited: nobody waits any longer (`reliability.md` row 75).
    fn is_from_the_future(&self, now: Timestamp) -> bool {
        self.since.max(self.created) > later(now, GRACE)
    }

    /// No call that brought pictures still waits for its cost.
    fn costs_are_settled(&self) -> bool {
        let waits = |call: &&CallFacts| {
            call.record.is_open_question()
                && matches!(call.question, Question::None | Question::Open)
        };
        !self.calls.iter().any(|call| waits(&call))
    }

    /// Every call is accounted for. Without any there is nobody to ask.
    fn all_told(&self) -> bool {
        let told = |call: &CallFacts| call.record.unbilled || call.question == Question::Answered;
        !self.calls.is_empty() && self.calls.iter().all(told)
    }
}

/// When a hold in doubt is released, whatever is known by then.
pub fn release(created: Timestamp, deadline: Timestamp) -> Timestamp {
    later(deadline, GRACE).min(later(created, HOLD_MAX))
}

/// How long to wait before the next question, after `asked` of them; `None` if it was the last.
pub fn wait_before_asking(asked: u32) -> Option<Duration> {
    let place = usize::try_from(asked).ok()?;
    QUESTION_WAITS.get(place).copied()
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::generation::CostSource;
    use crate::domain::money::UsdCost;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).expect("in range")
    }

    fn call(question: Question) -> CallFacts {
        CallFacts {
            record: CallRecord {
                upstream_id: Some("gen-1".to_owned()),
                ..CallRecord::default()
            },
            question,
        }
    }

    fn facts(stage: Stage, has_pictures: bool, calls: Vec<CallFacts>) -> Facts {
        Facts {
            stage,
            since: at(10),
            created: at(0),
            deadline: at(300),
            has_pictures,
            calls,
        }
    }

    #[test]
    fn what_never_left_is_released_at_once() {
        let facts = facts(Stage::Held, false, Vec::new());
        assert_eq!(facts.next(at(0)), Step::Void(Why::NeverSent));
    }

    #[test]
    fn pictures_on_disk_are_charged_and_wait_only_for_a_cost_that_can_be_told() {
        for stage in [Stage::Dispatched, Stage::Streaming] {
            let unnamed = facts(stage, true, Vec::new());
            assert_eq!(unnamed.next(at(11)), Step::Settle);
            let asked = facts(stage, true, vec![call(Question::None)]);
            assert_eq!(asked.next(at(11)), Step::Store);
            let mut told = call(Question::None);
            told.record.cost = Some((UsdCost::ZERO, CostSource::Usage));
            assert_eq!(facts(stage, true, vec![told]).next(at(11)), Step::Settle);
        }
        let stored = facts(Stage::Stored, true, vec![call(Question::Open)]);
        assert_eq!(stored.next(at(11)), Step::Wait(at(70)));
        assert_eq!(stored.next(at(70)), Step::Settle);
    }

    #[test]
    fn nothing_on_disk_is_in_doubt_until_it_is_told_or_the_hold_must_be_free() {
        let orphan = facts(Stage::Streaming, false, vec![call(Question::None)]);
        assert_eq!(orphan.next(at(11)), Step::Doubt);
        let doubt = |question| facts(Stage::InDoubt, false, vec![call(question)]);
        assert_eq!(doubt(Question::Open).next(at(11)), Step::Wait(at(360)));
        assert_eq!(
            doubt(Question::Open).next(at(360)),
            Step::Void(Why::Unknown)
        );
        assert_eq!(
            doubt(Question::Answered).next(at(11)),
            Step::Void(Why::Told)
        );
        assert_eq!(doubt(Question::Contradicted).next(at(11)), Step::Review);
        let nobody = facts(Stage::InDoubt, false, Vec::new());
        assert_eq!(nobody.next(at(359)), Step::Wait(at(360)));
        let review = facts(Stage::Review, false, vec![call(Question::Contradicted)]);
        assert_eq!(review.next(at(11)), Step::Wait(at(360)));
        assert_eq!(review.next(at(360)), Step::Void(Why::Unknown));
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_waiting() {
        let doubt = facts(Stage::InDoubt, false, vec![call(Question::Open)]);
        assert_eq!(doubt.next(at(10 - 60)), Step::Wait(at(360)));
        assert_eq!(doubt.next(at(10 - 61)), Step::Void(Why::Unknown));
        let review = facts(Stage::Review, false, vec![call(Question::Contradicted)]);
        assert_eq!(review.next(at(-86_400)), Step::Void(Why::Unknown));
        let stored = facts(Stage::Stored, true, vec![call(Question::Open)]);
        assert_eq!(stored.next(at(10 - 60)), Step::Wait(at(70)));
        assert_eq!(stored.next(at(10 - 61)), Step::Settle);
    }

    #[test]
    fn pictures_without_a_receipt_are_somebodys() {
        let named = |call| CallRecord {
            call,
            upstream_id: Some(format!("gen-{call}")),
            ..CallRecord::default()
        };
        let brought = |pictures: &[u32], calls| -> Vec<Vec<u32>> {
            let calls = attribute(pictures, calls);
            calls.into_iter().map(|call| call.images).collect()
        };
        assert_eq!(brought(&[0, 1], vec![named(0)]), [vec![0, 1]]);
        assert_eq!(
            brought(&[0, 1, 2], vec![named(0), named(1)]),
            [vec![0], vec![1, 2]]
        );
        assert_eq!(brought(&[3], Vec::new()), [vec![3]]);
        let known = CallRecord {
            images: vec![1],
            ..named(0)
        };
        assert_eq!(
            brought(&[0, 1], vec![known.clone(), named(1)]),
            [vec![1], vec![0]]
        );
        assert_eq!(brought(&[1], vec![known, named(1)]), [vec![1], vec![]]);
    }

    #[test]
    fn no_hold_is_kept_longer_than_fifteen_minutes() {
        assert_eq!(release(at(0), at(3600)), at(900));
        assert_eq!(release(at(0), at(60)), at(120));
        assert_eq!(release(Timestamp::MAX, Timestamp::MAX), Timestamp::MAX);
    }

    #[test]
    fn questions_are_asked_for_about_a_day() {
        let waits: Vec<Duration> = (0..).map_while(wait_before_asking).collect();
        let total: Duration = waits.iter().sum();
        assert!(waits.is_sorted());
        assert!((Duration::from_secs(22 * 3600)..=Duration::from_secs(24 * 3600)).contains(&total));
    }
}
