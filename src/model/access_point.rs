//! Access points: the private endpoints that applications use with an AK/SK of their own (contract 5.10).

use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::ids::{AccessPointId, AccountId, InstanceId};
use crate::model::record::{Kind, List, Listing, Record};
use crate::model::text::{Description, Name};

/// An access point of one service.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct AccessPoint {
    /// Its id.
    pub id: AccessPointId,
    /// The tenant that owns it.
    pub account: AccountId,
    /// The only service that can be reached through it.
    pub instance: InstanceId,
    /// Its name; `default` exists from the start.
    pub name: Name,
    /// Network it is reached from.
    pub vpc: Name,
    /// Subnet it is reached from.
    pub subnet: Name,
    /// Enterprise project.
    pub project: Description,
    /// Free text.
    pub description: Description,
    /// When it was made.
    pub created: Timestamp,
}

impl AccessPoint {
    /// The access points of one account, oldest first.
    pub fn of_account(account: AccountId) -> List {
        List::of(Kind::AccessPoint, Kind::Account, account.as_bytes())
    }
}

impl Record for AccessPoint {
    type Id = AccessPointId;
    const KIND: Kind = Kind::AccessPoint;
    const VERSION: u8 = 1;

    fn id(&self) -> AccessPointId {
        self.id
    }

    fn id_bytes(id: &AccessPointId) -> Vec<u8> {
        id.as_bytes().to_vec()
    }

    fn listings(&self) -> Vec<Listing> {
        vec![Listing::by_creation(Self::of_account(self.account), self.created, self.id.as_bytes())]
    }
}
