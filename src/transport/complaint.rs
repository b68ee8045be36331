//! One line of log for many bad peers: floods come by the thousand, and a line for each would be a
//! flood of its own. All are counted in the metrics.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A line is written this often at most.
const EVERY: Duration = Duration::from_secs(60);

/// When the last line was written, and how many were not since.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    last: Mutex<Option<(Instant, u64)>>,
}

impl Complaint {
    /// A peer flooded.
    pub(super) fn flood(&self, peer: SocketAddr) {
        if let Some(others) = self.due() {
            tracing::warn!(%peer, others, "a connection was cut because it flooded");
        }
    }

    /// A newcomer was turned away.
    pub(super) fn turned_away(&self, peer: SocketAddr) {
        if let Some(others) = self.due() {
            tracing::warn!(
                %peer,
                others,
                "a connection was turned away: too many from its address were put out"
            );
        }
    }

    /// How many were passed over, if it is time for a line.
    fn due(&self) -> Option<u64> {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some((at, passed_over)) if now.duration_since(*at) < EVERY => {
                *passed_over += 1;
                None
            }
            last => {
                let others = last.map_or(0, |(_, passed_over)| passed_over);
                *last = Some((now, 0));
                Some(others)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_floods_are_one_line_a_minute_that_counts_the_others() {
        let complaint = Complaint::default();
        assert_eq!(complaint.due(), Some(0));
        for _ in 0..1000 {
            assert_eq!(complaint.due(), None);
        }
        tokio::time::advance(EVERY).await;
        assert_eq!(complaint.due(), Some(1000));
        assert_eq!(complaint.due(), None);
    }
}
