//! The gallery, the provider and the settings behind a trap.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use image_gateway::domain::generation::StoredImage;
use image_gateway::domain::ids::{
    AgentId, ApiKeyId, GenerationId, OpenRouterKeyId, OrganizationId, Slug,
};
use image_gateway::domain::openrouter_key::KeyStatus;
use image_gateway::domain::shape::Resolution;
use image_gateway::domain::tool::Tool;
use image_gateway::domain::trail::By;
use image_gateway::openrouter::Client;
use image_gateway::ports::{
    Agents, ApiKey, Bill, Billed, Canvas, DrawCause, DrawError, DrawEvent, Drawing, Gallery,
    GalleryError, ImageProvider, ImageSource, KeyHash, KeyNote, KeyRecord, OpenRouterKey,
    OpenRouterKeys, Order, Organization, Role, Settings, SettingsError, ToolFilter, UpstreamKey,
};
use image_gateway::store::gallery::Files;
use image_gateway::store::sqlite::Sqlite;
use jiff::Timestamp;

use super::trap::{Side, Trap};

fn broken(_: Side) -> GalleryError {
    GalleryError::Broken(io::Error::other("lost"))
}

/// A disk that has no room is found out by writing.
fn full(side: Side) -> GalleryError {
    match side {
        Side::Before => GalleryError::Full,
        Side::After => broken(side),
    }
}

/// An error of the way to the provider: what may have left may have been billed.
fn unanswered(side: Side, upstream_id: Option<&str>) -> DrawError {
    DrawError {
        cause: DrawCause::Unavailable,
        detail: "lost".to_owned(),
        retry_after: None,
        billed: match side {
            Side::Before => Billed::No,
            Side::After => Billed::Unanswered,
        },
        upstream_id: upstream_id.map(str::to_owned),
        cost: None,
    }
}

/// The real gallery, crossed one call at a time.
#[derive(Debug)]
pub(crate) struct TrappedGallery {
    pub(crate) files: Files,
    pub(crate) trap: Arc<Trap>,
}

/// A picture of it that is being written.
struct TrappedCanvas {
    canvas: Box<dyn Canvas>,
    trap: Arc<Trap>,
}

#[async_trait]
impl Gallery for TrappedGallery {
    async fn begin(&self, id: GenerationId, index: u32) -> Result<Box<dyn Canvas>, GalleryError> {
        let work = self.files.begin(id, index);
        let canvas = self.trap.cross("begin", broken, work).await?;
        let trap = Arc::clone(&self.trap);
        Ok(Box::new(TrappedCanvas { canvas, trap }))
    }

    async fn room(&self) -> Result<(), GalleryError> {
        self.trap.cross("room", broken, self.files.room()).await
    }

    async fn find(&self, id: GenerationId) -> Result<Vec<StoredImage>, GalleryError> {
        self.trap.cross("find", broken, self.files.find(id)).await
    }

    async fn remove(&self, object_name: &str) -> Result<(), GalleryError> {
        let work = self.files.remove(object_name);
        self.trap.cross("remove", broken, work).await
    }

    async fn open(&self, object_name: &str) -> Result<Arc<dyn ImageSource>, GalleryError> {
        let work = self.files.open(object_name);
        self.trap.cross("open_file", broken, work).await
    }
}

#[async_trait]
impl Canvas for TrappedCanvas {
    async fn write(&mut self, bytes: Bytes) -> Result<(), GalleryError> {
        let work = self.canvas.write(bytes);
        self.trap.cross("write", full, work).await
    }

    fn source(&self) -> Arc<dyn ImageSource> {
        self.canvas.source()
    }

    fn size_bytes(&self) -> u64 {
        self.canvas.size_bytes()
    }

    async fn keep(self: Box<Self>) -> Result<StoredImage, GalleryError> {
        let Self { canvas, trap } = *self;
        trap.cross("keep", broken, canvas.keep()).await
    }
}

/// The real way to the mock, crossed one call at a time.
#[derive(Debug)]
pub(crate) struct TrappedProvider {
    pub(crate) client: Client,
    pub(crate) trap: Arc<Trap>,
}

/// An answer on that way.
struct TrappedDrawing {
    drawing: Box<dyn Drawing>,
    trap: Arc<Trap>,
}

#[async_trait]
impl ImageProvider for TrappedProvider {
    async fn draw(&self, order: &Order) -> Result<Box<dyn Drawing>, DrawError> {
        let lost = |side| unanswered(side, None);
        let work = self.client.draw(order);
        let drawing = self.trap.cross("draw", lost, work).await?;
        let trap = Arc::clone(&self.trap);
        Ok(Box::new(TrappedDrawing { drawing, trap }))
    }

    async fn bill_of(&self, upstream_id: &str, key: &UpstreamKey) -> Result<Bill, DrawError> {
        let lost = |side| unanswered(side, None);
        let work = self.client.bill_of(upstream_id, key);
        self.trap.cross("bill_of", lost, work).await
    }

    async fn check_key(&self, key: &UpstreamKey) -> Result<KeyRecord, DrawError> {
        let lost = |side| unanswered(side, None);
        let work = self.client.check_key(key);
        self.trap.cross("check_key", lost, work).await
    }

    fn is_platforms(&self, key: &UpstreamKey) -> bool {
        self.client.is_platforms(key)
    }

    fn platform_fingerprint(&self) -> String {
        self.client.platform_fingerprint()
    }
}

#[async_trait]
impl Drawing for TrappedDrawing {
    fn upstream_id(&self) -> Option<&str> {
        self.drawing.upstream_id()
    }

    async fn next(&mut self) -> Result<DrawEvent, DrawError> {
        let id = self.drawing.upstream_id().map(str::to_owned);
        // An answer that broke off may have been billed, whichever piece of it is missing.
        let lost = |_| unanswered(Side::After, id.as_deref());
        let work = self.drawing.next();
        self.trap.cross("next", lost, work).await
    }
}

/// The real keys of organizations, crossed one call at a time.
#[derive(Debug)]
pub(crate) struct TrappedKeys {
    pub(crate) books: Sqlite,
    pub(crate) trap: Arc<Trap>,
}

#[async_trait]
impl OpenRouterKeys for TrappedKeys {
    async fn openrouter_key(
        &self,
        organization: &OrganizationId,
    ) -> Result<Option<OpenRouterKey>, SettingsError> {
        let work = self.books.openrouter_key(organization);
        self.trap.cross("openrouter_key", unread, work).await
    }

    async fn set_openrouter_key(&self, key: OpenRouterKey, by: By) -> Result<(), SettingsError> {
        self.books.set_openrouter_key(key, by).await
    }

    async fn delete_openrouter_key(
        &self,
        organization: &OrganizationId,
        by: By,
    ) -> Result<bool, SettingsError> {
        self.books.delete_openrouter_key(organization, by).await
    }

    async fn note_openrouter_key(
        &self,
        id: OpenRouterKeyId,
        note: KeyNote,
        at: Timestamp,
    ) -> Result<Option<KeyStatus>, SettingsError> {
        let work = self.books.note_openrouter_key(id, note, at);
        self.trap.cross("note_openrouter_key", unread, work).await
    }
}

/// The real settings; those that a generation reads are crossed one call at a time.
#[derive(Debug)]
pub(crate) struct TrappedSettings {
    pub(crate) books: Sqlite,
    pub(crate) trap: Arc<Trap>,
}

fn unread(_: Side) -> SettingsError {
    SettingsError::Broken(Box::new(io::Error::other("lost")))
}

#[async_trait]
impl Settings for TrappedSettings {
    async fn tool(
        &self,
        organization: &OrganizationId,
        agent: &AgentId,
    ) -> Result<Option<Tool>, SettingsError> {
        let work = self.books.tool(organization, agent);
        self.trap.cross("tool", unread, work).await
    }

    async fn is_available(
        &self,
        organization: &OrganizationId,
        model: &Slug,
    ) -> Result<bool, SettingsError> {
        let work = self.books.is_available(organization, model);
        self.trap.cross("is_available", unread, work).await
    }

    async fn create_organization(
        &self,
        organization: Organization,
        by: By,
    ) -> Result<(), SettingsError> {
        self.books.create_organization(organization, by).await
    }

    async fn organization(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<Organization>, SettingsError> {
        self.books.organization(id).await
    }

    async fn create_api_key(
        &self,
        key: ApiKey,
        hash: KeyHash,
        by: By,
    ) -> Result<(), SettingsError> {
        self.books.create_api_key(key, hash, by).await
    }

    async fn api_key(&self, prefix: &str) -> Result<Option<(ApiKey, KeyHash)>, SettingsError> {
        self.books.api_key(prefix).await
    }

    async fn api_keys(
        &self,
        organization: &OrganizationId,
        after: Option<ApiKeyId>,
        limit: u32,
    ) -> Result<Vec<ApiKey>, SettingsError> {
        self.books.api_keys(organization, after, limit).await
    }

    async fn revoke_api_key(
        &self,
        organization: &OrganizationId,
        id: ApiKeyId,
        up_to: Role,
        by: By,
    ) -> Result<ApiKey, SettingsError> {
        self.books.revoke_api_key(organization, id, up_to, by).await
    }

    async fn note_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), SettingsError> {
        self.books.note_uses(uses).await
    }

    async fn tools(
        &self,
        organization: &OrganizationId,
        filter: ToolFilter,
        after: Option<AgentId>,
        limit: u32,
    ) -> Result<Vec<Tool>, SettingsError> {
        self.books.tools(organization, filter, after, limit).await
    }

    async fn save_tool(
        &self,
        organization: &OrganizationId,
        before: Option<Tool>,
        tool: Tool,
        by: By,
    ) -> Result<bool, SettingsError> {
        self.books.save_tool(organization, before, tool, by).await
    }

    async fn delete_tool(
        &self,
        organization: &OrganizationId,
        agent: &AgentId,
        by: By,
    ) -> Result<bool, SettingsError> {
        self.books.delete_tool(organization, agent, by).await
    }

    async fn agents_enabled_with(
        &self,
        organization: &OrganizationId,
        of: (&Slug, &[Resolution]),
        limit: u32,
    ) -> Result<Agents, SettingsError> {
        self.books
            .agents_enabled_with(organization, of, limit)
            .await
    }

    async fn agents_by_model(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<(Slug, u32)>, SettingsError> {
        self.books.agents_by_model(organization).await
    }

    async fn unavailable_models(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<Slug>, SettingsError> {
        self.books.unavailable_models(organization).await
    }

    async fn set_available(
        &self,
        organization: &OrganizationId,
        model: &Slug,
        available: bool,
        by: By,
    ) -> Result<bool, SettingsError> {
        self.books
            .set_available(organization, model, available, by)
            .await
    }
}
