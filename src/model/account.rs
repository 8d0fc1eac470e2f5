//! Accounts and their people. An account is a tenant: nothing is visible across accounts.

use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::ids::{AccountId, UserId};
use crate::model::record::{Kind, List, Listing, Record};
use crate::model::text::Name;

/// A tenant.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: Name,
    /// Whether its people administer the appliance: the first account does.
    pub administrator: bool,
    /// Whether it may make keys on demand, which belong to no service.
    pub on_demand: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// A tenant as record version 1 had it.
#[derive(Deserialize)]
struct AccountVersion1 {
    id: AccountId,
    name: Name,
    administrator: bool,
    created: Timestamp,
}

impl Account {
    /// All accounts, oldest first.
    pub fn all() -> List {
        List::all(Kind::Account)
    }
}

impl Record for Account {
    type Id = AccountId;
    const KIND: Kind = Kind::Account;
    const VERSION: u8 = 2;

    fn id(&self) -> AccountId {
        self.id
    }

    fn id_bytes(id: &AccountId) -> Vec<u8> {
        id.as_bytes().to_vec()
    }

    fn listings(&self) -> Vec<Listing> {
        vec![Listing::by_creation(Self::all(), self.created, self.id.as_bytes())]
    }

    fn upgrade(version: u8, body: &[u8]) -> Option<Self> {
        match version {
            1 => {
                let AccountVersion1 { id, name, administrator, created } = postcard::from_bytes(body).ok()?;
                Some(Self { id, name, administrator, on_demand: false, created })
            }
            _ => None,
        }
    }
}

/// A person of an account.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The tenant.
    pub account: AccountId,
    /// Sign-in name.
    pub name: Name,
    /// Argon2id hash of the password, in PHC form.
    pub password_hash: String,
    /// Whether the password must be changed at the next sign-in.
    pub must_change_password: bool,
    /// When it was made.
    pub created: Timestamp,
}

impl User {
    /// The people of one account, by name.
    pub fn of_account(account: AccountId) -> List {
        List::of(Kind::User, Kind::Account, account.as_bytes())
    }
}

impl Record for User {
    type Id = UserId;
    const KIND: Kind = Kind::User;
    const VERSION: u8 = 1;

    fn id(&self) -> UserId {
        self.id
    }

    fn id_bytes(id: &UserId) -> Vec<u8> {
        id.as_bytes().to_vec()
    }

    fn listings(&self) -> Vec<Listing> {
        vec![Listing::by_name(Self::of_account(self.account), self.name.as_str())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_of_before_may_make_no_keys_on_demand() {
        // Record version 1: id as length and bytes, name, administrator, created.
        let mut stored = vec![1, 16];
        stored.extend([7; 16]);
        stored.extend(b"\x03old\x01\x0a");
        let account = Account::decode(&stored).unwrap();
        assert_eq!((account.id, account.name.as_str()), (AccountId::from_bytes([7; 16]), "old"));
        assert!(account.administrator && !account.on_demand);
        assert_eq!(account.created, Timestamp(5));
        assert!(Account::decode(&account.encode().unwrap()).unwrap() == account);
        assert!(Account::decode(&stored[..20]).is_none(), "damaged");
    }
}
