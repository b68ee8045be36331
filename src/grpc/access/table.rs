//! One table names the role of every call; a call that is not in it, and is neither health nor
//! reflection, does not exist.

use crate::ports::Role;

/// The package all our services are in.
const PACKAGE: &str = "/squados.images.v1.";

/// Who is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
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

/// The name and the needs of a call; `None` if it is not ours.
pub(super) fn find(path: &str) -> Option<(&'static str, Needs)> {
    let (service, rpc) = path.strip_prefix(PACKAGE)?.split_once('/')?;
    let found = TABLE.iter().find(|(s, r, _)| *s == service && *r == rpc);
    found.map(|(_, rpc, needs)| (*rpc, *needs))
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
}
