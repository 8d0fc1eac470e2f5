//! Aliases: names of keys, unique per account, re-pointed or deleted but never renamed (contract 5.2).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{AccountId, KeyId};
use crate::model::product::ServiceCode;
use crate::model::record::{Kind, List, Listing, Record};

/// The prefix of every alias.
const PREFIX: &str = "alias/";

/// `alias/` and 1 to 64 characters of `[A-Za-z0-9/_-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AliasName(String);

impl AliasName {
    /// The whole name, prefix included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a product's default key; the manual also writes it `alias_<code>` (contract 5.1, createDefaultKey).
    pub fn of_product(code: ServiceCode) -> Self {
        Self(format!("{PREFIX}{code}"))
    }

    /// Refuses the names that belong to default keys of cloud products.
    pub fn check_free(&self) -> Result<()> {
        match ServiceCode::ALL.into_iter().any(|code| *self == Self::of_product(code)) {
            true => Err(Error::invalid("aliasName", "is reserved for the default key of a cloud product")),
            false => Ok(()),
        }
    }

    /// Reads `alias_<code>` of a product.
    fn of_default_key(text: &str) -> Option<Self> {
        let code = text.strip_prefix("alias_")?;
        ServiceCode::ALL.into_iter().find(|product| product.code() == code).map(Self::of_product)
    }
}

impl FromStr for AliasName {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        if let Some(name) = Self::of_default_key(text) {
            return Ok(name);
        }
        let tail = text.strip_prefix(PREFIX).ok_or("must begin with `alias/`")?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-');
        if (1..=64).contains(&tail.len()) && tail.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must have 1 to 64 letters, digits, `/`, `_` or `-` after `alias/`")
        }
    }
}

impl fmt::Display for AliasName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AliasName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AliasName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for AliasName {
    fn schema_name() -> Cow<'static, str> {
        "AliasName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": PATTERN, "examples": ["alias/demo"],
            "description": "A name of a key: `alias/` and 1 to 64 letters, digits, `/`, `_` or `-`.",
        })
    }
}

/// Form of an alias name.
const PATTERN: &str = "^alias/[A-Za-z0-9/_-]{1,64}$";

/// What a caller names a key by: its id or one of its aliases. Becomes a [`KeyId`] exactly once, in the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRef {
    /// By id.
    Id(KeyId),
    /// By alias.
    Alias(AliasName),
}

impl Serialize for KeyRef {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Id(id) => to.collect_str(id),
            Self::Alias(name) => to.collect_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for KeyRef {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.starts_with("alias") {
            return text.parse().map(Self::Alias).map_err(serde::de::Error::custom);
        }
        let id = text.parse().map_err(|_| "must be a lower-case UUID or an alias `alias/…`");
        id.map(Self::Id).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for KeyRef {
    fn schema_name() -> Cow<'static, str> {
        "KeyRef".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "examples": ["alias/demo"],
            "pattern": "^(alias/[A-Za-z0-9/_-]{1,64}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$",
            "description": "A key: its UUID in lower case, or one of its aliases.",
        })
    }
}

/// A name and the key that it points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Whose name it is.
    pub account: AccountId,
    /// The name.
    pub name: AliasName,
    /// The key it points to.
    pub key: KeyId,
    /// When it was made.
    pub created: Timestamp,
}

impl Alias {
    /// The aliases of one account, by name.
    pub fn of_account(account: AccountId) -> List {
        List::of(Kind::Alias, Kind::Account, account.as_bytes())
    }

    /// `ctyun:kms:<region>:<account>:alias/<name>` (contract 5.2).
    pub fn arn(&self, region: &str) -> String {
        format!("ctyun:kms:{region}:{}:{}", self.account, self.name)
    }

    /// The aliases of one key, by name.
    pub fn of_key(key: KeyId) -> List {
        List::of(Kind::Alias, Kind::Key, key.as_bytes())
    }
}

impl Record for Alias {
    type Id = (AccountId, AliasName);
    const KIND: Kind = Kind::Alias;
    const VERSION: u8 = 1;

    fn id(&self) -> Self::Id {
        (self.account, self.name.clone())
    }

    fn id_bytes((account, name): &Self::Id) -> Vec<u8> {
        [account.as_bytes().as_slice(), name.as_str().as_bytes()].concat()
    }

    fn listings(&self) -> Vec<Listing> {
        vec![
            Listing::by_name(Self::of_account(self.account), self.name.as_str()),
            Listing::by_name(Self::of_key(self.key), self.name.as_str()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_keeps_prefix_length_and_alphabet() {
        let longest = format!("alias/{}", "x".repeat(64));
        for good in ["alias/a", "alias/A-Z_0/9", longest.as_str()] {
            assert!(good.parse::<AliasName>().is_ok(), "{good}");
        }
        let too_long = format!("alias/{}", "x".repeat(65));
        for wrong in
            ["", "alias", "alias/", "Alias/a", "a", "alias/钥", "alias/a b", "alias/a.b", too_long.as_str()]
        {
            assert!(wrong.parse::<AliasName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_default_keys_are_reserved() {
        assert!("alias/ecs".parse::<AliasName>().unwrap().check_free().is_err());
        assert!("alias/ecs2".parse::<AliasName>().unwrap().check_free().is_ok());
        assert_eq!("alias_ecs".parse::<AliasName>(), "alias/ecs".parse());
        assert!("alias_ecs2".parse::<AliasName>().is_err());
    }
}
