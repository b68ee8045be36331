//! A key as the database would tell of it, for the tests of this room.

use jiff::Timestamp;

use crate::domain::ids::{ApiKeyId, OrganizationId};
use crate::ports::{ApiKey, KeyHash, Role};

/// A key of this public beginning that is good until it expires, and what its secret hashes to.
pub(super) fn key(prefix: &str, expires: Option<Timestamp>) -> (ApiKey, KeyHash) {
    let key = ApiKey {
        id: ApiKeyId::from_uuid(uuid::Uuid::from_u128(1)),
        organization: OrganizationId::parse("acme").expect("a name"),
        name: "key".to_owned(),
        prefix: prefix.to_owned(),
        role: Role::Runtime,
        created: Timestamp::UNIX_EPOCH,
        expires,
        last_used: None,
        revoked: None,
    };
    let hash = KeyHash {
        pepper: [0; 8],
        mac: [0; 32],
    };
    (key, hash)
}
