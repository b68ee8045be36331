//! The end of a test: what runs finishes, what is in doubt is resolved, and the books are audited
//! and held against the upstream's bill.

use std::time::Duration;

use image_gateway::proto;
use rust_decimal::Decimal;

use crate::helpers::House;

/// How long the recovery may take to find an end; it is only waited for as long as it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether it has.
const GLANCE: Duration = Duration::from_millis(50);

impl House {
    /// The generation, once its end is in the books.
    pub(crate) async fn ended(&self, request_id: &str) -> proto::Generation {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let generation = self.generation(request_id).await;
            let ended = matches!(
                generation.stage(),
                proto::Stage::Settled | proto::Stage::Voided
            );
            if ended || tokio::time::Instant::now() > end {
                return generation;
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Ends the house: running generations finish, then the books are audited: they agree with
    /// themselves, no hold is open, and what was charged is what the upstream billed.
    pub(crate) async fn close(mut self) {
        self.assert_no_secret_written().await;
        let app = self.app.take().expect("open");
        let ledger = app.ledger();
        // What is in doubt, or waits for its cost, is resolved by the recovery while it runs.
        let end = tokio::time::Instant::now() + PATIENCE;
        let resolved = async || {
            let open = ledger.open_holds().await.expect("a count");
            open <= self.in_doubt
                && known_usd(&self.database()) + self.absorbed >= self.mock.total_billed()
        };
        while tokio::time::Instant::now() < end && !resolved().await {
            tokio::time::sleep(GLANCE).await;
        }
        app.drain(Duration::from_secs(20)).await;
        let breaks = ledger.audit().await.expect("an audit");
        assert!(breaks.is_empty(), "{breaks:#?}");
        assert_eq!(
            ledger.open_holds().await.expect("a count"),
            self.in_doubt,
            "holds are open"
        );
        let charged = known_usd(&self.database());
        let billed = self.mock.total_billed();
        assert_eq!(
            charged + self.absorbed,
            billed,
            "charged + absorbed + unknown = billed, in USD"
        );
        self.mock.stop().await;
    }
}

/// What the books know that upstream billed: charged, or absorbed by the platform.
fn known_usd(database: &std::path::Path) -> Decimal {
    let connection = rusqlite::Connection::open(database).expect("the database");
    let sum = "
      SELECT (SELECT coalesce(sum(coalesce(c.cost_pd, s.cost_pd)), 0)
                FROM generation_state s LEFT JOIN correction c ON c.generation = s.generation
               WHERE s.state = 'settled')
           + (SELECT coalesce(sum(cost_pd), 0) FROM absorption)";
    let pico: i64 = connection
        .query_row(sum, [], |row| row.get(0))
        .expect("a sum");
    Decimal::from_i128_with_scale(pico.into(), 12)
}
