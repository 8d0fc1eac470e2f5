//! Keys as record version 2 had them: each belongs to a service, none is protected from deletion.

use serde::Deserialize;

use super::{Key, KeyState, KeyVersion};
use crate::env::Timestamp;
use crate::ids::{AccountId, InstanceId, KeyId};
use crate::model::algorithm::{KeySpec, KeyUsage, Origin, ProtectionLevel};
use crate::model::import::Import;
use crate::model::owner::Owner;
use crate::model::rotation::Rotation;
use crate::model::tag::Tags;
use crate::model::text::Description;

#[derive(Deserialize)]
pub(super) struct OldKey {
    pub id: KeyId,
    pub account: AccountId,
    pub instance: InstanceId,
    pub project: Description,
    pub spec: KeySpec,
    pub usage: KeyUsage,
    pub level: ProtectionLevel,
    pub origin: Origin,
    pub state: KeyState,
    pub versions: Vec<KeyVersion>,
    pub rotation: Rotation,
    pub rotated: Option<Timestamp>,
    pub import: Import,
    pub description: Description,
    pub tags: Tags,
    pub creator: String,
    pub created: Timestamp,
}

/// Reads a body of version 2; `None` if it is damaged.
pub(super) fn read(body: &[u8]) -> Option<Key> {
    postcard::from_bytes::<OldKey>(body).ok().map(OldKey::upgraded)
}

impl OldKey {
    /// The same key today.
    pub fn upgraded(self) -> Key {
        Key {
            id: self.id,
            account: self.account,
            owner: Owner::Service(self.instance),
            project: self.project,
            spec: self.spec,
            usage: self.usage,
            level: self.level,
            origin: self.origin,
            state: self.state,
            versions: self.versions,
            rotation: self.rotation,
            rotated: self.rotated,
            import: self.import,
            protection: None,
            rehearsal: false,
            told: None,
            description: self.description,
            tags: self.tags,
            creator: self.creator,
            created: self.created,
        }
    }
}
