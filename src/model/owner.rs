//! Whom a key belongs to (contract section 1, owner of a key).

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// What `instanceId` of a request names: a service, or the account's keys on demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceRef {
    /// A service.
    Service(InstanceId),
    /// Keys on demand, which belong to no service.
    OnDemand,
}

impl From<ServiceRef> for Owner {
    fn from(named: ServiceRef) -> Self {
        match named {
            ServiceRef::Service(id) => Self::Service(id),
            ServiceRef::OnDemand => Self::OnDemand,
        }
    }
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(id) => fmt::Display::fmt(id, f),
            Self::OnDemand => f.write_str(ON_DEMAND),
        }
    }
}

impl Serialize for ServiceRef {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServiceRef {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == ON_DEMAND {
            return Ok(Self::OnDemand);
        }
        let id = text.parse().map_err(|_| "must be `ins-` and six letters or digits, or `on-demand`");
        id.map(Self::Service).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ServiceRef {
    fn schema_name() -> Cow<'static, str> {
        "ServiceRef".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^(on-demand|ins-[A-Za-z0-9]{6})$", "examples": ["ins-BhviB3"],
            "description": "A service, or `on-demand` for keys that belong to none.",
        })
    }
}

/// `instanceId` of keys on demand.
pub const ON_DEMAND: &str = "on-demand";

/// The partition of the cipher machine in which an account's keys without a service lie. It has the account's own id, and is
/// made when the first of these keys is.
pub fn partition_of(account: AccountId) -> PartitionId {
    PartitionId::from_bytes(*account.as_bytes())
}

/// The account whose keys without a service lie in this partition, if they lie in any.
pub fn account_of(partition: PartitionId) -> AccountId {
    AccountId::from_bytes(*partition.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_or_on_demand_has_one_spelling() {
        for text in ["on-demand", "ins-BhviB3"] {
            let named: ServiceRef = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(named).unwrap(), text);
            assert_eq!(Owner::from(named).instance_id(), text);
        }
        for wrong in ["", "On-Demand", "on-demand ", "ins-", "ins-BhviB33"] {
            assert!(serde_json::from_value::<ServiceRef>(wrong.into()).is_err(), "{wrong}");
        }
    }
}
