//! The first edition with two faults: it traps on one amount and rejects another.

use accounts::{Accounts, Edition};
use lantern_sdk::{Error, bail};

struct Failing;

impl Edition for Failing {
    fn credited(amount: i64) -> Result<i64, Error> {
        assert!(amount != 13, "a deposit of 13 was not thought of");
        if amount == 14 {
            bail!("deposits of 14 are refused");
        }
        Ok(amount)
    }
}

lantern_sdk::export_projection!(Accounts<Failing>);
