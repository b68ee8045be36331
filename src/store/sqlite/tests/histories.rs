//! Random histories: the database and the bare rules agree after every step, in every field, and
//! refuse the same steps.

use proptest::prelude::*;

use super::*;
use crate::domain::books::{Account, Posting};
use crate::ports::Which;

#[derive(Clone, Debug)]
enum Op {
    Buy(i64),
    Hold(i64),
    /// The same request once more, for whichever generation.
    Again(usize),
    Dispatch(usize),
    Stream(usize),
    Settle(usize, i64),
    Void(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let which = 0usize..16;
    prop_oneof![
        2 => (1i64..6000).prop_map(Op::Buy),
        3 => (1i64..900).prop_map(Op::Hold),
        1 => which.clone().prop_map(Op::Again),
        4 => which.clone().prop_map(Op::Dispatch),
        2 => which.clone().prop_map(Op::Stream),
        3 => (which.clone(), 0i64..6_000_000_000).prop_map(|(which, pico)| Op::Settle(which, pico)),
        1 => which.prop_map(Op::Void),
    ]
}

/// What the rules alone say.
#[derive(Default)]
struct Model {
    account: Account,
    all: Vec<Generation>,
    count: usize,
}

impl Model {
    async fn apply(&mut self, books: &Books, op: &Op) {
        self.count += 1;
        match *op {
            Op::Buy(hundredths) => self.buy(books, hundredths).await,
            Op::Hold(hundredths) => self.hold(books, hundredths).await,
            Op::Again(which) => self.again(books, which).await,
            Op::Dispatch(which) => self.step(books, which, Stage::Dispatched).await,
            Op::Stream(which) => self.step(books, which, Stage::Streaming).await,
            Op::Settle(which, pico) => self.settle(books, which, pico).await,
            Op::Void(which) => self.void(books, which).await,
        }
        let found = books.sqlite.account(&organization("acme")).await;
        assert_eq!(found.expect("an account"), self.account);
    }

    /// Every generation is as the rules left it.
    async fn agrees(&self, books: &Books) {
        for expected in &self.all {
            let which = Which::Id(expected.draft.id);
            let acme = organization("acme");
            let found = books.sqlite.generation(&acme, &which).await;
            assert_eq!(found.expect("a look").as_ref(), Some(expected));
        }
        let open = self.all.iter().filter(|one| !one.stage.is_final()).count();
        let found = books.sqlite.open_holds().await.expect("a count");
        assert_eq!(found, open as u64);
    }

    fn pick(&mut self, which: usize) -> Option<&mut Generation> {
        let place = which.checked_rem(self.all.len())?;
        // The newest first, so that most steps meet something that is still open.
        self.all.iter_mut().rev().nth(place)
    }

    async fn buy(&mut self, books: &Books, hundredths: i64) {
        let name = format!("op-{}", self.count);
        let replayed = books.buy("acme", hundredths, &name).await;
        assert!(!replayed.expect("bought"));
        assert!(
            books
                .buy("acme", hundredths, &name)
                .await
                .expect("replayed")
        );
        let postings = self.account.purchase(Credits::from_hundredths(hundredths));
        self.account = last(&postings.expect("fits"));
    }

    async fn hold(&mut self, books: &Books, hundredths: i64) {
        let draft = draft(&format!("op-{}", self.count), hundredths);
        let outcome = books.sqlite.hold(opening(&draft)).await;
        match (outcome.expect("an outcome"), self.account.hold(draft.hold)) {
            (HoldOutcome::Held(found), Ok(after)) => {
                assert_eq!(found, after);
                self.account = after;
                self.all.push(round_trip::running(draft));
            }
            (HoldOutcome::Insufficient { .. }, Err(_)) => {}
            (outcome, rules) => panic!("{outcome:?}, but {rules:?}"),
        }
    }

    async fn again(&mut self, books: &Books, which: usize) {
        let Some(known) = self.pick(which) else {
            return;
        };
        let mut opening = opening(&known.draft);
        opening.draft.id = GenerationId::from_uuid(Uuid::now_v7());
        let outcome = books.sqlite.hold(opening).await.expect("an outcome");
        match outcome {
            HoldOutcome::Running(id) => {
                assert!(!known.stage.is_final());
                assert_eq!(id, known.draft.id);
            }
            HoldOutcome::Done(done) => assert_eq!(*done, *known),
            other => panic!("{other:?} for {known:?}"),
        }
    }

    async fn step(&mut self, books: &Books, which: usize, to: Stage) {
        let Some(known) = self.pick(which) else {
            return;
        };
        let (id, now) = (known.draft.id, Timestamp::UNIX_EPOCH);
        let further = to == Stage::Streaming && known.stage == to;
        let legal = further || known.stage.may_become(to);
        let outcome = if to == Stage::Streaming {
            let number = u32::try_from(known.upstream_ids.len()).expect("few");
            let name = format!("{id}-{number}");
            let outcome = books
                .sqlite
                .stream(id, number, Some(name.clone()), now)
                .await
                .map(drop);
            if legal {
                known.upstream_ids.push(name);
            }
            outcome
        } else {
            books.sqlite.dispatch(id, now).await
        };
        taken_if(legal, &outcome);
        if legal {
            known.stage = to;
        }
    }

    async fn settle(&mut self, books: &Books, which: usize, pico: i64) {
        let account = self.account;
        let Some(known) = self.pick(which) else {
            return;
        };
        let usd = UsdCost::from_pico(pico).expect("a cost").to_string();
        let ending = settlement(known.draft.id, &usd);
        let outcome = books.sqlite.settle(known.draft.id, ending.clone()).await;
        let legal = known.stage.may_become(Stage::Stored);
        taken_if(legal, &outcome);
        if !legal {
            return;
        }
        let postings = account.settle(known.draft.hold, ending.charge.credits);
        let after = last(&postings.expect("fits"));
        known.stage = Stage::Settled;
        known.images = ending.delivery.images;
        known.text = ending.delivery.text;
        known.adjustments = ending.delivery.adjustments;
        known.charge = Some(ending.charge);
        known.balance_after = Some(after.balance());
        known.finished = Some(ending.delivery.now);
        assert_eq!(outcome.expect("settled"), *known);
        self.account = after;
    }

    async fn void(&mut self, books: &Books, which: usize) {
        let account = self.account;
        let Some(known) = self.pick(which) else {
            return;
        };
        // Final, so that asking again replays it.
        let ending = voiding(Reason::ContentRejected);
        let outcome = books.sqlite.void(known.draft.id, ending.clone()).await;
        let legal = known.stage.may_become(Stage::Voided);
        taken_if(legal, &outcome);
        if !legal {
            return;
        }
        known.stage = Stage::Voided;
        known.failure = Some(ending.failure);
        known.finished = Some(ending.now);
        assert_eq!(outcome.expect("voided"), *known);
        self.account = account.void(known.draft.hold).expect("was held");
    }
}

fn last(postings: &[Posting]) -> Account {
    postings.last().expect("a row").after
}

fn taken_if<T: std::fmt::Debug>(legal: bool, outcome: &Result<T, LedgerError>) {
    let refused = matches!(outcome, Err(LedgerError::IllegalStep { .. }));
    assert!(outcome.is_ok() == legal && refused != legal, "{outcome:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]
    #[test]
    fn the_database_and_the_rules_agree_after_every_step(ops in proptest::collection::vec(op(), 1..400)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let books = Books::open(0).await;
            let mut model = Model::default();
            for op in &ops {
                model.apply(&books, op).await;
            }
            model.agrees(&books).await;
            books.audited().await;
        });
    }
}
