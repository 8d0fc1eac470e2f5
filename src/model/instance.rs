//! Service instances: what a tenant has bought. A service has an edition, base instances that multiply its rates and
//! quotas, and a partition of the cipher machine of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{AccountId, InstanceId, PartitionId};
use crate::model::record::{Kind, List, Listing, Record};
use crate::model::text::Name;

/// What a service offers (manual: basic and enterprise edition).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Edition {
    /// Software level, AES_256 and RSA_2048.
    #[serde(rename = "BASIC")]
    Basic,
    /// Both levels, all specs.
    #[serde(rename = "ENTERPRISE")]
    Enterprise,
}

/// Whether a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceState {
    /// It answers.
    Running,
    /// Expired, unsubscribed or in arrears: its keys rest.
    Frozen,
}

/// A service instance.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// The tenant that owns it.
    pub account: AccountId,
    /// Its name.
    pub name: Name,
    /// What it offers.
    pub edition: Edition,
    /// Rates and quotas are multiplied by this.
    pub base_instances: u32,
    /// Whether it runs.
    pub state: ServiceState,
    /// Its virtual machine.
    pub partition: PartitionId,
    /// When it was made.
    pub created: Timestamp,
}

impl Instance {
    /// The services of one account, oldest first.
    pub fn of_account(account: AccountId) -> List {
        List::of(Kind::Instance, Kind::Account, account.as_bytes())
    }

    /// Refuses work while the service does not run.
    pub fn check_running(&self) -> Result<()> {
        match self.state {
            ServiceState::Running => Ok(()),
            ServiceState::Frozen => Err(Error::ServiceFrozen),
        }
    }
}

impl Record for Instance {
    type Id = InstanceId;
    const KIND: Kind = Kind::Instance;
    const VERSION: u8 = 1;

    fn id(&self) -> InstanceId {
        self.id
    }

    fn id_bytes(id: &InstanceId) -> Vec<u8> {
        id.as_bytes().to_vec()
    }

    fn listings(&self) -> Vec<Listing> {
        vec![Listing::by_creation(Self::of_account(self.account), self.created, self.id.as_bytes())]
    }
}
