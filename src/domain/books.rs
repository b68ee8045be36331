//! The rules of money, once: how an account changes when credits are added, held, settled or
//! voided, and which step of a generation may follow which. No clock, no I/O: the store asks here
//! before it writes, and the database's own constraints are the second lock on the same door.

use super::money::Credits;
use super::shape::words;

/// What an organization owns, and what of it is promised. All three are never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Credits owned.
    pub posted: Credits,
    /// Credits promised to open holds; never more than `posted`.
    pub held: Credits,
    /// What an overrun took beyond `posted` (`reliability.md` §2.3). Repaid by the next top-up.
    pub debt: Credits,
}

words! {
    /// What a row of the ledger records. The words are also SQL's.
    EntryKind {
        /// Credits were bought or given.
        Purchase = "purchase",
        /// Pictures were paid for.
        Charge = "charge",
        /// The part of a charge that nobody had credits for.
        ChargeDebt = "charge_debt",
        /// A top-up or a refund repaid an earlier overrun.
        DebtRepaid = "debt_repaid",
        /// A charge was found too high afterwards; the difference came back.
        Refund = "refund",
    }
}

words! {
    /// A side of a double entry (`reliability.md` §3).
    LedgerAccount {
        /// The organization's credits.
        OrgCredits = "org_credits",
        /// What the organization owes.
        OrgDebt = "org_debt",
        /// Where credits come from.
        Issued = "issued",
        /// Where spent credits go.
        Revenue = "revenue",
    }
}

/// One row of the ledger: one amount, from one side to another, and the account after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// What happened.
    pub kind: EntryKind,
    /// The amount; always above zero.
    pub amount: Credits,
    /// The account after this row.
    pub after: Account,
}

words! {
    /// Where the money of a generation stands (`reliability.md` §2.1). The words are also SQL's.
    Stage {
        /// Credits are held; nothing has left for OpenRouter.
        Held = "held",
        /// The first byte may have left.
        Dispatched = "dispatched",
        /// OpenRouter has answered with headers.
        Streaming = "streaming",
        /// The pictures are durable.
        Stored = "stored",
        /// Charged, once and for all.
        Settled = "settled",
        /// Ended without a charge.
        Voided = "voided",
        /// Nobody knows yet whether it was billed.
        InDoubt = "in_doubt",
        /// Sources contradict each other; an operator looks.
        Review = "review",
    }
}

/// Why the books do not allow an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The account does not cover the hold.
    #[error("{needed} credits are needed, {available} are available")]
    Insufficient {
        /// The hold asked for.
        needed: Credits,
        /// What a hold could have taken.
        available: Credits,
    },
    /// An amount that must be positive is not, or a sum leaves what the books can hold.
    #[error("the amount is out of range")]
    OutOfRange,
    /// The hold to end is not among those that are held.
    #[error("more would be released than is held")]
    NotHeld,
}

// === impl Account ===

impl Account {
    /// What a new hold may take: nothing while there is debt.
    pub fn available(self) -> Credits {
        if self.debt > Credits::ZERO {
            Credits::ZERO
        } else {
            self.posted.saturating_sub(self.held)
        }
    }

    /// The balance that is shown: owned minus owed; may be negative (`domain.md` C21).
    pub fn balance(self) -> Credits {
        Credits::from_hundredths(self.posted.hundredths() - self.debt.hundredths())
    }

    /// Promises `amount`.
    ///
    /// # Errors
    /// [`Refusal::Insufficient`] if it is not available, [`Refusal::OutOfRange`] if not positive.
    pub fn hold(self, amount: Credits) -> Result<Self, Refusal> {
        if amount <= Credits::ZERO {
            return Err(Refusal::OutOfRange);
        }
        let available = self.available();
        if amount > available {
            return Err(Refusal::Insufficient {
                needed: amount,
                available,
            });
        }
        let held = self.held.checked_add(amount).ok_or(Refusal::OutOfRange)?;
        Ok(Self { held, ..self })
    }

    /// Ends a hold without a charge.
    ///
    /// # Errors
    /// [`Refusal::NotHeld`] if less than that is held.
    pub fn void(self, held: Credits) -> Result<Self, Refusal> {
        if held > self.held {
            return Err(Refusal::NotHeld);
        }
        let held = self.held.checked_sub(held).ok_or(Refusal::OutOfRange)?;
        Ok(Self { held, ..self })
    }

    /// Ends a hold with a charge. What hold and free credits cover is taken; the rest becomes
    /// debt, so that the holds of others are never eaten.
    ///
    /// # Errors
    /// As [`Account::void`]; [`Refusal::OutOfRange`] for a negative charge.
    pub fn settle(self, held: Credits, charge: Credits) -> Result<Vec<Posting>, Refusal> {
        if charge < Credits::ZERO {
            return Err(Refusal::OutOfRange);
        }
        let free = self.void(held)?;
        let covered = free.posted.saturating_sub(free.held).min(charge);
        let uncovered = charge.saturating_sub(covered);
        let mut postings = Vec::with_capacity(2);
        let mut after = free;
        if covered > Credits::ZERO {
            after.posted = after
                .posted
                .checked_sub(covered)
                .ok_or(Refusal::OutOfRange)?;
            postings.push(Posting::new(EntryKind::Charge, covered, after));
        }
        if uncovered > Credits::ZERO {
            after.debt = after
                .debt
                .checked_add(uncovered)
                .ok_or(Refusal::OutOfRange)?;
            postings.push(Posting::new(EntryKind::ChargeDebt, uncovered, after));
        }
        Ok(postings)
    }

    /// Adds bought credits, and repays debt with them first.
    ///
    /// # Errors
    /// [`Refusal::OutOfRange`] if not positive, or more than the books can hold.
    pub fn purchase(self, amount: Credits) -> Result<Vec<Posting>, Refusal> {
        self.receive(EntryKind::Purchase, amount)
    }

    /// Gives back what a charge took too much (`domain.md` C15), and repays debt with it first.
    ///
    /// # Errors
    /// As [`Account::purchase`].
    pub fn refund(self, amount: Credits) -> Result<Vec<Posting>, Refusal> {
        self.receive(EntryKind::Refund, amount)
    }

    fn receive(self, kind: EntryKind, amount: Credits) -> Result<Vec<Posting>, Refusal> {
        if amount <= Credits::ZERO {
            return Err(Refusal::OutOfRange);
        }
        let mut after = self;
        after.posted = after
            .posted
            .checked_add(amount)
            .ok_or(Refusal::OutOfRange)?;
        let mut postings = vec![Posting::new(kind, amount, after)];
        let repaid = self.debt.min(after.posted.saturating_sub(after.held));
        if repaid > Credits::ZERO {
            after.posted = after
                .posted
                .checked_sub(repaid)
                .ok_or(Refusal::OutOfRange)?;
            after.debt = after.debt.checked_sub(repaid).ok_or(Refusal::OutOfRange)?;
            postings.push(Posting::new(EntryKind::DebtRepaid, repaid, after));
        }
        Ok(postings)
    }
}

// === impl Posting ===

impl Posting {
    const fn new(kind: EntryKind, amount: Credits, after: Account) -> Self {
        Self {
            kind,
            amount,
            after,
        }
    }

    /// Where the amount comes from and where it goes.
    pub const fn sides(&self) -> (LedgerAccount, LedgerAccount) {
        match self.kind {
            EntryKind::Purchase => (LedgerAccount::Issued, LedgerAccount::OrgCredits),
            EntryKind::Charge => (LedgerAccount::OrgCredits, LedgerAccount::Revenue),
            EntryKind::ChargeDebt => (LedgerAccount::OrgDebt, LedgerAccount::Revenue),
            EntryKind::DebtRepaid => (LedgerAccount::OrgCredits, LedgerAccount::OrgDebt),
            EntryKind::Refund => (LedgerAccount::Revenue, LedgerAccount::OrgCredits),
        }
    }

    /// What the row does to the balance that is shown. Repaying debt moves credits from one pocket
    /// of the balance to the other and so changes nothing.
    pub fn effect_on_balance(&self) -> Credits {
        match self.kind {
            EntryKind::Purchase | EntryKind::Refund => self.amount,
            EntryKind::Charge | EntryKind::ChargeDebt => {
                Credits::from_hundredths(-self.amount.hundredths())
            }
            EntryKind::DebtRepaid => Credits::ZERO,
        }
    }
}

// === impl Stage ===

impl Stage {
    /// Whether `next` may follow. The same table stands in the database.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Held, Self::Dispatched | Self::Voided)
                | (
                    Self::Dispatched,
                    Self::Streaming | Self::Stored | Self::Voided | Self::InDoubt
                )
                | (Self::Streaming, Self::Stored | Self::Voided | Self::InDoubt)
                | (Self::Stored, Self::Settled)
                | (Self::InDoubt, Self::Voided | Self::Stored | Self::Review)
                | (Self::Review, Self::Voided | Self::Settled)
        )
    }

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Settled | Self::Voided)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn credits(hundredths: i64) -> Credits {
        Credits::from_hundredths(hundredths)
    }

    #[test]
    fn an_overrun_takes_what_is_free_and_owes_the_rest() {
        let account = Account {
            posted: credits(1000),
            held: credits(900),
            debt: Credits::ZERO,
        };
        let postings = account.settle(credits(400), credits(700)).expect("settles");
        let after = postings.last().expect("a row").after;
        assert_eq!(
            after,
            Account {
                posted: credits(500),
                held: credits(500),
                debt: credits(200)
            }
        );
        assert_eq!(after.available(), Credits::ZERO);
        assert!(matches!(
            after.hold(credits(1)),
            Err(Refusal::Insufficient { .. })
        ));
        let repaid = after.purchase(credits(250)).expect("buys");
        assert_eq!(
            repaid.last().expect("a row").after,
            Account {
                posted: credits(550),
                held: credits(500),
                debt: Credits::ZERO
            }
        );
    }

    #[test]
    fn final_stages_have_no_successor() {
        for from in Stage::ALL {
            let leads_on = Stage::ALL.iter().any(|to| from.may_become(*to));
            assert_eq!(leads_on, !from.is_final(), "{from}");
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Buy(i64),
        Hold(i64),
        Settle(usize, i64),
        Void(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (-5i64..500).prop_map(Op::Buy),
            (-5i64..300).prop_map(Op::Hold),
            (0usize..8, -5i64..900).prop_map(|(which, charge)| Op::Settle(which, charge)),
            (0usize..8).prop_map(Op::Void),
        ]
    }

    /// Applies an operation; a refused one must leave everything as it was.
    fn apply(account: &mut Account, open: &mut Vec<Credits>, shown: &mut i64, op: &Op) {
        let book = |postings: Vec<Posting>, account: &mut Account, shown: &mut i64| {
            for posting in postings {
                *shown += posting.effect_on_balance().hundredths();
                *account = posting.after;
            }
        };
        match *op {
            Op::Buy(amount) => {
                if let Ok(postings) = account.purchase(credits(amount)) {
                    book(postings, account, shown);
                }
            }
            Op::Hold(amount) => {
                if let Ok(after) = account.hold(credits(amount)) {
                    *account = after;
                    open.push(credits(amount));
                }
            }
            Op::Settle(which, charge) if !open.is_empty() => {
                let held = open[which % open.len()];
                if let Ok(postings) = account.settle(held, credits(charge)) {
                    open.swap_remove(which % open.len());
                    let voided = account.void(held).expect("was held");
                    *account = voided;
                    book(postings, account, shown);
                }
            }
            Op::Void(which) if !open.is_empty() => {
                let held = open.swap_remove(which % open.len());
                *account = account.void(held).expect("was held");
            }
            Op::Settle(..) | Op::Void(_) => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn every_history_keeps_the_invariants(ops in proptest::collection::vec(op(), 1..40)) {
            let (mut account, mut open, mut shown) = (Account::default(), Vec::new(), 0);
            for op in &ops {
                apply(&mut account, &mut open, &mut shown, op);
                let held: i64 = open.iter().map(|amount| amount.hundredths()).sum();
                prop_assert_eq!(account.held.hundredths(), held);
                prop_assert!(account.held <= account.posted, "{:?} after {:?}", account, op);
                prop_assert!(account.debt >= Credits::ZERO);
                prop_assert_eq!(account.balance().hundredths(), shown);
            }
        }
    }
}
