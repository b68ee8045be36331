//! What the books do not take now, and must take all the same: the end of a generation that its caller
//! has been told.

use std::time::Duration;

use super::settle::{End, Unbooked, unended};
use super::{Generator, Held};
use crate::crash::step;
use crate::domain::generation::Generation;
use crate::ports::LedgerError;

/// The longest wait before the books are asked once more; they are asked until they answer.
const SETTLE_WAIT_MAX: Duration = Duration::from_secs(30);

impl Generator {
    /// Goes on until the books take the end of a generation that its caller has long been told.
    pub(super) async fn book_later(&self, held: &Held, unbooked: Unbooked) {
        let mut wait = Duration::from_secs(1);
        loop {
            step("wait_to_book", tokio::time::sleep(wait)).await;
            let attempt = step("book_later", self.try_later(held, &unbooked)).await;
            match (attempt, &unbooked) {
                (Ok(generation), Unbooked::Settlement(_)) => return self.count(&generation),
                (Ok(_), Unbooked::Nothing(..)) => return,
                (Err(error), _) if error.may_pass() => {
                    wait = (wait * 2).min(SETTLE_WAIT_MAX);
                }
                (Err(error), _) => {
                    // Somebody else ended it; the recovery looks at what is left.
                    return unended(held, &error);
                }
            }
        }
    }

    async fn try_later(&self, held: &Held, unbooked: &Unbooked) -> Result<Generation, LedgerError> {
        match unbooked {
            Unbooked::Settlement(settlement) => {
                let booked = self.try_to_book(held, settlement, End::Settle);
                step("settle_later", booked).await
            }
            Unbooked::Nothing(stage, ending) => {
                let ended = self.try_without(held, *stage, ending);
                step("end_later", ended).await
            }
        }
    }
}
