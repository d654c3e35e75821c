//! The first edition, which does everything right.

use accounts::{Accounts, Edition};
use lantern_sdk::Error;

struct First;

impl Edition for First {
    fn credited(amount: i64) -> Result<i64, Error> {
        Ok(amount)
    }
}

lantern_sdk::export_projection!(Accounts<First>);
