//! Credentials: an access key and its wrapped secret, owned by an access point, a person or a cloud product. The secret itself is
//! known to the cipher machine alone.

use firmware_sim::WrappedKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::error::Result;
use crate::ids::{AccessKeyId, AccessPointId, AccountId, UserId};
use crate::model::product::ServiceCode;
use crate::model::record::{Kind, List, Listing, Record};

/// An access key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    /// AK.
    pub id: AccessKeyId,
    /// The tenant that owns it.
    pub account: AccountId,
    /// Who signs with it.
    pub holder: Holder,
    /// The secret key, wrapped by the cipher machine.
    #[serde(with = "super::wrapped")]
    pub secret: WrappedKey,
    /// Whether it is accepted.
    pub status: CredentialStatus,
    /// When it was made.
    pub created: Timestamp,
}

/// Who signs with a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    /// An application, on the access-point plane.
    AccessPoint(AccessPointId),
    /// A person, on the OpenAPI plane.
    User(UserId),
    /// A cloud product, on the OpenAPI plane.
    Product(ServiceCode),
}

/// Whether a credential is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CredentialStatus {
    /// Accepted.
    Enabled,
    /// Refused with KMS.9042.
    Disabled,
}

impl Credential {
    /// The credentials of one access point, oldest first.
    pub fn of_access_point(id: AccessPointId) -> List {
        List::of(Kind::Credential, Kind::AccessPoint, id.as_bytes())
    }

    /// The credentials of one person, oldest first.
    pub fn of_user(id: UserId) -> List {
        List::of(Kind::Credential, Kind::User, id.as_bytes())
    }

    /// The credentials of cloud products in one account, oldest first.
    pub fn of_products(account: AccountId) -> List {
        List::of(Kind::Credential, Kind::Product, account.as_bytes())
    }

    /// The credentials of one cloud product in one account, oldest first; its length is what their limit counts.
    pub fn of_product(account: AccountId, code: ServiceCode) -> List {
        let owner = [account.as_bytes().as_slice(), &[code.number()]].concat();
        List::of(Kind::Credential, Kind::Account, &owner)
    }

    /// Has the credential accepted again; one that is accepted stays so.
    pub fn enable(&mut self) -> Result<()> {
        self.status = CredentialStatus::Enabled;
        Ok(())
    }

    /// Has the credential refused; one that is refused stays so.
    pub fn disable(&mut self) -> Result<()> {
        self.status = CredentialStatus::Disabled;
        Ok(())
    }

    /// Puts the secret's new wrapped form in place of the one that it was made from, if it still has that.
    pub fn rewrap(&mut self, old: &WrappedKey, new: WrappedKey) {
        if self.secret == *old {
            self.secret = new;
        }
    }
}

impl Record for Credential {
    type Id = AccessKeyId;
    const KIND: Kind = Kind::Credential;
    const VERSION: u8 = 1;

    fn id(&self) -> AccessKeyId {
        self.id
    }

    fn id_bytes(id: &AccessKeyId) -> Vec<u8> {
        id.as_bytes().to_vec()
    }

    fn listings(&self) -> Vec<Listing> {
        let lists = match self.holder {
            Holder::AccessPoint(id) => vec![Self::of_access_point(id)],
            Holder::User(id) => vec![Self::of_user(id)],
            Holder::Product(code) => {
                vec![Self::of_products(self.account), Self::of_product(self.account, code)]
            }
        };
        let place = |list| Listing::by_creation(list, self.created, self.id.as_bytes());
        lists.into_iter().map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switching_a_credential_twice_is_switching_it_once() {
        let mut header = vec![1; 153];
        header[..5].copy_from_slice(b"YKWK\x01");
        (header[21], header[58], header[59], header[60]) = (2, 3, 2, 0);
        let made = Credential {
            id: AccessKeyId::from_bytes([1; 16]),
            account: AccountId::from_bytes([2; 16]),
            holder: Holder::AccessPoint(AccessPointId::from_bytes([3; 16])),
            secret: WrappedKey::from_bytes(header).unwrap(),
            status: CredentialStatus::Enabled,
            created: Timestamp::from_seconds(0),
        };
        let mut credential = made.clone();
        for _ in 0..2 {
            credential.disable().unwrap();
            assert_eq!(credential.status, CredentialStatus::Disabled);
        }
        for _ in 0..2 {
            credential.enable().unwrap();
            assert!(credential == made);
        }
    }
}
