//! Who may call what: [`table`] names the role of every call. The organization comes from the key.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::body::{Budget, Counted};
use super::caller::Caller;
use super::known::Known;
use super::last_used::LastUsed;
use super::leases::Leases;
use super::open_calls::{OpenCall, OpenCalls};
use super::pace::Pace;
use super::refused::Refused;
use super::{OVERLOAD_PAUSE, Parts, spoken, status};
use crate::domain::failure::{Failure, Reason};
use crate::generate::unsettled;
use crate::keys::{Keyring, Presented};
use crate::metrics::Metrics;
use crate::ports::Settings;
use crate::transport::Introduction;
use table::Needs;

mod table;

/// How long after its deadline a service may still answer.
const WORDS_PATIENCE: Duration = Duration::from_secs(1);

/// How calls begin that are answered with a page (`api.md`).
const LIST: &str = "List";

/// Bytes of a refused call that are waited for: what fits into one frame …
const HEARD_BYTES: usize = 16 * 1024;

/// … and for how long: they are on the way.
const HEARD_TIME: Duration = Duration::from_millis(20);

/// When the caller stops waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

/// On an answer: the key of the call was found good.
#[derive(Clone, Copy, Debug)]
pub(super) struct GoodKey;

/// What the check needs.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    settings: Arc<dyn Settings>,
    keyring: Arc<Keyring>,
    metrics: Arc<Metrics>,
    budget: Arc<Budget>,
    pace: Option<Arc<Pace>>,
    leases: Arc<Leases>,
    open: Arc<OpenCalls>,
    last_used: LastUsed,
    known: Arc<Known>,
    refused: Arc<Refused>,
}

// === impl Gate ===

impl Gate {
    pub(super) fn new(parts: &Parts, leases: &Arc<Leases>, last_used: &LastUsed) -> Self {
        Self {
            settings: Arc::clone(&parts.settings),
            keyring: Arc::clone(&parts.keyring),
            metrics: Arc::clone(&parts.metrics),
            budget: Arc::new(Budget::default()),
            pace: parts.calls_per_second.map(Pace::new).map(Arc::new),
            leases: Arc::clone(leases),
            open: Arc::default(),
            last_used: last_used.clone(),
            known: Arc::new(Known::new()),
            refused: Arc::default(),
        }
    }

    /// Lets a caller in that may make this call, while it has no more open than it may.
    async fn enter(
        &self,
        headers: &HeaderMap,
        (rpc, needs): (&str, Needs),
    ) -> Result<(Caller, OpenCall), Failure> {
        let caller = self.admit(headers, needs).await?;
        let call = self.open.enter(caller.whose(), rpc.starts_with(LIST))?;
        Ok((caller, call))
    }

    /// Finds out whose key it is, and whether it may make this call.
    async fn admit(&self, headers: &HeaderMap, needs: Needs) -> Result<Caller, Failure> {
        let caller = self.authenticate(headers).await?;
        match (&caller, needs) {
            (Caller::Operator, Needs::Operator | Needs::RoleOrOperator(_)) => Ok(caller),
            (
                Caller::Organization { role, .. },
                Needs::Role(least) | Needs::RoleOrOperator(least),
            ) if *role >= least => Ok(caller),
            (Caller::Organization { .. }, Needs::Role(_) | Needs::RoleOrOperator(_)) => {
                Err(Failure::permission_denied())
            }
            (Caller::Operator, Needs::Role(_)) => Err(Failure::not_for_the_operator()),
            (Caller::Organization { .. }, Needs::Operator) => {
                Err(Failure::for_the_operator_alone())
            }
        }
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Failure> {
        let text = bearer(headers).ok_or_else(Failure::unauthenticated)?;
        if self.keyring.is_operator(text) {
            return Ok(Caller::Operator);
        }
        let presented = Presented::read(text).ok_or_else(Failure::unauthenticated)?;
        self.turn_away(&presented)?;
        let turn = self.known.turn(&presented.prefix).await;
        // Before the key is looked up: a revocation finds this call, or the look-up finds it.
        let place = self.leases.enter(&presented.prefix);
        let found = self.settings.api_key(&presented.prefix).await;
        let found = found.map_err(unsettled)?;
        drop(turn);
        let kept = found.as_ref().map(|(_, hash)| (&hash.pepper, &hash.mac));
        let opens = self.keyring.opens(&presented, kept);
        let now = crate::clock::now();
        let why = match &found {
            None => "there is none",
            Some(_) if !opens => "its secret is another one, or was hashed under another key",
            Some(_) => "it has expired or was revoked",
        };
        let good = found.filter(|(key, _)| opens && key.is_good(now));
        let Some((key, hash)) = good else {
            self.known.forget(&presented.prefix);
            self.refused.note(&presented.prefix, why);
            return Err(Failure::unauthenticated());
        };
        self.known.note(&presented.prefix);
        self.last_used.note(&key, now);
        if let Some(pace) = &self.pace
            && let Err(refused) = pace.take(&key.organization, Instant::now())
        {
            place.leave_loud(key, hash);
            return Err(refused);
        }
        Ok(Caller::Organization {
            lease: Arc::new(place.with(&key)),
            id: key.organization,
            role: key.role,
        })
    }

    /// Turns a call away whose organization had none left a moment ago, and has none now: its key is
    /// held against what was found then. Whatever is not certain is looked up.
    fn turn_away(&self, presented: &Presented) -> Result<(), Failure> {
        let Some(pace) = &self.pace else {
            return Ok(());
        };
        let now = Instant::now();
        let Some(known) = self.leases.loud().find(&presented.prefix, now) else {
            return Ok(());
        };
        let kept = Some((&known.hash.pepper, &known.hash.mac));
        if self.keyring.opens(presented, kept) && known.key.is_good(crate::clock::now()) {
            return pace.look(&known.key.organization, now);
        }
        Ok(())
    }
}

/// Lets a request through to its service, with its caller and deadline noted, or answers it.
pub(super) async fn check(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if let Some(refusal) = spoken::refusal(&request) {
        return refusal;
    }
    let Some((rpc, needs)) = table::find(request.uri().path()) else {
        return spoken::with_reason(next.run(request).await);
    };
    let (caller, call) = match gate.enter(request.headers(), (rpc, needs)).await {
        Ok(entered) => entered,
        Err(failure) => {
            gate.metrics.call_finished(rpc, Some(failure.reason));
            if failure.reason == Reason::LimitReached {
                hear_out(request).await;
            }
            let answer = status::of(&failure).into_http();
            return match failure.reason {
                Reason::LimitReached | Reason::PermissionDenied => marked(answer),
                _ => answer,
            };
        }
    };
    if let Some(door) = request.extensions().get::<Introduction>() {
        door.is_of(call.whose());
    }
    let deadline = timeout(request.headers()).map(|left| Instant::now() + left);
    if let Some(deadline) = deadline {
        request.extensions_mut().insert(Deadline(deadline));
    }
    let mut counted = Counted::count(&gate.budget, &caller, request);
    counted.extensions_mut().insert(caller);
    let response = in_time(next.run(counted), deadline).await;
    let mut answer = with_reason(response, rpc, &gate.metrics);
    // Kept until it is sent (`transport::Door`).
    answer.extensions_mut().insert(Arc::new(call));
    marked(answer)
}

/// Says that the key was found good, to whoever sees the answer before it is sent.
fn marked(mut answer: Response) -> Response {
    answer.extensions_mut().insert(GoodKey);
    answer
}

/// Lets the rest of a small call arrive before it is refused. An answer that overtakes the body resets
/// its stream; of those h2 remembers fifty for a second, takes what comes for others for a flood
/// after a while, and ends the connection, on which other organizations may have calls.
async fn hear_out(request: Request) {
    let rest = axum::body::to_bytes(request.into_body(), HEARD_BYTES);
    // Whatever comes, or does not, the call is refused.
    let _ = tokio::time::timeout(HEARD_TIME, rest).await;
}

/// Ends a call whose answer has not begun when nobody waits for it any more. Services that know of
/// the deadline have a moment to say it in their own words.
async fn in_time(answering: impl Future<Output = Response>, deadline: Option<Instant>) -> Response {
    let Some(deadline) = deadline else {
        return answering.await;
    };
    let answered = tokio::time::timeout_at(deadline + WORDS_PATIENCE, answering).await;
    answered.unwrap_or_else(|_| {
        let failure = Failure::new(Reason::DeadlineExceeded, "The deadline has passed.");
        status::of(&failure).into_http()
    })
}

/// The key of `authorization: Bearer <key>`; the scheme in any case (RFC 9110).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}

/// The time a caller gives (gRPC over HTTP/2: `grpc-timeout`); `None` if none or malformed.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value.checked_mul(3600)?),
        "M" => Duration::from_secs(value.checked_mul(60)?),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

/// The transport's own refusals get a reason like any other: a message over the limit, or one that
/// is no protobuf, never reaches a service.
fn with_reason(response: Response, rpc: &'static str, metrics: &Metrics) -> Response {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    if !status.details().is_empty() {
        return response;
    }
    let failure = match status.code() {
        Code::OutOfRange => {
            Failure::invalid("request", format!("is too large: {}", status.message()))
        }
        // A message says of itself that it is compressed, and its head does not say how.
        Code::Internal if status.message().contains("compressed-flag") => {
            spoken::no_such_encoding()
        }
        Code::Internal | Code::InvalidArgument => {
            Failure::invalid("request", "is not a valid protobuf message of this call")
        }
        Code::ResourceExhausted => {
            Failure::new(Reason::Overloaded, status.message()).retry_after(OVERLOAD_PAUSE)
        }
        // The call is in the table, so it is its encoding that is not there.
        Code::Unimplemented => {
            metrics.call_finished(rpc, Some(Reason::Unimplemented));
            return spoken::with_reason(response);
        }
        _ => return response,
    };
    metrics.call_finished(rpc, Some(failure.reason));
    status::of(&failure).into_http()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limits_are_read_as_grpc_writes_them() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("a header"));
            timeout(&headers)
        };
        assert_eq!(read("90S"), Some(Duration::from_secs(90)));
        assert_eq!(read("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(
            read("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        for bad in ["", "S", "1", "-1S", "1.5S", "123456789S", "1x"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
