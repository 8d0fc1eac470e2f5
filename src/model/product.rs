//! Cloud products that have this service encrypt for them (contract 5.1, createDefaultKey).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cloud product. Each may have one default key in an account, which it alone uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("examples" = ["ecs"]))]
pub enum ServiceCode {
    /// Disks of elastic servers.
    Ecs,
    /// Object stores.
    Zos,
    /// File systems.
    Sfs,
    /// MySQL databases.
    Mysql,
    /// PostgreSQL databases.
    Postgresql,
    /// Document databases.
    Dds,
}

impl ServiceCode {
    /// Every product.
    pub const ALL: [Self; 6] = [Self::Ecs, Self::Zos, Self::Sfs, Self::Mysql, Self::Postgresql, Self::Dds];

    /// Its code, as in `alias/<code>`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::Zos => "zos",
            Self::Sfs => "sfs",
            Self::Mysql => "mysql",
            Self::Postgresql => "postgresql",
            Self::Dds => "dds",
        }
    }

    /// Its number in store keys, never used again for another one.
    pub const fn number(self) -> u8 {
        match self {
            Self::Ecs => 0,
            Self::Zos => 1,
            Self::Sfs => 2,
            Self::Mysql => 3,
            Self::Postgresql => 4,
            Self::Dds => 5,
        }
    }
}

impl fmt::Display for ServiceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_prints_as_it_is_written() {
        for code in ServiceCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.to_string());
        }
    }

    #[test]
    fn no_two_products_share_a_number() {
        let numbers: Vec<u8> = ServiceCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    }
}
