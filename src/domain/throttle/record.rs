//! How the calls of one scope fared, and whose turn it is while they are refused.

use std::collections::VecDeque;
use std::time::Duration;

use super::{PROBE_EVERY, ROW, WINDOW};
use crate::domain::ids::AgentId;

/// Seconds of outcomes that are counted together and forgotten together.
pub(super) const SLOT_SECS: u64 = 10;

/// Agents of which it is known that they had a turn in vain. Of more, the first is forgotten and may
/// have another.
const IN_VAIN_MAX: usize = 4;

/// How the calls of one scope fared.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The newest is the last.
    pub(super) slots: VecDeque<Slot>,
    /// Since when calls are refused.
    refuses_since: Option<Duration>,
    /// Accepted in a row, of those that were sent since then.
    row: u32,
    /// When the first of the row was sent: what was sent before tells of an earlier time.
    row_sent: Duration,
    /// Calls that were sent before this do not count any more.
    since: Duration,
    /// When a call was let through last.
    let_through: Option<Duration>,
    /// The same before that call.
    let_through_before: Option<Duration>,
    /// When a call of the scope had a turn last, though it was given back. Asked of an organization's
    /// own scope alone, as is what follows.
    had: Option<Duration>,
    /// Agents that gave their turn back, and when they had had it; the latest is the last.
    in_vain: VecDeque<(AgentId, Duration)>,
}

/// Outcomes of some seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    number: u64,
    accepted: u64,
    failed: u64,
}

// === impl Record ===

impl Record {
    pub(super) const fn refuses(&self) -> bool {
        self.refuses_since.is_some()
    }

    /// Whether it is time to let a call through.
    fn is_due(&self, now: Duration) -> bool {
        is_past(self.let_through, now)
    }

    /// Whether no call of the scope has had a turn for as long as one waits for it.
    pub(super) fn had_none_since(&self, now: Duration) -> bool {
        is_past(self.had, now)
    }

    /// Whether this agent has not lately had a turn in vain. It waits twice as long as others, so that
    /// one of these is next.
    pub(super) fn agent_waited(&self, agent: &AgentId, now: Duration) -> bool {
        let mut others = self.in_vain.iter();
        let had = others.rfind(|(one, _)| one == agent).map(|(_, at)| *at);
        had.is_none_or(|at| now.saturating_sub(at) >= PROBE_EVERY * 2)
    }

    /// A call goes through.
    pub(super) fn let_through(&mut self, at: Duration) {
        self.let_through_before = self.let_through.replace(at);
        self.had = Some(at);
    }

    /// A call of this agent had a turn at that time and gave it back.
    pub(super) fn had_in_vain(&mut self, agent: &AgentId, at: Duration) {
        self.had = self.had.max(Some(at));
        self.in_vain.retain(|(one, _)| one != agent);
        if self.in_vain.len() >= IN_VAIN_MAX {
            self.in_vain.pop_front();
        }
        self.in_vain.push_back((agent.clone(), at));
    }

    /// Undoes that a call was let through at that time, unless another one was after it.
    pub(super) fn let_back(&mut self, at: Duration) {
        if self.let_through == Some(at) {
            self.let_through = self.let_through_before;
        }
    }

    /// Whether this call is one of those that are refused.
    pub(super) fn stops(&mut self, now: Duration, draw: u64, has_waited: bool) -> bool {
        if !self.refuses() {
            return false;
        }
        self.forget(now);
        let (accepted, failed) = self.sums();
        // SRE Book: max(0, (requests − 2 · accepts) / (requests + 1)), in whole numbers.
        let parts = u128::from(accepted + failed + 1);
        let drawn = (u128::from(draw) * parts) >> u64::BITS;
        let is_probe = has_waited && self.is_due(now);
        !is_probe && drawn < u128::from(failed.saturating_sub(accepted))
    }

    /// A call that was sent then has ended now. `least` failures prove something.
    pub(super) fn tell(&mut self, sent: Duration, now: Duration, accepted: bool, least: u64) {
        self.forget(now);
        if self.slots.is_empty() {
            self.refuses_since = None;
        }
        if sent >= self.since {
            self.count(sent, now, accepted);
            self.judge(now, least);
        }
    }

    fn count(&mut self, sent: Duration, now: Duration, accepted: bool) {
        let number = now.as_secs() / SLOT_SECS;
        if self.slots.back().is_none_or(|slot| slot.number < number) {
            self.slots.push_back(Slot {
                number,
                accepted: 0,
                failed: 0,
            });
        }
        if let Some(slot) = self.slots.back_mut() {
            slot.accepted += u64::from(accepted);
            slot.failed += u64::from(!accepted);
        }
        if !accepted && sent >= self.row_sent {
            self.row = 0;
        } else if accepted && self.refuses_since.is_some_and(|since| sent >= since) {
            let first = if self.row == 0 { sent } else { self.row_sent };
            self.row_sent = first.min(sent);
            self.row = self.row.saturating_add(1);
        }
    }

    fn judge(&mut self, now: Duration, least: u64) {
        let (accepted, failed) = self.sums();
        if !self.refuses() {
            let is_over = failed >= least && failed > accepted;
            self.refuses_since = is_over.then_some(now);
            self.row = 0;
        } else if self.row >= ROW {
            *self = Self {
                since: now,
                ..Self::default()
            };
        } else if failed * 2 <= accepted {
            // Well below the half, so that what lies at it is not told again and again.
            self.refuses_since = None;
        }
    }

    fn sums(&self) -> (u64, u64) {
        let add =
            |(accepted, failed), slot: &Slot| (accepted + slot.accepted, failed + slot.failed);
        self.slots.iter().fold((0, 0), add)
    }

    fn forget(&mut self, now: Duration) {
        let oldest = now.saturating_sub(WINDOW).as_secs() / SLOT_SECS;
        while self.slots.front().is_some_and(|slot| slot.number < oldest) {
            self.slots.pop_front();
        }
    }

    /// The number of the newest outcomes.
    pub(super) fn last(&self) -> Option<u64> {
        self.slots.back().map(|slot| slot.number)
    }
}

/// Whether something was so long ago that it is the next one's turn.
fn is_past(last: Option<Duration>, now: Duration) -> bool {
    last.is_none_or(|last| now.saturating_sub(last) >= PROBE_EVERY)
}
