//! Organizations and their keys.

use jiff::Timestamp;
use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use super::access::Caller;
use super::billing::organization_not_found;
use super::{Service, caller, read, write};
use crate::domain::failure::{Failure, Reason};
use crate::domain::ids::{ApiKeyId, OrganizationId};
use crate::generate::unsettled;
use crate::ports::{ApiKey, Organization, Role, SettingsError};
use crate::proto;
use crate::proto::organization_service_server::OrganizationService;

#[tonic::async_trait]
impl OrganizationService for Service {
    async fn create_organization(
        &self,
        request: Request<proto::CreateOrganizationRequest>,
    ) -> Result<Response<proto::Organization>, Status> {
        self.answer(
            "CreateOrganization",
            self.new_organization(request.into_inner()).await,
        )
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
}

impl Service {
    async fn new_organization(
        &self,
        request: proto::CreateOrganizationRequest,
    ) -> Result<proto::Organization, Failure> {
        let id = if request.id.is_empty() {
            let made = format!("org-{}", uuid::Uuid::now_v7().simple());
            read::name("id", &made, OrganizationId::parse)?
        } else {
            read::name("id", &request.id, OrganizationId::parse)?
        };
        let organization = Organization {
            id,
            name: read::display_name("name", request.name)?,
            created: crate::clock::now(),
        };
        let created = self
            .parts
            .settings
            .create_organization(organization.clone())
            .await;
        created.map_err(|error| match error {
            SettingsError::Exists => {
                let what = "There is an organization with this id already; take another one.";
                Failure::new(Reason::OrganizationExists, what)
            }
            other => unsettled(other),
        })?;
        Ok(write::organization(&organization))
    }

    async fn organization(
        &self,
        request: Request<proto::GetOrganizationRequest>,
    ) -> Result<proto::Organization, Failure> {
        let caller = caller(&request)?;
        let id = read::subject(&caller, &request.get_ref().organization_id)?;
        let found = self
            .parts
            .settings
            .organization(&id)
            .await
            .map_err(unsettled)?;
        found
            .as_ref()
            .map(write::organization)
            .ok_or_else(organization_not_found)
    }

    async fn new_api_key(
        &self,
        request: Request<proto::CreateApiKeyRequest>,
    ) -> Result<proto::CreateApiKeyResponse, Failure> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let organization = read::subject(&caller, &request.organization_id)?;
        let role = role(request.role)?;
        let may_make_owners = match &caller {
            Caller::Operator => true,
            Caller::Organization { role, .. } => *role == Role::Owner,
        };
        if role == Role::Owner && !may_make_owners {
            return Err(Failure::permission_denied());
        }
        let name = read::display_name("name", request.name)?;
        let expires = request.expire_time.map(expiry).transpose()?;
        let minted = self.parts.keyring.mint().map_err(|_| Failure::internal())?;
        let key = ApiKey {
            id: ApiKeyId::from_uuid(uuid::Uuid::now_v7()),
            organization,
            name,
            prefix: minted.prefix,
            role,
            created: crate::clock::now(),
            expires,
        };
        let created = self
            .parts
            .settings
            .create_api_key(key.clone(), minted.mac)
            .await;
        created.map_err(|error| match error {
            SettingsError::NoOrganization => organization_not_found(),
            other => unsettled(other),
        })?;
        Ok(proto::CreateApiKeyResponse {
            api_key: Some(write::api_key(&key)),
            secret: minted.secret.expose_secret().to_owned(),
        })
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
    let read = Timestamp::new(at.seconds, at.nanos).ok();
    read.filter(|at| *at > crate::clock::now())
        .ok_or_else(|| Failure::invalid("expire_time", "must be in the future"))
}
