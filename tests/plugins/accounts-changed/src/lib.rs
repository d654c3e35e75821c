//! The read-model version of the first edition with other code: its deposits count twice, so that rows show where it
//! took over.

use accounts::{Accounts, Edition};
use lantern_sdk::Error;

struct Changed;

impl Edition for Changed {
    fn credited(amount: i64) -> Result<i64, Error> {
        Ok(2 * amount)
    }
}

lantern_sdk::export_projection!(Accounts<Changed>);
