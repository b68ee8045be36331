//! A gateway, a mock upstream and an organization with credits, in one line; and a close that
//! fails if the books do not agree with themselves, or with the upstream's bill.

use std::path::PathBuf;
use std::time::Duration;

use image_gateway::app::App;
use image_gateway::domain::catalog::Catalog;
use image_gateway::mock::Mock;
use image_gateway::proto;
use image_gateway::proto::billing_service_client::BillingServiceClient;
use image_gateway::proto::image_service_client::ImageServiceClient;
use image_gateway::proto::model_service_client::ModelServiceClient;
use image_gateway::proto::organization_service_client::OrganizationServiceClient;
use image_gateway::proto::tool_service_client::ToolServiceClient;
use rust_decimal::Decimal;
use tempfile::TempDir;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::StatusExt;

pub(crate) use crate::setup::Setup;
pub(crate) use crate::story::Story;
use crate::{canary, named};

pub(crate) const OPERATOR_KEY: &str = "operator-key-for-tests-0123456789abcdef";
/// The platform's key at the upstream.
pub(crate) const PLATFORM_KEY: &str = "sk-or-v1-key-of-the-platform";
/// What is drawn if nothing else is said; no line of a log may contain it.
pub(crate) const PROMPT: &str = "a red fox in the snow";
pub(crate) const KLEIN: &str = "black-forest-labs/flux.2-klein-4b";
pub(crate) const SEEDREAM: &str = "bytedance-seed/seedream-4.5";
pub(crate) const NANO: &str = "google/gemini-3.1-flash-image-preview";
pub(crate) const GPT: &str = "openai/gpt-5-image";
pub(crate) const AGENT: &str = "painter";

pub(crate) type Bearer = Box<dyn FnMut(Request<()>) -> Result<Request<()>, Status> + Send>;
pub(crate) type Authorized = InterceptedService<Channel, Bearer>;

/// A running house with the organization `acme`, and a tool for the agent `painter`.
pub(crate) struct House {
    pub(crate) mock: Mock,
    pub(crate) app: Option<App>,
    pub(crate) channel: Channel,
    pub(crate) runtime: String,
    pub(crate) admin: String,
    pub(crate) owner: String,
    pub(crate) dir: TempDir,
    /// What the upstream billed and the gateway could not know of, in USD.
    pub(crate) absorbed: Decimal,
    /// Holds that stay open because nobody can be asked what was billed.
    pub(crate) in_doubt: u64,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        // What the gateway logs stands beside a failed test.
        let _ = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_writer(canary::Log)
            .try_init();
        canary::watch_panics();
        let mock = Mock::start("127.0.0.1:0".parse().unwrap(), setup.mock.clone())
            .await
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let config = setup.settings(&mock, &dir);
        let app = App::start(config, setup.catalog).await.expect("starts");
        let channel = connect(&app).await;
        let mut house = Self {
            mock,
            app: Some(app),
            channel,
            runtime: String::new(),
            admin: String::new(),
            owner: String::new(),
            dir,
            absorbed: Decimal::ZERO,
            in_doubt: 0,
        };
        house.furnish("acme", setup.credits).await;
        house.tool(|_| {}).await;
        house
    }

    /// Stops the gateway and starts it again on the same data, with another catalog.
    pub(crate) async fn restart(&mut self, catalog: Catalog) {
        let setup = Setup {
            catalog,
            ..Setup::default()
        };
        self.restart_with(&setup).await;
    }

    /// Stops the gateway and starts it again on the same data, with other settings.
    pub(crate) async fn restart_with(&mut self, setup: &Setup) {
        let app = self.app.take().expect("open");
        app.drain(Duration::from_secs(20)).await;
        self.start_with(setup).await;
    }

    /// Starts the gateway of a house that has none, on the data it has.
    pub(crate) async fn start_again(&mut self, catalog: Catalog) {
        let setup = Setup {
            catalog,
            ..Setup::default()
        };
        self.start_with(&setup).await;
    }

    async fn start_with(&mut self, setup: &Setup) {
        let config = setup.settings(&self.mock, &self.dir);
        let app = App::start(config, setup.catalog.clone())
            .await
            .expect("starts");
        self.channel = connect(&app).await;
        self.app = Some(app);
    }

    /// Makes an organization that has nothing yet; its name is its id, with a capital.
    pub(crate) async fn add_organization(&self, id: &str) {
        let (first, rest) = id.split_at(1);
        let request = proto::CreateOrganizationRequest {
            id: id.to_owned(),
            name: format!("{}{rest}", first.to_uppercase()),
        };
        let mut organizations = self.organizations(OPERATOR_KEY);
        let made = organizations.create_organization(request).await;
        made.expect("an organization");
    }

    /// Makes the organization, its keys and its credits.
    async fn furnish(&mut self, organization: &str, credits: &str) {
        self.add_organization(organization).await;
        if credits != "0" {
            self.top_up(organization, credits, "first").await;
        }
        self.runtime = self.key(organization, proto::Role::Runtime).await;
        self.admin = self.key(organization, proto::Role::Admin).await;
        self.owner = self.key(organization, proto::Role::Owner).await;
    }

    pub(crate) async fn top_up(&self, organization: &str, credits: &str, reference: &str) {
        let request = proto::AddCreditsRequest {
            organization_id: organization.to_owned(),
            credits: credits.to_owned(),
            reference: reference.to_owned(),
            description: String::new(),
        };
        self.billing(OPERATOR_KEY)
            .add_credits(request)
            .await
            .expect("credits");
    }

    pub(crate) async fn key(&self, organization: &str, role: proto::Role) -> String {
        let request = proto::CreateApiKeyRequest {
            organization_id: organization.to_owned(),
            name: format!("{role:?}"),
            role: role.into(),
            expire_time: None,
        };
        let mut organizations = self.organizations(OPERATOR_KEY);
        let made = organizations.create_api_key(request).await;
        let secret = made.expect("a key").into_inner().secret;
        canary::plant(&secret);
        secret
    }

    /// Saves the tool of the agent `painter`: klein, everything allowed, but for what `change` says.
    pub(crate) async fn tool(&self, change: impl FnOnce(&mut proto::GenerateImageTool)) {
        let mut tool = proto::GenerateImageTool {
            agent_id: AGENT.to_owned(),
            enabled: true,
            model: KLEIN.to_owned(),
            max_resolution: "4K".to_owned(),
            max_images_per_call: 4,
            allow_reference_images: true,
            ..Default::default()
        };
        change(&mut tool);
        self.save_tool(tool).await.expect("a tool");
    }

    pub(crate) async fn save_tool(
        &self,
        tool: proto::GenerateImageTool,
    ) -> Result<proto::GenerateImageTool, Status> {
        let request = proto::UpdateGenerateImageToolRequest {
            generate_image_tool: Some(tool),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["*".to_owned()],
            }),
            validate_only: false,
        };
        let answer = self
            .tools(&self.admin)
            .update_generate_image_tool(request)
            .await;
        answer.map(tonic::Response::into_inner)
    }

    pub(crate) fn images(&self, key: &str) -> ImageServiceClient<Authorized> {
        let client = ImageServiceClient::with_interceptor(self.channel.clone(), bearer(key));
        client.max_encoding_message_size(64 << 20)
    }

    pub(crate) fn tools(&self, key: &str) -> ToolServiceClient<Authorized> {
        ToolServiceClient::with_interceptor(self.channel.clone(), bearer(key))
    }

    pub(crate) fn models(&self, key: &str) -> ModelServiceClient<Authorized> {
        ModelServiceClient::with_interceptor(self.channel.clone(), bearer(key))
    }

    pub(crate) fn billing(&self, key: &str) -> BillingServiceClient<Authorized> {
        BillingServiceClient::with_interceptor(self.channel.clone(), bearer(key))
    }

    pub(crate) fn organizations(&self, key: &str) -> OrganizationServiceClient<Authorized> {
        OrganizationServiceClient::with_interceptor(self.channel.clone(), bearer(key))
    }

    /// Makes images, and reads the whole story.
    pub(crate) async fn generate(
        &self,
        request: proto::GenerateImageRequest,
    ) -> Result<Story, Status> {
        let events = self
            .images(&self.runtime)
            .generate_image(request)
            .await?
            .into_inner();
        Story::read(events).await
    }

    pub(crate) async fn generation(&self, request_id: &str) -> proto::Generation {
        use proto::get_generation_request::Which;
        let request = proto::GetGenerationRequest {
            which: Some(Which::RequestId(request_id.to_owned())),
        };
        let answer = self.images(&self.runtime).get_generation(request).await;
        answer.expect("a generation").into_inner()
    }

    pub(crate) async fn balance(&self) -> proto::Balance {
        let request = proto::GetBalanceRequest::default();
        self.billing(&self.admin)
            .get_balance(request)
            .await
            .expect("a balance")
            .into_inner()
    }

    /// How many calls that cost something were sent upstream. What the recovery asks of costs is no
    /// such call, and comes sooner or later.
    pub(crate) fn sent(&self) -> usize {
        let requests = self.mock.requests();
        let paid = requests.iter().filter(|request| request.method == "POST");
        paid.count()
    }

    /// The database as a file, for looks that no call offers.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join("gateway.sqlite3")
    }

    /// Nothing was sent upstream, nothing is held, nothing was charged.
    pub(crate) async fn assert_untouched(&self) {
        let paid = self.mock.requests();
        assert!(paid.is_empty(), "sent upstream: {paid:?}");
        let balance = self.balance().await;
        assert_eq!(
            (balance.credits.as_str(), balance.held.as_str()),
            ("10000.00", "0.00")
        );
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let forgotten = self.app.is_some() && !std::thread::panicking();
        assert!(!forgotten, "close the house, so that its books are audited");
    }
}

/// A connection of its own.
pub(crate) async fn connect(app: &App) -> Channel {
    let address = format!("http://{}", app.grpc_address());
    Channel::from_shared(address)
        .unwrap()
        .connect()
        .await
        .unwrap()
}

pub(crate) fn bearer(key: &str) -> Bearer {
    let value: Option<MetadataValue<_>> =
        (!key.is_empty()).then(|| format!("Bearer {key}").parse().expect("a key"));
    Box::new(move |mut request: Request<()>| {
        if let Some(value) = &value {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    })
}

/// A request for one picture, all defaults.
pub(crate) fn request(request_id: &str) -> proto::GenerateImageRequest {
    proto::GenerateImageRequest {
        agent_id: AGENT.to_owned(),
        request_id: request_id.to_owned(),
        prompt: PROMPT.to_owned(),
        ..Default::default()
    }
}

/// Whether the gateway said so. A caller whose own clock was faster hears nothing of it.
pub(crate) fn is_told(status: &Status) -> bool {
    status.get_error_details().error_info().is_some()
}

/// The reason of a status.
pub(crate) fn reason(status: &Status) -> String {
    canary::assert_no_key("a refusal", &format!("{status:?}"));
    let details = status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "images.squados.io");
    named::assert_named(info);
    info.reason.clone()
}

/// A value of the metadata of a status.
pub(crate) fn detail(status: &Status, name: &str) -> String {
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    info.metadata
        .get(name)
        .unwrap_or_else(|| panic!("no {name} in {info:?}"))
        .clone()
}
