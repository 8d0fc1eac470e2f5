//! Keys as record version 1 had them: without material from outside, and with the last rotation inside the policy.

use serde::Deserialize;

use super::version_2::OldKey as Second;
use super::{Key, KeyState, KeyVersion};
use crate::env::Timestamp;
use crate::ids::{AccountId, InstanceId, KeyId};
use crate::model::algorithm::{KeySpec, KeyUsage, Origin, ProtectionLevel};
use crate::model::import::Import;
use crate::model::rotation::{Rotation, RotationPeriod};
use crate::model::tag::Tags;
use crate::model::text::Description;

#[derive(Deserialize)]
struct OldKey {
    id: KeyId,
    account: AccountId,
    instance: InstanceId,
    project: Description,
    spec: KeySpec,
    usage: KeyUsage,
    level: ProtectionLevel,
    origin: Origin,
    state: KeyState,
    versions: Vec<KeyVersion>,
    rotation: OldRotation,
    description: Description,
    tags: Tags,
    creator: String,
    created: Timestamp,
}

#[derive(Deserialize)]
enum OldRotation {
    Off,
    On { period: RotationPeriod, next: Timestamp, last: Option<Timestamp> },
}

/// Reads a body of version 1; `None` if it is damaged.
pub(super) fn read(body: &[u8]) -> Option<Key> {
    let old: OldKey = postcard::from_bytes(body).ok()?;
    let (rotation, rotated) = match old.rotation {
        OldRotation::Off => (Rotation::Off, None),
        OldRotation::On { period, next, last } => (Rotation::On { period, next }, last),
    };
    let second = Second {
        id: old.id,
        account: old.account,
        instance: old.instance,
        project: old.project,
        spec: old.spec,
        usage: old.usage,
        level: old.level,
        origin: old.origin,
        state: old.state,
        versions: old.versions,
        rotation,
        rotated,
        import: Import::default(),
        description: old.description,
        tags: old.tags,
        creator: old.creator,
        created: old.created,
    };
    Some(second.upgraded())
}
