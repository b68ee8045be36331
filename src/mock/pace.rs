//! When the parts of an answer go out: at once, late, slowly, cut off or never.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderValue, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, EVENT_STREAM};
use super::gate::Gates;
use super::ledger::Delivery;
use super::script::{Drip, Script};

/// Bodies go out in slices, so that the last one is handed over only when the reader is near it.
const SLICE_BYTES: usize = 128 * 1024;
/// The server has to have written what it was given before the connection is torn down.
const FLUSH: Duration = Duration::from_millis(5);
/// A drip over a fixed time takes a step this often.
const DRIP_STEP_MS: u64 = 10;

/// What the pace of an answer depends on beside its script.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    pub(crate) gates: Arc<Gates>,
    /// Ends every wait when the mock stops.
    pub(crate) stop: CancellationToken,
    pub(crate) latency_ms: u64,
    pub(crate) drip: Option<Drip>,
}

#[derive(Debug)]
enum Step {
    Send(Bytes),
    Drip {
        rest: Bytes,
        chunk_bytes: usize,
        interval: Duration,
    },
    Sleep(Duration),
    Gate(String),
    Stall,
    Cut,
}

struct Flow {
    steps: VecDeque<Step>,
    pacer: Pacer,
    delivery: Option<Delivery>,
}

impl Pacer {
    /// Waits as the script says and returns the response with a body that goes on as it says.
    pub(crate) async fn send(&self, answer: Answer, script: &Script, paid: bool) -> Response<Body> {
        let usual_ms = if paid { self.latency_ms } else { 0 };
        self.sleep(Duration::from_millis(script.latency_ms.unwrap_or(usual_ms)))
            .await;
        if let (Some(gate), None) = (&script.gate, script.gate_at_byte) {
            self.pass(gate).await;
        }
        let Answer {
            status,
            mut headers,
            body,
            delivery,
        } = answer;
        let streamed = headers.get(axum::http::header::CONTENT_TYPE) == Some(&EVENT_STREAM);
        if !streamed {
            let length: usize = body.iter().map(Bytes::len).sum();
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let drip = script.drip.or(if paid { self.drip } else { None });
        let flow = Flow {
            steps: plan(body, script, drip),
            pacer: self.clone(),
            delivery,
        };
        let mut response = Response::new(Body::from_stream(stream::unfold(flow, Flow::next)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    async fn sleep(&self, time: Duration) {
        if !time.is_zero() {
            let _ = self
                .stop
                .run_until_cancelled(tokio::time::sleep(time))
                .await;
        }
    }

    async fn pass(&self, gate: &str) {
        let _ = self.stop.run_until_cancelled(self.gates.pass(gate)).await;
    }
}

impl Flow {
    /// The next part of the body. An error makes the server close the connection.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        loop {
            match self.steps.pop_front()? {
                Step::Send(part) => return Some((Ok(part), self.sent())),
                Step::Drip {
                    mut rest,
                    chunk_bytes,
                    interval,
                } => {
                    let part = rest.split_to(chunk_bytes.min(rest.len()));
                    if !rest.is_empty() {
                        self.steps.push_front(Step::Drip {
                            rest,
                            chunk_bytes,
                            interval,
                        });
                        self.steps.push_front(Step::Sleep(interval));
                    }
                    return Some((Ok(part), self.sent()));
                }
                Step::Sleep(time) => self.pacer.sleep(time).await,
                Step::Gate(name) => self.pacer.pass(&name).await,
                Step::Stall => self.pacer.stop.cancelled().await,
                Step::Cut => {
                    tokio::time::sleep(FLUSH).await;
                    return Some((Err(io::ErrorKind::ConnectionAborted.into()), self));
                }
            }
        }
    }

    /// Files the bill entry once nothing is left to do: the part just taken was the last.
    fn sent(mut self) -> Self {
        if let (true, Some(delivery)) = (self.steps.is_empty(), &mut self.delivery) {
            delivery.done();
        }
        self
    }
}

/// Lays out the steps of a body; empty bodies still take one step, so that they are filed.
fn plan(body: Vec<Bytes>, script: &Script, drip: Option<Drip>) -> VecDeque<Step> {
    if script.hang_up {
        // Nothing is handed over, so nothing can count as written.
        return VecDeque::from([Step::Cut]);
    }
    let length: usize = body.iter().map(Bytes::len).sum();
    let mut parts = VecDeque::from(body);
    let mut steps = VecDeque::new();
    if let Some(delay_ms) = script.body_delay_ms {
        steps.push_back(Step::Sleep(Duration::from_millis(delay_ms)));
    }
    let mut position = 0;
    for (at, stop) in stops(script, length) {
        take(&mut parts, at - position, &mut steps, drip, length);
        position = at;
        let last = matches!(stop, Step::Cut | Step::Stall);
        steps.push_back(stop);
        if last {
            // A stalled connection that the mock ends by stopping is cut, not completed.
            steps.push_back(Step::Cut);
            return steps;
        }
    }
    take(&mut parts, length - position, &mut steps, drip, length);
    if length == 0 {
        steps.push_back(Step::Send(Bytes::new()));
    }
    steps
}

/// Where the body is interrupted, in order.
fn stops(script: &Script, length: usize) -> Vec<(usize, Step)> {
    let mut stops = Vec::new();
    if let (Some(gate), Some(at)) = (&script.gate, script.gate_at_byte) {
        stops.push((at.min(length), Step::Gate(gate.clone())));
    }
    let within = |at: &usize| *at < length;
    stops.extend(
        script
            .stall_at_byte
            .filter(within)
            .map(|at| (at, Step::Stall)),
    );
    stops.extend(script.cut_at_byte.filter(within).map(|at| (at, Step::Cut)));
    stops.sort_by_key(|(at, _)| *at);
    stops
}

/// Moves this many bytes from the parts to the steps.
fn take(
    parts: &mut VecDeque<Bytes>,
    mut bytes: usize,
    steps: &mut VecDeque<Step>,
    drip: Option<Drip>,
    length: usize,
) {
    while bytes > 0 {
        let Some(mut part) = parts.pop_front() else {
            return;
        };
        let taken = part.split_to(bytes.min(part.len()));
        bytes -= taken.len();
        if !part.is_empty() {
            parts.push_front(part);
        }
        match drip {
            None => slices(taken, steps),
            Some(drip) if !taken.is_empty() => steps.extend(dripping(taken, drip, length)),
            Some(_) => {}
        }
    }
}

fn slices(mut part: Bytes, steps: &mut VecDeque<Step>) {
    while !part.is_empty() {
        steps.push_back(Step::Send(part.split_to(SLICE_BYTES.min(part.len()))));
    }
}

fn dripping(rest: Bytes, drip: Drip, length: usize) -> [Step; 2] {
    let (chunk_bytes, interval_ms) = match drip {
        Drip::Chunks {
            chunk_bytes,
            interval_ms,
        } => (chunk_bytes.max(1), interval_ms),
        Drip::Total { total_ms } => {
            let count = usize::try_from((total_ms / DRIP_STEP_MS).max(1)).unwrap_or(usize::MAX);
            (length.div_ceil(count).max(1), DRIP_STEP_MS.min(total_ms))
        }
    };
    let interval = Duration::from_millis(interval_ms);
    [
        Step::Sleep(interval),
        Step::Drip {
            rest,
            chunk_bytes,
            interval,
        },
    ]
}
