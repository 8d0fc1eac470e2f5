//! Whom a key belongs to (contract section 1, owner of a key).

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, InstanceId, PartitionId};
use crate::model::product::ServiceCode;

/// Whom a key belongs to, within its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// A service.
    Service(InstanceId),
    /// The account itself: a key on demand.
    OnDemand,
    /// A cloud product: its default key.
    Product(ServiceCode),
}

impl Owner {
    /// The service, if it is one.
    pub fn service(self) -> Option<InstanceId> {
        match self {
            Self::Service(id) => Some(id),
            Self::OnDemand | Self::Product(_) => None,
        }
    }

    /// `instanceId` on the wire: empty for a default key, which belongs to no service.
    pub fn instance_id(self) -> String {
        match self {
            Self::Service(id) => id.to_string(),
            Self::OnDemand => ON_DEMAND.into(),
            Self::Product(_) => String::new(),
        }
    }

    /// `chargeMode` on the wire.
    pub fn charge_mode(self) -> &'static str {
        match self {
            Self::Service(_) => "SUBSCRIPTION",
            Self::OnDemand => "ON_DEMAND",
            Self::Product(_) => "DEFAULT",
        }
    }
}

/// `instanceId` of keys on demand.
pub const ON_DEMAND: &str = "on-demand";

/// The partition of the cipher machine in which an account's keys without a service lie. It has the account's own id, and is
/// made when the first of these keys is.
pub fn partition_of(account: AccountId) -> PartitionId {
    PartitionId::from_bytes(*account.as_bytes())
}
