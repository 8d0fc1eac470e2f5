//! Rolling the wrapping key of a partition: destroyed keys are really gone once the generation that wrapped them is
//! erased. An administrator begins; cron submits the rest, a bounded number of records at a tick, and goes on by itself
//! after a restart, because the cipher machine's files and the records say how far it is. A new kind of record that
//! keeps wrapped keys must be looked at by [`left`] and [`is_held`].

use firmware_sim::{Fault, PartitionId as MachinePartition, Rewrap, State, WrappedKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use crate::api::{Call, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{AccessKeyId, AccountId, InstanceId, KeyId, PartitionId};
use crate::model::alias::KeyRef;
use crate::model::credential::Credential;
use crate::model::instance::Instance;
use crate::model::key::Key;
use crate::model::owner;
use crate::model::record::List;

/// Begins to roll the wrapping key of one partition: of a service, of the keys of an account that belong to no service, or of
/// the device itself, which wraps credentials. A roll that is under way is left as it is. Where keys or material were
/// destroyed, the appliance begins one by itself.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollWrappingKey {
    /// The service whose partition is meant.
    pub instance_id: Option<InstanceId>,
    /// The account whose keys without a service are meant: on-demand keys and default keys.
    pub account_id: Option<AccountId>,
    /// Whether the device's own partition is meant instead.
    #[serde(default)]
    pub device: bool,
}

/// A roll that has begun.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BegunRoll {
    /// The partition.
    pub partition: PartitionId,
    /// The generation that wraps everything new.
    pub generation: u32,
    /// `RewrappingKeys`.
    pub state: String,
}

impl RollWrappingKey {
    fn partition(&self, call: &Call, app: &App) -> Result<PartitionId> {
        match (self.instance_id, self.account_id, self.device) {
            (Some(id), None, false) => {
                let instance = app.instance(id)?;
                call.touch_account(instance.account);
                call.touch_instance(id);
                Ok(instance.partition)
            }
            (None, Some(id), false) => {
                call.touch_account(app.accounts.get(&id)?.ok_or(Error::ResourceNotFound("account"))?.id);
                let partition = owner::partition_of(id);
                match app.machine.device().generation(in_machine(partition)) {
                    Ok(_) => Ok(partition),
                    Err(Fault::NoSuchPartition) => Err(Error::ResourceNotFound("key without a service")),
                    Err(fault) => Err(fault.into()),
                }
            }
            (None, None, true) => Ok(PartitionId::from_bytes(MachinePartition::DEVICE.0)),
            (None, None, false) => Err(Error::MissingField("instanceId".into())),
            (Some(_), Some(_), _) => {
                Err(Error::invalid("accountId", "excludes instanceId; roll one at a time"))
            }
            (Some(_), None, true) => Err(Error::invalid("device", "excludes instanceId; roll one at a time")),
            (None, Some(_), true) => Err(Error::invalid("device", "excludes accountId; roll one at a time")),
        }
    }
}

impl Operation for RollWrappingKey {
    type Output = BegunRoll;

    async fn run(self, call: &Call, app: &App) -> Result<BegunRoll> {
        let partition = self.partition(call, app)?;
        call.touch("Partition", partition.text(), "");
        let generation = app.machine.begin_roll(in_machine(partition)).await?;
        Ok(BegunRoll { partition, generation, state: "RewrappingKeys".into() })
    }
}

/// Wraps the versions of a key under the newest generation of its partition.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RewrapKey {
    /// The key.
    pub cmk_uuid: KeyRef,
}

/// A key whose versions are all wrapped under the newest generation, unless it changed meanwhile.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RewrappedKey {
    /// The key.
    pub cmk_uuid: KeyId,
}

impl Operation for RewrapKey {
    type Output = RewrappedKey;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<RewrappedKey> {
        let id = call.key()?;
        let key = app.keys.get(&id)?.ok_or(Error::KeyNotFound)?;
        // Also while the service is frozen: its keys rest, they are not given up.
        let partition = app.partition_of(key.account, key.owner)?;
        let mut rewrapped = Vec::with_capacity(key.versions.len());
        for old in key.wrapped_keys().cloned() {
            let new = app.machine.run(partition, Rewrap { key: old.clone() }).await?;
            rewrapped.push((old, new));
        }
        let edit = move |key: &mut Key| {
            key.rewrap(&rewrapped);
            Ok(())
        };
        app.keys.change(call, &id, edit).await?.ok_or(Error::KeyNotFound)?;
        Ok(RewrappedKey { cmk_uuid: id })
    }
}

/// Wraps the secret of a credential under the newest generation of the device's partition.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RewrapCredential {
    /// The credential.
    pub access_key: AccessKeyId,
}

/// A credential whose secret is wrapped under the newest generation, unless it changed meanwhile.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RewrappedCredential {
    /// The credential.
    pub access_key: AccessKeyId,
}

impl Operation for RewrapCredential {
    type Output = RewrappedCredential;

    async fn run(self, call: &Call, app: &App) -> Result<RewrappedCredential> {
        let id = self.access_key;
        let credential = app.credentials.get(&id)?.ok_or(Error::AccessKeyNotFound)?;
        call.touch_account(credential.account);
        call.touch("Credential", id.text(), "");
        let old = credential.secret.clone();
        let new = app.machine.run(MachinePartition::DEVICE, Rewrap { key: old.clone() }).await?;
        let edit = move |credential: &mut Credential| {
            credential.rewrap(&old, new);
            Ok(())
        };
        app.credentials.change(call, &id, edit).await?.ok_or(Error::AccessKeyNotFound)?;
        Ok(RewrappedCredential { access_key: id })
    }
}

/// Erases the old generation of a partition, once it is proven that nothing is left under it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FinishRoll {
    /// The partition.
    pub partition: PartitionId,
}

/// A roll that has ended: the generations before this one are gone.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FinishedRoll {
    /// The partition.
    pub partition: PartitionId,
    /// The generation that wraps everything.
    pub generation: u32,
}

impl Operation for FinishRoll {
    type Output = FinishedRoll;

    /// The proof: since the roll began, nothing new is wrapped under the old generation, and what had been made under it
    /// was committed before (see `CipherMachine::wrapping`), or its commit failed; a store that failed takes no call, this
    /// one included, before it has read its file again. So whatever is under the old generation, this snapshot shows.
    async fn run(self, call: &Call, app: &App) -> Result<FinishedRoll> {
        let partition = self.partition;
        call.touch("Partition", partition.text(), "");
        let generation = app.machine.device().generation(in_machine(partition))?;
        if is_held(partition, generation, app) || left(partition, 0, app)?.total > 0 {
            return Err(Error::Unavailable("keys are still to be rewrapped; retry when none is left"));
        }
        app.machine.finish_roll(in_machine(partition)).await?;
        Ok(FinishedRoll { partition, generation })
    }
}

/// A roll that is under way.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Roll {
    /// The partition.
    pub partition: PartitionId,
    /// The generation that wraps everything new.
    pub generation: u32,
    /// How many records the old generation still wraps.
    pub remaining: u64,
}

/// What an old generation still wraps.
pub struct Left {
    /// Some of the keys.
    pub keys: Vec<KeyId>,
    /// Some of the credentials.
    pub credentials: Vec<AccessKeyId>,
    /// How many there are of both.
    pub total: u64,
}

/// The rolls that are under way.
pub fn rolls(app: &App) -> Result<Vec<Roll>> {
    let view = |partition| {
        let generation = app.machine.device().generation(in_machine(partition))?;
        Ok(Roll { partition, generation, remaining: left(partition, 0, app)?.total })
    };
    rolling(app).into_iter().map(view).collect()
}

/// The partitions whose wrapping key rolls; none while the cipher machine does not work.
pub fn rolling(app: &App) -> Vec<PartitionId> {
    let device = app.machine.device();
    match device.state() {
        State::Operational => device.rolling().iter().map(|id| PartitionId::from_bytes(id.0)).collect(),
        State::Locked | State::Error => Vec::new(),
    }
}

/// The records of a partition that an older generation than the newest wraps; at most `most` of them by name.
pub fn left(partition: PartitionId, most: usize, app: &App) -> Result<Left> {
    let generation = app.machine.device().generation(in_machine(partition))?;
    if in_machine(partition) == MachinePartition::DEVICE {
        let old = |credential: &Credential| is_before(&credential.secret, partition, generation);
        let page = app.store.scan(most, old)?;
        let credentials = page.records.into_iter().map(|credential| credential.id).collect();
        return Ok(Left { keys: Vec::new(), credentials, total: page.total });
    }
    let mut left = Left { keys: Vec::new(), credentials: Vec::new(), total: 0 };
    for list in lists_in(partition, app)? {
        let old = |key: &Key| Ok(has_before(key, partition, generation));
        let page = app.store.filter(&list, 0, most - left.keys.len(), old)?;
        left.keys.extend(page.records.into_iter().map(|key| key.id));
        left.total += page.total;
    }
    Ok(left)
}

/// The lists of the keys that lie in a partition: of services, or those of an account that belong to none.
fn lists_in(partition: PartitionId, app: &App) -> Result<Vec<List>> {
    let services = app.store.scan(usize::MAX, |instance: &Instance| instance.partition == partition)?;
    let account = owner::account_of(partition);
    let mut lists = vec![Key::on_demand_of(account), Key::defaults_of(account)];
    lists.extend(services.records.iter().map(|service| Key::of_instance(service.id)));
    Ok(lists)
}

/// Whether a record in memory holds a key that an older generation wraps.
fn is_held(partition: PartitionId, generation: u32, app: &App) -> bool {
    app.keys.published().iter().any(|key| has_before(key, partition, generation))
        || app
            .credentials
            .published()
            .iter()
            .any(|credential| is_before(&credential.secret, partition, generation))
}

fn has_before(key: &Key, partition: PartitionId, generation: u32) -> bool {
    key.wrapped_keys().any(|wrapped| is_before(wrapped, partition, generation))
}

fn is_before(wrapped: &WrappedKey, partition: PartitionId, generation: u32) -> bool {
    let header = wrapped.header();
    header.partition == in_machine(partition) && header.generation < generation
}

pub(super) fn in_machine(partition: PartitionId) -> MachinePartition {
    MachinePartition(*partition.as_bytes())
}
