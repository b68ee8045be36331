//! Organizations and their keys.

use jiff::Timestamp;
use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::billing::organization_not_found;
use super::page::{Asked, Page};
use super::{Service, caller, read, write};
use crate::domain::failure::{Failure, Reason};
use crate::domain::ids::{ApiKeyId, OrganizationId};
use crate::generate::unsettled;
use crate::ports::{ApiKey, KeyHash, Organization, Role, SettingsError};
use crate::proto;
use crate::proto::organization_service_server::OrganizationService;

#[tonic::async_trait]
impl OrganizationService for Service {
    async fn create_organization(
        &self,
        request: Request<proto::CreateOrganizationRequest>,
    ) -> Result<Response<proto::Organization>, Status> {
        self.answer("CreateOrganization", self.new_organization(request).await)
    }

    async fn get_organization(
        &self,
        request: Request<proto::GetOrganizationRequest>,
    ) -> Result<Response<proto::Organization>, Status> {
        self.answer("GetOrganization", self.organization(request).await)
    }

    async fn create_api_key(
        &self,
        request: Request<proto::CreateApiKeyRequest>,
    ) -> Result<Response<proto::CreateApiKeyResponse>, Status> {
        self.answer("CreateApiKey", self.new_api_key(request).await)
    }

    async fn list_api_keys(
        &self,
        request: Request<proto::ListApiKeysRequest>,
    ) -> Result<Response<proto::ListApiKeysResponse>, Status> {
        self.answer("ListApiKeys", self.api_keys(request).await)
    }

    async fn revoke_api_key(
        &self,
        request: Request<proto::RevokeApiKeyRequest>,
    ) -> Result<Response<proto::ApiKey>, Status> {
        self.answer("RevokeApiKey", self.revoked_api_key(request).await)
    }

    async fn set_open_router_key(
        &self,
        request: Request<proto::SetOpenRouterKeyRequest>,
    ) -> Result<Response<proto::Organization>, Status> {
        self.answer("SetOpenRouterKey", self.set_key(request).await)
    }

    async fn delete_open_router_key(
        &self,
        request: Request<proto::DeleteOpenRouterKeyRequest>,
    ) -> Result<Response<proto::Organization>, Status> {
        self.answer("DeleteOpenRouterKey", self.delete_key(request).await)
    }

    async fn list_audit_entries(
        &self,
        request: Request<proto::ListAuditEntriesRequest>,
    ) -> Result<Response<proto::ListAuditEntriesResponse>, Status> {
        self.answer("ListAuditEntries", self.audit_entries(request).await)
    }
}

impl Service {
    async fn new_organization(
        &self,
        request: Request<proto::CreateOrganizationRequest>,
    ) -> Result<proto::Organization, Failure> {
        let by = caller(&request)?.by();
        let request = request.into_inner();
        let id = if request.id.is_empty() {
            let made = format!("org-{}", Uuid::now_v7().simple());
            read::name("id", &made, OrganizationId::parse)?
        } else {
            read::name("id", &request.id, OrganizationId::parse)?
        };
        let organization = Organization {
            id,
            name: read::display_name("name", request.name)?,
            created: by.at,
        };
        let settings = &self.parts.settings;
        let created = settings.create_organization(organization.clone(), by).await;
        created.map_err(|error| match error {
            SettingsError::Exists => {
                let what = "There is an organization with this id already; take another one.";
                Failure::new(Reason::OrganizationExists, what)
            }
            other => unsettled(other),
        })?;
        Ok(write::organization(&organization, None))
    }

    async fn organization(
        &self,
        request: Request<proto::GetOrganizationRequest>,
    ) -> Result<proto::Organization, Failure> {
        let caller = caller(&request)?;
        let id = read::subject(&caller, &request.get_ref().organization_id)?;
        let found = self.existing(&id).await?;
        let own = self.own_key(&id).await?;
        let own = own.as_ref().map(|own| (own, self.key_status(own)));
        Ok(write::organization(&found, own))
    }

    async fn new_api_key(
        &self,
        request: Request<proto::CreateApiKeyRequest>,
    ) -> Result<proto::CreateApiKeyResponse, Failure> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let organization = read::subject(&caller, &request.organization_id)?;
        let role = role(request.role)?;
        if role > caller.up_to() {
            return Err(Failure::permission_denied());
        }
        let name = read::display_name("name", request.name)?;
        let expires = request.expire_time.map(expiry).transpose()?;
        let minted = self.parts.keyring.mint().map_err(|_| Failure::internal())?;
        let by = caller.by();
        let key = ApiKey {
            id: ApiKeyId::from_uuid(Uuid::now_v7()),
            organization,
            name,
            prefix: minted.prefix,
            role,
            created: by.at,
            expires,
            last_used: None,
            revoked: None,
        };
        let hash = KeyHash {
            pepper: minted.pepper,
            mac: minted.mac,
        };
        let settings = &self.parts.settings;
        let created = settings.create_api_key(key.clone(), hash, by).await;
        created.map_err(refused)?;
        Ok(proto::CreateApiKeyResponse {
            api_key: Some(write::api_key(&key)),
            secret: minted.secret.expose_secret().to_owned(),
        })
    }

    async fn api_keys(
        &self,
        request: Request<proto::ListApiKeysRequest>,
    ) -> Result<proto::ListApiKeysResponse, Failure> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let organization = read::subject(&caller, &request.organization_id)?;
        let asked = ("ListApiKeys", &organization);
        let question = Asked::new(&self.parts.keyring, &asked);
        let mut page = Page::new(request.page_size)?;
        let last = question.place(&request.page_token)?;
        let mut last = last.map(|bytes| ApiKeyId::from_uuid(Uuid::from_bytes(bytes)));
        let settings = &self.parts.settings;
        let found = settings.api_keys(&organization, last, page.wanted()).await;
        let mut next_page_token = String::new();
        for key in found.map_err(refused)? {
            if !page.add(write::api_key(&key)) {
                let place = last.map(|last| question.token(last.uuid().as_bytes()));
                next_page_token = place.unwrap_or_default();
                break;
            }
            last = Some(key.id);
        }
        Ok(proto::ListApiKeysResponse {
            api_keys: page.items,
            next_page_token,
        })
    }

    async fn revoked_api_key(
        &self,
        request: Request<proto::RevokeApiKeyRequest>,
    ) -> Result<proto::ApiKey, Failure> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let organization = read::subject(&caller, &request.organization_id)?;
        let what = "is not an id that this gateway makes";
        let id = ApiKeyId::parse(&request.api_key_id)
            .ok_or_else(|| Failure::invalid("api_key_id", what))?;
        let (service, up_to, by) = (self.clone(), caller.up_to(), caller.by());
        // A caller that hangs up after the key has ended must not leave its streams open.
        let ending = async move {
            let settings = &service.parts.settings;
            let ended = settings.revoke_api_key(&organization, id, up_to, by).await;
            if let Ok(key) = &ended {
                service.leases.revoke(&key.prefix);
            }
            ended
        };
        let ended = self.parts.tracker.spawn(ending).await;
        let key = ended.map_err(|_| Failure::internal())?.map_err(refused)?;
        Ok(write::api_key(&key))
    }
}

/// What refusing settings are to somebody who names an organization or a key of it.
pub(super) fn refused(error: SettingsError) -> Failure {
    match error {
        SettingsError::NoOrganization => organization_not_found(),
        SettingsError::NoApiKey => {
            let what = "This organization has no such key; ListApiKeys tells which there are.";
            Failure::new(Reason::ApiKeyNotFound, what)
        }
        SettingsError::Above => Failure::permission_denied(),
        other => unsettled(other),
    }
}

fn role(value: i32) -> Result<Role, Failure> {
    match read::known("role", value)? {
        proto::Role::Unspecified => Err(Failure::invalid("role", "must be set")),
        proto::Role::Runtime => Ok(Role::Runtime),
        proto::Role::Admin => Ok(Role::Admin),
        proto::Role::Owner => Ok(Role::Owner),
    }
}

fn expiry(at: prost_types::Timestamp) -> Result<Timestamp, Failure> {
    let at = read::instant("expire_time", &at)?;
    if at <= crate::clock::now() {
        return Err(Failure::invalid("expire_time", "must be in the future"));
    }
    Ok(at)
}
