//! Random histories: whatever happens, every way to sum gives what the ledger says.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ports::{Answer, Upkeep};

const ALL: [UsageBy; 5] = [
    UsageBy::Day,
    UsageBy::Agent,
    UsageBy::Model,
    UsageBy::Channel,
    UsageBy::User,
];

const CHANNELS: [Channel; 3] = [Channel::Unspecified, Channel::Hub, Channel::Widget];

/// How a generation ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Settled {
        pico: i64,
    },
    /// Charged as computed, and told later to have cost this much.
    Corrected {
        pico: i64,
        told: i64,
    },
    Voided,
    Open,
}

/// One generation of a random history; small numbers, so that groups meet.
#[derive(Clone, Copy, Debug)]
pub(super) struct One {
    pub(super) agent: u8,
    pub(super) model: u8,
    pub(super) channel: usize,
    pub(super) user: u8,
    pub(super) minute: i64,
    pub(super) later: i64,
    /// Whether its organization pays OpenRouter itself.
    pub(super) own_key: bool,
    pub(super) end: End,
}

pub(super) fn one() -> impl Strategy<Value = One> {
    let cost = 0i64..400_000_000_000;
    let end = prop_oneof![
        4 => cost.clone().prop_map(|pico| End::Settled { pico }),
        3 => (cost.clone(), cost).prop_map(|(pico, told)| End::Corrected { pico, told }),
        2 => Just(End::Voided),
        1 => Just(End::Open),
    ];
    let place = (0u8..3, 0u8..2, 0usize..3, 0u8..3, any::<bool>());
    // Four days; a correction comes up to two days later.
    (place, 0i64..5760, 0i64..2880, end).prop_map(|(place, minute, later, end)| One {
        agent: place.0,
        model: place.1,
        channel: place.2,
        user: place.3,
        minute,
        later,
        own_key: place.4,
        end,
    })
}

fn usd(pico: i64) -> UsdCost {
    UsdCost::from_pico(pico).expect("a cost")
}

impl One {
    fn key_mode(&self) -> KeyMode {
        if self.own_key {
            KeyMode::Organization
        } else {
            KeyMode::Platform
        }
    }

    /// A picture that cost so much.
    fn settlement(&self, id: GenerationId, pico: i64) -> Settlement {
        let mut ending = settlement(id, &usd(pico).to_string());
        ending.delivery.now = at(self.minute);
        ending.charge.key_mode = self.key_mode();
        if self.own_key {
            ending.charge.credits = Credits::from_whole(1);
        }
        ending
    }

    fn draft(&self, place: usize) -> Draft {
        let mut draft = draft(&format!("r-{place}"), 300);
        draft.agent = AgentId::parse(&format!("agent-{}", self.agent)).expect("an agent");
        draft.model = Slug::parse(&format!("acme/{}", self.model)).expect("a slug");
        draft.key_mode = self.key_mode();
        draft.context.channel = CHANNELS[self.channel];
        draft.context.user_id = ["", "ann", "=bob"][usize::from(self.user)].to_owned();
        draft
    }

    /// Ends, as far as it does.
    async fn ends(&self, books: &Books, id: GenerationId, place: usize) {
        let sqlite = &books.sqlite;
        match self.end {
            End::Open => {}
            End::Voided => {
                let ending = Voiding {
                    now: at(self.minute),
                    ..voiding(Reason::ContentRejected)
                };
                sqlite.void(id, ending).await.expect("voided");
            }
            End::Settled { pico } => {
                let ending = self.settlement(id, pico);
                sqlite.settle(id, ending).await.expect("settled");
            }
            End::Corrected { pico, .. } => {
                let mut ending = self.settlement(id, pico);
                ending.charge.cost_source = CostSource::Computed;
                ending.delivery.calls = vec![CallRecord {
                    upstream_id: Some(format!("gen-{place}")),
                    images: vec![0],
                    ..CallRecord::default()
                }];
                sqlite.settle(id, ending).await.expect("settled");
            }
        }
    }

    /// Is told what it has cost, if that comes after its charge.
    async fn is_told(&self, books: &Books, id: GenerationId) {
        let End::Corrected { told, .. } = self.end else {
            return;
        };
        let sqlite = &books.sqlite;
        let due = sqlite.questions(Timestamp::MAX, 100).await.expect("a look");
        let mine = due.iter().find(|asking| asking.generation == id);
        let then = at(self.minute + self.later);
        let told = Answer::Told(usd(told));
        let answered = sqlite.answer(mine.expect("a question"), told, then);
        answered.await.expect("noted");
    }

    fn key(&self, by: UsageBy, at: Timestamp) -> String {
        let draft = self.draft(0);
        match by {
            UsageBy::Day => at.to_string()[..10].to_owned(),
            UsageBy::Agent => draft.agent.to_string(),
            UsageBy::Model => draft.model.to_string(),
            UsageBy::Channel => draft.context.channel.as_str().to_owned(),
            UsageBy::User => draft.context.user_id,
        }
    }

    /// The sum that its cost belongs to.
    fn paid<'a>(&self, row: &'a mut UsageRow) -> &'a mut Decimal {
        if self.own_key {
            &mut row.own_usd_cost
        } else {
            &mut row.usd_cost
        }
    }

    /// Adds what counts by itself: all but the credits, which the ledger tells.
    fn count(&self, by: UsageBy, within: Period, sums: &mut BTreeMap<String, UsageRow>) {
        let mut add = |minute, add: &dyn Fn(&mut UsageRow)| {
            if contains(within, at(minute)) {
                add(sums.entry(self.key(by, at(minute))).or_default());
            }
        };
        match self.end {
            End::Open => {}
            End::Voided => add(self.minute, &|row| row.failed += 1),
            End::Settled { pico } | End::Corrected { pico, .. } => add(self.minute, &|row| {
                row.generations += 1;
                row.images += 1;
                *self.paid(row) += usd(pico).to_decimal();
            }),
        }
        // Above what was charged by cost it is the platform's loss, and no usage.
        if let End::Corrected { pico, told } = self.end
            && (told < pico || self.own_key)
        {
            let less = usd(pico).to_decimal() - usd(told).to_decimal();
            add(self.minute + self.later, &|row| *self.paid(row) -= less);
        }
    }
}

/// All of them, each step in the order of its time: the clock is not set back.
pub(super) async fn live(books: &Books, all: &[One]) {
    let mut ids = Vec::new();
    let mut steps = Vec::new();
    for (place, one) in all.iter().enumerate() {
        let id = books.held(&one.draft(place)).await;
        let dispatched = books.sqlite.dispatch(id, at(0)).await;
        dispatched.expect("dispatched");
        ids.push(id);
        steps.push((one.minute, false, place));
        steps.push((one.minute + one.later, true, place));
    }
    steps.sort_unstable();
    for (_, is_told, place) in steps {
        let (one, id) = (&all[place], ids[place]);
        if is_told {
            one.is_told(books, id).await;
        } else {
            one.ends(books, id, place).await;
        }
    }
}

fn contains(period: Period, at: Timestamp) -> bool {
    period.from.is_none_or(|from| at >= from) && period.before.is_none_or(|before| at < before)
}

/// What the rows and the total must be, by the ledger and the history.
async fn expected(books: &Books, all: &[One], query: &UsageQuery) -> BTreeMap<String, UsageRow> {
    let mut sums = BTreeMap::new();
    for one in all {
        one.count(query.by, query.period, &mut sums);
    }
    let places: BTreeMap<GenerationId, usize> = {
        let raw = books.raw();
        let mut statement = raw
            .prepare("SELECT id, request_id FROM generation")
            .expect("a statement");
        let rows = statement.query_map([], |row| {
            let name: String = row.get(1)?;
            let place = name.trim_start_matches("r-").parse().expect("a place");
            Ok((
                GenerationId::from_uuid(Uuid::from_bytes(row.get(0)?)),
                place,
            ))
        });
        rows.expect("rows").collect::<Result<_, _>>().expect("rows")
    };
    for entry in ledger(books, query.period).await {
        let Some(generation) = entry.generation else {
            continue;
        };
        let key = all[places[&generation]].key(query.by, entry.created);
        let row: &mut UsageRow = sums.entry(key).or_default();
        row.credits = row.credits.checked_sub(entry.credits).expect("fits");
    }
    for (key, row) in &mut sums {
        row.key.clone_from(key);
    }
    sums
}

fn assert_equal(found: &Usage, mut expected: BTreeMap<String, UsageRow>, query: &UsageQuery) {
    let mut total = UsageRow::default();
    for row in &found.rows {
        // Equal in value; how many zeros stand behind the point is not.
        let known = expected.remove(&row.key);
        assert_eq!(known.as_ref(), Some(row), "{query:?}");
        total.generations += row.generations;
        total.images += row.images;
        total.credits = total.credits.checked_add(row.credits).expect("fits");
        total.usd_cost += row.usd_cost;
        total.own_usd_cost += row.own_usd_cost;
        total.failed += row.failed;
    }
    assert!(expected.is_empty(), "{query:?} lacks {expected:?}");
    assert_eq!(found.total, total);
    assert_eq!(found.other, None);
    let in_order = found.rows.is_sorted_by(|a, b| match query.by {
        UsageBy::Day => a.key < b.key,
        _ => (b.credits, &a.key) < (a.credits, &b.key),
    });
    assert!(in_order, "{found:?}");
}

async fn compare(all: &[One], from: Option<i64>, before: Option<i64>) {
    let books = Books::open(100_000).await;
    live(&books, all).await;
    let period = Period {
        from: from.map(at),
        before: before.map(at),
    };
    for by in ALL {
        let query = UsageQuery {
            period,
            by,
            ..UsageQuery::default()
        };
        let expected = expected(&books, all, &query).await;
        assert_equal(&usage(&books, query.clone()).await, expected, &query);
    }
    let narrowed = UsageQuery {
        period,
        by: UsageBy::User,
        agent: AgentId::parse("agent-1").ok(),
        model: Slug::parse("acme/0").ok(),
        channel: Some(Channel::Hub),
        user: Some("ann".to_owned()),
        key_mode: None,
    };
    let matches = |one: &One| (one.agent, one.model, one.channel, one.user) == (1, 0, 1, 1);
    let found = usage(&books, narrowed.clone()).await;
    let mut expected = expected(&books, all, &narrowed).await;
    expected.clear();
    for one in all.iter().filter(|one| matches(one)) {
        one.count(UsageBy::User, period, &mut expected);
    }
    let counted = expected.remove("ann").unwrap_or_default();
    assert_eq!(
        (found.total.generations, found.total.failed),
        (counted.generations, counted.failed)
    );
    assert_eq!(found.total.usd_cost, counted.usd_cost);
    by_payer(&books, period).await;
    // What is under way may be days older than the rest.
    let under_way = |one: &str| one.starts_with("I11:") && one.ends_with(" dispatched");
    books.audited_but_for(under_way).await;
}

/// Asked for each payer alone, the sums are the parts of the whole.
async fn by_payer(books: &Books, period: Period) {
    let of = async |key_mode: Option<KeyMode>| {
        let query = UsageQuery {
            period,
            key_mode,
            ..UsageQuery::default()
        };
        usage(books, query).await.total
    };
    let (whole, platform, own) = (
        of(None).await,
        of(Some(KeyMode::Platform)).await,
        of(Some(KeyMode::Organization)).await,
    );
    assert_eq!(
        (platform.usd_cost, platform.own_usd_cost),
        (whole.usd_cost, Decimal::ZERO)
    );
    assert_eq!(
        (own.usd_cost, own.own_usd_cost),
        (Decimal::ZERO, whole.own_usd_cost)
    );
    let credits = platform.credits.checked_add(own.credits);
    assert_eq!(credits.expect("fits"), whole.credits);
    assert_eq!(platform.generations + own.generations, whole.generations);
    assert_eq!(platform.images + own.images, whole.images);
    assert_eq!(platform.failed + own.failed, whole.failed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_way_to_sum_random_histories_gives_the_ledger_to_the_hundredth(
        all in proptest::collection::vec(one(), 1..16),
        from in proptest::option::of(0i64..9000),
        length in proptest::option::of(0i64..9000),
    ) {
        let before = length.map(|length| from.unwrap_or(0) + length);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(compare(&all, from, before));
    }
}
