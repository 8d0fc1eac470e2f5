//! Random numbers from the cipher machine (contract 5.5, getRandom).

use firmware_sim::{PartitionId, Random as RandomCommand};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use crate::api::{Call, Plaintext};
use crate::app::App;
use crate::error::Result;
use crate::model::text::Number;

/// 1 to 1,024 random bytes, 32 by default.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetRandom {
    /// How many bytes, 1 to 1,024; 32 by default.
    #[serde(alias = "numberOfBytes")]
    #[schemars(extend("x-also-named" = ["numberOfBytes"]))]
    pub length: Option<Number<1, 1024>>,
}

/// The bytes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RandomBytes {
    /// Base64.
    pub random: Plaintext,
}

impl Operation for GetRandom {
    type Output = RandomBytes;

    async fn run(self, _: &Call, app: &App) -> Result<RandomBytes> {
        let length = self.length.map_or(32, Number::size);
        let random = app.machine.run(PartitionId::DEVICE, RandomCommand { length }).await?;
        Ok(RandomBytes { random: random.into() })
    }
}
