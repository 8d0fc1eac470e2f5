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
    /// When it was made.
    pub created: Timestamp,
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
    const VERSION: u8 = 1;

    fn id(&self) -> AccountId {
        self.id
    }

    fn id_bytes(id: &AccountId) -> Vec<u8> {
        id.as_bytes().to_vec()
    }

    fn listings(&self) -> Vec<Listing> {
        vec![Listing::by_creation(Self::all(), self.created, self.id.as_bytes())]
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
