//! Another read-model version: its deposits count a hundred times as much.

use accounts::{Accounts, Edition};
use lantern_sdk::Error;

struct Second;

impl Edition for Second {
    const READ_MODEL_VERSION: u32 = 2;

    fn credited(amount: i64) -> Result<i64, Error> {
        Ok(100 * amount)
    }
}

lantern_sdk::export_projection!(Accounts<Second>);
