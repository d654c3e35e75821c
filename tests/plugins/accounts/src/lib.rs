//! The projection that the tests drop in, in the states of its life: each [`Edition`] is a plugin of its own beside this
//! folder. All write a row for each account and a row for each type of event.

use std::marker::PhantomData;

use lantern_sdk::prelude::*;

table! {
    /// One account.
    pub struct Account in "accounts" {
        key id: String,
        balance: i64,
        entries: i64,
        /// The position of the event that changed it last.
        changed_at: i64,
        index accounts_by_balance(balance),
    }
}

table! {
    /// What all accounts did together: a row that many streams write.
    pub struct Total in "totals" {
        key event_type: String,
        events: i64,
        amount: i64,
    }
}

#[derive(Deserialize)]
pub enum Event {
    Deposited { amount: i64 },
    Withdrawn { amount: i64 },
}

/// What differs between the plugins.
pub trait Edition: 'static {
    const READ_MODEL_VERSION: u32 = 1;

    /// What a deposit of this amount adds to a balance.
    ///
    /// # Errors
    /// When this edition cannot apply it.
    fn credited(amount: i64) -> Result<i64, Error>;
}

pub struct Accounts<E>(PhantomData<E>);

impl<E: Edition> Projection for Accounts<E> {
    const NAME: &str = "accounts";
    const READ_MODEL_VERSION: u32 = E::READ_MODEL_VERSION;
    const CATEGORIES: &[&str] = &["account"];
    type Event<'a> = Event;
    type Tables = (Table<Account>, Table<Total>);

    fn apply(event: Recorded<Event>, (accounts, totals): &mut Self::Tables) -> Result<(), Error> {
        let change = match event.data {
            Event::Deposited { amount } => E::credited(amount)?,
            Event::Withdrawn { amount } => -amount,
        };
        let account = accounts.get_or_default(event.aggregate_id);
        account.balance += change;
        account.entries += 1;
        account.changed_at = event.position as i64;
        let total = totals.get_or_default(event.event_type);
        total.events += 1;
        total.amount += change;
        Ok(())
    }
}
