//! Random histories: the database and the bare rules agree after every step.

use proptest::prelude::*;

use super::*;
use crate::domain::books::Account;

#[derive(Clone, Debug)]
enum Op {
    Buy(i64),
    Hold(i64),
    Settle(usize, i64),
    Void(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (1i64..3000).prop_map(Op::Buy),
        (1i64..900).prop_map(Op::Hold),
        (0usize..8, 0i64..20_000_000_000).prop_map(|(which, pico)| Op::Settle(which, pico)),
        (0usize..8).prop_map(Op::Void),
    ]
}

/// What the rules alone say.
#[derive(Default)]
struct Model {
    account: Account,
    open: Vec<(GenerationId, Credits)>,
    count: usize,
}

impl Model {
    async fn apply(&mut self, books: &Books, op: &Op) {
        self.count += 1;
        let name = format!("op-{}", self.count);
        match *op {
            Op::Buy(amount) => {
                books.buy("acme", amount, &name).await.expect("bought");
                let postings = self
                    .account
                    .purchase(Credits::from_hundredths(amount))
                    .expect("fits");
                self.account = postings.last().expect("a row").after;
            }
            Op::Hold(amount) => {
                let draft = draft(&name, amount);
                let outcome = books
                    .sqlite
                    .hold(opening(&draft))
                    .await
                    .expect("an outcome");
                match self.account.hold(draft.hold) {
                    Ok(after) => {
                        assert!(matches!(outcome, HoldOutcome::Held(found) if found == after));
                        self.account = after;
                        self.open.push((draft.id, draft.hold));
                    }
                    Err(_) => assert!(matches!(outcome, HoldOutcome::Insufficient { .. })),
                }
            }
            Op::Settle(which, pico) if !self.open.is_empty() => {
                let (id, hold) = self.open.swap_remove(which % self.open.len());
                let usd = UsdCost::from_pico(pico).expect("a cost").to_string();
                let charge = settled(books, id, &usd).await.charge.expect("a charge");
                let postings = self.account.settle(hold, charge.credits).expect("fits");
                self.account = postings.last().expect("a row").after;
            }
            Op::Void(which) if !self.open.is_empty() => {
                let (id, hold) = self.open.swap_remove(which % self.open.len());
                books
                    .sqlite
                    .void(id, voiding(Reason::Internal))
                    .await
                    .expect("voided");
                self.account = self.account.void(hold).expect("was held");
            }
            Op::Settle(..) | Op::Void(_) => {}
        }
        let Account { posted, held, debt } = self.account;
        assert_eq!(
            books.balance().await,
            [posted, held, debt].map(Credits::hundredths)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_database_and_the_rules_agree_after_every_step(ops in proptest::collection::vec(op(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let books = Books::open(0).await;
            let mut model = Model::default();
            for op in &ops {
                model.apply(&books, op).await;
            }
            books.audited().await;
        });
    }
}
