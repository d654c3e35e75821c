//! The first edition with a fault that only a replay shows: it counts deposits outside its rows.

use std::sync::atomic::{AtomicI64, Ordering};

use accounts::{Accounts, Edition};
use lantern_sdk::Error;

static DEPOSITS: AtomicI64 = AtomicI64::new(0);

struct Stateful;

impl Edition for Stateful {
    fn credited(amount: i64) -> Result<i64, Error> {
        Ok(amount + DEPOSITS.fetch_add(1, Ordering::Relaxed))
    }
}

lantern_sdk::export_projection!(Accounts<Stateful>);
