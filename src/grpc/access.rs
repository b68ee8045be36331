//! Who may call what. One table names the role of every call; a call that is not in it, and is
//! neither health nor reflection, does not exist. The organization comes from the key.

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
use super::pace::Pace;
use super::refused::Refused;
use super::{OVERLOAD_PAUSE, Parts, status};
use crate::domain::failure::{Failure, Reason};
use crate::generate::unsettled;
use crate::keys::{Keyring, Presented};
use crate::metrics::Metrics;
use crate::ports::{Role, Settings};

/// Who is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// A key of an organization with at least this role.
    Role(Role),
    /// The same, or the operator's key.
    RoleOrOperator(Role),
    /// The operator's key only.
    Operator,
}

/// Every call and who may make it (`api.md`, Services).
const TABLE: &[(&str, &str, Needs)] = &[
    ("ImageService", "GenerateImage", Needs::Role(Role::Runtime)),
    (
        "ImageService",
        "StartGeneration",
        Needs::Role(Role::Runtime),
    ),
    (
        "ImageService",
        "WatchGeneration",
        Needs::Role(Role::Runtime),
    ),
    (
        "ImageService",
        "CancelGeneration",
        Needs::Role(Role::Runtime),
    ),
    ("ImageService", "GetGeneration", Needs::Role(Role::Runtime)),
    (
        "ImageService",
        "ListGenerations",
        Needs::Role(Role::Runtime),
    ),
    ("ImageService", "ReadImage", Needs::Role(Role::Runtime)),
    ("ImageService", "EstimateImage", Needs::Role(Role::Runtime)),
    (
        "ToolService",
        "GetGenerateImageTool",
        Needs::Role(Role::Runtime),
    ),
    (
        "ToolService",
        "ListGenerateImageTools",
        Needs::Role(Role::Runtime),
    ),
    (
        "ToolService",
        "UpdateGenerateImageTool",
        Needs::Role(Role::Admin),
    ),
    (
        "ToolService",
        "DeleteGenerateImageTool",
        Needs::Role(Role::Admin),
    ),
    (
        "ModelService",
        "ListModels",
        Needs::RoleOrOperator(Role::Runtime),
    ),
    (
        "ModelService",
        "GetModel",
        Needs::RoleOrOperator(Role::Runtime),
    ),
    (
        "ModelService",
        "UpdateModelAvailability",
        Needs::Role(Role::Admin),
    ),
    (
        "ModelService",
        "ListPriceChanges",
        Needs::RoleOrOperator(Role::Runtime),
    ),
    ("ModelService", "SyncModels", Needs::Operator),
    ("ModelService", "ConfirmPrice", Needs::Operator),
    (
        "BillingService",
        "GetBalance",
        Needs::RoleOrOperator(Role::Admin),
    ),
    (
        "BillingService",
        "ListLedgerEntries",
        Needs::RoleOrOperator(Role::Admin),
    ),
    (
        "BillingService",
        "QueryUsage",
        Needs::RoleOrOperator(Role::Admin),
    ),
    ("BillingService", "AddCredits", Needs::Operator),
    ("OrganizationService", "CreateOrganization", Needs::Operator),
    (
        "OrganizationService",
        "GetOrganization",
        Needs::RoleOrOperator(Role::Admin),
    ),
    (
        "OrganizationService",
        "CreateApiKey",
        Needs::RoleOrOperator(Role::Admin),
    ),
    (
        "OrganizationService",
        "ListApiKeys",
        Needs::RoleOrOperator(Role::Admin),
    ),
    (
        "OrganizationService",
        "RevokeApiKey",
        Needs::RoleOrOperator(Role::Admin),
    ),
    (
        "OrganizationService",
        "SetOpenRouterKey",
        Needs::RoleOrOperator(Role::Admin),
    ),
    (
        "OrganizationService",
        "DeleteOpenRouterKey",
        Needs::RoleOrOperator(Role::Admin),
    ),
    (
        "OrganizationService",
        "ListAuditEntries",
        Needs::RoleOrOperator(Role::Admin),
    ),
];

/// How long after its deadline a service may still answer.
const WORDS_PATIENCE: Duration = Duration::from_secs(1);

/// The package all our services are in.
const PACKAGE: &str = "/squados.images.v1.";

/// When the caller stops waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

/// What the check needs.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    settings: Arc<dyn Settings>,
    keyring: Arc<Keyring>,
    metrics: Arc<Metrics>,
    budget: Arc<Budget>,
    pace: Option<Arc<Pace>>,
    leases: Arc<Leases>,
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
            last_used: last_used.clone(),
            known: Arc::new(Known::new()),
            refused: Arc::default(),
        }
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
        let Some((key, _)) = good else {
            self.known.forget(&presented.prefix);
            self.refused.note(&presented.prefix, why);
            return Err(Failure::unauthenticated());
        };
        self.known.note(&presented.prefix);
        self.last_used.note(&key, now);
        if let Some(pace) = &self.pace {
            pace.take(&key.organization, Instant::now())?;
        }
        Ok(Caller::Organization {
            lease: Arc::new(place.with(&key)),
            id: key.organization,
            role: key.role,
        })
    }
}

/// Lets a request through to its service, with its caller and deadline noted, or answers it.
pub(super) async fn check(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let Some((rpc, needs)) = find(request.uri().path()) else {
        return next.run(request).await;
    };
    match gate.admit(request.headers(), needs).await {
        Ok(caller) => request.extensions_mut().insert(caller),
        Err(failure) => {
            gate.metrics.call_finished(rpc, Some(failure.reason));
            return status::of(&failure).into_http();
        }
    };
    let deadline = timeout(request.headers()).map(|left| Instant::now() + left);
    if let Some(deadline) = deadline {
        request.extensions_mut().insert(Deadline(deadline));
    }
    let counted = Counted::count(&gate.budget, request);
    let response = in_time(next.run(counted), deadline).await;
    with_reason(response, rpc, &gate.metrics)
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

/// The name and the needs of a call; `None` if it is not ours.
fn find(path: &str) -> Option<(&'static str, Needs)> {
    let (service, rpc) = path.strip_prefix(PACKAGE)?.split_once('/')?;
    let found = TABLE.iter().find(|(s, r, _)| *s == service && *r == rpc);
    found.map(|(_, rpc, needs)| (*rpc, *needs))
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
        Code::Internal | Code::InvalidArgument => {
            Failure::invalid("request", "is not a valid protobuf message of this call")
        }
        Code::ResourceExhausted => {
            Failure::new(Reason::Overloaded, status.message()).retry_after(OVERLOAD_PAUSE)
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
    fn every_call_of_the_contract_is_in_the_table() {
        use prost::Message;
        let set = prost_types::FileDescriptorSet::decode(crate::proto::DESCRIPTORS).expect("a set");
        let mut calls = 0;
        for file in set
            .file
            .iter()
            .filter(|file| file.package() == "squados.images.v1")
        {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("{PACKAGE}{}/{}", service.name(), method.name());
                    assert!(find(&path).is_some(), "{path}");
                    calls += 1;
                }
            }
        }
        assert_eq!(calls, TABLE.len());
    }

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
