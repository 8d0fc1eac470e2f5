//! Who calls, over which plane, and what that allows before any resource is looked at (contract 2.3). Deny by default:
//! what is not named here is refused.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{AccessKeyId, AccessPointId, AccountId, InstanceId, UserId};
use crate::model::product::ServiceCode;

/// The surface that a call came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Plane {
    /// The shared gateway with EOP signatures.
    OpenApi,
    /// The private endpoint of applications.
    AccessPoint,
    /// The appliance itself: cron and initialisation.
    Internal,
}

impl Plane {
    /// `eventSource` in audit records.
    pub fn event_source(self) -> &'static str {
        match self {
            Self::OpenApi => "OPENAPI",
            Self::AccessPoint => "AAP",
            Self::Internal => "INTERNAL",
        }
    }

    /// `eventType` in audit records (contract 5.14).
    pub fn event_type(self) -> &'static str {
        match self {
            Self::OpenApi | Self::AccessPoint => "API",
            Self::Internal => "SYSTEM",
        }
    }
}

/// A set of planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach(u8);

impl Reach {
    /// OpenAPI only.
    pub const OPENAPI: Self = Self(1);
    /// Access points only.
    pub const AAP: Self = Self(2);
    /// The appliance itself only.
    pub const INTERNAL: Self = Self(4);
    /// OpenAPI and access points.
    pub const BOTH: Self = Self(1 | 2);
    /// OpenAPI of an instance that was made as a demo; others do not have the operation.
    pub const DEMO: Self = Self(1 | 8);

    /// Whether only a demo has the operation.
    pub fn is_demo_only(self) -> bool {
        self == Self::DEMO
    }

    /// Whether the plane is one of the set.
    pub fn contains(self, plane: Plane) -> bool {
        let bit = match plane {
            Plane::OpenApi => Self::OPENAPI,
            Plane::AccessPoint => Self::AAP,
            Plane::Internal => Self::INTERNAL,
        };
        self.0 & bit.0 != 0
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A person with an OpenAPI credential.
    User {
        /// The person.
        user: UserId,
        /// Sign-in name.
        name: String,
        /// The tenant.
        account: AccountId,
        /// Whether the tenant administers the appliance.
        administrator: bool,
        /// The credential that signed.
        access_key: AccessKeyId,
    },
    /// An application behind an access point.
    AccessPoint {
        /// The access point.
        access_point: AccessPointId,
        /// The only service that it reaches.
        instance: InstanceId,
        /// The tenant.
        account: AccountId,
        /// The credential that signed.
        access_key: AccessKeyId,
    },
    /// A cloud product that encrypts for a tenant.
    Product {
        /// The product.
        code: ServiceCode,
        /// The tenant.
        account: AccountId,
        /// The credential that signed.
        access_key: AccessKeyId,
    },
    /// The appliance itself.
    System,
}

/// A caller as events and counts of attempts remember it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// `principalType` in audit records.
    pub kind: String,
    /// `userName` in audit records.
    pub name: String,
    /// The credential that signed.
    pub access_key: Option<AccessKeyId>,
}

impl fmt::Display for Caller {
    /// Name, kind and access key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, self.kind)?;
        if let Some(access_key) = &self.access_key {
            write!(f, ", {access_key}")?;
        }
        f.write_str(")")
    }
}

/// Whom an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Every tenant, for its own resources.
    Tenant,
    /// Every tenant, and the cloud products that encrypt for it.
    Product,
    /// People of the administrating account.
    Administrator,
}

impl Principal {
    /// The tenant, unless the appliance itself calls.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::User { account, .. }
            | Self::AccessPoint { account, .. }
            | Self::Product { account, .. } => Some(*account),
            Self::System => None,
        }
    }

    /// The credential that signed.
    pub fn access_key(&self) -> Option<AccessKeyId> {
        match self {
            Self::User { access_key, .. }
            | Self::AccessPoint { access_key, .. }
            | Self::Product { access_key, .. } => Some(*access_key),
            Self::System => None,
        }
    }

    /// The caller as it is remembered.
    pub fn caller(&self) -> Caller {
        Caller { kind: self.kind().into(), name: self.name(), access_key: self.access_key() }
    }

    /// `principalType` in audit records.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "USER",
            Self::AccessPoint { .. } => "ACCESS_POINT",
            Self::Product { .. } => "PRODUCT",
            Self::System => "SYSTEM",
        }
    }

    /// Name of the caller in audit records and as `creator`.
    pub fn name(&self) -> String {
        match self {
            Self::User { name, .. } => name.clone(),
            Self::AccessPoint { access_point, .. } => access_point.to_string(),
            Self::Product { code, .. } => code.to_string(),
            Self::System => "system".into(),
        }
    }

    /// Whether the caller may do this kind of thing at all. Resources are checked one by one later.
    pub fn permits(&self, audience: Audience) -> bool {
        match (self, audience) {
            (Self::System, Audience::Tenant | Audience::Product | Audience::Administrator) => true,
            (Self::User { .. } | Self::AccessPoint { .. }, Audience::Tenant | Audience::Product) => true,
            (Self::User { administrator, .. }, Audience::Administrator) => *administrator,
            (Self::AccessPoint { .. }, Audience::Administrator) => false,
            (Self::Product { .. }, Audience::Product) => true,
            (Self::Product { .. }, Audience::Tenant | Audience::Administrator) => false,
        }
    }

    /// Whether a resource of this account and service is within the caller's sight.
    pub fn sees(&self, owner: AccountId, service: Option<InstanceId>) -> bool {
        match self {
            Self::System => true,
            Self::User { account, .. } | Self::Product { account, .. } => *account == owner,
            Self::AccessPoint { account, instance, .. } => *account == owner && service == Some(*instance),
        }
    }
}
