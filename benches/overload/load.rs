//! Requests at a fixed rate, whatever becomes of those before.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use image_gateway::proto;
use image_gateway::proto::billing_service_client::BillingServiceClient;
use image_gateway::proto::generation_event::Event;
use image_gateway::proto::image_service_client::ImageServiceClient;
use rusqlite::{Connection, OpenFlags};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tonic::Code;

use crate::house::{AGENT, Gateway, House, Keyed};
use crate::{DRAWING, PER_SECOND};

/// How often it is looked what is due: a few requests leave together when there are many.
const TICK: Duration = Duration::from_millis(2);

/// How often each of them asks for its balance meanwhile, which costs little.
const ASK_EVERY: Duration = Duration::from_millis(40);

/// Some organizations, each on a connection of its own.
#[derive(Debug)]
pub(crate) struct Crowd {
    members: Vec<Keyed>,
}

/// What became of what was asked.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// From the request to the receipt.
    pub(crate) pictures: Vec<Duration>,
    /// From the request to `accepted`: the hold is durable.
    pub(crate) accepted: Vec<Duration>,
    /// From the request to the refusal.
    pub(crate) refused: Vec<Duration>,
    /// Calls that only read and were answered …
    pub(crate) asked: Vec<Duration>,
    /// … and those that were refused.
    pub(crate) turned_away: Vec<Duration>,
    /// Pictures that came before the last request was made, a second.
    pub(crate) per_second: f64,
}

/// What became of one request.
enum Answer {
    Done {
        accepted: Duration,
        total: Duration,
        at: Instant,
    },
    Refused(Duration),
}

impl Crowd {
    /// New organizations of a gateway.
    pub(crate) async fn of(gateway: &Gateway, members: usize) -> Result<Self> {
        let mut crowd = Vec::new();
        for _ in 0..members {
            let name = format!("org-{}", uuid::Uuid::now_v7().simple());
            let key = gateway.furnish(&name).await?;
            crowd.push(gateway.connect(Some(&key)).await?);
        }
        Ok(Self { members: crowd })
    }

    /// Asks for so many pictures a second, taking turns, and waits for what was begun. The first
    /// places are taken one after the other, so that not all pictures come at the same moment ever
    /// after, which in life they do not.
    pub(crate) async fn ask(&self, per_second: f64, time: Duration) -> Result<Outcome> {
        let begun = Instant::now();
        let asking = self.members.iter().enumerate().map(|(place, member)| {
            // One after the other, as in life.
            let first = ASK_EVERY.mul_f64(place as f64 / self.members.len() as f64);
            balances(member.clone(), begun + first, begun + time)
        });
        let asking = JoinSet::from_iter(asking);
        let mut running = JoinSet::new();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut turns = self.members.iter().cycle();
        let mut sent = 0.0;
        while begun.elapsed() < time {
            ticks.tick().await;
            while sent < due(begun.elapsed(), per_second) {
                let member = turns.next().context("nobody is there")?;
                running.spawn(picture(member.clone()));
                sent += 1.0;
            }
        }
        let until = Instant::now();
        let mut outcome = Outcome::default();
        for asked in asking.join_all().await {
            let (answered, refused) = asked?;
            outcome.asked.extend(answered);
            outcome.turned_away.extend(refused);
        }
        let mut in_time = 0_u32;
        while let Some(answer) = running.join_next().await {
            match answer?? {
                Answer::Done {
                    accepted,
                    total,
                    at,
                } => {
                    outcome.accepted.push(accepted);
                    outcome.pictures.push(total);
                    in_time += u32::from(at <= until);
                }
                Answer::Refused(after) => outcome.refused.push(after),
            }
        }
        // None could come before one was drawn.
        let drawing = (until - begun).saturating_sub(DRAWING);
        outcome.per_second = f64::from(in_time) / drawing.as_secs_f64();
        Ok(outcome)
    }
}

impl Outcome {
    /// Pictures that were paid for.
    pub(crate) fn done(&self) -> usize {
        self.pictures.len()
    }
}

/// How many requests are due after some time.
fn due(after: Duration, per_second: f64) -> f64 {
    let gently = after.min(DRAWING);
    let at_once = after.saturating_sub(DRAWING);
    gently.as_secs_f64() * per_second.min(PER_SECOND) + at_once.as_secs_f64() * per_second
}

/// How many generations ever held credits.
pub(crate) fn holds(house: &House) -> Result<usize> {
    let path = house.folder().join("data/gateway.sqlite3");
    let books = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let count: i64 = books.query_row("SELECT count(*) FROM hold", [], |row| row.get(0))?;
    Ok(usize::try_from(count)?)
}

async fn picture(member: Keyed) -> Result<Answer> {
    let begun = Instant::now();
    let request = proto::GenerateImageRequest {
        agent_id: AGENT.to_owned(),
        request_id: uuid::Uuid::now_v7().to_string(),
        prompt: "a lighthouse".to_owned(),
        ..proto::GenerateImageRequest::default()
    };
    let answer = ImageServiceClient::new(member)
        .generate_image(request)
        .await;
    let mut events = match answer {
        Ok(events) => events.into_inner(),
        Err(status) if status.code() == Code::ResourceExhausted => {
            return Ok(Answer::Refused(begun.elapsed()));
        }
        Err(status) => return Err(status.into()),
    };
    let mut accepted = Duration::ZERO;
    loop {
        let message = events.message().await?.context("no receipt")?;
        match message.event.context("an event without content")? {
            Event::Accepted(_) => accepted = begun.elapsed(),
            Event::Completed(_) => {
                return Ok(Answer::Done {
                    accepted,
                    total: begun.elapsed(),
                    at: Instant::now(),
                });
            }
            Event::Progress(_)
            | Event::ImageStarted(_)
            | Event::ImageChunk(_)
            | Event::ImageFinished(_) => {}
        }
    }
}

/// How long answers took, and refusals.
async fn balances(
    member: Keyed,
    first: Instant,
    until: Instant,
) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let mut ticks = tokio::time::interval_at(first.into(), ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut answered, mut refused) = (Vec::new(), Vec::new());
    let mut billing = BillingServiceClient::new(member);
    while Instant::now() < until {
        ticks.tick().await;
        let begun = Instant::now();
        match billing
            .get_balance(proto::GetBalanceRequest::default())
            .await
        {
            Ok(_) => answered.push(begun.elapsed()),
            // The loud one has used up its calls.
            Err(status) if status.code() == Code::ResourceExhausted => {
                refused.push(begun.elapsed());
            }
            Err(status) => return Err(status.into()),
        }
    }
    Ok((answered, refused))
}
