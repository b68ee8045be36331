//! The door in: the only room that knows tonic and prost. Requests are read into the domain's
//! types once, here; answers and failures are written once, here.

use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::server::HealthReporter;

use crate::domain::failure::{Failure, Reason};
use crate::generate::Generator;
use crate::keys::{Keyring, Vault};
use crate::metrics::Metrics;
use crate::ports::{
    Gallery, ImageProvider, Ledger, OpenRouterKeys, Records, ReferenceFetcher, Settings,
};
use crate::prices::Prices;
use crate::proto;
use crate::proto::billing_service_server::BillingServiceServer;
use crate::proto::image_service_server::ImageServiceServer;
use crate::proto::model_service_server::ModelServiceServer;
use crate::proto::organization_service_server::OrganizationServiceServer;
use crate::proto::tool_service_server::ToolServiceServer;

use caller::Caller;
pub use last_used::LastUsed;
use leases::Leases;

mod access;
mod billing;
mod body;
mod caller;
mod consumption;
mod images;
mod known;
mod last_used;
mod leases;
mod loud;
mod models;
mod open_calls;
mod openrouter_key;
mod organizations;
mod pace;
mod page;
mod read;
mod refused;
mod spoken;
mod status;
mod tools;
mod trail;
mod write;

/// The largest request (`api.md`, Limits): prompt and reference images together.
const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The largest request without pictures; a tool's settings with its prompts are far below.
const SMALL_REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// When to come back after there was no room: calls at the door are short.
const OVERLOAD_PAUSE: Duration = Duration::from_secs(1);

/// What the services are made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Runs generations.
    pub generator: Arc<Generator>,
    /// The books.
    pub ledger: Arc<dyn Ledger>,
    /// Organizations, keys, tools.
    pub settings: Arc<dyn Settings>,
    /// Organizations' own OpenRouter keys.
    pub openrouter_keys: Arc<dyn OpenRouterKeys>,
    /// Who is asked whether it takes such a key.
    pub provider: Arc<dyn ImageProvider>,
    /// Seals such keys.
    pub vault: Arc<Vault>,
    /// What was, in pages and sums.
    pub records: Arc<dyn Records>,
    /// Earlier pictures, for references.
    pub gallery: Arc<dyn Gallery>,
    /// Pictures that are somewhere else, for references.
    pub fetcher: Arc<dyn ReferenceFetcher>,
    /// The price list.
    pub prices: Arc<Prices>,
    /// Makes and checks keys.
    pub keyring: Arc<Keyring>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Runs what outlives its caller; drained at the end.
    pub tracker: TaskTracker,
    /// Calls a second that one organization may make; `None` is no limit.
    pub calls_per_second: Option<u32>,
}

/// The services, and the switch of their health.
#[derive(Debug)]
pub struct Served {
    /// Everything that is served on the gRPC port.
    pub routes: Routes,
    /// Says whether new calls are welcome.
    pub health: HealthReporter,
    /// Writes when keys were last used, as long as it runs.
    pub last_used: LastUsed,
}

/// One service of ours; each is a thin view of the same parts.
#[derive(Clone, Debug)]
struct Service {
    parts: Arc<Parts>,
    leases: Arc<Leases>,
}

/// All services, behind one check of keys, with reflection (both versions) and health.
///
/// # Errors
/// If the compiled contract cannot be read, which is a broken build.
pub async fn serve(parts: Parts) -> Result<Served, tonic_reflection::server::Error> {
    let service = Service {
        parts: Arc::new(parts),
        leases: Arc::default(),
    };
    let last_used = LastUsed::new(Arc::clone(&service.parts.settings));
    let gate = access::Gate::new(&service.parts, &service.leases, &last_used);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ImageServiceServer<Service>>().await;
    health.set_serving::<ToolServiceServer<Service>>().await;
    health.set_serving::<ModelServiceServer<Service>>().await;
    health.set_serving::<BillingServiceServer<Service>>().await;
    health
        .set_serving::<OrganizationServiceServer<Service>>()
        .await;
    let images =
        ImageServiceServer::new(service.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    let routes = Routes::new(images)
        .add_service(
            ToolServiceServer::new(service.clone())
                .max_decoding_message_size(SMALL_REQUEST_BYTES_MAX),
        )
        .add_service(
            ModelServiceServer::new(service.clone())
                .max_decoding_message_size(SMALL_REQUEST_BYTES_MAX),
        )
        .add_service(
            BillingServiceServer::new(service.clone())
                .max_decoding_message_size(SMALL_REQUEST_BYTES_MAX),
        )
        .add_service(
            OrganizationServiceServer::new(service.clone())
                .max_decoding_message_size(SMALL_REQUEST_BYTES_MAX),
        )
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let checked = routes
        .into_axum_router()
        .layer(from_fn_with_state(gate, access::check));
    Ok(Served {
        routes: Routes::from(checked),
        health,
        last_used,
    })
}

/// The answer to a call for which there is no room, whoever made it.
pub fn overloaded() -> axum::response::Response {
    let what = "Too many calls are open; try again in a moment.";
    let failure = Failure::new(Reason::Overloaded, what).retry_after(OVERLOAD_PAUSE);
    status::of(&failure).into_http()
}

/// Whether this answer was made after the caller's key was found good, whatever it says.
pub fn shows_good_key(answer: &axum::response::Response) -> bool {
    answer.extensions().get::<access::GoodKey>().is_some()
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

impl Service {
    /// The answer of a unary call, counted.
    fn answer<T>(
        &self,
        rpc: &'static str,
        result: Result<T, Failure>,
    ) -> Result<Response<T>, Status> {
        let reason = result.as_ref().err().map(|failure| failure.reason);
        self.parts.metrics.call_finished(rpc, reason);
        result
            .map(Response::new)
            .map_err(|failure| status::of(&failure))
    }
}

/// The caller that the check of keys has found, if its key is still good: between the two is the
/// body, which a caller may send as slowly as it likes.
fn caller<T>(request: &Request<T>) -> Result<Caller, Failure> {
    let caller = request.extensions().get::<Caller>();
    let caller = caller.cloned().ok_or_else(Failure::unauthenticated)?;
    caller.lease().map_or(Ok(()), |lease| lease.check())?;
    Ok(caller)
}

#[cfg(test)]
mod made_up;
