//! Honest callers: they ask for what costs little, now and then for a picture, one thing at a time,
//! and are measured.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::{join, join_all};
use image_gateway::proto;
use image_gateway::proto::billing_service_client::BillingServiceClient;
use image_gateway::proto::estimate_image_request::Subject;
use image_gateway::proto::generation_event::Event;
use image_gateway::proto::image_service_client::ImageServiceClient;
use tokio::time::MissedTickBehavior;

use crate::figures::Spread;
use crate::house::{AGENT, Gateway, Keyed};

/// Callers that keep their connections.
const KEPT: usize = 4;

/// Each asks so often.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// So often somebody comes who was not there.
const ARRIVE_EVERY: Duration = Duration::from_millis(40);

/// So often a picture is asked for.
const PAINT_EVERY: Duration = Duration::from_millis(200);

/// Nobody waits longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Those who keep their connections.
#[derive(Debug)]
pub(crate) struct Honest {
    kept: Vec<Keyed>,
    painter: Keyed,
}

/// What they saw in some time.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Calls on connections that were there.
    pub(crate) calls: Spread,
    /// A call on a connection of its own, from the first packet on.
    pub(crate) arrivals: Spread,
    /// From the request to the receipt.
    pub(crate) pictures: Spread,
    /// What went wrong, in words.
    pub(crate) failures: Vec<String>,
}

/// What one of them saw.
#[derive(Debug, Default)]
struct Took {
    times: Vec<Duration>,
    failures: Vec<String>,
}

impl Honest {
    /// Connects.
    pub(crate) async fn come(gateway: &Gateway) -> Result<Self> {
        let mut kept = Vec::new();
        for _ in 0..KEPT {
            kept.push(gateway.connect(None).await?);
        }
        let painter = gateway.connect(None).await?;
        Ok(Self { kept, painter })
    }

    /// Calls for so long.
    pub(crate) async fn call(&self, gateway: &Gateway, time: Duration) -> Seen {
        let calls = self.kept.iter();
        let calls = calls.map(|kept| again(time, ASK_EVERY, async || ask(kept.clone()).await));
        let arrivals = again(time, ARRIVE_EVERY, async || {
            ask(gateway.connect(None).await?).await
        });
        let pictures = again(time, PAINT_EVERY, async || {
            paint(self.painter.clone()).await
        });
        let (calls, (arrivals, pictures)) = join(join_all(calls), join(arrivals, pictures)).await;
        let mut all = Took::default();
        for took in calls {
            all.times.extend(took.times);
            all.failures.extend(took.failures);
        }
        let failures = [all.failures, arrivals.failures, pictures.failures].concat();
        Seen {
            calls: Spread::of(all.times),
            arrivals: Spread::of(arrivals.times),
            pictures: Spread::of(pictures.times),
            failures,
        }
    }
}

/// Does something so often, one after the other, and measures.
async fn again(time: Duration, every: Duration, mut once: impl AsyncFnMut() -> Result<()>) -> Took {
    let until = Instant::now() + time;
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut took = Took::default();
    while Instant::now() < until {
        ticks.tick().await;
        let begun = Instant::now();
        let done = tokio::time::timeout(PATIENCE, once()).await;
        match done.context("nothing came").flatten() {
            Ok(()) => took.times.push(begun.elapsed()),
            Err(error) => took.failures.push(format!("{error:#}")),
        }
    }
    took
}

async fn ask(caller: Keyed) -> Result<()> {
    let request = proto::GetBalanceRequest::default();
    let mut billing = BillingServiceClient::new(caller.clone());
    billing.get_balance(request).await?;
    let request = proto::EstimateImageRequest {
        subject: Some(Subject::AgentId(AGENT.to_owned())),
        ..proto::EstimateImageRequest::default()
    };
    ImageServiceClient::new(caller)
        .estimate_image(request)
        .await?;
    Ok(())
}

async fn paint(caller: Keyed) -> Result<()> {
    let request = proto::GenerateImageRequest {
        agent_id: AGENT.to_owned(),
        request_id: uuid::Uuid::now_v7().to_string(),
        prompt: "a quiet harbour".to_owned(),
        ..proto::GenerateImageRequest::default()
    };
    let events = ImageServiceClient::new(caller)
        .generate_image(request)
        .await?;
    let mut events = events.into_inner();
    loop {
        let message = events.message().await?.context("no receipt")?;
        if let Some(Event::Completed(_)) = message.event {
            return Ok(());
        }
    }
}
